"""Pictures of pages: drawn once, of what is still what was indexed, kept within bounds, and marked only for sure."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qa.answers.citations import Original
from qa.errors import OriginalUnavailable, PictureUnavailable
from qa.readers.pictures.process import Picture, Wanted
from qa.service.pictures import FOLDER, Marks, PagePicture, Pictures, has_pictures, mark, page_at
from qa.types import Document, Page, Span

TEXT = "The ferry leaves at noon.\n\nThe crossing takes an hour."
BREAK = TEXT.index("The crossing")
DOCUMENT = Document(
    "ferry.pdf", "Ferry", TEXT, "0" * 64, "application/pdf", "pdf/7", pages=(Page(1, 0, 25), Page(2, BREAK, len(TEXT)))
)


def boxes_of(characters: int) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    return np.array([(100 * at, 500, 100 * (at + 1), 700) for at in range(characters)], np.int16)


class Drawing:
    """What draws; it counts, and may have to refuse."""

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        self.size = 1000
        self.refusal: Exception | None = None

    def __call__(self, file: int, wanted: Wanted, cache: object) -> Picture:
        self.wanted.append(wanted)
        if self.refusal is not None:
            raise self.refusal
        boxes = boxes_of(len(wanted.before) + len(wanted.text))
        return Picture(b"\x89PNG" + b"x" * self.size, wanted.width, 1000, boxes, 1.0)


@pytest.fixture
def drawing() -> Drawing:
    return Drawing()


@pytest.fixture
def pictures(tmp_path: Path, drawing: Drawing) -> Pictures:
    return Pictures(tmp_path, drawing, most_bytes=6_000)


def opener(tmp_path: Path) -> Callable[[], Original]:
    source = tmp_path / "source"
    source.write_bytes(b"x")

    def open_it() -> Original:
        with ExitStack() as opened:
            return Original(opened.enter_context(source.open("rb")), 1, "0" * 64, opened.pop_all())

    return open_it


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / FOLDER).iterdir())


def test_a_page_is_drawn_once_for_each_width(tmp_path: Path, pictures: Pictures, drawing: Drawing) -> None:
    first = pictures.of(DOCUMENT, 1, opener(tmp_path), 800)
    again = pictures.of(DOCUMENT, 1, opener(tmp_path), 800)
    assert again.picture.png == first.picture.png
    assert (again.picture.boxes == first.picture.boxes).all()
    assert pictures.of(DOCUMENT, 1, opener(tmp_path), 1600).picture.width == 1600
    assert [each.width for each in drawing.wanted] == [800, 1600]


def test_another_server_over_the_same_folder_draws_it_no_more(
    tmp_path: Path, pictures: Pictures, drawing: Drawing
) -> None:
    pictures.of(DOCUMENT, 1, opener(tmp_path), 800)
    assert Pictures(tmp_path, drawing).of(DOCUMENT, 1, opener(tmp_path), 800).picture.found == 1
    assert len(drawing.wanted) == 1


def test_a_document_that_was_read_otherwise_is_drawn_again(
    tmp_path: Path, pictures: Pictures, drawing: Drawing
) -> None:
    pictures.of(DOCUMENT, 1, opener(tmp_path), 800)
    pictures.of(replace(DOCUMENT, text=TEXT.upper()), 1, opener(tmp_path), 800)
    pictures.of(replace(DOCUMENT, source_sha256="1" * 64), 1, opener(tmp_path), 800)
    assert len(drawing.wanted) == 3


def test_no_picture_is_shown_of_what_has_changed_even_if_one_was_kept(tmp_path: Path, pictures: Pictures) -> None:
    def gone() -> Original:
        raise OriginalUnavailable("it is gone")

    pictures.of(DOCUMENT, 1, opener(tmp_path), 800)
    with pytest.raises(OriginalUnavailable):
        pictures.of(DOCUMENT, 1, gone, 800)


@pytest.mark.parametrize(("number", "width"), [(0, 800), (3, 800), (-1, 800), (1, 801)])
def test_there_is_no_other_page_and_no_other_width(tmp_path: Path, pictures: Pictures, number: int, width: int) -> None:
    with pytest.raises(PictureUnavailable):
        pictures.of(DOCUMENT, number, opener(tmp_path), width)


def test_only_pdf_and_images_have_pictures(tmp_path: Path, pictures: Pictures) -> None:
    assert [has_pictures(each) for each in ("application/pdf", "image/tiff", "text/plain")] == [True, True, False]
    with pytest.raises(PictureUnavailable):
        pictures.of(replace(DOCUMENT, media_type="text/plain"), 1, opener(tmp_path), 800)


def test_the_oldest_pictures_make_room_and_what_was_half_written_too(tmp_path: Path, pictures: Pictures) -> None:
    (tmp_path / FOLDER).mkdir()
    leftover = tmp_path / FOLDER / ".half-1234"
    leftover.write_bytes(b"x" * 3_000)
    os.utime(leftover, (1, 1))
    for number in range(12):
        pictures.of(replace(DOCUMENT, source_sha256=f"{number:064}"), 1, opener(tmp_path), 800)
        assert sum(path.stat().st_size for path in kept(tmp_path)) <= 6_000
    assert leftover not in kept(tmp_path)
    assert len(kept(tmp_path)) > 1


def test_a_picture_is_not_kept_for_more_than_a_week(tmp_path: Path, pictures: Pictures) -> None:
    pictures.of(DOCUMENT, 1, opener(tmp_path), 800)
    (old,) = kept(tmp_path)
    os.utime(old, (1, 1))
    pictures.of(DOCUMENT, 2, opener(tmp_path), 800)
    assert old not in kept(tmp_path)
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"png": 5}\nxx', b"\xff\n", b"[]\n"])
def test_a_damaged_picture_is_drawn_again(tmp_path: Path, pictures: Pictures, drawing: Drawing, damage: bytes) -> None:
    pictures.of(DOCUMENT, 1, opener(tmp_path), 800)
    (file,) = kept(tmp_path)
    file.write_bytes(damage)
    assert pictures.of(DOCUMENT, 1, opener(tmp_path), 800).picture.found == 1
    assert len(drawing.wanted) == 2


def test_where_nothing_can_be_written_a_few_are_kept_in_memory(tmp_path: Path, drawing: Drawing) -> None:
    (tmp_path / FOLDER).write_bytes(b"")  # no folder
    pictures = Pictures(tmp_path, drawing)
    for _ in range(2):
        pictures.of(DOCUMENT, 1, opener(tmp_path), 800)
    assert len(drawing.wanted) == 1
    drawing.size = 20_000_000
    for sha256 in ("1" * 64, "2" * 64, "3" * 64, "1" * 64):
        pictures.of(replace(DOCUMENT, source_sha256=sha256), 1, opener(tmp_path), 800)
    assert len(drawing.wanted) == 5


def test_one_that_cannot_be_drawn_is_tried_again(tmp_path: Path, pictures: Pictures, drawing: Drawing) -> None:
    drawing.refusal = PictureUnavailable("it takes too long")
    with pytest.raises(PictureUnavailable):
        pictures.of(DOCUMENT, 1, opener(tmp_path), 800)
    drawing.refusal = None
    assert pictures.of(DOCUMENT, 1, opener(tmp_path), 800).picture.found == 1


def test_a_page_is_told_what_stands_before_it_and_where_it_is_attached(
    tmp_path: Path, pictures: Pictures, drawing: Drawing
) -> None:
    attached = replace(DOCUMENT, id="box.mbox/3/ferry.pdf", container="box.mbox")
    shown = pictures.of(attached, 2, opener(tmp_path), 800)
    (wanted,) = drawing.wanted
    assert (wanted.before, wanted.text, shown.first) == (TEXT[:BREAK], TEXT[BREAK:], 0)
    assert wanted.parts == ("box.mbox", "3/ferry.pdf")


def shown(number: int = 1, found: float = 1.0, missing: Span | None = None) -> PagePicture:
    page = DOCUMENT.pages[number - 1]
    boxes = boxes_of(page.end)
    if missing is not None:
        boxes[missing.start : missing.end] = -1
    return PagePicture(Picture(b"", 800, 1000, boxes, found), page, 0)


FERRY = Span(4, 9)


def test_a_span_is_marked_where_it_stands() -> None:
    found = mark(DOCUMENT, shown(), FERRY)
    ((rectangle,), note, continues) = found.rectangles, found.note, found.continues
    assert (rectangle.left, rectangle.top, rectangle.width, rectangle.height) == (4, 5, 5, 2)
    assert (note, continues) == ("", False)


def test_nothing_is_marked_where_the_text_is_not_what_was_indexed() -> None:
    for other in (shown(found=0.4), shown(missing=FERRY)):
        found = mark(DOCUMENT, other, FERRY)
        assert found.rectangles == ()
        assert "cannot be said for sure" in found.note


def test_a_part_that_is_not_there_is_said_to_be_missing() -> None:
    found = mark(DOCUMENT, shown(missing=Span(4, 7)), Span(4, 16))
    assert len(found.rectangles) == 1
    assert "Only a part" in found.note


def test_what_goes_on_on_the_next_page_says_so() -> None:
    assert mark(DOCUMENT, shown(), Span(4, BREAK + 5)).continues
    assert mark(DOCUMENT, shown(missing=Span(15, 25)), Span(4, 25)).continues
    assert mark(DOCUMENT, shown(2), Span(4, BREAK + 5)) == replace(
        mark(DOCUMENT, shown(2), Span(4, BREAK + 5)), note="", continues=False
    )


def test_a_span_of_another_page_is_not_marked() -> None:
    elsewhere = Marks((), "The marked text stands on another page.")
    assert mark(DOCUMENT, shown(), Span(BREAK, BREAK + 3)) == elsewhere
    assert mark(DOCUMENT, shown(2, missing=FERRY), FERRY) == elsewhere


@pytest.mark.parametrize(("at", "number"), [(0, 1), (24, 1), (26, 1), (BREAK, 2), (len(TEXT), 2)])
def test_the_page_of_a_character(at: int, number: int) -> None:
    assert page_at(DOCUMENT.pages, at).number == number


def test_a_document_of_empty_pages_begins_on_its_first() -> None:
    assert page_at((Page(1, 0, 0), Page(2, 0, 0)), 0).number == 1
