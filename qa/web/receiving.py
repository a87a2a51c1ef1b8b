"""Files received over HTTP, written to the disk as they arrive: a form's files, or a body that is one file.

Memory is bounded by one block of each upload. A form is parsed in a thread, by the parser that Starlette uses, whose
own way keeps every file in memory or in the system's temporary folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from anyio import CancelScope
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from qa.build.uploads import StagedFile, check_name
from qa.errors import StorageError, UploadRefused
from qa.files import why
from qa.service.upkeep import Received
from qa.web.problems import Problem, ProblemError, shown

# Files and fields of a form, and bytes of a field's value. The parser allows 8 headers of a part, of 4 kB.
MOST_FILES = 1_000
_MOST_FIELDS = 10
_MOST_VALUE_BYTES = 4_096
# Bytes that are handed to a thread at a time.
_BLOCK = 1 << 18
# Where a form says into which folder its files go, before them.
INTO = "into"
# What browsers, curl and most libraries write in a name for these characters, and for no others: a percent sign stays
# as it is, so that a name that has one of these itself cannot be told apart (https://html.spec.whatwg.org/multipage/
# form-control-infrastructure.html#multipart-form-data).
_ESCAPED = {"%22": '"', "%0D": "\r", "%0A": "\n"}


@dataclass(slots=True)
class Form:
    """What a form held: its files in order, and the values of its other fields by name."""

    files: list[Received] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)

    def discard(self) -> None:
        """Remove the files that were received."""
        for file in self.files:
            if file.staged is not None:
                file.staged.discard()


def unescape(name: str) -> str:
    """Return the name of a form's field or file as it was before the client wrote it into the form."""
    for escaped, character in _ESCAPED.items():
        name = name.replace(escaped, character)
    return name


async def receive_form(request: Request, stage: Callable[[], StagedFile]) -> Form:
    """Receive a form (``multipart/form-data``); a file that is refused is in it with the reason.

    Args:
        stage: begins a file.

    Raises:
        ProblemError: it is no such form, it is broken off, or it has too many parts.
        StorageError: the disk is full, or cannot be written.
    """
    media_type, parameters = parse_options_header(request.headers.get("content-type"))
    if media_type != b"multipart/form-data" or b"boundary" not in parameters:
        detail = "Send the files as a form, with the header Content-Type: multipart/form-data and its boundary."
        raise ProblemError(
            Problem("unsupported-media-type", 415, detail, headers={"Accept-Post": "multipart/form-data"})
        )
    try:
        reader = _FormReader(parameters[b"boundary"], stage)
    except FormParserError as error:
        raise ProblemError(_malformed(error)) from error
    try:
        await _feed(request, reader.feed)
        await run_in_threadpool(reader.finish)
    except BaseException:
        await discard(reader)
        raise
    return reader.form


async def receive_file(request: Request, name: str, stage: Callable[[], StagedFile]) -> Received:
    """Receive a body that is one file.

    Raises:
        UploadRefused: it has a name that a document cannot have, or is too large.
        StorageError: the disk is full, or cannot be written.
    """
    check_name(name)
    staged = await run_in_threadpool(stage)
    try:
        await _feed(request, lambda block: _write(staged, block))
        await run_in_threadpool(_finish, staged)
    except BaseException:
        await discard(staged)
        raise
    return Received(name, staged)


async def discard(received: Form | StagedFile | _FormReader) -> None:
    """Remove what was received, in a thread: it may be a thousand files. A request that is cancelled waits for it."""
    with CancelScope(shield=True):
        await run_in_threadpool(received.discard)


async def _feed(request: Request, take: Callable[[bytes], None]) -> None:
    """Hand the body to ``take`` in blocks, each in a thread."""
    pending = bytearray()
    async for chunk in request.stream():
        pending += chunk
        if len(pending) >= _BLOCK:
            await run_in_threadpool(take, bytes(pending))
            pending.clear()
    if pending:
        await run_in_threadpool(take, bytes(pending))


class _FormReader:
    """A form that is being read: the parser calls it with what it finds, and it writes files as they come."""

    def __init__(self, boundary: bytes, stage: Callable[[], StagedFile]) -> None:
        self.form = Form()
        self._stage = stage
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._take_header_name,
                "on_header_value": self._take_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._take_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )
        self._is_whole = False
        self._open: StagedFile | None = None
        self._begin_part()

    def feed(self, block: bytes) -> None:
        """Take bytes of the form. Raises ProblemError, StorageError."""
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise ProblemError(_malformed(error)) from error

    def finish(self) -> None:
        """Take the end of the form. Raises ProblemError where it is broken off."""
        if not self._is_whole:
            detail = "The form ends before its last boundary; send it again."
            raise ProblemError(Problem("body-unreadable", 400, detail))

    def discard(self) -> None:
        """Remove what was received."""
        if self._open is not None:
            self._open.discard()
        self.form.discard()

    def _begin_part(self) -> None:
        self._disposition = b""
        self._header_name, self._header_value = bytearray(), bytearray()
        self._field = self._file_name = ""
        self._is_file = False
        self._value = bytearray()
        self._refused = ""
        self._is_empty = True

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise FormParserError("a part has no name")
        self._field = unescape(options[b"name"].decode("utf-8", "replace"))
        self._is_file = b"filename" in options
        if not self._is_file:
            if len(self.form.fields) >= _MOST_FIELDS:
                raise ProblemError(_too_many("fields", _MOST_FIELDS))
            return
        if len(self.form.files) >= MOST_FILES:
            raise ProblemError(_too_many("files", MOST_FILES))
        self._file_name = unescape(options[b"filename"].decode("utf-8", "surrogateescape"))
        if into := self.form.fields.get(INTO, "").strip("/ "):
            self._file_name = f"{into}/{self._file_name}"
        try:
            check_name(self._file_name)
        except UploadRefused as error:
            self._refused = str(error)

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._is_empty = False
        if not self._is_file:
            self._value += data[start:end]
            if len(self._value) > _MOST_VALUE_BYTES:
                detail = f"A field of the form is longer than {_MOST_VALUE_BYTES:,} bytes."
                raise ProblemError(Problem("invalid-request", 422, detail))
        elif not self._refused:
            try:
                if self._open is None:
                    self._open = self._stage()
                _write(self._open, data[start:end])
            except UploadRefused as error:
                self._refuse(str(error))

    def _end_part(self) -> None:
        if not self._is_file:
            self.form.fields[self._field] = self._value.decode("utf-8", "replace")
        elif self._open is not None:
            _finish(self._open)
            self.form.files.append(Received(self._file_name, self._open))
            self._open = None
        elif self._file_name.rpartition("/")[2] or not self._is_empty:
            # A field for files in which none was chosen is sent as an empty one without a name.
            name = shown(self._file_name) or "a file"
            self.form.files.append(Received(name, None, self._refused or "it is empty"))
        self._begin_part()

    def _refuse(self, reason: str) -> None:
        if self._open is not None:
            self._open.discard()
            self._open = None
        self._refused = reason

    def _end(self) -> None:
        self._is_whole = True


def _write(staged: StagedFile, block: bytes) -> None:
    try:
        staged.write(block)
    except OSError as error:
        raise StorageError(f"an upload cannot be written: {why(error)}") from error


def _finish(staged: StagedFile) -> None:
    try:
        staged.finish()
    except OSError as error:
        raise StorageError(f"an upload cannot be written: {why(error)}") from error


def _malformed(error: FormParserError) -> Problem:
    return Problem("malformed-form", 400, f"The form cannot be read: {shown(str(error)).rstrip('.')}.")


def _too_many(what: str, most: int) -> Problem:
    detail = f"The form holds more than {most:,} {what}; send several forms."
    return Problem("too-many-files", 413, detail, headers={"Connection": "close"})
