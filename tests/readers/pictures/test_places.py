"""Where the characters of a canonical text stand on a page: the right line, the right one of two, and never a guess."""

from __future__ import annotations

import numpy as np
import pytest

from qa.readers.pictures.places import Boxes, Rectangle, Seen, align, place, rectangles


def seen(text: str, top: int, left: int = 100) -> Seen:
    """Return a line whose characters are each 100 wide and 200 high."""
    ink = [at for at, character in enumerate(text) if not character.isspace()]
    boxes = [(left + 100 * at, top, left + 100 * (at + 1), top + 200) for at in ink]
    return Seen("".join(text.split()), np.array(boxes, np.int16).reshape(-1, 4))


def tops(boxes: Boxes, text: str, said: str) -> set[int]:
    """Return how far down the characters of ``said`` stand, at its last place in the text."""
    start = text.rindex(said)
    found = boxes[start : start + len(said)]
    return {int(top) for top, character in zip(found[:, 1], said, strict=True) if not character.isspace()}


def test_every_line_is_found_in_its_place() -> None:
    lines = [seen("The ferry leaves", 1000), seen("at noon.", 1300), seen("Bring a coat.", 2000)]
    text = "The ferry leaves at noon.\n\nBring a coat."
    boxes, found = place(lines, "", text)
    assert found == 1
    assert tops(boxes, text, "ferry leaves") == {1000}
    assert tops(boxes, text, "noon") == {1300}
    assert tops(boxes, text, "coat") == {2000}
    assert (boxes[3] == -1).all()  # white space


def test_of_lines_that_say_the_same_each_has_its_own_place() -> None:
    lines = [seen("Total 7", 1000), seen("of apples", 1300), seen("Total 7", 2000), seen("of pears", 2300)]
    text = "Total 7 of apples\n\nTotal 7 of pears"
    boxes, _ = place(lines, "", text)
    assert tops(boxes, text, "Total") == {2000}
    assert int(boxes[0, 1]) == 1000


def test_a_header_that_was_moved_is_found() -> None:
    lines = [seen("The ferry leaves at noon.", 1000), seen("Harbour office, page 3", 100)]
    text = "Harbour office, page 3\n\nThe ferry leaves at noon."
    boxes, found = place(lines, "", text)
    assert found == 1
    assert tops(boxes, text, "office") == {100}
    assert tops(boxes, text, "noon") == {1000}


def test_a_word_that_was_cut_at_the_end_of_a_line_is_found() -> None:
    lines = [seen("The har-", 1000), seen("bour is shut.", 1300)]
    text = "The harbour is shut."
    boxes, found = place(lines, "", text)
    assert found == 1
    assert tops(boxes, text, "har") == {1000}
    assert tops(boxes, text, "bour") == {1300}


def test_the_end_of_a_sentence_that_the_text_has_on_the_page_before_is_found_here() -> None:
    lines = [seen("under the old bridge. A new", 1000), seen("sentence follows.", 1300)]
    before, text = "The boat goes under the old bridge.\n\n17\n\n", "A new sentence follows."
    boxes, found = place(lines, before, text)
    assert found == 1
    assert tops(boxes, before + text, "old bridge") == {1000}
    assert tops(boxes, before + text, "A new") == {1000}
    assert tops(boxes, before + text, "The boat") == {-1}


def test_what_the_page_does_not_say_has_no_place() -> None:
    boxes, found = place([seen("Something else", 1000)], "", "The ferry leaves at noon.")
    assert (found, (boxes == -1).all()) == (0, True)


def test_a_short_line_is_not_found_within_a_word() -> None:
    text = "Built in 2012, and again.\n\n12"
    boxes, _ = place([seen("Built in 2012, and again.", 1000), seen("12", 9000)], "", text)
    assert tops(boxes, text, "12") == {9000}
    assert tops(boxes, text, "Built in 2012") == {1000}


@pytest.mark.parametrize("text", ["", " \n", "word"])
def test_a_page_without_lines_has_no_places(text: str) -> None:
    boxes, found = place([], "", text)
    assert (boxes.shape, found) == ((len(text), 4), 0)


def test_what_was_written_otherwise_has_the_place_of_what_it_was_written_for() -> None:
    assert align("km²", seen("km2", 0)).tolist()[:2] == seen("km2", 0).boxes.tolist()[:2]
    noted = align("said[3].", seen("said3.", 0))
    assert noted[5].tolist() == seen("said3.", 0).boxes[4].tolist()
    assert (noted[4] == noted[3]).all()  # a bracket
    assert (align("abc", seen("", 0)) == -1).all()


def test_a_line_without_end_takes_no_time() -> None:
    endless = seen("x" * 150, 0)
    endless = Seen(endless.text * 1_000, np.tile(endless.boxes, (1_000, 1)))
    assert (align("y" * 150_000, endless) == -1).all()
    _, found = place([endless], "", "y" * 150_000)
    assert found == 0


def test_characters_of_a_line_are_one_rectangle() -> None:
    first, second = seen("ab c", 1000).boxes, seen("d", 1300).boxes
    nowhere = np.full((1, 4), -1, np.int16)
    assert rectangles(np.concatenate([first, nowhere, second])) == [
        Rectangle(1.0, 10.0, 4.0, 2.0),
        Rectangle(1.0, 13.0, 1.0, 2.0),
    ]
    assert rectangles(second, 2.0) == [Rectangle(0.0, 13.0, 5.0, 2.0)]


def test_another_cell_of_the_same_line_is_another_rectangle() -> None:
    assert len(rectangles(np.concatenate([seen("ab", 1000).boxes, seen("cd", 1000, left=5000).boxes]))) == 2


def test_a_line_that_is_askew_is_marked_in_steps() -> None:
    askew = np.array([(100 * at, 1000 + 20 * at, 100 * (at + 1), 1200 + 20 * at) for at in range(10)], np.int16)
    marked = rectangles(askew)
    assert len(marked) == 2
    assert all(each.height < 3 for each in marked)
