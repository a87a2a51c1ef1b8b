"""Pages that are images, recognised once: what an image said before is taken from a cache.

The cache is a folder of small files, each named by the SHA-256 of a page's pixels and of what recognised them. The
process that reads documents may write no file: it looks pages up, and sends what it recognises to the process that
started it, which keeps it. It is derived data: a file that is damaged, or lost, costs time only.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from qa.errors import StorageError
from qa.files import write_atomically
from qa.readers.composition import shorten

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qa.readers.recognition.layout import RecognisedImage, RecognisedPage

    Image = NDArray[np.uint8]

# What of pages is recognised at most: pixels to an inch, and pixels of the longer side of a page.
PIXELS_TO_AN_INCH = 200
MOST_PIXELS_A_SIDE = 2400
MOST_PAGES = 1_000
# Address space, in bytes, that the models may take beside what reading a file may: they reserve 2.1 GB and use 0.75.
MODELS_BYTES = 2_500_000_000

OFF, MISSING = "off", "missing"
_PACKAGES = ("rapidocr", "opencv-python-headless", "openvino")
# Rises whenever the same pixels would give other text.
_VERSION = 1
_LONGEST_ADVICE = 200
_KEY = re.compile(r"[0-9a-f]{64}")


def recognition_version(is_on: bool) -> str:
    """Return what recognises pages here, with versions, for an index's fingerprint; ``OFF`` or ``MISSING``."""
    if not is_on:
        return OFF
    from importlib.metadata import PackageNotFoundError, version

    try:
        return " ".join([f"qa/{_VERSION}", *(f"{name}/{version(name)}" for name in _PACKAGES)])
    except PackageNotFoundError:
        return MISSING


class Recogniser(Protocol):
    """Reads the text of pages that are images.

    ``advice`` says in words why a page was not recognised and what to do; it is empty where all were.
    """

    @property
    def advice(self) -> str: ...

    def __hash__(self) -> int: ...

    def wants(self, page: int, pages: int) -> bool:
        """Return whether page ``page`` of ``pages`` is to be recognised; asked before it is made an image."""

    def recognise(self, image: Image, scale: float) -> RecognisedPage | None:
        """Recognise the page that was asked for last; ``None`` where that failed, and ``advice`` says why.

        Args:
            image: ``(height, width, 3)``, blue first.
            scale: pixels of the image to a point of the page.
        """


class NoRecogniser:
    """A recogniser of nothing, for where recognition is off or not installed."""

    def __init__(self, version: str = OFF) -> None:
        self.advice = "install qa[ocr] to have it recognised" if version == MISSING else "OCR is off (QA_OCR)"

    def wants(self, page: int, pages: int) -> bool:
        return False

    def recognise(self, image: Image, scale: float) -> RecognisedPage | None:
        return None


Recognise = Callable[["Image"], "RecognisedImage"]


class PageRecogniser:
    """A recogniser that looks a page up in the cache, and else asks the models, which it loads with the first page.

    Args:
        version: what recognises, as :func:`recognition_version` says it.
        cache: the folder of what was recognised before; ``None`` keeps nothing.
        announce: takes a message, as JSON values, before and after each page is recognised (:class:`PageCache`).
        load: gives the models.
        places: whether it has to be known how a page lies on its image: one of which it is not is recognised again.
    """

    def __init__(
        self,
        version: str,
        cache: Path | None,
        announce: Callable[[Mapping[str, object]], None],
        load: Callable[[], Recognise],
        *,
        places: bool = False,
    ) -> None:
        self._version = version
        self._cache = cache
        self._announce = announce
        self._load = load
        self._places = places
        self._models: Recognise | None = None
        self.begin()

    def begin(self, before: int | None = None, because: str = "") -> None:
        """Begin a document; where ``before`` is given only pages before it are recognised, ``because`` it was lost."""
        self._left = MOST_PAGES
        self._before = before
        self._because = because
        self.advice = ""

    def wants(self, page: int, pages: int) -> bool:
        if self._before is not None and page >= self._before:
            self.advice = f"OCR ended at page {self._before:,} ({self._because})"
        elif not self._left:
            self.advice = self.advice or f"OCR reads at most {MOST_PAGES:,} pages of a file"
        else:
            self._left -= 1
            self._announce({"recognising": page, "pages": pages})
            return True
        return False

    def recognise(self, image: Image, scale: float) -> RecognisedPage | None:
        # Late: NumPy and the layout of PDF are nothing to a process that reads texts.
        from qa.readers.recognition.layout import RecognisedPage, encode_page, lay_out

        if image.min() == image.max():
            return RecognisedPage((), (), image.shape[0] / scale, 0.0)
        key = self._key(image, scale)
        known = _read_entry(self._cache, key) if self._cache else None
        if known is None or (self._places and known.placement is None):
            try:
                self._models = self._models or self._load()
                known = lay_out(self._models(image), scale)
            except MemoryError:
                raise
            except Exception as error:  # of OpenVINO, OpenCV or their installation: what has text is read all the same
                self._left = 0
                cause = f"{type(error).__name__}: {error}".partition("\n")[0]
                self.advice = f"OCR failed ({shorten(cause, _LONGEST_ADVICE)})"
                return None
            self._announce({"recognised": key, "entry": encode_page(known)})
        return known

    def _key(self, image: Image, scale: float) -> str:
        found = hashlib.sha256(f"{self._version} {image.shape} {scale!r}\n".encode())
        found.update(image.tobytes())
        return found.hexdigest()


class PageCache:
    """The writer of the cache, in the process that started the one which recognises."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, message: Mapping[str, Any]) -> None:
        """Keep what a message of :class:`PageRecogniser` holds; one that cannot be kept will be recognised again."""
        key, entry = message.get("recognised"), message.get("entry")
        if not isinstance(key, str) or not _KEY.fullmatch(key) or not isinstance(entry, dict):
            return
        path = _path(self.folder, key)
        with suppress(OSError, StorageError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(entry, ensure_ascii=False))


def _path(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key[2:]}.json"


def _read_entry(folder: Path, key: str) -> RecognisedPage | None:
    from qa.readers.recognition.layout import decode_page

    try:
        return decode_page(json.loads(_path(folder, key).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None
