"""The characters of a page as runs: pieces of a line in the order of the file, with their boxes.

Text that cannot be seen is left out: white on white, transparent, without ink, or on a layer that is switched off.
ISO 32000-1, 9.3.6 (rendering modes of text) and 8.11 (optional content).
"""

from __future__ import annotations

import ctypes
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import pi
from statistics import median_low
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pypdfium2 import PdfPage, PdfTextPage

_Box = tuple[float, float, float, float]

# A page of more objects is a drawing; to look at all of them takes longer than to read its text.
_MOST_OBJECTS = 10_000
_MOST_UNSEEN = 200
_WHITE = 250
_LONGEST_NAME = 256
_ESCAPED = re.compile(rb"\\(?:([0-7]{1,3})|(.))", re.DOTALL)
_MOST_UNPACKED = 4 << 20
_LAYERS = b"/OCProperties"
_OBJECT = re.compile(rb"(?<!\d)(\d{1,8})\s{1,3}\d{1,5}\s{1,3}obj\b")
_MOST_OBJECTS_OF_FILE, _LONGEST_DICTIONARY = 200_000, 20_000
_STREAM = re.compile(rb"stream\r?\n")
_OFF = re.compile(rb"/OFF\s*\[([^\]]*)\]")
_REFERENCE = re.compile(rb"(\d{1,8})\s+\d{1,5}\s+R")
_GROUP = re.compile(rb"/Type\s*/OCG\b")
_NAME = re.compile(rb"/Name\s*(?:\(((?:[^()\\]|\\.)*)\)|<([0-9A-Fa-f]*)>)", re.DOTALL)
_WITHOUT_INK = frozenset({3, 7})


def switched_off_layers(data: bytes) -> frozenset[bytes]:
    """Return the names of the layers of a file that are off when it is opened, but not a name that is on as well.

    PDFium does not draw them and does not say which they are, so they are looked for in the objects of the file.
    """
    objects = dict(_objects(data)) if _LAYERS in data or b"/ObjStm" in data else {}
    off: set[int] = set()
    for content in objects.values():
        for found in _OFF.finditer(content):
            off.update(int(number) for number in _REFERENCE.findall(found[1]))
    names: dict[bool, set[bytes]] = {True: set(), False: set()}
    for number, content in objects.items() if off else ():
        if _GROUP.search(content) and (name := _NAME.search(content)):
            names[number in off].add(_string(name))
    return frozenset(names[True] - names[False])


def _objects(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the dictionaries of a file with the numbers of their objects, those in compressed streams too."""
    unpacked = 0
    for found in islice(_OBJECT.finditer(data), _MOST_OBJECTS_OF_FILE):
        start = found.end()
        ends = (data.find(mark, start, start + _LONGEST_DICTIONARY) for mark in (b"endobj", b"stream"))
        end = min((end for end in ends if end >= 0), default=-1)
        content = data[start : max(end, start)]
        if b"/ObjStm" not in content:
            yield int(found[1]), content
        elif unpacked < _MOST_UNPACKED and (stream_start := _STREAM.match(data, end)):
            try:
                stream = zlib.decompressobj().decompress(data[stream_start.end() :], _MOST_UNPACKED)
            except zlib.error:
                continue
            unpacked += len(stream)
            yield from _packed(stream, content)


def _packed(stream: bytes, dictionary: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the objects of an unpacked stream: pairs of number and place, and then the objects (7.5.7)."""
    values = {key: re.search(key + rb"\s+(\d{1,9})", dictionary) for key in (rb"/First", rb"/N")}
    first, count = (int(found[1]) if found else 0 for found in values.values())
    numbers = [int(number) for number in stream[:first].split()[: 2 * count] if number.isdigit() and len(number) < 10]
    places = sorted(zip(numbers[1::2], numbers[::2], strict=False))
    for (place, number), (end, _) in zip(places, [*places[1:], (len(stream), 0)], strict=False):
        yield number, stream[first + place : first + end]


def _string(name: re.Match[bytes]) -> bytes:
    """Return the bytes of a string, written in parentheses or in hexadecimal digits (7.3.4)."""
    if name[2] is not None:
        return bytes.fromhex(name[2].decode("ascii") + "0" * (len(name[2]) % 2))
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 8) & 0xFF]) if found[1] else found[2], name[1])


def unseen_boxes(page: PdfPage, layers: frozenset[bytes] = frozenset()) -> list[_Box]:
    """Return where the unseen text of a page stands: (left, bottom, right, top) in points of the page.

    White text on a picture or on a shape that is not white is seen.

    Args:
        layers: the names of those that are switched off.
    """
    import pypdfium2.raw as pdfium

    unseen: list[_Box] = []
    grounds: list[_Box] = []
    count = pdfium.FPDFPage_CountObjects(page)
    if count > _MOST_OBJECTS:
        return []
    for index in range(count):
        thing = pdfium.FPDFPage_GetObject(page, index)
        kind = pdfium.FPDFPageObj_GetType(thing)
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            if pdfium.FPDFTextObj_GetTextRenderMode(thing) in _WITHOUT_INK or (layers and _layer(thing) in layers):
                unseen.append(_box(thing))
            elif _is_white(thing) and not _is_on(box := _box(thing), grounds):
                unseen.append(box)
        elif kind != pdfium.FPDF_PAGEOBJ_PATH or (_is_filled(thing) and not _is_white(thing)):
            # A picture, a shade, a form, or a coloured shape.
            grounds.append(_box(thing))
        if len(unseen) > _MOST_UNSEEN:
            return []
    return unseen


def _layer(thing: Any) -> bytes:
    """Return the name of the layer that an object is on, if it is on one."""
    import pypdfium2.raw as pdfium

    size, buffer = ctypes.c_ulong(), (ctypes.c_ubyte * _LONGEST_NAME)()
    for index in range(pdfium.FPDFPageObj_CountMarks(thing)):
        mark = pdfium.FPDFPageObj_GetMark(thing, index)
        if pdfium.FPDFPageObjMark_GetParamBlobValue(mark, b"Name", buffer, _LONGEST_NAME, size):
            return bytes(buffer)[: size.value]
    return b""


def _is_white(thing: Any) -> bool:
    import pypdfium2.raw as pdfium

    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    if not pdfium.FPDFPageObj_GetFillColor(thing, red, green, blue, alpha):
        return False
    return alpha.value == 0 or min(red.value, green.value, blue.value) >= _WHITE


def _is_filled(path: Any) -> bool:
    import pypdfium2.raw as pdfium

    mode, stroke = ctypes.c_int(), ctypes.c_int()
    return bool(pdfium.FPDFPath_GetDrawMode(path, mode, stroke) and mode.value)


def _is_on(box: _Box, grounds: list[_Box]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(left <= x <= right and bottom <= y <= top for left, bottom, right, top in grounds)


def _box(thing: Any) -> _Box:
    import pypdfium2.raw as pdfium

    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    if not pdfium.FPDFPageObj_GetBounds(thing, left, bottom, right, top):
        return (0.0, 0.0, -1.0, -1.0)
    return (left.value, bottom.value, right.value, top.value)


# PDFium's mark for a hyphen at a line's end; the line break after it is not marked otherwise.
_BROKEN = frozenset({0x02, 0xFFFE})
_NEWLINE = ord("\n")
# What Python calls white space, without the four separators that fonts use for characters of their own.
_SPACES = frozenset(code for code in range(0x3001) if chr(code).isspace()) - frozenset(range(0x1C, 0x20))
_HYPHENS = "-\u2010\u00ad"
# A gap wider than this many times the type size ends a run: another column, or another cell.
_WIDEST_GAP = 1.2
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
class Run:
    """A piece of one line of text, in points from the page's top left corner as it is read: ``bottom`` > ``top``.

    ``size`` is the height of its type. ``broken`` says that it ends with a hyphen at which its word may be cut; the
    hyphen is in the text.
    """

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    broken: bool = False


class _Growing:
    """A run while its characters are read. Its boxes are turned so that its text is upright."""

    __slots__ = ("bottom", "bottoms", "broken", "left", "places", "quarter", "right", "text", "top", "tops")

    def __init__(self, quarter: int, box: _Box) -> None:
        self.quarter = quarter
        self.left, self.top, self.right, self.bottom = box
        self.tops: list[float] = []
        self.bottoms: list[float] = []
        self.text: list[str] = []
        self.places: list[int] = []
        self.broken = False

    def _raise(self, top: float, bottom: float) -> None:
        """Write digits that are small and raised as such: 10⁶ is not 106."""
        height = bottom - top
        if len(self.places) < 2 or min(self.bottoms) > bottom - _RAISED * height:
            return
        for at, place in enumerate(self.places[1:], 1):
            is_small = self.bottoms[at] - self.tops[at] < _SMALLER * height
            if not is_small or self.bottoms[at] >= bottom - _RAISED * height or not self.text[place - 1][-1:].strip():
                continue
            if self.text[place].isdecimal() and _WORD_BEFORE.search("".join(self.text[max(place - _NEAR, 0) : place])):
                self.text[place] = f"{_JOINED}[{self.text[place]}]"
            else:
                self.text[place] = self.text[place].translate(_POWERS)

    def placed(self, turn: Callable[[_Box], _Box]) -> Run:
        """Return it as a run, with the height of most of its characters: not of a raised number or a tall bracket."""
        top, bottom = median_low(self.tops), median_low(self.bottoms)
        self._raise(top, bottom)
        # Adjacent raised digits are of one number.
        raised = "".join(self.text).replace(f"]{_JOINED}[", "").replace(_JOINED, "")
        text = _LEADERS.sub("\t", cleaned(raised).strip())
        return Run(text, *turn((self.left, top, self.right, bottom)), max(bottom - top, 1.0), self.broken)


def read_runs(
    page: PdfPage, text_page: PdfTextPage, limit: int, layers: frozenset[bytes] = frozenset()
) -> tuple[list[Run], list[Run], float]:
    """Return the runs aligned with most of the text, those that are not, and the height of the page.

    Text that is turned by a quarter on the whole page is read as if it were upright. No more than the first ``limit``
    characters are looked at.
    """
    unseen = unseen_boxes(page, layers)
    grown = [run for run in _grown(text_page, limit, unseen) if not "".join(run.text).isspace()]
    if unseen and sum(len(run.text) for run in grown) * 2 < min(text_page.count_chars(), limit):
        # All of a page that is a picture, with the words that were recognised in it, or that is white on a dark ground.
        grown = [run for run in _grown(text_page, limit, ()) if not "".join(run.text).isspace()]
    if not grown:
        return [], [], 1.0
    lengths: Counter[int] = Counter()
    for run in grown:
        lengths[run.quarter] += len(run.text)
    lengths[_ASKEW] = 0
    main = max(lengths, key=lambda quarter: lengths[quarter])
    left, top, _, bottom = _turned(page.get_bbox(), main)

    def placed(run: _Growing) -> Run:
        def turn(box: _Box) -> _Box:
            if run.quarter != main:
                box = _turned(_unturned(box, run.quarter), main)
            return (box[0] - left, box[1] - top, box[2] - left, box[3] - top)

        return run.placed(turn)

    upright, turned = ([placed(run) for run in grown if (run.quarter == main) is which] for which in (True, False))
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


def _grown(  # noqa: C901, PLR0912 -- written out: a document has millions of characters
    text_page: PdfTextPage, limit: int, unseen: Sequence[_Box]
) -> Iterator[_Growing]:
    import pypdfium2.raw as pdfium

    rectangle = pdfium.FS_RECTF()
    unicode_of, box_of = pdfium.FPDFText_GetUnicode, pdfium.FPDFText_GetLooseCharBox
    handle = text_page.raw
    run: _Growing | None = None
    spaces = ""
    for index in range(min(text_page.count_chars(), limit)):
        code = unicode_of(handle, index)
        if code in _SPACES:
            if run is not None and code == _NEWLINE:
                yield run
                run = None
            spaces = " "
            continue
        box_of(handle, index, rectangle)
        left, bottom, right, top = rectangle.left, -rectangle.bottom, rectangle.right, -rectangle.top
        if unseen and _is_within((left, -bottom, right, -top), unseen):
            spaces = " "
            continue
        if run is not None:
            if run.quarter > 0:
                left, top, right, bottom = _turned((left, -bottom, right, -top), run.quarter)
            if run.quarter != _ASKEW:
                # Scripts that run to the left come in reading order, each character before the one before it.
                widest = _WIDEST_GAP * (run.bottom - run.top)
                if bottom <= run.top or top >= run.bottom or left - run.right > widest or run.left - right > widest:
                    yield run
                    run = None
        if run is None:
            quarter = _quarter(pdfium.FPDFText_GetCharAngle(handle, index))
            left, top, right, bottom = _turned(
                (rectangle.left, rectangle.bottom, rectangle.right, rectangle.top), quarter
            )
            run, spaces = _Growing(quarter, (left, top, right, bottom)), ""
        if spaces:
            run.text.append(spaces)
            spaces = ""
        run.places.append(len(run.text))
        run.tops.append(top)
        run.bottoms.append(bottom)
        run.left, run.right = min(run.left, left), max(run.right, right)
        run.top, run.bottom = min(run.top, top), max(run.bottom, bottom)
        if code in _BROKEN:
            run.text.append("-")
            run.broken = True
            yield run
            run = None
        else:
            run.text.append(chr(code) if code < 0x110000 else "")
    if run is not None:
        yield run


def _is_within(box: _Box, others: Sequence[_Box]) -> bool:
    """Return whether the middle of a box lies in one of the others."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(left <= x <= right and bottom <= y <= top for left, bottom, right, top in others)


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
