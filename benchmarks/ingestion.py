"""What it costs to read files and to keep an index current. Prints tables, and one JSON line last.

    .venv/bin/python -m benchmarks.ingestion [formats | again]

``formats``: every readable file of ``../shared/data/documents`` is read by our readers and by the bare library,
interleaved, nine times; medians of MB of file a second of the processor. ``again``: 5,000 generated files are indexed
with the real model, 1 % of them is changed, and they are indexed again: seconds of the processor, of the processes that
read included.
"""

from __future__ import annotations

import csv
import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from qa.build.update import SilentListener, follow, update
from qa.models.loading import make_encoder
from qa.readers.discovery import discover
from qa.readers.registry import read_source
from qa.settings import Settings
from qa.types import Source

DOCUMENTS = Path(__file__).parent.parent.parent / "shared" / "data" / "documents"
FILES = 5000
CHANGED = FILES // 100
ROUNDS = 9
_WORDS = Path(__file__).parent.parent / "seeds" / "000_ed61de6b1921e49a.txt"


def again() -> dict[str, float]:
    """Measure a full build, one after 1 % of the files changed, and one after nothing changed.

    A server that watches its folder has the model in memory; ``qa index`` loads it where there is new text to encode.
    """
    words, chance = _WORDS.read_text(encoding="utf-8").split(), random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        documents = Path(folder) / "documents"
        documents.mkdir()
        settings = Settings(indexes=Path(folder) / "indexes", name="bench")

        def write(number: int) -> None:
            text = " ".join(chance.choices(words, k=100))
            (documents / f"{number:04}.txt").write_text(f"{text}.\n", encoding="utf-8")

        def change() -> None:
            for number in chance.sample(range(FILES), CHANGED):
                write(number)

        def seconds(work: Callable[[], object]) -> float:
            time.sleep(2.5)  # files of the last two seconds are read again, and would be counted
            before = _processor_seconds()
            work()
            return _processor_seconds() - before

        for number in range(FILES):
            write(number)
        encoder = make_encoder(settings, threads=1)
        full = seconds(lambda: update(settings, [documents], SilentListener()))
        encoder.load()
        change()
        watching = seconds(lambda: follow(settings, SilentListener(), encoder))
        change()
        command = seconds(lambda: update(settings, [documents], SilentListener()))
        nothing = seconds(lambda: follow(settings, SilentListener(), encoder))
        return {"all": full, "1 % changed": watching, "1 % changed, by a command": command, "nothing changed": nothing}


def _processor_seconds() -> float:
    """Return what this process and those that it started and waited for have used of the processor."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _pdf(path: Path) -> None:
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    for page in document:
        page.get_textpage().get_text_range()
    document.close()


def _html(path: Path) -> None:
    from selectolax.lexbor import LexborHTMLParser

    body = LexborHTMLParser(path.read_bytes()).body
    assert body is not None
    body.text()


def _docx(path: Path) -> None:
    import docx

    "\n".join(paragraph.text for paragraph in docx.Document(str(path)).paragraphs)


def _xlsx(path: Path) -> None:
    import openpyxl

    for sheet in openpyxl.load_workbook(path, read_only=True, data_only=True):
        list(sheet.iter_rows(values_only=True))


def _csv(path: Path) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        list(csv.reader(file))


def _text(path: Path) -> None:
    path.read_bytes().decode("utf-8", "replace")


BARE: dict[str, Callable[[Path], None]] = {
    ".pdf": _pdf,
    ".html": _html,
    ".docx": _docx,
    ".xlsx": _xlsx,
    ".csv": _csv,
    ".md": _text,
    ".txt": _text,
}


def formats() -> list[dict[str, object]]:
    """Read every file with our reader and with the bare library, format by format."""
    sources: defaultdict[str, list[Source]] = defaultdict(list)
    for item in discover([DOCUMENTS]):
        if isinstance(item, Source) and item.path.suffix in BARE and read_source(item)[0] is not None:
            try:
                BARE[item.path.suffix](item.path)
            except Exception:  # what only one of the two can read cannot be compared
                continue
            sources[item.path.suffix].append(item)
    rows: list[dict[str, object]] = []
    for suffix, files in sorted(sources.items()):
        ours, bare = [], []
        for _ in range(ROUNDS):
            ours.append(_seconds(lambda: [read_source(source) for source in files]))  # noqa: B023
            bare.append(_seconds(lambda: [BARE[suffix](source.path) for source in files]))  # noqa: B023
        size = sum(source.size for source in files) / 1e6
        ratio = statistics.median(bare) / statistics.median(ours)
        speeds = {"ours": size / statistics.median(ours), "bare": size / statistics.median(bare)}
        rows.append({"format": suffix, "files": len(files), "MB": size, **speeds, "ratio": ratio})
    return rows


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()  # of the processor: both run in this one thread, and others may use the machine
    work()
    return time.process_time() - started


def main() -> None:
    """Print both tables, or the one that is named; that of formats is there only where the documents are."""
    rows = formats() if DOCUMENTS.is_dir() and sys.argv[1:] != ["again"] else []
    print("| format | files | MB | ours, MB/s | bare library, MB/s | ratio |\n|---|---|---|---|---|---|")
    for row in rows:
        numbers = " | ".join(f"{row[key]:.2f}" for key in ("MB", "ours", "bare", "ratio"))
        print(f"| {row['format']} | {row['files']} | {numbers} |", flush=True)
    if sys.argv[1:] == ["formats"]:
        return
    seconds = again()
    print("\n| indexing 5,000 files | seconds of the processor | of a full build |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.1f} | {100 * value / seconds['all']:.1f} % |")
    print(json.dumps({"formats": rows, "again": seconds}))


if __name__ == "__main__":
    main()
