"""Pages as a scanner gives them, drawn from text; and a recogniser that says what it is told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from qa.readers.recognition.layout import RecognisedImage, RecognisedLine
from qa.readers.recognition.recogniser import PageRecogniser

if TYPE_CHECKING:
    from qa.readers.recognition import recogniser as recognition

SIZE = (1240, 1754)


def scan(
    *lines: str, size: tuple[int, int] = SIZE, font: float = 34, angle: float = 0.0, noise: int = 12
) -> Image.Image:
    """Draw lines of text on a grey sheet, a little out of focus, turned by ``angle`` degrees, with a scan's noise."""
    sheet = Image.new("L", size, 235)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((120, 140 + number * font * 1.6), line, fill=30, font=ImageFont.load_default(font))
    sheet = sheet.rotate(angle, fillcolor=235, expand=abs(angle) >= 90, resample=Image.Resampling.BICUBIC)
    grain = np.random.default_rng(1).normal(0, noise, (sheet.height, sheet.width))
    noisy = np.asarray(sheet.filter(ImageFilter.GaussianBlur(0.8)), np.float32) + grain
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def merged(*files: bytes) -> bytes:
    """Join the pages of PDF files."""
    import pypdfium2

    together = pypdfium2.PdfDocument.new()
    for file in files:
        together.import_pages(pypdfium2.PdfDocument(file))
    buffer = BytesIO()
    together.save(buffer)
    return buffer.getvalue()


def stamped(file: bytes, text: str, y: float = 20, page: tuple[int, int] | None = None) -> bytes:
    """Write a text at a height of the first page of a PDF file, which is made as large as ``page`` says, in points."""
    import ctypes

    import pypdfium2
    import pypdfium2.raw as pdfium

    document = pypdfium2.PdfDocument(file)
    stamp = pdfium.FPDFPageObj_NewTextObj(document, b"Helvetica", 10)
    said = (ctypes.c_ushort * (len(text) + 1))(*map(ord, text), 0)
    pdfium.FPDFText_SetText(stamp, said)
    pdfium.FPDFPageObj_Transform(stamp, 1, 0, 0, 1, 40, y)
    first = document[0]
    if page is not None:
        first.set_mediabox(0, 0, *page)
    pdfium.FPDFPage_InsertObject(first, stamp)
    first.gen_content()
    buffer = BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def line(text: str, x: float, y: float, height: float = 40, confidence: float = 0.9) -> RecognisedLine:
    """Make a line with its top left corner at ``x`` and ``y``, in pixels; a character is half as wide as high."""
    right, bottom = x + len(text) * height / 2, y + height
    return RecognisedLine(text, confidence, ((x, y), (right, y), (right, bottom), (x, bottom)))


class FakeModels:
    """Models that see the same lines on every image, and count the images."""

    def __init__(self, *lines: RecognisedLine, error: Exception | None = None) -> None:
        self.lines = lines or (line("A scanned page says that the ferry leaves at noon.", 100, 100),)
        self.images: list[recognition.Image] = []
        self._error = error

    def __call__(self, image: recognition.Image) -> RecognisedImage:
        self.images.append(image)
        if self._error is not None:
            raise self._error
        return RecognisedImage(self.lines, (image.shape[0], image.shape[1]))


def recogniser_of(models: FakeModels, messages: list[Mapping[str, object]] | None = None) -> PageRecogniser:
    """Return a recogniser that asks these models and keeps nothing; ``messages`` are what it announces."""
    heard: list[Mapping[str, object]] = [] if messages is None else messages
    return PageRecogniser("fake/1", None, heard.append, lambda: models)


def pages_of(messages: Sequence[Mapping[str, object]]) -> list[object]:
    """Return the numbers of the pages that were announced."""
    return [message["recognising"] for message in messages if "recognising" in message]
