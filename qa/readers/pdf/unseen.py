"""Text of a page that cannot be seen: white on white, transparent, without ink, or on a layer that is switched off.

ISO 32000-1, 9.3.6 (rendering modes of text) and 8.11 (optional content).
"""

from __future__ import annotations

import ctypes
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.readers.pdf.calls import address_of, call_for_rows, pointers, quick, quickest

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

# (left, bottom, right, top) in points of the page.
Box = tuple[float, float, float, float]

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
    if not any(_LAYERS in part for part in chain([data], _packed_streams(data))):
        return frozenset()
    objects = dict(_objects(data))
    off: set[int] = set()
    for content in objects.values():
        for found in _OFF.finditer(content):
            off.update(int(number) for number in _REFERENCE.findall(found[1]))
    names: dict[bool, set[bytes]] = {True: set(), False: set()}
    for number, content in objects.items() if off else ():
        if _GROUP.search(content) and (name := _NAME.search(content)):
            names[number in off].add(_string(name))
    return frozenset(names[True] - names[False])


def _packed_streams(data: bytes) -> Iterator[bytes]:
    """Yield the unpacked streams that hold objects."""
    unpacked, place = 0, -1
    while unpacked < _MOST_UNPACKED and (place := data.find(b"/ObjStm", place + 1)) >= 0:
        if start := _STREAM.search(data, place, place + _LONGEST_DICTIONARY):
            with suppress(zlib.error):
                stream = zlib.decompressobj().decompress(data[start.end() :], _MOST_UNPACKED)
                unpacked += len(stream)
                yield stream


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


def unseen_boxes(page: PdfPage, layers: frozenset[bytes] = frozenset()) -> list[Box]:
    """Return where the unseen text of a page stands: (left, bottom, right, top) in points of the page.

    White text on a picture or on a shape that is not white is seen.

    Args:
        layers: the names of those that are switched off.
    """
    import pypdfium2.raw as pdfium

    count = pdfium.FPDFPage_CountObjects(page)
    if count > _MOST_OBJECTS:
        return []
    object_at = quick("FPDFPage_GetObject", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
    things = list(map(object_at, repeat(address_of(page.raw), count), range(count)))
    kinds = list(map(quickest("FPDFPageObj_GetType"), pointers(things)))
    texts = [thing for thing, kind in zip(things, kinds, strict=True) if kind == pdfium.FPDF_PAGEOBJ_TEXT]
    modes = map(quickest("FPDFTextObj_GetTextRenderMode"), pointers(texts))
    without_ink = {thing for thing, mode in zip(texts, modes, strict=True) if mode in _WITHOUT_INK}
    without_ink.update(thing for thing in texts if layers and _layer(thing) in layers)
    white = _white(texts)
    if not without_ink and not white:
        return []  # as on most pages
    shapes = [thing for thing, kind in zip(things, kinds, strict=True) if kind == pdfium.FPDF_PAGEOBJ_PATH]
    white |= _white(shapes)
    unseen: list[Box] = []
    grounds: list[Box] = []
    coloured: list[int] = []  # of which it is not known yet where they are: few pages have white text
    for thing, kind in zip(things, kinds, strict=True):
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            if thing in without_ink:
                unseen.append(box_of(thing))
            elif thing in white:
                grounds += map(box_of, coloured)
                coloured.clear()
                if not _is_on(box := box_of(thing), grounds):
                    unseen.append(box)
        elif kind != pdfium.FPDF_PAGEOBJ_PATH or (thing not in white and _is_filled(thing)):
            # A picture, a shade, a form, or a coloured shape.
            coloured.append(thing)
        if len(unseen) > _MOST_UNSEEN:
            return []
    return unseen


def _white(things: Sequence[int]) -> set[int]:
    """Return which objects are filled with white, or with nothing."""
    # Red, green, blue, alpha.
    is_known, colours = call_for_rows("FPDFPageObj_GetFillColor", list(pointers(things)), columns=4, kind=np.uint32)
    is_white = is_known & ((colours[:, 3] == 0) | (colours[:, :3].min(axis=1) >= _WHITE))
    return {things[at] for at in np.flatnonzero(is_white).tolist()}


def _layer(thing: int) -> bytes:
    """Return the name of the layer that an object is on, if it is on one."""
    import pypdfium2.raw as pdfium

    handle = ctypes.cast(thing, pdfium.FPDF_PAGEOBJECT)
    size, buffer = ctypes.c_ulong(), (ctypes.c_ubyte * _LONGEST_NAME)()
    for index in range(pdfium.FPDFPageObj_CountMarks(handle)):
        mark = pdfium.FPDFPageObj_GetMark(handle, index)
        if pdfium.FPDFPageObjMark_GetParamBlobValue(mark, b"Name", buffer, _LONGEST_NAME, size):
            return bytes(buffer)[: size.value]
    return b""


def _is_filled(path: int) -> bool:
    import pypdfium2.raw as pdfium

    mode, stroke = ctypes.c_int(), ctypes.c_int()
    handle = ctypes.cast(path, pdfium.FPDF_PAGEOBJECT)
    return bool(pdfium.FPDFPath_GetDrawMode(handle, mode, stroke) and mode.value)


def _is_on(box: Box, grounds: list[Box]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(left <= x <= right and bottom <= y <= top for left, bottom, right, top in grounds)


def box_of(thing: Any) -> Box:
    """Return where an object of a page is, in points of it; nowhere if PDFium does not know."""
    import pypdfium2.raw as pdfium

    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    handle = ctypes.cast(thing, pdfium.FPDF_PAGEOBJECT)
    if not pdfium.FPDFPageObj_GetBounds(handle, left, bottom, right, top):
        return (0.0, 0.0, -1.0, -1.0)
    return (left.value, bottom.value, right.value, top.value)
