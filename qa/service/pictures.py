"""Pictures of pages: drawn once from a source that is what was indexed, kept in a folder of bounded size, and marked.

The folder is derived data: a file in it that is damaged, or lost, costs time only. Where it cannot be written, the
last few pictures are kept in memory.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qa.answers.citations import Original
from qa.build.contents import RECOGNISED
from qa.errors import PictureUnavailable, StorageError
from qa.files import write_atomically
from qa.readers.pictures.places import Rectangle, rectangles
from qa.readers.pictures.process import IMAGES, PDF, Picture, Wanted, draw
from qa.readers.recognition.recogniser import PageCache
from qa.types import Document, Page, Span

# Pixels: for a screen, and for a sharp one or a large view.
WIDTHS = (800, 1600)
# Below the folder of all indexes, beside what was recognised.
FOLDER = ".pictures"
# Rises whenever the same page would give another picture, or other boxes.
_VERSION = 1
_MOST_BYTES = 200_000_000
_MOST_IN_MEMORY = 32_000_000
# Seconds: of a document that was deleted, no page is kept for longer than this while others are drawn.
_OLDEST = 7 * 24 * 3600
# Characters of the page before, whose text may end with a sentence of this page (qa.readers.pdf.text).
_BEFORE = 700
# Which part of a page's text must be found on it, so that it is taken for what was indexed.
_LEAST_FOUND = 0.5
# Hundredths of the width of a page.
_BESIDE = 0.4

Draw = Callable[[int, Wanted, PageCache | None], Picture]


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A page as a picture. ``first`` is the character of the document that the first of the boxes is of."""

    picture: Picture
    page: Page
    first: int


@dataclass(frozen=True, slots=True)
class Marks:
    """Where a span stands on a page; ``note`` says in a sentence what of it is not marked, and is empty if all is.

    ``continues`` says that its end stands on the next page.
    """

    rectangles: tuple[Rectangle, ...]
    note: str = ""
    continues: bool = False


def has_pictures(media_type: str) -> bool:
    """Return whether the pages of such documents can be drawn."""
    return media_type in {PDF, *IMAGES}


def page_at(pages: Sequence[Page], at: int) -> Page:
    """Return the page that holds a character, the nearest before it, or else the first."""
    holding = [page for page in pages if page.start <= at and page.start < page.end]
    return holding[-1] if holding else pages[0]


class Pictures:
    """Pictures of pages. One is drawn at a time. Thread-safe.

    Args:
        indexes: the folder of all indexes, which also holds what OCR has read.
        draw: draws a page in a process of its own.
        most_bytes: of all files in the folder.
    """

    def __init__(self, indexes: Path, draw: Draw = draw, most_bytes: int = _MOST_BYTES) -> None:
        self._folder = indexes / FOLDER
        self._recognised = PageCache(indexes / RECOGNISED)
        self._draw = draw
        self._most_bytes = most_bytes
        self._memory: OrderedDict[str, Picture] = OrderedDict()
        self._drawing = threading.Lock()

    def of(self, document: Document, number: int, original: Callable[[], Original], width: int) -> PagePicture:
        """Return the picture of a page.

        Args:
            number: of the page, from 1.
            original: opens the file that the document was read from, checked against what was indexed.
            width: one of ``WIDTHS``.

        Raises:
            PictureUnavailable: there is no such page, or it cannot be drawn.
            OriginalUnavailable: the file has changed, or is gone.
        """
        if not has_pictures(document.media_type) or not 1 <= number <= len(document.pages) or width not in WIDTHS:
            raise PictureUnavailable(f"there is no picture of page {number:,} of this document")
        page = document.pages[number - 1]
        first = max(page.start - _BEFORE, 0)
        before, text = document.text[first : page.start], document.text[page.start : page.end]
        name = document.id.removeprefix(f"{document.container}/")
        wanted = Wanted(
            document.source_sha256,
            (document.container, name) if document.container else (),
            document.media_type,
            number,
            width,
            before,
            text,
            page.recognised is not None,
        )
        decisive = hashlib.sha256(json.dumps([_VERSION, *wanted.key()]).encode()).hexdigest()
        key = f"{document.source_sha256}-{decisive}"
        # Opened first: a picture of what has changed since is not shown, even if there is one.
        with original().descriptor() as file:
            found = self._kept(key, wanted)
            if found is None:
                with self._drawing:
                    found = self._kept(key, wanted) or self._draw(file, wanted, self._recognised)
                    self._keep(key, found)
        return PagePicture(found, page, first)

    def _kept(self, key: str, wanted: Wanted) -> Picture | None:
        return self._memory.get(key) or _read(self._folder / key, len(wanted.before) + len(wanted.text))

    def _keep(self, key: str, picture: Picture) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
            write_atomically(self._folder / key, _encode(picture))
            self._prune()
        except (OSError, StorageError):
            self._memory[key] = picture
            while sum(len(each.png) + each.boxes.nbytes for each in self._memory.values()) > _MOST_IN_MEMORY:
                self._memory.popitem(last=False)

    def _prune(self) -> None:
        """Remove what is old, the oldest files where there are too many bytes, and what was left half written."""
        files = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        size = sum(each for _, each, _ in files)
        too_old = time.time_ns() - _OLDEST * 10**9
        for modified, each, path in sorted(files):
            if size <= self._most_bytes and modified >= too_old:
                return
            path.unlink(missing_ok=True)
            size -= each


def forget_pictures(indexes: Path, sha256: str) -> None:
    """Remove the pictures of a file that has been deleted, and of what was attached to it.

    One that cannot be removed goes within a week. Where the same file is a document elsewhere it is drawn again.
    """
    with suppress(OSError):
        for path in (indexes / FOLDER).glob(f"{sha256}-*"):
            path.unlink(missing_ok=True)


def _encode(picture: Picture) -> bytes:
    head = {"width": picture.width, "height": picture.height, "found": picture.found, "png": len(picture.png)}
    return json.dumps(head).encode() + b"\n" + picture.png + np.ascontiguousarray(picture.boxes, "<i2").tobytes()


def _read(path: Path, characters: int) -> Picture | None:
    """Read a picture that was kept; ``None`` where there is none, or it is damaged."""
    try:
        head, _, rest = path.read_bytes().partition(b"\n")
        values = json.loads(head)
        size = int(values["png"])
        boxes = np.frombuffer(rest[size:], "<i2").reshape(-1, 4)
        if len(boxes) != characters:
            return None
        return Picture(rest[:size], int(values["width"]), int(values["height"]), boxes, float(values["found"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def mark(document: Document, shown: PagePicture, span: Span) -> Marks:
    """Find a span on a page's picture."""
    start, end = max(span.start, shown.first), min(span.end, shown.page.end)
    elsewhere = Marks((), "The marked text stands on another page.")
    if start >= end:
        return elsewhere
    boxes = shown.picture.boxes[start - shown.first : end - shown.first]
    is_ink = np.array([not character.isspace() for character in document.text[start:end]])
    is_placed = (boxes[:, 0] >= 0) & is_ink
    if span.end <= shown.page.start and not is_placed.any():
        return elsewhere
    if shown.picture.found < _LEAST_FOUND or not is_placed.any():
        return Marks((), "Where the text stands on this page cannot be said for sure, so nothing is marked.")
    # Of what was recognised only lines have a known place: a little more is marked on either side.
    beside = _BESIDE if shown.page.recognised is not None else 0
    marked = tuple(rectangles(boxes[is_placed], beside))
    missing = int((is_ink & ~is_placed).sum())
    after_last = bool(missing) and not is_placed[np.flatnonzero(is_placed)[-1] + 1 :].any()
    is_last = shown.page.number == len(document.pages)
    if span.end > shown.page.end or (after_last and not is_last and is_ink[-1] and not is_placed[-1]):
        return Marks(marked, "", continues=not is_last)
    # A hyphen at the end of a line may stand for nothing on the page.
    note = "Only a part of the text is marked; the rest was not found on this page." if missing > 1 else ""
    return Marks(marked, note)
