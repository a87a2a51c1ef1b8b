"""Which embeddings a cache holds, in so little that every worker of a cluster can look: a Bloom filter of its keys.

Bloom (1970), "Space/Time Trade-offs in Hash Coding with Allowable Errors", with the double hashing of Kirsch &
Mitzenmacher (2006), "Less Hashing, Same Performance". Keys are hashes already, of which the two halves are taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Bits that are set for a key, and the size of the filter: of 16 bits a key, one unknown key in a thousand looks known.
_PROBES = 6
_BITS_A_KEY = 16
_LEAST_BITS = 1 << 16
# 64 MB, which is 16 bits for 33 million keys; of twice as many, one in 46 looks known.
_MOST_BITS = 1 << 29
_AT_ONCE = 1 << 14


class KnownKeys:
    """Keys of 16 bytes: of one that was given it always says so, of another rarely.

    Args:
        bits: uint8 ``(m / 8,)``, as :func:`filter_of` gives them; ``m`` is a power of two.
    """

    def __init__(self, bits: NDArray[np.uint8]) -> None:
        self._bits = bits.data
        self._mask = 8 * len(bits) - 1

    def __contains__(self, key: bytes) -> bool:
        first, step = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
        for probe in range(_PROBES):
            at = (first + probe * step) & self._mask
            if not self._bits[at >> 3] >> (at & 7) & 1:
                return False
        return True


def filter_of(keys: Iterable[bytes], count: int) -> NDArray[np.uint8]:
    """Make the bits of :class:`KnownKeys` of about ``count`` keys; they take 64 MB at most."""
    wanted = min(_MOST_BITS, max(_LEAST_BITS, _BITS_A_KEY * count))
    size = 1 << (wanted - 1).bit_length()
    bits = np.zeros(size // 8, np.uint8)
    source = iter(keys)
    while block := list(islice(source, _AT_ONCE)):
        halves: NDArray[Any] = np.frombuffer(b"".join(block), "<u8").reshape(-1, 2)
        for probe in range(_PROBES):
            # What exceeds 64 bits is lost, and is beyond the filter's size in any case.
            at = (halves[:, 0] + np.uint64(probe) * halves[:, 1]) & np.uint64(size - 1)
            np.bitwise_or.at(bits, at >> np.uint64(3), np.uint8(1) << (at & np.uint64(7)).astype(np.uint8))
    return bits
