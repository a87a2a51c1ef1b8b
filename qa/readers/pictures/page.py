"""One page of a PDF or an image: its pixels, and its lines with the boxes of their characters."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import cos, sin, sqrt
from typing import TYPE_CHECKING

import numpy as np

from qa.errors import UnreadableDocument
from qa.readers.images import SCALE, read_pixels
from qa.readers.pdf.cells import read_lines
from qa.readers.pdf.document import MOST_CHARACTERS, draw_sheet, open_forms, open_pdf, placed_annotations
from qa.readers.pdf.glyphs import Run, read_characters, read_runs
from qa.readers.pdf.layout import Line
from qa.readers.pdf.scans import is_scan, says_more
from qa.readers.pdf.unseen import switched_off_layers
from qa.readers.pictures.places import UNITS, Boxes, Seen, align

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pypdfium2 import PdfPage, PdfTextPage

    from qa.readers.recognition.layout import Placement, RecognisedPage
    from qa.readers.recognition.recogniser import Image, Recogniser

# Of a picture: a page of A4 has 1600 · 2263 at the largest width.
MOST_PIXELS = 4_000_000
_BGR = 2  # FPDFBitmap_BGR
_DEVICE = 1_000_000
_NARROW, _BROAD = frozenset(" iljtfI.,:;'|!()[]/-`"), frozenset("mwMW@%—")


@dataclass(frozen=True, slots=True)
class DrawnPage:
    """A page as a picture, ``(height, width, 3)`` with blue first, and its lines in reading order.

    There are no lines where the page has no text, or its text could not be recognised.
    """

    image: Image
    lines: list[Seen]


def draw_page(data: bytes, media_type: str, number: int, width: int, recogniser: Recogniser) -> DrawnPage:
    """Draw a page of a file.

    Args:
        number: of the page, from 1.
        width: of the picture in pixels; a long page gets a narrower one, so that it has at most four million.
        recogniser: reads a page that is an image.

    Raises:
        UnreadableDocument: the file cannot be opened, or has no such page.
    """
    if media_type == "application/pdf":
        return _draw_pdf(data, number, width, recogniser)
    return _draw_image(data, number, width, recogniser)


def _draw_pdf(data: bytes, number: int, width: int, recogniser: Recogniser) -> DrawnPage:
    from pypdfium2 import PdfiumError

    document = open_pdf(data)
    open_forms(document)
    try:
        page = document[number - 1]
        text_page = page.get_textpage()
    except (PdfiumError, IndexError) as error:
        raise UnreadableDocument(f"page {number:,} is damaged, or not there") from error
    written = [_written(page, line, box) for line, box in placed_annotations(document, page)]
    upright, turned, _ = read_runs(page, text_page, MOST_CHARACTERS, switched_off_layers(data))
    seen = [*_seen_lines(page, text_page, upright, turned), *written]
    found = recogniser.recognise(*draw_sheet(page)) if is_scan(page, [*upright, *turned]) else None
    if seen and (found is None or not says_more(found, read_lines(upright, turned))):
        return DrawnPage(_draw(page, width), seen)
    drawn = _turn(_draw(page, width), found)
    is_turned = found is not None and found.placement is not None and found.placement.quarters
    return drawn if is_turned else replace(drawn, lines=[*drawn.lines, *seen])


def _draw(page: PdfPage, width: int) -> Image:
    """Draw a page as a person sees it, with what is written into its forms."""
    wide, high = (max(side, 1.0) for side in page.get_size())
    scale = min(width / wide, sqrt(MOST_PIXELS / (wide * high)))
    image: Image = page.render(scale=scale, force_bitmap_format=_BGR).to_numpy()
    return image


def _draw_image(data: bytes, number: int, width: int, recogniser: Recogniser) -> DrawnPage:
    from PIL import Image as Images

    # Checked when it was indexed; the process has a bound of memory.
    Images.MAX_IMAGE_PIXELS = None
    try:
        with Images.open(io.BytesIO(data), formats=("PNG", "JPEG", "TIFF")) as file:
            file.seek(number - 1)
            pixels = read_pixels(file)
    except Exception as error:  # of every kind, by that library
        raise UnreadableDocument(f"page {number:,} is damaged, or not there") from error
    found = recogniser.recognise(pixels, SCALE)
    height, wide = pixels.shape[:2]
    scale = min(width / wide, sqrt(MOST_PIXELS / (height * wide)))
    size = max(round(wide * scale), 1), max(round(height * scale), 1)
    drawn = Images.fromarray(np.ascontiguousarray(pixels[:, :, ::-1])).resize(size, reducing_gap=2.0)
    return _turn(np.asarray(drawn)[:, :, ::-1], found)


def _turn(image: Image, found: RecognisedPage | None) -> DrawnPage:
    """Turn a picture as its text is read, and place the text that was recognised on it."""
    if found is None or found.placement is None:
        return DrawnPage(image, [])
    turned = np.ascontiguousarray(np.rot90(image, found.placement.quarters))
    return DrawnPage(turned, [_recognised_line(line, found.placement) for line in found.lines])


def _seen_lines(page: PdfPage, text_page: PdfTextPage, upright: Sequence[Run], turned: Sequence[Run]) -> Sequence[Seen]:
    texts, boxes = read_characters(text_page, MOST_CHARACTERS)
    on_picture = _to_units(page, boxes)
    lines = read_lines(upright, turned)
    return [_joined([_seen_run(run, texts, on_picture) for run in line.pieces], line) for line in lines]


def _written(page: PdfPage, line: str, box: tuple[float, float, float, float]) -> Seen:
    """Place what a person wrote on a page: each of its characters has the box of the field or comment."""
    text = _ink(line)
    return Seen(text, np.repeat(_to_units(page, np.array([box])), len(text), axis=0))


def _seen_run(run: Run, texts: Sequence[str], boxes: Boxes) -> Seen:
    places = [at for at in range(*run.places) for _ in texts[at]]
    seen = Seen("".join(texts[slice(*run.places)]), boxes[places])
    text = _ink(run.text)
    return Seen(text, align(text, seen))


def _joined(runs: Sequence[Seen], line: Line) -> Seen:
    """Join the runs of a line; what aligning its cells has changed is aligned again."""
    whole = Seen("".join(run.text for run in runs), np.concatenate([run.boxes for run in runs]))
    text = _ink(line.text)
    return Seen(text, align(text, whole))


def _ink(text: str) -> str:
    return "".join(text.split())


def _to_units(page: PdfPage, boxes: NDArray[np.float64]) -> Boxes:
    """Turn boxes (left, bottom, right, top) in the page's points into (left, top, right, bottom) on its picture."""
    import ctypes

    import pypdfium2.raw as pdfium

    def corner(x: float, y: float) -> tuple[int, int]:
        on_x, on_y = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDF_PageToDevice(page, 0, 0, _DEVICE, _DEVICE, 0, x, y, on_x, on_y)
        return on_x.value, on_y.value

    # The page may be turned, and may show only a part of itself; what it does to all points it does to three of them.
    side = 1000.0
    origin, along, up = (np.array(corner(*point), np.float64) for point in ((0, 0), (side, 0), (0, side)))
    corners = boxes.reshape(-1, 2, 2)
    placed = origin + corners[:, :, :1] * (along - origin) / side + corners[:, :, 1:] * (up - origin) / side
    return _clipped(np.concatenate([placed.min(axis=1), placed.max(axis=1)], axis=1) / _DEVICE)


def _clipped(parts: NDArray[np.float64]) -> Boxes:
    """Round boxes, in parts of a page, to units."""
    return np.asarray((parts * UNITS).round().clip(0, UNITS), np.int16)


def _recognised_line(line: Line, placement: Placement) -> Seen:
    """Place the characters of a recognised line, each as wide as in most fonts: only the box of a run is known."""
    texts, boxes = [], []
    for run in line.pieces:
        ink = [at for at, character in enumerate(run.text) if not character.isspace()]
        texts.append("".join(run.text[at] for at in ink))
        boxes.append(_spread(run, np.array(ink, np.int64), placement))
    text = _ink(line.text)
    return Seen(text, align(text, Seen("".join(texts), np.concatenate(boxes))))


def _spread(run: Run, at: NDArray[np.int64], placement: Placement) -> Boxes:
    """Return the boxes of the characters numbered in ``at``; those of a run that runs up are all its whole box."""
    ends = np.cumsum([0.0, *map(_width, run.text)])
    wide, high = run.right - run.left, run.bottom - run.top
    runs_up = high > wide and len(run.text) > 1
    left, right = (run.left + wide * ends[at + more] / max(ends[-1], 1.0) for more in (0, 1))
    if runs_up:
        left, right = np.full(len(at), run.left), np.full(len(at), run.right)
    middle_x, middle_y = placement.width / 2, placement.height / 2
    x, y = (left + right) / 2 - middle_x, np.full(len(at), (run.top + run.bottom) / 2 - middle_y)
    # The page was made straight when it was laid out; its picture is as it was.
    angle = 0.0 if runs_up else placement.angle
    x, y = x * cos(angle) - y * sin(angle) + middle_x, x * sin(angle) + y * cos(angle) + middle_y
    half = (right - left) / 2
    sides = np.stack([x - half, y - high / 2, x + half, y + high / 2], axis=1)
    return _clipped(sides / [placement.width, placement.height, placement.width, placement.height])


def _width(character: str) -> float:
    """Return about how wide a character is, as a part of a digit's width."""
    if character in _NARROW:
        return 0.5
    if character in _BROAD:
        return 1.5
    if unicodedata.east_asian_width(character) in {"W", "F"}:
        return 1.8
    return 1.2 if character.isupper() else 1.0
