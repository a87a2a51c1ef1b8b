"""A reading function that does what a file says: all that a broken or hostile reader may do to its process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qa.readers.recognition.recogniser import Recogniser
from qa.readers.registry import ReadingOptions, read_source
from qa.types import Document, FileReport, Page, Section, Source, Span

_KEPT: list[bytes] = []

ODD_TEXT = "a\ud83d\ude00\udcff\0\u2028\U0001f600 é 你"


def misbehave(source: Source, options: ReadingOptions) -> tuple[Document | None, FileReport]:
    """Do what the file's content names, or read it."""
    content = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        content = source.path.read_text("utf-8")
    if content in _DEEDS:
        _DEEDS[content](source)
    return _odd(source) if content == "odd" else read_source(source, options)


def count_threads(source: Source, options: ReadingOptions) -> tuple[Document | None, FileReport]:
    """Read into a document of as many characters as the process has threads."""
    document, report = read_source(source, options)
    assert document is not None
    return replace(document, text="x" * len(list(Path("/proc/self/task").iterdir()))), report


def unstartable(source: Source, options: ReadingOptions) -> tuple[Document | None, FileReport]:
    raise AssertionError


unstartable.__qualname__ = "gone"


def _abort(_: Source) -> None:
    os.abort()


def _segfault(_: Source) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _exit(_: Source) -> None:
    sys.exit(3)


def _hang(source: Source) -> None:
    source.path.with_name("hanging").touch()
    # Within one call of C code that holds the interpreter's lock.
    re.match(r"(a+)+$", "a" * 60 + "b")


def _eat_memory(_: Source) -> None:
    while True:
        _KEPT.append(bytes(10_000_000))


def _eat_at_once(_: Source) -> None:
    _KEPT.append(bytes(3_000_000_000))


def _eat_in_silence(_: Source) -> None:
    with contextlib.suppress(MemoryError):
        bytes(600_000_000)


def _eat_and_hang(source: Source) -> None:
    _eat_in_silence(source)
    time.sleep(1000)


def _be_late(source: Source) -> None:
    source.path.with_name("reading").touch()
    while not source.path.with_name("written").exists():
        time.sleep(0.01)


def _leak(_: Source) -> None:
    _KEPT.append(bytes(200_000_000))


def _print(_: Source) -> None:
    print("noise" * 1000, flush=True)  # noqa: T201
    os.write(1, b"more noise")
    os.write(2, b"and errors" * 100_000)
    subprocess.run(["/bin/echo", "noise of a child"], check=True)
    assert sys.stdin.read() == ""


def _fill_disk(source: Source) -> None:
    with contextlib.suppress(OSError):
        source.path.with_name("filling").write_bytes(b"x")


def _write_garbage(_: Source) -> None:
    for descriptor in range(3, 20):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\xff" * 64)


def _start_child(source: Source) -> None:
    child = subprocess.Popen(["/bin/sleep", "1000"])
    source.path.with_name("child").symlink_to(str(child.pid))
    time.sleep(1000)


def _start_child_and_abort(source: Source) -> None:
    child = subprocess.Popen(["/bin/sleep", "1000"])
    source.path.with_name("child").symlink_to(str(child.pid))
    os.abort()


_DEEDS: dict[str, Callable[[Source], None]] = {
    "abort": _abort,
    "segfault": _segfault,
    "exit": _exit,
    "hang": _hang,
    "eat memory": _eat_memory,
    "eat at once": _eat_at_once,
    "\n": _eat_in_silence,
    "eat and hang": _eat_and_hang,
    "be late": _be_late,
    "leak": _leak,
    "print": _print,
    "fill disk": _fill_disk,
    "write garbage": _write_garbage,
    "start child": _start_child,
    "start child and abort": _start_child_and_abort,
}


def _odd(source: Source) -> tuple[Document | None, FileReport]:
    """Make a document in which every field holds what is hard to send."""
    document = Document(
        id=source.id,
        title=ODD_TEXT,
        text=ODD_TEXT * 3,
        source_sha256="0" * 64,
        media_type="text/odd",
        reader="odd/1",
        sections=(Section(ODD_TEXT, 1, 0, 2, 5), Section("", 2, 1, 1, 5)),
        pages=(Page(1, 0, 2), Page(2, 2, 5)),
        problems=("one\n", ODD_TEXT),
        excluded=(Span(1, 2),),
    )
    return document, FileReport(source.id, "partial", ODD_TEXT, 1, 2, 3, 4, 5, 0.1)


def recognise_badly(
    source: Source, options: ReadingOptions, recogniser: Recogniser
) -> tuple[Document | None, FileReport]:
    """Read a document of four pages that are all images; the file names what recognising the third does."""
    pages = [recogniser.wants(number, 4) and _page(source, number) for number in range(1, 5)]
    if not any(pages):
        return None, FileReport(source.id, "failed", recogniser.advice)
    text = " ".join(page for page in pages if page)
    document = Document(source.id, "", text, "0" * 64, "image/tiff", "tiff/1")
    return document, FileReport(source.id, "partial", recogniser.advice)


def _page(source: Source, number: int) -> str:
    content = source.path.read_text("utf-8")
    if number == 3 and content in _DEEDS:
        _DEEDS[content](source)
    return f"Page {number}."
