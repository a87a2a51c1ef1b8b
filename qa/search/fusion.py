"""Two legs' raw scores to one that ranks: cosine as it is, and BM25 as a share of the question's best.

Reciprocal ranks (Cormack et al., 2009) and min-max scaling each lost to the better leg somewhere; this lost nowhere.
The numbers here were tuned on the tuning halves of the question sets (docs/decisions/0007).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qa.types import Vectors

LEXICAL_WEIGHT = 0.3
# An encoder holds texts of a language that it does not know all alike: their mean cosine is near 0.4, where that of
# texts that it knows is below 0.2, and the best stands out no further than chance has it.
_ALIKE = 0.25
_CHANCE = 1.2
# Fewer cosines say nothing about chance.
_LEAST_SAMPLE = 100


def is_blind(best: float, sample: Vectors, rows: int) -> bool:
    """Whether the encoder cannot tell by a question which of ``rows`` texts are near it.

    The best cosine is compared with the largest of as many normal deviates, which is near ``sqrt(2 ln n)`` standard
    deviations above their mean (Cramér, 1946, section 28.6).

    Args:
        best: the highest cosine of the question and any row.
        sample: ``(m,)`` cosines of the question and rows chosen at random.
    """
    if len(sample) < _LEAST_SAMPLE or float(sample.mean()) <= _ALIKE:
        return False
    by_chance = float(sample.std()) * math.sqrt(2 * math.log(rows))
    return best - float(sample.mean()) < _CHANCE * by_chance


def fused(cosines: Vectors, bm25: Vectors) -> Vectors:
    """``(n,)`` cosines and ``(n,)`` BM25 scores, 0 where no term occurs, of all candidates of one question."""
    best = float(bm25.max(initial=0.0))
    # The share first: its weight over a score near 0 is more than a number of 32 bits holds.
    scores: Vectors = cosines + np.float32(LEXICAL_WEIGHT) * (bm25 / np.float32(best)) if best > 0 else cosines
    return scores
