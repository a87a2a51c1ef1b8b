"""Reading in another process, so that a file which crashes its reader, hangs it or takes all memory is lost alone.

The two processes exchange frames (``qa.readers.frames``).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from time import monotonic, perf_counter, sleep
from types import TracebackType
from typing import IO, Any, Self

from qa.errors import ReadingUnavailable
from qa.readers.confinement import import_path, peak_bytes
from qa.readers.frames import BadFrame, receive, send
from qa.readers.recognition.recogniser import MISSING, MODELS_BYTES, MOST_PAGES, OFF, PageCache
from qa.readers.registry import ReadingOptions, read_source
from qa.types import Document, FileReport, Page, Property, Section, Source, Span

_SPANS: Mapping[str, type[Section | Page | Span | Property]] = {
    "sections": Section,
    "pages": Page,
    "excluded": Span,
    "metadata": Property,
}
_ROWS = {cls: attrgetter(*(field.name for field in fields(cls))) for cls in _SPANS.values()}


def encode_source(source: Source) -> dict[str, object]:
    """Encode a source as JSON values. The path is sent as bytes: the processes may decode names differently."""
    return {
        "id": source.id,
        "path": _encode_path(source.path),
        "size": source.size,
        "container": source.container,
        "parts": source.parts,
        "root": None if source.root is None else _encode_path(source.root),
    }


def decode_source(values: Mapping[str, Any]) -> Source:
    path, root = _decode_path(values["path"]), values["root"] and _decode_path(values["root"])
    return Source(values["id"], path, values["size"], values["container"], tuple(values["parts"]), root)


def _encode_path(path: Path) -> str:
    return os.fsencode(path.absolute()).hex()


def _decode_path(text: str) -> Path:
    return Path(os.fsdecode(bytes.fromhex(text)))


def encode_answer(document: Document | None, report: FileReport) -> dict[str, object]:
    """Encode what became of a file as JSON values; the document's text goes beside them."""
    return {"document": document and _encode_document(document), "report": asdict(report)}


def decode_answer(values: Mapping[str, Any], text: str) -> tuple[Document | None, FileReport]:
    """Decode an answer. Raises BadFrame if the values are not those of one."""
    try:
        document = values["document"]
        report = values["report"]
        recognised = tuple((int(page), float(confidence)) for page, confidence in report["recognised"])
        return document and _decode_document(document, text), FileReport(**{**report, "recognised": recognised})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadFrame(f"no answer: {error}") from error


def _encode_document(document: Document) -> dict[str, object]:
    values: dict[str, object] = {}
    for field in fields(Document):
        value = getattr(document, field.name)
        if field.name in _SPANS:
            row = _ROWS[_SPANS[field.name]]
            value = [row(span) for span in value]
        if field.name != "text":
            values[field.name] = value
    return values


def _decode_document(values: Mapping[str, Any], text: str) -> Document:
    given: dict[str, Any] = {**values, "text": text}
    for name in ("problems", "attachments"):
        given[name] = tuple(values[name])
    for name in _SPANS.keys() & values.keys():
        given[name] = tuple(_SPANS[name](*row) for row in values[name])
    return Document(**given)


ReadSource = Callable[[Source], tuple[Document | None, FileReport]]
# With ``options`` as well, and with ``recogniser`` where pages are recognised.
ReadWithOptions = Callable[..., tuple[Document | None, FileReport]]

# Without "-I" a file called json.py in the folder that qa is run in would be imported for the library's.
_FLAGS = ("-I", "-B", "-c")
# What is imported stays, so that looking for garbage meanwhile finds none; and numpy's library would start a thread for
# each core, which no reader has work for. Both were a sixth of what a start takes.
_BOOTSTRAP = (
    "import gc, json, os, sys; gc.disable(); os.environ['OPENBLAS_NUM_THREADS'] = '1'; "
    "sys.path[:] = json.loads(sys.argv[1]); from qa.readers.worker import main; "
    "gc.freeze(); gc.enable(); main(int(sys.argv[2]))"
)
_SECONDS_TO_START = 60.0
_SECONDS_TO_END = 5.0
_SECONDS_BETWEEN_LOOKS = 0.005
# Between two looks at the memory of a process that reads.
_MILLISECONDS_BETWEEN_LOOKS = 20.0
_MOST_BESIDE_TEXT = 256 * 1024 * 1024
# A request is taken; a page is announced, and again when it is recognised; once the models are loaded; then comes the
# answer.
_OF_PAGES = frozenset({"recognising", "recognised", "models"})
_MOST_MESSAGES = 2 * MOST_PAGES + 3
# What the process says first to each request: from then on what becomes of it is the file's doing.
BEGUN = "begun"


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """The limits of what one file may cost.

    ``max_bytes`` of the file, ``seconds`` of wall clock, ``memory_bytes`` of address space beyond what the process has
    at its start, ``max_characters`` of canonical text.

    The memory is measured, and not only denied: a library that is denied memory may say nothing and give less text.
    """

    max_bytes: int = 200_000_000
    seconds: float = 60.0
    memory_bytes: int = 2_000_000_000
    max_characters: int = 200_000_000


def _ignore(id: str, page: int, pages: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Recognition:
    """What becomes of pages that are recognised: each is kept in ``cache``.

    ``show`` is called before one is, with the file's id, the page's number and how many pages the file has.
    """

    cache: PageCache
    show: Callable[[str, int, int], None] = _ignore


class _FileLost(Exception):
    """An error: the file could not be read. The message is the reason for its report."""


class _ProcessGone(Exception):
    """An error: the process ended before it took the file."""


class IsolatedReader:
    """A reader in a worker process, which is started with the first file and again after a file has ended it.

    A context manager; used by one thread at a time.

    Args:
        limits: what a file may cost; one that exceeds them has failed.
        read: what reads a file there: a function of a module, for it is imported by its name.
        options: what of a file is read.
        recognition: what becomes of pages that are images; without it none is recognised. Each has the time of a file
            for itself. Where one is what a file fails at, the file is read again without it and those after it.
    """

    def __init__(
        self,
        limits: ReadingLimits | None = None,
        read: ReadWithOptions = read_source,
        options: ReadingOptions | None = None,
        recognition: Recognition | None = None,
    ) -> None:
        self._limits = limits or ReadingLimits()
        self._options = options or ReadingOptions()
        self._read = read
        self._recognition = recognition if self._options.ocr not in {OFF, MISSING} else None
        self._recognising: int | None = None
        self._process: _Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; a later ``read`` starts another."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def read(self, source: Source) -> tuple[Document | None, FileReport]:
        """Read one file. Any fault of it, or of its reader, is in the report and nowhere else.

        The document is ``None`` where the file failed, or was skipped and has no attachments.

        Raises:
            ReadingUnavailable: the process cannot be started, which no file is to blame for.
        """
        started = perf_counter()
        try:
            self._check(source)
            return self._answer_without_lost_pages(source)
        except _FileLost as lost:
            seconds = perf_counter() - started
            size = 0 if source.parts else source.size
            report = FileReport(source.id, "failed", str(lost), size=size, seconds=seconds)
            return None, replace(report, container=source.container)

    def _check(self, source: Source) -> None:
        """Check that a file may be opened; it may have changed since it was found. Raises _FileLost."""
        try:
            status = source.path.stat()
        except OSError:
            return  # which its reader reports
        if not stat.S_ISREG(status.st_mode):
            raise _FileLost("is no longer a regular file")
        if status.st_size > self._limits.max_bytes:
            size, most = math.ceil(status.st_size / 1e6), self._limits.max_bytes / 1e6
            raise _FileLost(f"is {size:,} MB; at most {most:,.0f} MB are read (QA_MAX_FILE_MB)")

    def _answer_without_lost_pages(self, source: Source) -> tuple[Document | None, FileReport]:
        """Read a file; if recognising a page is what it fails at, then without that page, and then without any."""
        before, because = None, ""
        for _ in range(2):
            try:
                return self._answer(source, before, because)
            except _FileLost as lost:
                if self._recognising is None:
                    raise
                before, because = self._recognising if before is None else 1, str(lost)
        return self._answer(source, 1, because)

    def _answer(self, source: Source, before: int | None, because: str) -> tuple[Document | None, FileReport]:
        try:
            values, text = self._exchange(source, before, because)
            if (exceeded := values.get("exceeded")) is None:
                document, report = decode_answer(values, text)
                if source.id != report.id or (document and source.id != document.id):
                    raise BadFrame("an answer about another file")
                if values.get("worn"):
                    self.close()
                return document, report
        except BadFrame:
            # Also what a library that overwrote memory may have sent.
            self.close()
            raise _FileLost("the reader gave no valid answer") from None
        if exceeded == "characters":
            raise _FileLost(f"holds more than {self._limits.max_characters:,} characters")
        self.close()
        raise _too_large(self._limits)

    def _exchange(self, source: Source, before: int | None, because: str) -> tuple[dict[str, Any], str]:
        request = {**encode_source(source), "before": before, "because": because}
        self._recognising = None
        cache = self._recognition.cache.folder if self._recognition is not None else None
        try:
            for _ in range(2):
                self._process = self._process or _Process(self._limits, self._options, self._read, cache)
                # One that ended since the last file, as by the system for want of memory, is not this file's doing.
                with contextlib.suppress(_ProcessGone):
                    return self._process.ask(request, partial(self._hear, source.id))
                self.close()
            raise ReadingUnavailable("the process that reads files ends as soon as it is started")
        except BaseException:
            # Half an answer may be in the pipe, also where the caller was interrupted.
            self.close()
            raise

    def _hear(self, id: str, message: Mapping[str, Any]) -> None:
        """Take a message of :class:`qa.readers.recognition.recogniser.PageRecogniser`. Raises BadFrame."""
        if self._recognition is None:
            raise BadFrame("a page where none is recognised")
        if "recognising" not in message:
            self._recognition.cache.keep(message)  # if it is of a page
            return
        page, pages = message["recognising"], message.get("pages")
        if not isinstance(page, int) or not isinstance(pages, int) or page < 1:
            raise BadFrame("no page")
        self._recognising = page
        self._recognition.show(id, page, pages)


def _too_large(limits: ReadingLimits) -> _FileLost:
    return _FileLost(f"needed more than {limits.memory_bytes / 1e9:.1f} GB of memory to read")


class _Process:
    """A running worker. Raises ReadingUnavailable if it cannot be started."""

    def __init__(
        self, limits: ReadingLimits, options: ReadingOptions, read: ReadWithOptions, recognised: Path | None
    ) -> None:
        self._limits = limits
        self._most = 4 * limits.max_characters + _MOST_BESIDE_TEXT
        # Nothing is ever written into this pipe: it ends when this process does, and so does the other one.
        lifeline, self._lifeline = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, *_FLAGS, _BOOTSTRAP, json.dumps(import_path()), str(lifeline)],
                pass_fds=[lifeline],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # Out of the terminal's reach: Ctrl-C is for the parent, which ends this one.
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._lifeline)
            raise ReadingUnavailable(f"the process that reads files cannot be started: {error}") from error
        finally:
            os.close(lifeline)
        self._requests, self._answers = _opened(self._popen.stdin), _opened(self._popen.stdout)
        self._errors = _opened(self._popen.stderr)
        try:
            configuration = {
                "read": f"{read.__module__}:{read.__qualname__}",
                "memory_bytes": limits.memory_bytes,
                "max_characters": limits.max_characters,
                "options": asdict(options),
                "recognised": recognised and os.fsencode(recognised.absolute()).hex(),
            }
            send(self._requests.fileno(), configuration)
            ready, _ = receive(self._answers.fileno(), self._most, monotonic() + _SECONDS_TO_START)
            self._most_memory = int(ready["most_memory"])
            self._has_models = False
        except (OSError, EOFError, BadFrame, KeyError) as error:
            reason = self._last_words() or type(error).__name__
            self.end()
            raise ReadingUnavailable(f"the process that reads files cannot be started: {reason}") from error
        except BaseException:
            self.end()
            raise

    def ask(
        self, request: Mapping[str, object], hear: Callable[[Mapping[str, Any]], None]
    ) -> tuple[dict[str, Any], str]:
        """Have a source read, and return the answer; ``hear`` takes what is said of its pages meanwhile.

        Raises:
            _FileLost: it took too long or too much memory, or ended the process.
            _ProcessGone: the process ended before it took the request. That it could be written does not tell: the
                pipe of a killed process is open until the last of its threads has ended.
            BadFrame: it did not answer as it should.
        """
        try:
            send(self._requests.fileno(), request)
        except BrokenPipeError as error:
            raise _ProcessGone from error
        deadline = monotonic() + self._limits.seconds
        begun = False
        try:
            for _ in range(_MOST_MESSAGES):
                self._wait(deadline)
                values, text = receive(self._answers.fileno(), self._most, deadline)
                if not begun:
                    if BEGUN not in values:
                        raise BadFrame("an answer to nothing")
                    begun = True
                    continue
                if values.keys().isdisjoint(_OF_PAGES):
                    return values, text
                hear(values)
                if "models" in values and not self._has_models:
                    self._has_models = True
                    self._most_memory += MODELS_BYTES
                # Each page has the time of a file for itself.
                deadline = monotonic() + self._limits.seconds
            raise BadFrame("too many messages")
        except TimeoutError:
            raise _FileLost(f"took longer than {self._limits.seconds:g} s to read") from None
        except EOFError:
            if not begun:
                raise _ProcessGone from None
            raise _FileLost(self._ending()) from None

    def _wait(self, deadline: float) -> None:
        """Wait until an answer begins, and watch the memory that it costs. Raises _FileLost, TimeoutError."""
        poll = select.poll()
        poll.register(self._answers.fileno(), select.POLLIN)
        while not poll.poll(min(_MILLISECONDS_BETWEEN_LOOKS, max(0.0, deadline - monotonic()) * 1000)):
            if peak_bytes(self._popen.pid) > self._most_memory:
                raise _too_large(self._limits)
            if monotonic() >= deadline:
                raise TimeoutError

    def end(self) -> None:
        """Kill it, and all that it started."""
        self._kill_group()
        os.close(self._lifeline)
        for pipe in (self._requests, self._answers, self._errors):
            pipe.close()

    def _kill_group(self) -> int:
        """Kill what is left of the group; returns the exit code of its leader.

        Before the leader is waited for: afterwards its number, which is the group's, may be somebody else's.
        """
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signal.SIGKILL)
        return self._popen.wait()

    def _has_ended(self) -> bool:
        """Return whether it ends within a few seconds; its exit status is left to be collected."""
        deadline = monotonic() + _SECONDS_TO_END
        while self._popen.returncode is None:
            if os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
            if monotonic() > deadline:
                return False
            sleep(_SECONDS_BETWEEN_LOOKS)
        return True

    def _ending(self) -> str:
        if not self._has_ended():
            return "the reader closed its connection"
        code = self._kill_group()
        return f"the reader crashed (signal {-code})" if code < 0 else f"the reader ended itself (code {code})"

    def _last_words(self) -> str:
        """Return the last line that it wrote before it could answer; nothing while it runs."""
        if not self._has_ended():
            return ""
        self._kill_group()
        lines = self._errors.read(65_536).decode("utf-8", "replace").splitlines()
        return lines[-1] if lines else ""


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
