"""Facets of collections that are larger than a test can index."""

from __future__ import annotations

from typing import cast

import numpy as np

from qa.index.catalog import Catalog
from qa.index.fields import FacetValue, _Column, _count


class Numbered:
    """A catalog in which a value is called by its code."""

    def values_of(self, field: int, codes: list[int]) -> list[str]:
        return [f"value {code}" for code in codes]


def test_values_and_documents_are_counted_whose_product_is_beyond_32_bits() -> None:
    count = 60_000
    of = np.arange(count, dtype=np.int32)
    rows = np.stack([of, of, of + 1, of])
    # The last value is that of the first document as well.
    codes, lows, highs, documents = np.append(rows, [[count - 1], [0], [1], [0]], axis=1).astype(np.int32)
    nothing = np.zeros((0, 3), np.int64)
    catalog = cast("Catalog", Numbered())
    column = _Column(0, "value", codes, lows, highs, documents, np.arange(1), nothing, nothing[:, 0], catalog)
    facet = _count("title", column, np.ones(count, np.bool_), 2)
    assert (facet.documents, facet.distinct) == (count, count)
    assert facet.values == (FacetValue(f"value {count - 1}", 2), FacetValue("value 0", 1))
