"""Pages that are images of pages: without text, or with a little that was stamped on one: a number, a footer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from qa.readers.pdf.unseen import Box, box_of

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

    from qa.readers.pdf.glyphs import Run
    from qa.readers.pdf.layout import Line
    from qa.readers.recognition.layout import RecognisedPage

# Characters of a stamp at most, and the part of the page that pictures cover at least. What was recognised has to say
# so many times as much as the stamp does, or it was the stamp that was recognised.
_MOST_STAMPED, _LEAST_COVERED, _MORE = 300, 0.7, 2
# Scanners write a page in strips at times.
_MOST_OBJECTS = 500


def is_scan(page: PdfPage, runs: Sequence[Run]) -> bool:
    """Return whether a page with this text is an image of one, to be recognised."""
    if not runs:
        return True
    if sum(len(run.text) for run in runs) > _MOST_STAMPED:
        return False
    left, bottom, right, top = page.get_bbox()
    whole = (right - left) * (top - bottom)
    covered = 0.0
    for box in _pictures(page):
        width, height = min(box[2], right) - max(box[0], left), min(box[3], top) - max(box[1], bottom)
        covered += max(width, 0.0) * max(height, 0.0)
    return bool(covered >= _LEAST_COVERED * whole > 0)


def says_more(page: RecognisedPage | None, stamps: Sequence[Line]) -> bool:
    """Return whether what was recognised of a page says far more than what is stamped on it."""
    stamped = sum(len(line.text) for line in stamps)
    return not stamped or (page is not None and sum(len(line.text) for line in page.lines) >= _MORE * stamped)


def unseen_stamps(page: RecognisedPage, stamps: Sequence[Line]) -> list[str]:
    """Return what is stamped on a page and was not recognised with it."""
    seen = "".join(_letters(line.text) for line in page.lines)
    return [line.text for line in stamps if _letters(line.text) not in seen]


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _pictures(page: PdfPage) -> Iterator[Box]:
    """Yield where the pictures of a page are, those within a form object by the whole of it."""
    import pypdfium2.raw as pdfium

    for index in range(min(pdfium.FPDFPage_CountObjects(page), _MOST_OBJECTS)):
        thing = pdfium.FPDFPage_GetObject(page, index)
        kind = pdfium.FPDFPageObj_GetType(thing)
        if kind == pdfium.FPDF_PAGEOBJ_IMAGE or (kind == pdfium.FPDF_PAGEOBJ_FORM and _holds_a_picture(thing)):
            yield box_of(thing)


def _holds_a_picture(form: object) -> bool:
    import pypdfium2.raw as pdfium

    things = (pdfium.FPDFFormObj_GetObject(form, at) for at in range(min(pdfium.FPDFFormObj_CountObjects(form), 20)))
    return any(pdfium.FPDFPageObj_GetType(thing) == pdfium.FPDF_PAGEOBJ_IMAGE for thing in things)
