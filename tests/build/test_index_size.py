"""Headings, titles, lead-ins and names of files cannot make an index that is much larger than the text."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from qa.index.snapshots import Snapshots
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Query
from tests.conftest import Build, hashing_encoder
from tests.support import reader_samples as samples

# Bytes that a passage may take beside its text: its vectors and rows, and the headings above it.
PER_PASSAGE = 4_000
PER_CHARACTER = 10


def _docx(path: Path, paragraphs: Sequence[tuple[str, int]]) -> None:
    """Write paragraphs, each with its level as a heading, 0 for running text."""
    with zipfile.ZipFile(io.BytesIO(samples.docx())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    document = members["word/document.xml"].decode()
    start = re.search(r"<w:body>", document)
    assert start is not None
    properties = {level: f'<w:outlineLvl w:val="{level - 1}"/>' for _, level in paragraphs if level}
    body = "".join(
        f"<w:p><w:pPr>{properties.get(level, '')}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"
        for text, level in paragraphs
    )
    members["word/document.xml"] = f"{document[: start.end()]}{body}</w:body></w:document>".encode()
    path.write_bytes(samples.zipped(members))


def _one_heading(folder: Path) -> None:
    """Write a DOCX of some kilobytes with a heading of a million characters above short paragraphs."""
    _docx(folder / "a.docx", [("x" * 1_000_000, 1), *[("A sentence that is short.", 0)] * 1_000])


def _nested_headings(folder: Path) -> None:
    outer = [(f"{level} {'word ' * 78}", level) for level in range(1, 9)]
    _docx(folder / "a.docx", [*outer, *[("b", 9), ("c", 0)] * 2_000])


def _headings_of_one_word(folder: Path) -> None:
    levels = "".join(f"<h{level}>{'x' * 399}</h{level}>" for level in range(1, 6))
    (folder / "a.html").write_text(f"<body>{levels}{'<h6>b</h6><p>c</p>' * 2_000}</body>")


def _title(folder: Path) -> None:
    (folder / "a.html").write_text(f"<title>{'word ' * 200_000}</title>{'<h1>b</h1><p>c</p>' * 2_000}")


def _sheet(folder: Path) -> None:
    name = "x" * 100_000
    with zipfile.ZipFile(io.BytesIO(samples.xlsx())) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    workbook = members["xl/workbook.xml"].decode()
    members["xl/workbook.xml"] = re.sub(r'(<sheet [^>]*?name=")[^"]*', rf"\g<1>{name}", workbook).encode()
    (folder / "a.xlsx").write_bytes(samples.zipped(members))


def _nested_items(folder: Path) -> None:
    items = "\n".join(f"{'  ' * depth}- {'x' * 1_500}" for depth in range(12))
    (folder / "a.txt").write_text(items + f"\n{'  ' * 13}- b" * 20_000)


def _long_names(folder: Path) -> None:
    deep = folder.joinpath(*["d" * 200] * 10)
    deep.mkdir(parents=True)
    (deep / f"{'a' * 240}.txt").write_text("Top\n\n" + "B\n- c\n\n" * 2_000)


@pytest.mark.parametrize(
    "write",
    [_one_heading, _nested_headings, _headings_of_one_word, _title, _sheet, _nested_items, _long_names],
    ids=lambda write: write.__name__.strip("_"),
)
def test_an_index_is_bounded_by_the_text_and_its_passages(
    write: Callable[[Path], None], tmp_path: Path, build: Build, settings: Settings
) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    write(folder)
    build(folder)
    snapshot = Snapshots(settings.indexes, settings.name).open()
    passages = list(snapshot.store.all_passages())
    characters = sum(len(passage.text) for passage in passages)
    size = sum(file.stat().st_size for file in settings.indexes.rglob("*") if file.is_file())
    snapshot.close()
    assert passages
    assert size < 1_000_000 + PER_PASSAGE * len(passages) + PER_CHARACTER * characters
    assert max(len(passage.context) + sum(map(len, passage.path)) for passage in passages) < 2_000
    service = Service(settings, make=hashing_encoder)
    service.reload()
    reply = service.ask(Query("what is c", top_k=10))
    assert reply.hits
    assert len(repr(reply)) < 200_000
    service.close()
