"""Images of pages: PNG, JPEG and TIFF, read by OCR (``qa.readers.recognition``).

An image is a document of one page; a TIFF has as many as it has pictures, as faxes and scans are sent.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

from qa.errors import UnreadableDocument
from qa.readers.composition import Content
from qa.readers.pdf.document import (
    ReadPage,
    assemble_pages,
    doubtful,
    find_largest,
    name_pages,
    of_recognised,
    unrecognised,
)
from qa.readers.recognition.recogniser import MOST_PIXELS_A_SIDE, PIXELS_TO_AN_INCH, NoRecogniser, Recogniser

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from qa.readers.recognition.recogniser import Image

# A sheet of A0 has 140 million pixels at 300 to an inch.
_MOST_PIXELS = 150_000_000
_MOST_PAGES = 1_000
_LEAST_SIDE = 8
SCALE = PIXELS_TO_AN_INCH / 72
# What Pillow raises for damaged files.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)


class ImageReader:
    """A reader of images of pages.

    Args:
        name: "png", "jpeg" or "tiff".
        recogniser: reads the words of the pictures; by default none is read.
        most_pages: the pictures of a TIFF that are read; ``problems`` says so where it has more.
        most_pixels: of one picture; one that has more is not decoded.
    """

    version = "1"

    def __init__(
        self,
        name: str,
        recogniser: Recogniser | None = None,
        most_pages: int = _MOST_PAGES,
        most_pixels: int = _MOST_PIXELS,
    ) -> None:
        self.name = name
        self.media_type = f"image/{name}"
        self._recogniser = recogniser or NoRecogniser()
        self._most_pages = most_pages
        self._most_pixels = most_pixels

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        from PIL import Image

        # The bound of this class is checked instead; that library's own would refuse large scans.
        Image.MAX_IMAGE_PIXELS = None
        try:
            # It warns of odd tags, which no one sees here.
            with (
                warnings.catch_warnings(action="ignore"),
                Image.open(BytesIO(data), formats=("PNG", "JPEG", "TIFF")) as file,
            ):
                count = self._count(file)
                pages = [self._page(file, number, count) for number in range(1, min(count, self._most_pages) + 1)]
        except _DAMAGE as error:
            raise UnreadableDocument("it is not an image, or too damaged to be opened; get an intact copy") from error
        problems = [*unrecognised(pages, self._recogniser), *doubtful(pages)]
        if damaged := [number for number, page in enumerate(pages, 1) if page.lines is None]:
            problems.insert(0, f"{name_pages(damaged)} could not be read; get an intact copy")
        if count > self._most_pages:
            problems.insert(0, f"only the first {self._most_pages:,} pages were read")
        if all(page.confidence is None for page in pages):
            raise UnreadableDocument("; ".join(problems))
        found = assemble_pages(pages)
        title = find_largest(pages[0].lines or [])
        return Content(found.text, (title,), pages=found.pages, excluded=found.excluded, problems=tuple(problems))

    def _count(self, file: Picture) -> int:
        """Count the pages, at most one more than are read. What moves, or was taken from many sides, is one picture."""
        count = 1
        while self.name == "tiff" and count <= self._most_pages:
            try:
                file.seek(count)
            except _DAMAGE:
                break
            count += 1
        return count

    def _page(self, file: Picture, number: int, pages: int) -> ReadPage:
        try:
            file.seek(number - 1)
            width, height = file.size
            if width * height > self._most_pixels:
                raise UnreadableDocument(
                    f"page {number} has {width * height // 10**6:,} million pixels, and at most "
                    f"{self._most_pixels // 10**6:,} million are read; scan it at a lower resolution"
                )
            if min(width, height) < _LEAST_SIDE:
                return ReadPage([], confidence=0.0)
            if not self._recogniser.wants(number, pages):
                return ReadPage([])
            image = read_pixels(file)
        except _DAMAGE:
            return ReadPage(None)
        return of_recognised(self._recogniser.recognise(image, SCALE))


def read_pixels(picture: Picture) -> Image:
    """Return ``(height, width, 3)`` pixels, blue first, upright as the camera says, and no more than are recognised."""
    import numpy as np
    from PIL import Image, ImageOps

    most = (MOST_PIXELS_A_SIDE, MOST_PIXELS_A_SIDE)
    picture.draft("RGB", most)
    picture.load()
    exif = picture.getexif()
    upright = picture.convert("L") if picture.mode == "1" else picture
    if upright.mode in {"I", "F"} or upright.mode.startswith("I;"):
        # More than 8 bits a pixel: what is brightest is white.
        values = np.asarray(upright, np.float32)
        upright = Image.fromarray((values * (255 / max(float(values.max()), 1.0))).clip(0, 255).astype(np.uint8))
    if upright.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in picture.info:
        over = upright.convert("RGBA")
        over.thumbnail(most, reducing_gap=2.0)
        upright = Image.new("RGB", over.size, "white")
        upright.paste(over, mask=over.getchannel("A"))
    else:
        upright = upright.convert("RGB")
        upright.thumbnail(most, reducing_gap=2.0)
    upright.getexif().update(exif)
    upright = ImageOps.exif_transpose(upright)
    return np.ascontiguousarray(np.asarray(upright)[:, :, ::-1])
