"""Pixels to a PNG (ISO/IEC 15948), without a library of images: what draws PDF pages needs no other."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR = 0, 2
# The filter "Up": each row as its difference to the one above, which makes white sheets and straight edges zeros.
_UP = 2


def encode_png(image: Image) -> bytes:
    """Encode ``(height, width, 3)`` pixels, blue first, 8 bits each; without colour they are written as grey."""
    height, width = image.shape[:2]
    is_grey = bool((image[:, :, 0] == image[:, :, 1]).all() and (image[:, :, 1] == image[:, :, 2]).all())
    samples = image[:, :, :1] if is_grey else image[:, :, ::-1]
    rows = np.ascontiguousarray(samples).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    # Differences modulo 256, as the standard has them.
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack("!IIBBBBB", width, height, 8, _GREY if is_grey else _COLOUR, 0, 0, 0)
    data = zlib.compress(filtered.tobytes(), 6)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
