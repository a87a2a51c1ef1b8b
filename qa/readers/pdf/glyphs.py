"""The characters of a page as runs: pieces of a line in the order of the file, with their boxes."""

from __future__ import annotations

import ctypes
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, repeat
from math import pi
from typing import TYPE_CHECKING

import numpy as np

from qa.readers.pdf.calls import address_of, call_for_rows, pointers, quick, quickest
from qa.readers.pdf.unseen import Box, unseen_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pypdfium2 import PdfPage, PdfTextPage

# (left, top, right, bottom), downwards.
_Box = tuple[float, float, float, float]

# PDFium's mark for a hyphen at a line's end; the line break after it is not marked otherwise.
_BROKEN = (0x02, 0xFFFE)
_CODES, _UNSIGNED = 0x110000, 0xFFFFFFFF
_SURROGATES = (0xD800, 0xE000)
_NEWLINE = ord("\n")
# What Python calls white space, without the four separators that fonts use for characters of their own.
_IS_SPACE = np.array([chr(code).isspace() and code not in range(0x1C, 0x20) for code in range(0x3002)])
_HYPHENS = "-\u2010\u00ad"
# A gap wider than this many times the type size ends a run: another column, or another cell. Where white space is
# written in it, it may be of a cell that stands near.
_WIDEST_GAP, _WIDEST_SPACE = 1.2, 0.8
_ASKEW = -1
# Dots that lead the eye from a name to its number, as a tab does.
_LEADERS = re.compile(r"\s*(?:\.{4,}|(?:\. ){4,}\.?|…{2,})\s*(?=\S)")
# Raised numbers after a word are of notes; shorter ones are units: km².
_WORD_BEFORE = re.compile(r"[^\W\d_]{4,}(?:[.,;:!?\"”’)]*|(?:\0\[\d\])+)$")
_NEAR = 12
_JOINED = "\0"
_RAISED, _SMALLER = 0.15, 0.9
_POWERS = str.maketrans("0123456789+-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻")


# Controls, surrogates, non-characters, and what has no width: soft hyphens within a line, byte order marks.
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff\ud800-\udfff\ufdd0-\ufdef\ufff0-\ufffb\ufffe\uffff]"
)
# Latin ligatures and the shaped forms of Arabic letters.
_PRESENTATION = re.compile("[\ufb00-\ufb06\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc]+")
# Bullets of the fonts Symbol and Wingdings, which have no Unicode of their own.
_BULLETS = str.maketrans(dict.fromkeys("\uf0b7\uf0a7\uf076\uf0d8\uf0fc", "•"))


@dataclass(frozen=True, slots=True)
class Part:
    """What stands between two wide spaces of a run: perhaps a cell of a table."""

    text: str
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of one line of text, in points from the page's top left corner as it is read: ``bottom`` > ``top``.

    ``size`` is the height of its type. ``broken`` says that it ends with a hyphen at which its word may be cut; the
    hyphen is in the text. ``parts`` are there where it has wide spaces. ``places`` says between which of PDFium's
    characters of the page it stands, ``[first, last)``; what was recognised has none. ``lines`` are what it was joined
    of where it is a row of a table whose cells have several lines, cell by cell.
    """

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    broken: bool = False
    parts: tuple[Part, ...] = ()
    places: tuple[int, int] = field(default=(0, 0), compare=False)
    lines: tuple[Run, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class _Characters:
    """The characters of a page that are seen and are no white space, in the order of the file.

    ``text`` holds them with a space where white space stands between two; the one numbered ``n`` is at ``offsets[n]``
    of it, and ``places[n]`` is its number in PDFium's page. ``boxes`` are (left, top, right, bottom), downwards: a row
    for each; ``tops`` and ``bottoms`` are two of its columns.
    """

    text: str
    offsets: list[int]
    places: list[int]
    boxes: NDArray[np.float64]
    tops: list[float]
    bottoms: list[float]
    chunks: _Chunks

    def said(self, start: int, end: int) -> str:
        return self.text[self.offsets[start] : self.offsets[end - 1] + 1]

    def range(self, start: int, end: int) -> tuple[int, int]:
        return self.places[start], self.places[end - 1] + 1


@dataclass(frozen=True, slots=True)
class _Chunks:
    """Pieces of a page whose characters each stand right beside the one before, as columns: a place for each piece.

    Those of piece ``n`` are ``[starts[n], starts[n + 1])``; ``firsts`` are the boxes of the first of each, ``boxes``
    those around all. ``is_even`` says that all have the same top and bottom, ``is_last`` that a run ends here in any
    case, ``is_broken`` that it does with a hyphen which PDFium marks as the end of a line, and ``is_wide`` that a wide
    space comes next.
    """

    starts: list[int]
    firsts: list[_Box]
    boxes: list[_Box]
    is_even: list[bool]
    is_last: list[bool]
    is_broken: list[bool]
    is_wide: list[bool]


@dataclass(frozen=True, slots=True)
class _Grown:
    """A run as it was read. Its boxes are turned so that its text is upright; ``height`` is of most characters."""

    text: str
    quarter: int
    box: _Box
    height: tuple[float, float]
    broken: bool
    parts: tuple[Part, ...] = ()
    places: tuple[int, int] = (0, 0)

    def placed(self, turn: Callable[[_Box], _Box]) -> Run:
        text = self.text
        if not (text.isascii() and text.isprintable()):
            # Adjacent raised digits are of one number.
            text = text.replace(f"]{_JOINED}[", "").replace(_JOINED, "") if _JOINED in text else text
            text = cleaned(text).strip()
        text = _LEADERS.sub("\t", text) if ".." in text or ". ." in text or "…" in text else text
        (left, _, right, _), (top, bottom) = self.box, self.height
        parts = (
            tuple(Part(cleaned(part.text).strip(), *turn((part.left, 0, part.right, 0))[::2]) for part in self.parts)
            if self.parts
            else ()
        )
        return Run(text, *turn((left, top, right, bottom)), max(bottom - top, 1.0), self.broken, parts, self.places)


def read_runs(
    page: PdfPage, text_page: PdfTextPage, limit: int, layers: frozenset[bytes] = frozenset()
) -> tuple[list[Run], list[Run], float]:
    """Return the runs aligned with most of the text, those that are not, and the height of the page.

    Text that is turned by a quarter on the whole page is read as if it were upright. No more than the first ``limit``
    characters are looked at.
    """
    unseen = unseen_boxes(page, layers)
    grown = _seen_runs(text_page, limit, unseen)
    if unseen and sum(len(run.text) for run in grown) * 2 < min(text_page.count_chars(), limit):
        # All of a page that is a picture, with the words that were recognised in it, or that is white on a dark ground.
        grown = _seen_runs(text_page, limit, ())
    if not grown:
        return [], [], 1.0
    lengths: Counter[int] = Counter()
    for run in grown:
        lengths[run.quarter] += len(run.text)
    lengths[_ASKEW] = 0
    main = max(lengths, key=lambda quarter: lengths[quarter])
    left, top, _, bottom = _turned(page.get_bbox(), main)

    def turn(box: _Box) -> _Box:
        return (box[0] - left, box[1] - top, box[2] - left, box[3] - top)

    def turn_with_others(run: _Grown) -> Callable[[_Box], _Box]:
        return lambda box: turn(_turned(_unturned(box, run.quarter), main))

    upright = [run.placed(turn) for run in grown if run.quarter == main]
    turned = [run.placed(turn_with_others(run)) for run in grown if run.quarter != main]
    return upright, turned, max(bottom - top, 1.0)


def _turned(box: _Box, quarter: int) -> _Box:
    """Turn a box (left, bottom, right, top) of the page into (left, top, right, bottom) of text turned clockwise."""
    left, bottom, right, top = box
    if quarter == 0:
        return (left, -top, right, -bottom)
    if quarter == 1:
        return (-top, -right, -bottom, -left)
    if quarter == 2:
        return (-right, bottom, -left, top)
    if quarter == 3:
        return (bottom, left, top, right)
    return (left, -top, right, -bottom)


def _unturned(box: _Box, quarter: int) -> _Box:
    """Undo :func:`_turned`."""
    left, top, right, bottom = box
    if quarter == 1:
        return (-bottom, -right, -top, -left)
    if quarter == 2:
        return (-right, top, -left, bottom)
    if quarter == 3:
        return (top, left, bottom, right)
    return (left, -bottom, right, -top)


def _seen_runs(text_page: PdfTextPage, limit: int, unseen: Sequence[Box]) -> list[_Grown]:
    """Return the runs of a page that are not only separators."""
    characters = _read_characters(text_page, min(text_page.count_chars(), limit), unseen)
    return [run for run in _runs(text_page, characters) if not run.text.isspace()]


def _read_characters(text_page: PdfTextPage, count: int, unseen: Sequence[Box]) -> _Characters:
    """Read the first ``count`` characters of a page, all in loops that run in C: a document has millions of them."""
    codes = _codes(text_page, count)
    is_seen = ~_IS_SPACE[np.minimum(codes, len(_IS_SPACE) - 1)]
    places = np.flatnonzero(is_seen)
    boxes = _boxes(text_page, places)
    if unseen:
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, -(boxes[:, 1] + boxes[:, 3]) / 2
        is_hidden = np.zeros(len(boxes), np.bool_)
        for left, bottom, right, top in unseen:
            is_hidden |= (left <= x) & (x <= right) & (bottom <= y) & (y <= top)
        places, boxes = places[~is_hidden], boxes[~is_hidden]
    lines = np.cumsum(codes == _NEWLINE)[places]
    codes = codes[places]
    is_broken = (codes == _BROKEN[0]) | (codes == _BROKEN[1])
    codes[is_broken] = ord("-")
    codes[codes >= _CODES] = 0
    is_apart = np.empty(len(places), np.bool_)
    is_apart[:1] = places[:1] > 0
    np.greater(places[1:] - places[:-1], 1, out=is_apart[1:])
    spaces = np.cumsum(is_apart)
    offsets = np.arange(len(places)) + spaces
    spaced = np.full(len(places) + (int(spaces[-1]) if len(places) else 0), ord(" "), "<u4")
    spaced[offsets] = codes
    text = spaced.tobytes().decode("utf-32-le", "surrogatepass")
    chunks = _chunks(boxes, lines, is_broken, is_apart)
    tops, bottoms = boxes[:, 1].tolist(), boxes[:, 3].tolist()
    return _Characters(text, offsets.tolist(), places.tolist(), boxes, tops, bottoms, chunks)


def _chunks(
    boxes: NDArray[np.float64], lines: NDArray[np.int64], is_broken: NDArray[np.bool_], is_apart: NDArray[np.bool_]
) -> _Chunks:
    """Cut characters where a run ends or may end."""
    if not len(boxes):
        return _Chunks([0], [], [], [], [], [], [])
    lefts, tops, rights, bottoms = boxes.T
    sizes, gaps = (bottoms - tops)[:-1], lefts[1:] - rights[:-1]
    is_wide = is_apart[1:] & (gaps > _WIDEST_SPACE * sizes)
    is_end = is_broken[:-1] | (lines[1:] > lines[:-1])
    widest = _WIDEST_GAP * sizes
    is_beside = (bottoms[1:] > tops[:-1]) & (tops[1:] < bottoms[:-1])
    is_beside &= (gaps <= widest) & (lefts[:-1] - rights[1:] <= widest)
    cuts = np.flatnonzero(is_end | is_wide | ~is_beside)
    starts = np.concatenate([[0], cuts + 1])
    low_tops, high_tops = np.minimum.reduceat(tops, starts), np.maximum.reduceat(tops, starts)
    low_bottoms, high_bottoms = np.minimum.reduceat(bottoms, starts), np.maximum.reduceat(bottoms, starts)
    left, right = np.minimum.reduceat(lefts, starts), np.maximum.reduceat(rights, starts)
    return _Chunks(
        starts=[*starts.tolist(), len(boxes)],
        firsts=list(zip(*boxes[starts].T.tolist(), strict=True)),
        boxes=list(zip(left.tolist(), low_tops.tolist(), right.tolist(), high_bottoms.tolist(), strict=True)),
        is_even=((low_tops == high_tops) & (low_bottoms == high_bottoms)).tolist(),
        is_last=[*is_end[cuts].tolist(), True],
        is_broken=[*is_broken[cuts].tolist(), bool(is_broken[-1])],
        is_wide=[*is_wide[cuts].tolist(), True],
    )


def _codes(text_page: PdfTextPage, count: int) -> NDArray[np.int64]:
    """Return the Unicode code points of the first characters of a page."""
    import pypdfium2.raw as pdfium

    buffer = np.empty(count + 1, np.uint16)
    units = ctypes.cast(buffer.ctypes.data, ctypes.POINTER(ctypes.c_ushort))
    if pdfium.FPDFText_GetText(text_page.raw, 0, count, units) == count + 1:
        codes = buffer[:count].astype(np.int64)
        if not ((codes >= _SURROGATES[0]) & (codes < _SURROGATES[1])).any():
            # All of them at once, for each is one unit: none is left out, as those without a code are.
            return codes
    code_of = quickest("FPDFText_GetUnicode")
    page = next(pointers([address_of(text_page.raw)]))
    return np.fromiter(map(code_of, repeat(page, count), range(count)), np.int64, count) & _UNSIGNED


def _boxes(text_page: PdfTextPage, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (left, top, right, bottom) of characters of a page, downwards from its bottom, in points."""
    page = next(pointers([address_of(text_page.raw)]))
    pages = [page] * len(places)
    _, upwards = call_for_rows("FPDFText_GetLooseCharBox", pages, places.tolist(), columns=1, kind=np.float32)
    downwards: NDArray[np.float64] = upwards.astype(np.float64)
    downwards[:, 1::2] *= -1.0
    return downwards


def _runs(text_page: PdfTextPage, characters: _Characters) -> Iterator[_Grown]:
    """Join the chunks of each line to runs; those of turned text are joined character by character."""
    angle_of = quick("FPDFText_GetCharAngle", ctypes.c_float, ctypes.c_void_p, ctypes.c_int)
    page, places, chunks = address_of(text_page.raw), characters.places, characters.chunks
    starts, firsts, boxes, is_last = chunks.starts, chunks.firsts, chunks.boxes, chunks.is_last
    at = 0
    while at < len(boxes):
        first = at
        angle = angle_of(page, places[starts[at]])
        quarter = _quarter(angle) if angle else 0
        if quarter in {0, _ASKEW}:
            box = boxes[at]
            while not is_last[at] and (quarter == _ASKEW or _is_next(box, firsts[at + 1])):
                at += 1
                box = _around(box, boxes[at])
            at += 1
            yield _grown(characters, first, at, box, quarter)
            continue
        while not is_last[at]:
            at += 1
        at += 1
        start, end = starts[first], starts[at]
        while start < end:
            quarter = _quarter(angle_of(page, places[start]))
            run, stop = _turned_run(characters, start, end, quarter)
            yield replace(run, broken=chunks.is_broken[at - 1] and stop == end)
            start = stop


def _grown(characters: _Characters, first: int, last: int, box: _Box, quarter: int) -> _Grown:
    """Make a run of the chunks ``[first, last)``."""
    chunks = characters.chunks
    start, end, broken = chunks.starts[first], chunks.starts[last], chunks.is_broken[last - 1]
    text, places = characters.said(start, end), characters.range(start, end)
    if last - first == 1 and chunks.is_even[first]:
        return _Grown(text, quarter, box, (box[1], box[3]), broken, places=places)
    tops, bottoms = characters.tops[start:end], characters.bottoms[start:end]
    height = _low_median(tops), _low_median(bottoms)
    if _is_raised(bottoms, height):
        text = _with_powers(characters, start, tops, bottoms, height)
    parts = tuple(_parts(characters, first, last)) if any(chunks.is_wide[first : last - 1]) else ()
    return _Grown(text, quarter, box, height, broken, parts, places)


def _parts(characters: _Characters, first: int, last: int) -> Iterator[Part]:
    """Yield what stands between the wide spaces of a run."""
    chunks = characters.chunks
    box = chunks.boxes[first]
    for at in range(first, last):
        box = _around(box, chunks.boxes[at])
        if at + 1 == last or chunks.is_wide[at]:
            yield Part(characters.said(chunks.starts[first], chunks.starts[at + 1]), box[0], box[2])
            first = at + 1
            box = chunks.boxes[min(first, last - 1)]


def _turned_run(characters: _Characters, start: int, end: int, quarter: int) -> tuple[_Grown, int]:
    """Return the run of turned text that begins at a character, and where it ends."""
    box: _Box | None = None
    tops: list[float] = []
    bottoms: list[float] = []
    for left, top, right, bottom in characters.boxes[start:end].tolist():
        turned = _turned((left, -bottom, right, -top), quarter)
        if box is not None and quarter != _ASKEW and not _is_next(box, turned):
            break
        box = turned if box is None else _around(box, turned)
        tops.append(turned[1])
        bottoms.append(turned[3])
    assert box is not None
    height = _low_median(tops), _low_median(bottoms)
    stop = start + len(tops)
    text = characters.said(start, stop)
    if _is_raised(bottoms, height):
        text = _with_powers(characters, start, tops, bottoms, height)
    return _Grown(text, quarter, box, height, False, places=characters.range(start, stop)), stop


def _is_next(run: _Box, box: _Box) -> bool:
    """Return whether a character goes on with a run."""
    left, top, right, bottom = box
    # Scripts that run to the left come in reading order, each character before the one before it.
    widest = _WIDEST_GAP * (run[3] - run[1])
    return bottom > run[1] and top < run[3] and left - run[2] <= widest and run[0] - right <= widest


def _around(a: _Box, b: _Box) -> _Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _low_median(values: Sequence[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]


def _is_raised(bottoms: Sequence[float], height: tuple[float, float]) -> bool:
    """Return whether some characters end far above most of the others."""
    top, bottom = height
    return len(bottoms) > 1 and min(bottoms) <= bottom - _RAISED * (bottom - top)


def _with_powers(
    characters: _Characters, start: int, tops: Sequence[float], bottoms: Sequence[float], height: tuple[float, float]
) -> str:
    """Return the text of a run with digits that are small and raised written as such: 10⁶ is not 106."""
    top, bottom = height
    offsets = characters.offsets[start : start + len(tops)]
    texts = [characters.text[offsets[0]]]
    texts += [characters.text[before + 1 : at + 1] for before, at in pairwise(offsets)]
    for at, text in enumerate(texts[1:], 1):
        is_small = bottoms[at] - tops[at] < _SMALLER * (bottom - top)
        if not is_small or bottoms[at] >= bottom - _RAISED * (bottom - top) or text[0] == " ":
            continue
        if text.isdecimal() and _WORD_BEFORE.search("".join(texts[max(at - _NEAR, 0) : at])):
            texts[at] = f"{_JOINED}[{text}]"
        else:
            texts[at] = text.translate(_POWERS)
    return "".join(texts)


def _quarter(angle: float) -> int:
    """Return 0 to 3 quarters clockwise for an angle in radians; scans may be a little off."""
    turns = angle / (pi / 2)
    return round(turns) % 4 if abs(turns - round(turns)) < 0.15 else _ASKEW


def cleaned(text: str) -> str:
    """Remove control characters, write ligatures as letters and white space as spaces."""
    if text.isascii() and text.isprintable():
        return text
    if any("\ud800" <= character <= "\udfff" for character in text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    text = text.translate(_BULLETS)
    text = _PRESENTATION.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    # A soft hyphen is invisible within a line; at its end it is where the word is cut.
    ends = text[-1:] == "\u00ad"
    text = " ".join(_UNWANTED.sub("", text).split())
    return f"{text}-" if ends else text


def is_broken(run: Run) -> bool:
    """Return whether a run ends with a hyphen that may be there for the end of the line only."""
    return run.broken or (run.text[-1:] in _HYPHENS and run.text[-2:-1].isalnum())


def read_characters(text_page: PdfTextPage, limit: int) -> tuple[list[str], NDArray[np.float64]]:
    """Return each of the first ``limit`` characters of a page as :func:`read_runs` writes it, and where it stands.

    White space, and what has no code, is an empty text. The boxes are (left, bottom, right, top) in the page's own
    points: ``(n, 4)``.
    """
    codes = _codes(text_page, min(text_page.count_chars(), limit))
    texts = ["-" if code in _BROKEN else chr(code) if code < _CODES else "" for code in codes.tolist()]
    boxes = _boxes(text_page, np.arange(len(texts))) * [1.0, -1.0, 1.0, -1.0]
    return ["".join(cleaned(text).split()) for text in texts], boxes[:, [0, 3, 2, 1]]
