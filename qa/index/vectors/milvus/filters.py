"""Filters as Milvus expressions: the only place where a value becomes a part of one.

An expression is parsed by the server, so that a value which ended its own quotes would be a filter of its author's.
Between double quotes four characters mean something else than themselves to its parser (``Plan.g4``), and are escaped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import product

from qa.errors import VectorIndexError
from qa.protocols import And, Filter, Rows
from qa.types import Eq, In, Range

ID_FIELD = "id"
# Milvus's own words, such as "in" and "like", can be no names of fields.
_FIELD_PREFIX = "column_"
_FIELD_NAME = re.compile(r"[A-Za-z0-9_]{1,100}")
# Milvus keeps at most 65,535 bytes of a string.
MOST_BYTES = 65_535
_KEPT_CHARS = 16_000
# Values of one list: 4,000 took the server 29 ms, and a request with a million would be refused.
LONGEST_LIST = 4096
_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r"})
EVERYTHING = f"{ID_FIELD} >= 0"
_NOTHING = f"{ID_FIELD} < 0"


def field_name(column: str) -> str:
    """Return the name of the field that holds a filter column. Raises VectorIndexError."""
    if not _FIELD_NAME.fullmatch(column):
        raise VectorIndexError(f"{column!r} is no name for a filter column; use letters, digits and '_'")
    return _FIELD_PREFIX + column


def stored_value(value: str) -> str:
    """Return what stands for a value in the server: itself, or its beginning and SHA-256.

    Equal values stay equal and different ones different. Milvus takes neither half of a surrogate pair nor more than
    65,535 bytes; of what is shortened, the order among values that begin alike is lost.
    """
    encoded = value.encode("utf-8", "surrogatepass")
    if len(encoded) <= MOST_BYTES and value.encode("utf-8", "replace") == encoded:
        return value
    kept = value[:_KEPT_CHARS].encode("utf-8", "replace").decode()
    return f"{kept}\x00{hashlib.sha256(encoded).hexdigest()}"


def quoted(value: str) -> str:
    """Return a string of Milvus's expressions that means ``value``, as :func:`stored_value` has it."""
    return f'"{stored_value(value).translate(_ESCAPES)}"'


def ids_in(ids: Iterable[int]) -> str:
    """Return the expression for the rows of these ids."""
    return f"{ID_FIELD} in [{','.join(map(str, ids))}]"


def ids_between(low: int, high: int) -> str:
    """Return the expression for the rows whose ids are from ``low`` to ``high``, both of them included."""
    return f"{ID_FIELD} >= {low} && {ID_FIELD} <= {high}"


def both(*expressions: str) -> str:
    """Return the expression for what passes all of these; an empty one lets everything pass."""
    return " && ".join(f"({each})" for each in expressions if each)


def expressions(filter: Filter, columns: Collection[str]) -> list[str]:
    """Return expressions of which every row that passes ``filter`` passes exactly one, and no other row any.

    There are several where a list of values is long.

    Raises:
        VectorIndexError: the filter names a column that is not among ``columns``, or has rows of a mask.
    """
    match filter:
        case And(filters):
            parts = product(*(expressions(part, columns) for part in filters))
            return [both(*part) or EVERYTHING for part in parts]
        case Eq(column, value):
            return [f"{_known(column, columns)} == {quoted(value)}"]
        case In(column, values):
            field = _known(column, columns)
            return [f"{field} in [{','.join(map(quoted, some))}]" for some in _chunks(values)] or [_NOTHING]
        case Range(column, low, high):
            field = _known(column, columns)
            bounds = [f"{field} {sign} {quoted(end)}" for sign, end in ((">=", low), ("<=", high)) if end is not None]
            return [" && ".join(bounds) or EVERYTHING]
        case Rows():
            raise VectorIndexError("rows of a mask are no filter of the server's")


def _known(column: str, columns: Collection[str]) -> str:
    if column not in columns:
        raise VectorIndexError(f"no filter column {column!r}; declared are {sorted(columns)}")
    return field_name(column)


def _chunks(values: Sequence[str]) -> list[list[str]]:
    distinct = list(dict.fromkeys(values))
    return [distinct[start : start + LONGEST_LIST] for start in range(0, len(distinct), LONGEST_LIST)]
