"""What is wrong with a request, in words for a person."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from qa.search.queries import faults
from qa.types import Limits, Query
from qa.web.problems import FieldError

SHOWN_ERRORS = 20
SHOWN_CHARS = 80
BODY = "body"


def explain(errors: Sequence[Any], fields: Sequence[str]) -> tuple[FieldError, ...]:
    """Pydantic's errors, with ``loc`` relative to the request, for a request that has these fields.

    Only the first errors are told: a hostile body can hold a hundred thousand.
    """
    return tuple(_explain(error, fields) for error in errors[:SHOWN_ERRORS])


def missing(model: type[BaseModel]) -> tuple[FieldError, ...]:
    """Every field that ``model`` requires, for a request that has none of them."""
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    return explain([{"type": "missing", "loc": (name,)} for name in required], list(model.model_fields))


def check(query: Query, limits: Limits, name: str = "question") -> tuple[FieldError, ...]:
    """What of a query is outside the limits; nothing if it can be asked.

    Args:
        name: what the request calls the question.
    """
    return tuple(FieldError.of(fault, name) for fault in faults(query, limits))


def check_batch(count: int, limits: Limits) -> tuple[FieldError, ...]:
    """What is wrong with a batch of so many questions."""
    if count == 0:
        return (FieldError("questions", "questions is empty; it must hold at least one question.", "batch-empty"),)
    if count > limits.batch:
        message = f"questions holds {count:,} questions; at most {limits.batch:,} are allowed. Send several batches."
        return (FieldError("questions", message, "batch-too-large"),)
    return ()


def shown(text: str) -> str:
    """A client's text made safe to show: cut, on one line, and valid Unicode."""
    cut = text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cut)


# By the kind of pydantic's error: the code of the problem, and the sentence.
_OBJECT = ("wrong-type", "The {name} must be a JSON object; known fields: {fields}.")
_BOOLEAN = ("wrong-type", "{name} must be true or false.")
_TEXT = ("wrong-type", "{name} must be a string.")
_NUMBER = ("wrong-type", "{name} must be a whole number.")
_KINDS: Mapping[str, tuple[str, str]] = {
    "missing": ("missing-field", "{name} is missing; it is required."),
    "extra_forbidden": ("unknown-field", "{name} is not a known field{hint} Known fields: {fields}."),
    "literal_error": ("mode-unknown", "{name} can only be {expected}."),
    "model_attributes_type": _OBJECT,
    "model_type": _OBJECT,
    "bool_parsing": _BOOLEAN,
    "bool_type": _BOOLEAN,
    "string_type": _TEXT,
    "string_unicode": ("invalid-request", "{name} holds half of a surrogate pair; remove it."),
    "string_too_short": ("invalid-request", "{name} is empty; write a pattern such as reports/*.txt, or leave it out."),
    "string_too_long": ("invalid-request", "{name} may have at most {max_length:,} characters."),
    "int_type": _NUMBER,
    "int_parsing": _NUMBER,
    "int_parsing_size": _NUMBER,
    "int_from_float": _NUMBER,
    "no_sha256": ("invalid-request", "{name} must be a SHA-256: 64 hexadecimal digits."),
    "list_type": ("wrong-type", "{name} must be a list."),
    "too_long": ("invalid-request", "{name} may hold at most {max_length:,} patterns."),
}
_OTHER = ("invalid-request", "{name} is not valid.")


def _explain(error: Any, fields: Sequence[str]) -> FieldError:
    name = _name(error["loc"])
    code, sentence = _KINDS.get(error["type"], _OTHER)
    if code == "mode-unknown" and name != "mode":
        code = "invalid-request"
    if (code, name) == ("missing-field", BODY):
        sentence = "The body is missing; send a JSON object; known fields: {fields}."
    message = sentence.format(name=name, hint=_hint(name, fields), fields=", ".join(fields), **error.get("ctx", {}))
    return FieldError(name, message, code)


def _name(location: Sequence[str | int]) -> str:
    name = ""
    for part in location:
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            name += f".{shown(part)}" if name else shown(part)
    return name or BODY


def _hint(name: str, fields: Sequence[str]) -> str:
    near = nearest(name, fields)
    return f"; did you mean {near}?" if near else "."


def nearest(name: str, fields: Sequence[str]) -> str | None:
    """The field that somebody who wrote ``name`` may have meant."""
    return next(iter(difflib.get_close_matches(name, fields, n=1, cutoff=0.65)), None)
