"""What writing and reading a lexical index agree on: its folder, its fields, and the tantivy behind them.

Okapi BM25 as Lucene counts it (Robertson & Zaragoza, 2009, "The Probabilistic Relevance Framework"), k1 1.2, b 0.75.
The terms are ours (``qa.text.terms``); tantivy is given them parted by blanks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qa.text.terms import TERMS_VERSION

LEXICAL_FOLDER = "lexical"
LEXICAL_FINGERPRINT = {"terms": TERMS_VERSION, "k1": 1.2, "b": 0.75}
META = "terms.json"
FORMAT = "1"


def schema(columns: Iterable[str]) -> Any:
    """Of a passage: its key, its terms, and the values that filters look at."""
    builder = tantivy().SchemaBuilder()
    builder.add_integer_field("key", indexed=True, fast=True)
    builder.add_text_field("text", tokenizer_name="whitespace", index_option="freq")
    for name in columns:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    return builder.build()


def sound(value: str) -> str:
    """Halves of surrogate pairs, which file names and damaged texts hold, cannot be written."""
    return value.encode("utf-8", "replace").decode()


def tantivy() -> Any:
    """The library, imported late."""
    import tantivy as library

    return library
