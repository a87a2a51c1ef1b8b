"""Sets of rows as a bit for each row, eight in a byte, the first one in its lowest.

They take an eighth of what booleans take, and are what FAISS looks at row by row (``IDSelectorBitmap``). Bits behind
the last row are zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from qa.protocols import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qa.types import Bits, Ids, Mask

# Rows that are looked at together: what is made of them stays in the processor's cache. A multiple of eight.
_BLOCK = 1 << 16


def pack(mask: Mask) -> Bits:
    """Return the bits of ``mask (n,)``."""
    return np.packbits(mask, bitorder="little")


def unpack(bits: Bits, rows: int) -> Mask:
    """Return the mask ``(n,)`` of so many rows."""
    return np.unpackbits(bits, count=rows, bitorder="little").view(np.bool_)


def pack_where(test: Callable[[NDArray[np.int32]], Mask], codes: NDArray[np.int32]) -> Bits:
    """Return the bits of the rows whose codes ``(n,)`` pass a test; booleans of one block are held at a time."""
    bits = np.empty(-(-len(codes) // 8), np.uint8)
    for start in range(0, len(codes), _BLOCK):
        block = codes[start : start + _BLOCK]
        bits[start // 8 : (start + len(block) + 7) // 8] = pack(test(block))
    return bits


def pack_of(mask: Mask, numbers: NDArray[np.int32]) -> Bits:
    """Return the bits of ``mask[numbers]``, of ``numbers (n,)`` that are places in ``mask (m,)``."""
    return pack_where(mask.take, numbers)


def filter_for(ids: Ids, mask: Mask) -> Rows:
    """Make the filter for the rows of ``ids (n,)`` whose ``mask (n,)`` is true."""
    return Rows(ids, pack(mask))


def count(bits: Bits) -> int:
    """Count the rows of a set."""
    return int(np.bitwise_count(bits).sum(dtype=np.int64))


def numbers_in(bits: Bits) -> Ids:
    """Return the numbers, ascending, of the rows of a set."""
    held = np.flatnonzero(bits)
    at, bit = np.nonzero(np.unpackbits(bits[held, None], axis=1, bitorder="little"))
    numbers: Ids = 8 * held[at] + bit
    return numbers


def hold(bits: Bits, numbers: Ids) -> Mask:
    """Tell of each of ``numbers (n,)`` whether that row is in a set."""
    held: Mask = (bits[numbers >> 3] >> (numbers & 7).astype(np.uint8) & 1).astype(np.bool_)
    return held
