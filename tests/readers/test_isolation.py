from __future__ import annotations

import array
import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qa.errors import ReadingUnavailable
from qa.readers import isolation
from qa.readers.discovery import discover
from qa.readers.isolation import IsolatedReader, ReadingLimits, Recognition
from qa.readers.recognition.recogniser import PageCache
from qa.readers.registry import ReadingOptions, read_source
from qa.types import Document, FileReport, Source
from tests.conftest import REPOSITORY
from tests.support.misbehaving import count_threads, misbehave, recognise_badly, unstartable
from tests.support.texts import a_name_of_any_bytes
from tests.support.waiting import AT_MOST, wait_for

pytestmark = pytest.mark.slow

LIMITS = ReadingLimits(max_bytes=3_000_000, seconds=AT_MOST, memory_bytes=500_000_000, max_characters=1_000_000)


@pytest.fixture
def reader() -> Iterator[IsolatedReader]:
    with IsolatedReader(LIMITS, misbehave) as reader:
        yield reader


def _source(folder: Path, content: str, name: str = "a.txt") -> Source:
    path = folder / name
    path.write_text(content, "utf-8")
    return Source(f"docs/{name}", path, path.stat().st_size)


def _outcome(reader: IsolatedReader, source: Source) -> tuple[str, str]:
    document, report = reader.read(source)
    assert document is None
    assert (report.id, report.size) == (source.id, source.size)
    return report.status, report.reason


def test_the_process_has_no_threads_for_arithmetic(tmp_path: Path) -> None:
    with IsolatedReader(LIMITS, count_threads) as reader:
        document, _ = reader.read(_source(tmp_path, "Words."))
    # numpy's library would have one for each core.
    assert document is not None
    assert document.text == "x"


def _reads(reader: IsolatedReader, folder: Path) -> bool:
    """Tell whether an ordinary file is still read correctly."""
    source = _source(folder, "# Good\n\nWords.\n", "good.md")
    (document, report), (expected, expected_report) = reader.read(source), read_source(source)
    return document == expected and replace(report, seconds=0) == replace(expected_report, seconds=0)


def _worker(reader: IsolatedReader) -> int:
    assert reader._process is not None
    return reader._process._popen.pid


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_files_are_read_as_without_it_by_one_process(tmp_path: Path, reader: IsolatedReader) -> None:
    assert _reads(reader, tmp_path)
    first = _worker(reader)
    for content in ("", "Текст. 你好 👍🏽\r\n", "\x00\x01"):
        source = _source(tmp_path, content)
        (document, report), (expected, expected_report) = reader.read(source), read_source(source)
        assert (document, replace(report, seconds=0)) == (expected, replace(expected_report, seconds=0))
    gone = Source("gone.txt", tmp_path / "gone.txt", 1)
    assert _outcome(reader, gone) == ("failed", "no such file or directory")
    assert _worker(reader) == first


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("abort", "the reader crashed (signal 6)"),
        ("segfault", "the reader crashed (signal 11)"),
        ("exit", "the reader ended itself (code 3)"),
        ("eat memory", "needed more than 0.5 GB of memory to read"),
        ("eat at once", "needed more than 0.5 GB of memory to read"),
        ("eat and hang", "needed more than 0.5 GB of memory to read"),
        ("\n", "needed more than 0.5 GB of memory to read"),
        ("write garbage", "the reader gave no valid answer"),
        ("w" * 1_000_001, "holds more than 1,000,000 characters"),
        ("w" * 3_000_001, "is 4 MB; at most 3 MB are read (QA_MAX_FILE_MB)"),
    ],
)
def test_what_goes_wrong_loses_one_file(tmp_path: Path, reader: IsolatedReader, content: str, reason: str) -> None:
    assert _reads(reader, tmp_path)
    assert _outcome(reader, _source(tmp_path, content)) == ("failed", reason)
    assert _reads(reader, tmp_path)


def test_a_reader_that_runs_out_of_memory_itself_loses_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Words. " * 100_000)
    os.truncate(path, 1_000_000_000)  # which takes no room on the disk
    with IsolatedReader(replace(LIMITS, max_bytes=2_000_000_000)) as reader:
        outcome = _outcome(reader, Source("a.txt", path, 1_000_000_000))
        assert outcome == ("failed", "needed more than 0.5 GB of memory to read")
        assert _reads(reader, tmp_path)


def test_a_late_signal_for_a_request_harms_no_file(tmp_path: Path, reader: IsolatedReader) -> None:
    """The system may signal that a request has come after the request was read (2 files of 100,000)."""
    assert _reads(reader, tmp_path)
    assert reader._process is not None
    source, requests = _source(tmp_path, "be late"), reader._process._requests

    def write() -> None:
        wait_for((tmp_path / "reading").exists)
        requests.write(b"\0" * 16)
        (tmp_path / "written").touch()

    writing = threading.Thread(target=write)
    writing.start()
    document, report = reader.read(source)
    writing.join()
    assert document is not None
    assert report.status == "read"


@pytest.mark.parametrize(("content", "begun"), [("hang", "hanging"), ("start child", "child")])
def test_what_takes_too_long_is_killed_with_all_it_started(
    tmp_path: Path, reader: IsolatedReader, monkeypatch: pytest.MonkeyPatch, content: str, begun: str
) -> None:
    ahead = iter([0.0])

    def patient() -> float:
        """Return a clock by which reading takes too long once it has begun, and not before on a busy machine."""
        wait_for(lambda: os.path.lexists(tmp_path / begun))
        return time.monotonic() + next(ahead, AT_MOST)

    assert _reads(reader, tmp_path)
    worker = _worker(reader)
    with monkeypatch.context() as patched:
        patched.setattr(isolation, "monotonic", patient)
        assert _outcome(reader, _source(tmp_path, content)) == ("failed", f"took longer than {AT_MOST:g} s to read")
    wait_for(lambda: not _lives(worker))
    assert _reads(reader, tmp_path)
    if content == "start child":
        wait_for(lambda: not _lives(int((tmp_path / "child").readlink().name)))


def test_what_a_library_prints_harms_nothing(
    tmp_path: Path, reader: IsolatedReader, capfd: pytest.CaptureFixture[str]
) -> None:
    document, _ = reader.read(_source(tmp_path, "print"))
    assert document is not None
    assert document.text == "print"
    assert capfd.readouterr() == ("", "")


def test_a_reader_writes_no_file(tmp_path: Path, reader: IsolatedReader) -> None:
    assert reader.read(_source(tmp_path, "fill disk"))[1].status == "read"
    assert (tmp_path / "filling").read_bytes() == b""


def test_every_field_comes_back_as_it_was(tmp_path: Path, reader: IsolatedReader) -> None:
    source = _source(tmp_path, "odd")
    assert reader.read(source) == misbehave(source, ReadingOptions())


@pytest.mark.parametrize("name", [b"caf\xe9.txt", b"a\nb\x1b.txt", "你👍🏽.txt".encode(), b"\xed\xb3\xa9.txt"])
def test_names_are_bytes(tmp_path: Path, reader: IsolatedReader, name: bytes) -> None:
    with a_name_of_any_bytes():
        source = _source(tmp_path, "Words.", os.fsdecode(name))
    document, report = reader.read(source)
    assert document is not None
    assert (document.id, report.id) == (source.id, source.id)


def test_a_relative_path_is_read_wherever_the_process_is(
    tmp_path: Path, reader: IsolatedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _reads(reader, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert reader.read(Source("good.md", Path("good.md"), 1))[1].status == "read"


def test_what_is_no_regular_file_any_more_is_not_opened(tmp_path: Path, reader: IsolatedReader) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    outcome = _outcome(reader, Source("pipe.txt", tmp_path / "pipe.txt", 0))
    assert outcome == ("failed", "is no longer a regular file")


@pytest.mark.parametrize("replaced", ["docs", "docs/a.txt", "docs/inside.txt"])
def test_what_becomes_a_link_after_it_was_found_is_not_read(
    tmp_path: Path, reader: IsolatedReader, replaced: str
) -> None:
    for folder in ("found/docs", "private"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.txt").write_text(f"Words of {folder}.")
    root = tmp_path / "found"
    (root / "docs/inside.txt").symlink_to("a.txt")
    found = [source for source in discover([root]) if isinstance(source, Source)]
    assert [reader.read(source)[1].status for source in found] == ["read", "read"]
    (root / replaced).rename(tmp_path / "moved")
    (root / replaced).symlink_to(tmp_path / "private" if replaced == "docs" else tmp_path / "private/a.txt")
    for source in found:
        document, report = reader.read(source)
        if document is None:
            assert report.reason == "it has been replaced by a link since it was found"
        else:
            assert document.text == "Words of found/docs."
    assert reader.read(found[0])[1].status == ("read" if replaced == "docs/inside.txt" else "failed")


def test_a_process_that_keeps_memory_is_replaced(tmp_path: Path, reader: IsolatedReader) -> None:
    workers = set()
    for _ in range(6):
        document, _ = reader.read(_source(tmp_path, "leak"))
        assert document is not None
        assert _reads(reader, tmp_path)
        workers.add(_worker(reader))
    assert len(workers) == 4


def test_a_process_that_ended_between_two_files_costs_neither(tmp_path: Path, reader: IsolatedReader) -> None:
    assert _reads(reader, tmp_path)
    first = _worker(reader)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not _lives(first))
    assert _reads(reader, tmp_path)


def test_a_process_that_ended_before_it_took_a_file_costs_neither(tmp_path: Path, reader: IsolatedReader) -> None:
    assert _reads(reader, tmp_path)
    first = _worker(reader)
    os.kill(first, signal.SIGSTOP)
    outcomes: list[bool] = []
    thread = threading.Thread(target=lambda: outcomes.append(_reads(reader, tmp_path)))
    thread.start()
    wait_for(lambda: _waiting_bytes(reader) > 0)
    os.kill(first, signal.SIGKILL)
    thread.join()
    assert outcomes == [True]
    assert _worker(reader) != first


def _waiting_bytes(reader: IsolatedReader) -> int:
    """Return how many bytes of requests the process has not taken yet."""
    assert reader._process is not None
    count = array.array("i", [0])
    fcntl.ioctl(reader._process._requests.fileno(), termios.FIONREAD, count)
    return count[0]


def test_what_a_reader_started_is_killed_when_it_crashes(tmp_path: Path, reader: IsolatedReader) -> None:
    source = _source(tmp_path, "start child and abort")
    assert _outcome(reader, source) == ("failed", f"the reader crashed (signal {int(signal.SIGABRT)})")
    wait_for(lambda: not _lives(int((tmp_path / "child").readlink().name)))
    assert _reads(reader, tmp_path)


def test_the_process_outlives_the_thread_that_started_it(tmp_path: Path, reader: IsolatedReader) -> None:
    thread = threading.Thread(target=_reads, args=(reader, tmp_path))
    thread.start()
    thread.join()
    first = _worker(reader)
    assert _reads(reader, tmp_path)
    assert _worker(reader) == first


def test_the_process_ends_with_its_context(tmp_path: Path) -> None:
    with IsolatedReader() as reader:
        assert _reads(reader, tmp_path)
        worker = _worker(reader)
        assert _lives(worker)
    assert not _lives(worker)


def test_an_interrupted_read_leaves_nothing_for_the_next(
    tmp_path: Path, reader: IsolatedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    assert _reads(reader, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(isolation, "receive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            reader.read(_source(tmp_path, "Other words."))
    assert _reads(reader, tmp_path)


def test_a_process_that_cannot_be_started_is_an_error_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _source(tmp_path, "Words.")
    with IsolatedReader(LIMITS, unstartable) as reader, pytest.raises(ReadingUnavailable, match="no attribute 'gone'"):
        reader.read(source)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with IsolatedReader(LIMITS) as reader, pytest.raises(ReadingUnavailable, match="No such file"):
        reader.read(source)


def test_modules_in_the_current_folder_are_not_run(
    tmp_path: Path, reader: IsolatedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "qa", "struct", "charset_normalizer", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run')")
    monkeypatch.chdir(tmp_path)
    assert _reads(reader, tmp_path)


_PARENT = """
import signal, sys
# A shell that starts the tests in its background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from qa.readers.discovery import discover
from qa.readers.isolation import IsolatedReader
from qa.types import Source
from tests.support.misbehaving import misbehave
with IsolatedReader(read=misbehave) as reader:
    reader.read(Source("good.txt", Path(sys.argv[1]), 1))
    print(reader._process._popen.pid, flush=True)
    reader.read(Source("bad.txt", Path(sys.argv[2]), 1))
"""


@pytest.mark.parametrize("deed", ["hang", "idle"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_its_parent(tmp_path: Path, deed: str, number: signal.Signals) -> None:
    good = _source(tmp_path, "Words.", "good.txt").path
    bad = _source(tmp_path, deed, "bad.txt").path
    code = _PARENT if deed == "hang" else _PARENT.replace('reader.read(Source("bad', '__import__("time").sleep(600)  #')
    with subprocess.Popen(
        [sys.executable, "-c", code, good, bad],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        wait_for(lambda: deed == "idle" or (tmp_path / "hanging").exists())
        assert _lives(worker)
        parent.send_signal(number)
        wait_for(lambda: not _lives(worker))
        _, errors = parent.communicate(timeout=AT_MOST)
    assert "worker" not in errors
    assert errors.count("Traceback") == (number == signal.SIGINT)


def test_a_long_text_passes_at_little_cost(tmp_path: Path) -> None:
    source = _source(tmp_path, ("Все счастливые семьи похожи. Plain words. " * 99 + "\n\n") * 4_000)
    assert source.size > 25_000_000
    read_source(source)
    started = _processor_seconds()
    expected, _ = read_source(source)
    read = _processor_seconds()
    with IsolatedReader(replace(LIMITS, max_bytes=source.size, max_characters=source.size)) as reader:
        document, _ = reader.read(source)
    # Starting the process among them.
    assert _processor_seconds() - read < 2 * (read - started) + 2
    assert document == expected


def _processor_seconds() -> float:
    """Return those of this process and its ended children, which a busy machine hardly changes."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def test_ids_other_than_the_files_are_not_believed(tmp_path: Path) -> None:
    source = _source(tmp_path, "Words.")
    with IsolatedReader(LIMITS, _about_another) as reader:
        assert _outcome(reader, source) == ("failed", "the reader gave no valid answer")


def _about_another(source: Source, options: ReadingOptions) -> tuple[Document | None, FileReport]:
    return read_source(replace(source, id="another"), options)


@pytest.fixture
def recognised(tmp_path: Path) -> list[tuple[str, int, int]]:
    return []


@pytest.fixture
def recognising(tmp_path: Path, recognised: list[tuple[str, int, int]]) -> Iterator[IsolatedReader]:
    def show(id: str, page: int, pages: int) -> None:
        recognised.append((id, page, pages))

    recognition = Recognition(PageCache(tmp_path / "cache"), show)
    limits = replace(LIMITS, seconds=5.0)
    with IsolatedReader(limits, recognise_badly, ReadingOptions(ocr="fake/1"), recognition) as reader:
        yield reader


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("abort", "the reader crashed (signal 6)"),
        ("eat memory", "needed more than 0.5 GB of memory to read"),
        ("hang", "took longer than 5 s to read"),
    ],
)
def test_a_page_that_cannot_be_recognised_is_left_out_with_those_after_it(
    tmp_path: Path, recognising: IsolatedReader, recognised: list[tuple[str, int, int]], deed: str, reason: str
) -> None:
    document, report = recognising.read(_source(tmp_path, deed))
    assert document is not None
    assert document.text == "Page 1. Page 2."
    assert (report.status, report.reason) == ("partial", f"OCR ended at page 3 ({reason})")
    assert recognised == [("docs/a.txt", page, 4) for page in (1, 2, 3, 1, 2)]
    # The next file is read as if nothing had been.
    document, _ = recognising.read(_source(tmp_path, "nothing", "b.txt"))
    assert document is not None
    assert document.text == "Page 1. Page 2. Page 3. Page 4."


def test_nothing_is_recognised_where_that_is_off(tmp_path: Path) -> None:
    recognition = Recognition(PageCache(tmp_path / "cache"))
    with IsolatedReader(LIMITS, misbehave, ReadingOptions(), recognition) as reader:
        assert _reads(reader, tmp_path)
    assert not (tmp_path / "cache").exists()
