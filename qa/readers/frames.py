"""Frames, in which a process that handles a stranger's file and the one that started it exchange what they say.

A frame is two lengths in bytes (64 bits each, big-endian), as much JSON, and as much text or bytes, which would be slow
to write and read as JSON. JSON and text are UTF-8 that may hold lone surrogates, so that any ``str`` comes back as it
was.
"""

from __future__ import annotations

import json
import os
import select
import struct
from collections.abc import Mapping
from time import monotonic
from typing import Any

_LENGTHS = struct.Struct("!QQ")


class BadFrame(ValueError):
    """An error: bytes that are not a frame, or a frame that does not hold what it should."""


def send(descriptor: int, values: Mapping[str, object], beside: str | bytes = "") -> None:
    """Write a frame into a pipe. Raises BrokenPipeError if the other end is closed."""
    head = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    body = beside.encode("utf-8", "surrogatepass") if isinstance(beside, str) else beside
    for part in (_LENGTHS.pack(len(head), len(body)) + head, body):
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def receive(descriptor: int, most: int, deadline: float | None = None) -> tuple[dict[str, Any], str]:
    """Read a frame, and return its JSON object and its text; otherwise as :func:`receive_bytes`."""
    values, body = receive_bytes(descriptor, most, deadline)
    try:
        return values, body.decode("utf-8", "surrogatepass")
    except ValueError as error:
        raise BadFrame(str(error)) from error


def receive_bytes(descriptor: int, most: int, deadline: float | None = None) -> tuple[dict[str, Any], bytearray]:
    """Read a frame, and return its JSON object and the bytes beside it.

    Args:
        most: bytes of JSON, and beside it, that are accepted, each.
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
    except (ValueError, RecursionError) as error:
        raise BadFrame(str(error)) from error
    if not isinstance(values, dict):
        raise BadFrame("no object")
    return values, body


def _exactly(descriptor: int, length: int, deadline: float | None) -> bytearray:
    """Read ``length`` bytes into one buffer, because an answer may be hundreds of megabytes."""
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
