"""Texts of like length together, in few shapes: a runtime keeps memory for every shape that it has met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Lengths are rounded up to a multiple of this many tokens.
STEP = 16
# Tokens in one batch, padding included: more is no faster on two cores and takes memory (docs/decisions/0005).
TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts by their place in the input, and the ``length`` in tokens that each of them is padded to."""

    rows: tuple[int, ...]
    length: int


def batches(lengths: Sequence[int], window: int, tokens: int = TOKENS) -> list[Batch]:
    """Every text in exactly one batch, the longest first.

    Args:
        lengths: tokens of each text, at most ``window``.
        tokens: the most in one batch, unless one text alone has more.

    Returns:
        batches whose length is a multiple of :data:`STEP` or the window. How many rows one has is decided by its
        length, unless fewer are left that are at least about half as long, and then it is a power of two: the shapes
        are few, whatever the texts.
    """
    order = sorted(range(len(lengths)), key=lambda at: (-lengths[at], at))
    made = []
    start = 0
    while start < len(order):
        length = min(-(-max(lengths[order[start]], 1) // STEP) * STEP, max(window, 1))
        count = max(tokens // length, 1)
        alike = 0
        while alike < count and start + alike < len(order) and 2 * lengths[order[start + alike]] >= length - STEP:
            alike += 1
        if alike < count:
            count = 1 << (alike.bit_length() - 1)
        made.append(Batch(tuple(order[start : start + count]), length))
        start += count
    return made
