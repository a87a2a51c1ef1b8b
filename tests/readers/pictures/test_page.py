"""One page drawn: the boxes of its characters are where its ink is, however the page lies."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pypdfium2
import pytest
from PIL import Image as Images

from qa.errors import UnreadableDocument
from qa.readers.pdf.document import PdfReader
from qa.readers.pictures.page import MOST_PIXELS, DrawnPage, draw_page
from qa.readers.pictures.places import Rectangle, place, rectangles
from qa.readers.pictures.png import encode_png
from qa.readers.recognition.recogniser import NoRecogniser
from tests.support.pdfs import Text, lines, pdf
from tests.support.scans import FakeModels, encoded, line, recogniser_of, scan

PDF = "application/pdf"


def drawn(data: bytes, number: int = 1, width: int = 800) -> DrawnPage:
    return draw_page(data, PDF, number, width, NoRecogniser())


def where(page: DrawnPage, text: str, said: str) -> Sequence[Rectangle]:
    boxes, _ = place(page.lines, "", text)
    start = text.index(said)
    return rectangles(boxes[start : start + len(said)])


def inked(page: DrawnPage) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of all that is not white, in hundredths."""
    height, width, _ = page.image.shape
    rows, columns = np.nonzero(page.image[:, :, 0] < 128)
    left, right = 100 * columns.min() / width, 100 * (columns.max() + 1) / width
    return left, 100 * rows.min() / height, right, 100 * (rows.max() + 1) / height


def turned(data: bytes, degrees: int) -> bytes:
    document = pypdfium2.PdfDocument(data)
    document[0].set_rotation(degrees)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_word_is_marked_where_its_ink_is(degrees: int) -> None:
    data = turned(pdf([Text("Harbour", x=200, y=500, size=24)]), degrees)
    page = drawn(data)
    (marked,) = where(page, PdfReader().read(data).text, "Harbour")
    left, top, right, bottom = inked(page)
    assert marked.left <= left + 1
    assert marked.top <= top + 1
    assert marked.left + marked.width >= right - 1
    assert marked.top + marked.height >= bottom - 1
    assert marked.width * marked.height < 100  # a small part of the page


def test_each_line_of_a_span_is_marked() -> None:
    data = pdf(lines("The ferry leaves at noon from the old", "quay, and comes back at five."))
    text = PdfReader().read(data).text
    first, second = where(drawn(data), text, "old quay")
    assert first.left > second.left
    assert first.top < second.top
    assert second.left == pytest.approx(12, abs=1)  # 72 of 600 points


def test_what_is_written_into_a_form_is_marked_in_its_field() -> None:
    field = "/Subtype /Widget /FT /Tx /T (name) /V (Ann) /DA (/F1 10 Tf)"
    data = pdf([Text("Name of the guest")], annotations=[field])
    (marked,) = where(drawn(data), PdfReader().read(data).text, "name: Ann")
    assert marked.left == pytest.approx(100 * 10 / 600, abs=0.1)
    assert marked.top + marked.height == pytest.approx(100 * 790 / 800, abs=0.1)


def test_a_recognised_line_is_marked_on_the_page_as_it_was_scanned() -> None:
    models = FakeModels(line("The ferry leaves at noon.", 120, 140, height=40))
    page = draw_page(encoded(scan("x"), "PNG"), "image/png", 1, 800, recogniser_of(models))
    (marked,) = where(page, "The ferry leaves at noon.", "The ferry leaves at noon.")
    assert marked.left == pytest.approx(100 * 120 / 1240, abs=1.5)
    assert marked.top == pytest.approx(100 * 140 / 1754, abs=1)
    assert page.image.shape == (1132, 800, 3)


def test_a_scan_that_is_not_recognised_has_a_picture_all_the_same() -> None:
    page = draw_page(encoded(scan("x"), "PDF"), PDF, 1, 800, NoRecogniser())
    assert page.lines == []
    assert page.image.shape[1] == 800


def test_a_picture_has_a_bound_of_pixels() -> None:
    data = pdf([Text("Long")]).replace(b"[0 0 600 800]", b"[0 0 10 14000]")
    height, width, _ = drawn(data, width=1600).image.shape
    assert height * width <= MOST_PIXELS * 1.1


@pytest.mark.parametrize(
    ("data", "media_type", "number"),
    [
        (pdf([Text("One")]), PDF, 2),
        (b"%PDF-1.4 cut off", PDF, 1),
        (b"", PDF, 1),
        (b"\x89PNG\r\n\x1a\n cut off", "image/png", 1),
        (encoded(scan("x"), "PNG"), "image/png", 2),
    ],
)
def test_what_has_no_such_page_is_refused(data: bytes, media_type: str, number: int) -> None:
    with pytest.raises(UnreadableDocument):
        draw_page(data, media_type, number, 800, NoRecogniser())


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_png_holds_the_pixels(mode: str) -> None:
    shape = (7, 5) if mode == "L" else (7, 5, 3)
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    blue_first = np.repeat(pixels[:, :, None], 3, axis=2) if mode == "L" else pixels[:, :, ::-1]
    image = Images.open(io.BytesIO(encode_png(blue_first)))
    assert image.mode == mode
    assert (np.asarray(image) == pixels).all()


def test_a_cell_of_several_lines_is_marked_line_by_line() -> None:
    rows = [
        ((72, "Plan"), (180, "Fee")),
        ((72, "Starter for very\nsmall teams"), (180, "$9")),
        ((72, "Pro"), (180, "$25")),
    ]
    data = pdf(
        [
            text
            for number, row in enumerate(rows)
            for x, cell in row
            for text in lines(*cell.split("\n"), x=x, y=[700, 680, 648][number])
        ]
    )
    text = PdfReader().read(data).text
    assert "Starter for very small teams\t$9" in text
    marked = where(drawn(data), text, "Starter for very small teams")
    assert len(marked) == 2
    assert marked[1].top > marked[0].top + marked[0].height / 2
    (fee,) = where(drawn(data), text, "$9")
    assert abs(fee.top - marked[0].top) < 0.5
