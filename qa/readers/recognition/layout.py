"""Recognised lines to runs with their boxes, as the characters of a PDF give them, so that both are laid out alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import pairwise
from math import atan2, cos, hypot, sin
from statistics import median
from typing import Any

from qa.readers.pdf.cells import read_lines
from qa.readers.pdf.glyphs import Run, cleaned, is_broken
from qa.readers.pdf.layout import Line

Point = tuple[float, float]

# A box is this much higher than the type of its text, and a box this much taller than wide is a line that runs up.
_MARGIN = 1.25
_UPWARDS = 1.5
# Boxes of lines with and without tall letters differ; type that differs less than this from most is the same type.
_SAME_TYPE = 1.35
# The gap between boxes on one line, as a part of the type's size, that qa.readers.pdf.layout takes for a space.
_SPACE = 0.2
_LEAST_CONFIDENCE = 0.5
_LEAST_CHARACTERS = 4
_LEAST_PAGE_CONFIDENCE = 0.6


@dataclass(frozen=True, slots=True)
class RecognisedLine:
    """A line of text as it was recognised. ``confidence`` is the mean of its characters' probabilities.

    ``corners`` are x and y in pixels of the upright image, from the line's top left clockwise.
    """

    text: str
    confidence: float
    corners: tuple[Point, Point, Point, Point]


@dataclass(frozen=True, slots=True)
class RecognisedImage:
    """The lines of an image in no order, and ``(height, width)`` of the image when it is turned upright.

    ``quarters`` says by how many quarters it was turned for that, counterclockwise.
    """

    lines: tuple[RecognisedLine, ...]
    shape: tuple[int, int]
    quarters: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """How a recognised page lies on its image.

    The image is turned by ``quarters``, counterclockwise, and then has ``width`` and ``height`` in points; about its
    middle, the page's lines are turned clockwise by ``angle``, in radians.
    """

    quarters: int
    angle: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class RecognisedPage:
    """The text of a page as it was recognised.

    ``upright`` and ``turned`` are its runs in points from the page's top left corner, those that run along the page
    and those that run up or down it; ``height`` of the page likewise. ``confidence`` is the mean of its characters', 0
    to 1, and 0 where the page has no text. ``placement`` is ``None`` where it was recognised by an earlier version.
    """

    upright: tuple[Run, ...]
    turned: tuple[Run, ...]
    height: float
    confidence: float
    placement: Placement | None = None

    @property
    def lines(self) -> list[Line]:
        """Its lines in reading order."""
        return read_lines(self.upright, self.turned)


def lay_out(image: RecognisedImage, scale: float) -> RecognisedPage:
    """Turn what was recognised into runs in the order in which lines are read, a skewed page made straight.

    Few characters, or uncertain ones, are what is seen in a picture without words: then the page has no text.

    Args:
        scale: pixels of the image to a point of the page.
    """
    lines = [line for line in image.lines if line.confidence >= _LEAST_CONFIDENCE and cleaned(line.text)]
    height = image.shape[0] / scale
    characters = sum(character.isalnum() for line in lines for character in line.text)
    length = sum(len(line.text) for line in lines)
    confidence = sum(line.confidence * len(line.text) for line in lines) / max(length, 1)
    if characters < _LEAST_CHARACTERS or confidence < _LEAST_PAGE_CONFIDENCE:
        return RecognisedPage((), (), height, 0.0)
    angle = _skew([line for line in lines if not _runs_up(line)])
    upright = [_run(line, angle, image.shape, scale) for line in lines if not _runs_up(line)]
    turned = [_run(line, 0.0, image.shape, scale) for line in lines if _runs_up(line)]
    runs = tuple(run for row in _rows(_of_one_type(upright)) for run in _spaced(row))
    placement = Placement(image.quarters, angle, image.shape[1] / scale, height)
    in_order = tuple(sorted(turned, key=lambda run: (run.left, run.top)))
    return RecognisedPage(runs, in_order, height, confidence, placement)


def _sides(line: RecognisedLine) -> tuple[float, float]:
    """Return the width and the height of a line's box, in pixels."""
    (x, y), (right, right_y), _, (below, below_y) = line.corners
    return hypot(right - x, right_y - y), hypot(below - x, below_y - y)


def _runs_up(line: RecognisedLine) -> bool:
    width, height = _sides(line)
    return height > _UPWARDS * width and len(line.text) > 1


def _skew(lines: Sequence[RecognisedLine]) -> float:
    """Return the angle of most of the text, by its length, in radians."""
    angles = []
    for line in lines:
        (x, y), (right, right_y), _, _ = line.corners
        angles.append((atan2(right_y - y, right - x), hypot(right - x, right_y - y)))
    half = sum(length for _, length in angles) / 2
    for angle, length in sorted(angles):
        half -= length
        if half <= 0:
            return angle
    return 0.0


def _run(line: RecognisedLine, angle: float, shape: tuple[int, int], scale: float) -> Run:
    """Turn a line into a run; its box is turned back by the page's angle about the middle of the page."""
    width, height = _sides(line)
    from_x = sum(x for x, _ in line.corners) / 4 - shape[1] / 2
    from_y = sum(y for _, y in line.corners) / 4 - shape[0] / 2
    x = from_x * cos(angle) + from_y * sin(angle) + shape[1] / 2
    y = from_y * cos(angle) - from_x * sin(angle) + shape[0] / 2
    if _runs_up(line):
        # Its box as it stands on the page.
        size = width / _MARGIN
        width, height = size, max(height - width + size, 1.0)
    else:
        size = height / _MARGIN
        # The margin stands around the whole box.
        width, height = max(width - height + size, 1.0), size
    left, right = (x - width / 2) / scale, (x + width / 2) / scale
    top, bottom = (y - height / 2) / scale, (y + height / 2) / scale
    run = Run(cleaned(line.text), left, top, right, bottom, max(size / scale, 1.0))
    return replace(run, broken=is_broken(run))


def _of_one_type(runs: Sequence[Run]) -> list[Run]:
    """Give the runs of about the usual size that size, about their middle."""
    if not runs:
        return []
    usual = median(run.size for run in runs for _ in range(len(run.text)))
    made = []
    for run in runs:
        if max(run.size, usual) <= _SAME_TYPE * min(run.size, usual):
            middle = (run.top + run.bottom) / 2
            made.append(replace(run, top=middle - usual / 2, bottom=middle + usual / 2, size=usual))
        else:
            made.append(run)
    return made


def _rows(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Yield the runs row by row from the top, each row from left to right."""
    row: list[Run] = []
    for run in sorted(runs, key=lambda run: ((run.top + run.bottom) / 2, run.left)):
        # The middle of the row's own first run, so that a row cannot creep down a page.
        if row and (run.top + run.bottom) / 2 > (row[0].top + row[0].bottom) / 2 + 0.5 * min(row[0].size, run.size):
            yield sorted(row, key=lambda run: run.left)
            row = []
        row.append(run)
    if row:
        yield sorted(row, key=lambda run: run.left)


def _spaced(row: Sequence[Run]) -> Iterator[Run]:
    """Leave room for a space between the parts of one line, whose boxes may touch."""
    for run, after in pairwise(row):
        gap = _SPACE * min(run.size, after.size)
        yield replace(run, right=max(min(run.right, after.left - gap), run.left + 1.0))
    yield row[-1]


def encode_page(page: RecognisedPage) -> dict[str, object]:
    """Encode a recognised page as JSON values."""
    return {
        "upright": [_row(run) for run in page.upright],
        "turned": [_row(run) for run in page.turned],
        "height": page.height,
        "confidence": page.confidence,
        "placement": page.placement and astuple(page.placement),
    }


def decode_page(values: Mapping[str, Any]) -> RecognisedPage:
    """Decode a recognised page. Raises ValueError, KeyError or TypeError where the values are not those of one."""
    upright, turned = (tuple(_run_of(row) for row in values[name]) for name in ("upright", "turned"))
    height, confidence = float(values["height"]), float(values["confidence"])
    quarters, *others = values.get("placement") or (None,)
    placement = None if quarters is None else Placement(int(quarters), *map(float, others))
    return RecognisedPage(upright, turned, height, confidence, placement)


def _row(run: Run) -> tuple[str, float, float, float, float, float, bool]:
    return run.text, run.left, run.top, run.right, run.bottom, run.size, run.broken


def _run_of(row: list[Any]) -> Run:
    text, *box, broken = row
    if not isinstance(text, str) or len(box) != 5:
        raise TypeError("no run")
    left, top, right, bottom, size = map(float, box)
    return Run(text, left, top, right, bottom, size, bool(broken))
