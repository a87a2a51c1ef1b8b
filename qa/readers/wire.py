"""What passes between the process that reads files and the one that started it: frames that hold JSON and text.

A frame is two lengths in bytes (64 bits each, big-endian), as much JSON, and as much text, which would be slow to write
and read as JSON. Both are UTF-8 that may hold lone surrogates, so that any ``str`` comes back as it was.
"""

from __future__ import annotations

import json
import os
import select
import struct
from collections.abc import Mapping
from dataclasses import asdict, fields
from operator import attrgetter
from pathlib import Path
from time import monotonic
from typing import Any

from qa.types import Document, FileReport, Page, Section, Source, Span

_LENGTHS = struct.Struct("!QQ")
_SPANS: Mapping[str, type[Section | Page | Span]] = {"sections": Section, "pages": Page, "excluded": Span}
_ROWS = {cls: attrgetter(*(field.name for field in fields(cls))) for cls in _SPANS.values()}


class BadFrame(ValueError):
    """Bytes that are no frame, or a frame that does not hold what it should."""


def send(descriptor: int, values: Mapping[str, object], text: str = "") -> None:
    """Write a frame into a pipe. Raises BrokenPipeError where nobody reads it."""
    head = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    body = text.encode("utf-8", "surrogatepass")
    for part in (_LENGTHS.pack(len(head), len(body)) + head, body):
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def receive(descriptor: int, most: int, deadline: float | None = None) -> tuple[dict[str, Any], str]:
    """Read a frame: its JSON object and its text.

    Args:
        most: bytes of JSON and of text that are accepted, each.
        deadline: when to give up, on the clock of ``time.monotonic``; ``None`` waits for ever.

    Raises:
        EOFError: the other end was closed.
        TimeoutError: the frame was not whole at the deadline.
        BadFrame: it is too long, or not what a frame holds.
    """
    lengths = _LENGTHS.unpack(_exactly(descriptor, _LENGTHS.size, deadline))
    if max(lengths) > most:
        raise BadFrame(f"a frame of {max(lengths):,} bytes")
    head, body = (_exactly(descriptor, length, deadline) for length in lengths)
    try:
        values = json.loads(head.decode("utf-8", "surrogatepass"))
        text = body.decode("utf-8", "surrogatepass")
    except (ValueError, RecursionError) as error:
        raise BadFrame(str(error)) from error
    if not isinstance(values, dict):
        raise BadFrame("no object")
    return values, text


def _exactly(descriptor: int, length: int, deadline: float | None) -> bytearray:
    """``length`` bytes, into one buffer: an answer may be hundreds of megabytes."""
    buffer = bytearray(length)
    rest = memoryview(buffer)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while rest:
        if deadline is not None and not poll.poll(max(0.0, deadline - monotonic()) * 1000):
            raise TimeoutError
        count = os.readv(descriptor, [rest])
        if not count:
            raise EOFError
        rest = rest[count:]
    return buffer


def source_values(source: Source) -> dict[str, object]:
    """A source as JSON values. The path is its bytes: the two processes may disagree on how names are decoded."""
    return {"id": source.id, "path": os.fsencode(source.path.absolute()).hex(), "size": source.size}


def source_of(values: Mapping[str, Any]) -> Source:
    return Source(values["id"], Path(os.fsdecode(bytes.fromhex(values["path"]))), values["size"])


def answer_values(document: Document | None, report: FileReport) -> dict[str, object]:
    """What became of a file, as JSON values; the document's text goes beside them."""
    return {"document": document and _document_values(document), "report": asdict(report)}


def answer_of(values: Mapping[str, Any], text: str) -> tuple[Document | None, FileReport]:
    """Raises BadFrame where the values are not those of an answer."""
    try:
        document = values["document"]
        return document and _document_of(document, text), FileReport(**values["report"])
    except (KeyError, TypeError, AttributeError) as error:
        raise BadFrame(f"no answer: {error}") from error


def _document_values(document: Document) -> dict[str, object]:
    values: dict[str, object] = {}
    for field in fields(Document):
        value = getattr(document, field.name)
        if field.name in _SPANS:
            row = _ROWS[_SPANS[field.name]]
            value = [row(span) for span in value]
        if field.name != "text":
            values[field.name] = value
    return values


def _document_of(values: Mapping[str, Any], text: str) -> Document:
    given: dict[str, Any] = {**values, "text": text, "problems": tuple(values["problems"])}
    for name in _SPANS.keys() & values.keys():
        given[name] = tuple(_SPANS[name](*row) for row in values[name])
    return Document(**given)
