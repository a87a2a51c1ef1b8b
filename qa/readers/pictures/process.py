"""The process that draws one page of a stranger's file and ends, and the one that starts it and waits.

The file is handed over as an open descriptor, so that what is drawn is what was checked: the process reads it once,
compares its SHA-256, and draws those bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from qa.errors import PictureUnavailable, UnreadableDocument
from qa.readers.confinement import (
    Memory,
    end_with,
    import_path,
    offer_to_the_killer,
    redirect,
    take_pipes,
    use_one_arena,
)
from qa.readers.frames import BadFrame, receive, receive_bytes, send
from qa.readers.pictures.places import Boxes
from qa.readers.recognition.recogniser import (
    MISSING,
    MODELS_BYTES,
    NoRecogniser,
    PageCache,
    PageRecogniser,
    Recognise,
    Recogniser,
    recognition_version,
)

# Media types of documents whose pages can be drawn.
PDF = "application/pdf"
IMAGES = frozenset({"image/png", "image/jpeg", "image/tiff"})

_FLAGS = ("-I", "-B", "-c")
_BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from qa.readers.pictures.process import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
# Bytes of a request, with the text of the page, and of what comes back: a picture, and the boxes of its characters.
_LARGEST_REQUEST = 8_000_000
_LARGEST_ANSWER = 24_000_000
_BOX = np.dtype("<i2")


@dataclass(frozen=True, slots=True)
class DrawingLimits:
    """The limits of what drawing one page may cost.

    ``seconds`` of wall clock and of each core's time, and ``recognising_seconds`` where the page was an image, which
    may have to be recognised again; ``memory_bytes`` of address space beyond what the process has at its start, the
    models of OCR on top; ``max_bytes`` of the file.
    """

    seconds: float = 20.0
    recognising_seconds: float = 60.0
    memory_bytes: int = 1_000_000_000
    max_bytes: int = 200_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page that is to be drawn.

    ``sha256`` is of the file; ``parts`` are the names of what is attached to it, one within the other. ``before`` and
    ``text`` are the canonical text of the page and the end of that before it. ``recognised`` is whether OCR read it.
    """

    sha256: str
    parts: tuple[str, ...]
    media_type: str
    page: int
    width: int
    before: str
    text: str
    recognised: bool

    def key(self) -> list[object]:
        """Return what decides on the picture and the boxes, as JSON values."""
        return list(asdict(self).values())


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as a PNG, with a box for each character of ``before + text``, and which part of ``text`` was found."""

    png: bytes
    width: int
    height: int
    boxes: Boxes
    found: float


def draw(file: int, wanted: Wanted, cache: PageCache | None, limits: DrawingLimits | None = None) -> Picture:
    """Draw a page in a process of its own.

    Args:
        file: a descriptor of the file, open for reading; its position is changed.
        cache: what was recognised before, and is recognised now; without it nothing is recognised.

    Raises:
        PictureUnavailable: it cannot be drawn, or not within the limits; the message is a clause for a person.
    """
    limits = limits or DrawingLimits()
    if wanted.recognised:
        limits = replace(limits, seconds=limits.recognising_seconds)
    with ExitStack() as opened:
        # Nothing is ever written into this pipe: it ends when this process does, and so does the other one.
        lifeline, held = os.pipe()
        opened.callback(os.close, held)
        try:
            process = subprocess.Popen(
                [sys.executable, *_FLAGS, _BOOTSTRAP, json.dumps(import_path()), str(lifeline), str(file)],
                pass_fds=[lifeline, file],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise PictureUnavailable("the process that draws pages cannot be started") from error
        finally:
            os.close(lifeline)
        opened.callback(_end, process)
        values, body = _exchange(process, wanted, cache, limits)
    for message in values.get("messages", ()):
        if cache is not None and isinstance(message, dict):
            cache.keep(message)
    return _read_answer(values, body, len(wanted.before) + len(wanted.text))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started, and close its pipes."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _exchange(
    process: subprocess.Popen[bytes], wanted: Wanted, cache: PageCache | None, limits: DrawingLimits
) -> tuple[dict[str, Any], bytearray]:
    assert process.stdin is not None
    assert process.stdout is not None
    folder = cache and os.fsencode(cache.folder.absolute()).hex()
    deadline = monotonic() + limits.seconds
    try:
        send(process.stdin.fileno(), {"wanted": asdict(wanted), "limits": asdict(limits), "recognised": folder})
        return receive_bytes(process.stdout.fileno(), _LARGEST_ANSWER, deadline)
    except TimeoutError:
        raise PictureUnavailable(f"it takes longer than {limits.seconds:g} s to draw") from None
    except (EOFError, BrokenPipeError):
        raise PictureUnavailable("the process that draws pages fails at it") from None
    except BadFrame:
        raise PictureUnavailable("the process that draws pages gave no valid answer") from None


def _read_answer(values: Mapping[str, Any], body: bytearray, characters: int) -> Picture:
    if isinstance(reason := values.get("refused"), str):
        raise PictureUnavailable(reason)
    try:
        size, width, height, found = (values[name] for name in ("png", "width", "height", "found"))
        boxes = np.frombuffer(bytes(body[size:]), _BOX).reshape(-1, 4)
        if len(boxes) != characters:
            raise ValueError("boxes of another text")
        return Picture(bytes(body[:size]), int(width), int(height), boxes, float(found))
    except (KeyError, TypeError, ValueError) as error:
        raise PictureUnavailable("the process that draws pages gave no valid answer") from error


def main(lifeline: int, file: int) -> None:
    """Take a request from standard input, answer it on standard output, and end."""
    requests, answers = take_pipes()
    end_with(lifeline)
    request, _ = receive(requests, _LARGEST_REQUEST)
    limits = DrawingLimits(**request["limits"])
    offer_to_the_killer()
    redirect(2)
    memory = Memory(limits.memory_bytes)
    seconds = int(limits.seconds * (os.cpu_count() or 1)) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        values, body = _answer(file, Wanted(**request["wanted"]), request["recognised"], memory, limits)
    except UnreadableDocument as error:
        values, body = {"refused": str(error)}, b""
    except MemoryError:
        values, body = {"refused": f"it needs more than {limits.memory_bytes / 1e9:g} GB of memory to draw"}, b""
    except ImportError as error:
        values, body = {"refused": f"{error.name} is not installed here"}, b""
    with suppress(BrokenPipeError):
        send(answers, values, body)


def _answer(
    file: int, wanted: Wanted, recognised: str | None, memory: Memory, limits: DrawingLimits
) -> tuple[dict[str, object], bytes]:
    from qa.readers.pictures.page import draw_page
    from qa.readers.pictures.places import place
    from qa.readers.pictures.png import encode_png

    data = _read(file, wanted, limits)
    messages: list[Mapping[str, object]] = []
    recogniser = _recogniser(wanted, recognised, memory, messages)
    drawn = draw_page(data, wanted.media_type, wanted.page, wanted.width, recogniser)
    boxes, found = place(drawn.lines, wanted.before, wanted.text)
    png = encode_png(drawn.image)
    height, width = drawn.image.shape[:2]
    values = {"png": len(png), "width": width, "height": height, "found": found, "messages": messages}
    return values, png + np.ascontiguousarray(boxes, _BOX).tobytes()


def _read(file: int, wanted: Wanted, limits: DrawingLimits) -> bytes:
    """Read the file that was handed over, and take out of it what is wanted. Raises UnreadableDocument."""
    with open(file, "rb") as opened:
        opened.seek(0)
        data = opened.read(limits.max_bytes + 1)
    if len(data) > limits.max_bytes:
        raise UnreadableDocument(f"the file is larger than {limits.max_bytes / 1e6:,.0f} MB")
    if hashlib.sha256(data).hexdigest() != wanted.sha256:
        raise UnreadableDocument("the file has changed since it was indexed")
    return _take_out(data, wanted.parts) if wanted.parts else data


def _take_out(data: bytes, names: tuple[str, ...]) -> bytes:
    """Take a file out of a mail, or out of a mail within it. Raises UnreadableDocument."""
    from io import BytesIO

    from qa.readers.kinds import detect_kind
    from qa.readers.registry import ReadingOptions, readers_by_name

    # From JSON, which has no tuples.
    container, rest = names
    kind = detect_kind(BytesIO(data), container)
    if kind.reader is None:
        raise UnreadableDocument("what it was attached to cannot be read")
    for attachment in readers_by_name(ReadingOptions())[kind.reader].read(data).attachments:
        if attachment.name == rest:
            return attachment.data
        if rest.startswith(f"{attachment.name}/"):
            return _take_out(attachment.data, (attachment.name, rest.removeprefix(f"{attachment.name}/")))
    raise UnreadableDocument("what it was attached to does not hold it")


def _recogniser(wanted: Wanted, cache: str | None, memory: Memory, messages: list[Mapping[str, object]]) -> Recogniser:
    if not wanted.recognised or cache is None or (version := recognition_version(True)) == MISSING:
        return NoRecogniser()
    folder = Path(os.fsdecode(bytes.fromhex(cache)))
    return PageRecogniser(version, folder, messages.append, partial(_load_models, memory), places=True)


def _load_models(memory: Memory) -> Recognise:
    memory.allow(MODELS_BYTES)
    use_one_arena()
    from qa.readers.recognition.models import Models

    return Models().recognise
