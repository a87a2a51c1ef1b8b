"""Addresses of pages: a question and how it is asked, read from one and kept from page to page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from urllib.parse import quote, urlencode

from pydantic import ValidationError
from starlette.datastructures import QueryParams

from qa.types import Limits, Query
from qa.web.api.requests import AskParameters
from qa.web.problems import FieldError
from qa.web.validation import check, explain, nearest

_NAMES = tuple(AskParameters.model_fields)
USUAL = Query("")


def read_query(parameters: QueryParams, limits: Limits) -> tuple[Query, tuple[FieldError, ...]]:
    """The question of an address, which takes what ``GET /v1/ask`` takes, and what is wrong with it.

    A name that is nearly one of those is wrong; others are passed over, as mail programs and networks add them to what
    is shared, and other pages have their own. What is wrong with a parameter other than the question leaves the query
    as if it had not been there: whoever asks on from there meets the mistake once.
    """
    given = {
        name: parameters.getlist(name) if name in ("documents", "sections") else value
        for name, value in {"q": "", **parameters}.items()
        if nearest(name, _NAMES)
    }
    errors: tuple[FieldError, ...] = ()
    try:
        query = AskParameters.model_validate(given).query()
    except ValidationError as error:
        errors = explain(error.errors(), _NAMES)
        # All of the places, though only the first are told.
        wrong = {str(each["loc"][0]) for each in error.errors()}
        query = AskParameters.model_validate({name: given[name] for name in given.keys() - wrong}).query()
    # Where no question is asked yet, how the next will be can be wrong already.
    errors += check(query if "q" in parameters else replace(query, question="?"), limits, "q")
    return without(query, (error.field for error in errors)), errors


def without(query: Query, wrong: Iterable[str]) -> Query:
    """The query with the defaults of fields that are wrong, such as ``documents[0]``; the question stays."""
    names = {name.partition("[")[0] for name in wrong}
    options = {field.name for field in fields(Query)} - {"question"}
    return replace(query, **{name: getattr(USUAL, name) for name in names & options})


def chosen(query: Query) -> list[tuple[str, str]]:
    """The parameters that say how a question is asked, without what is as usual."""
    found = [("documents", glob) for glob in query.documents] + [("sections", glob) for glob in query.sections]
    if query.top_k != USUAL.top_k:
        found.append(("top_k", str(query.top_k)))
    if query.mode != USUAL.mode:
        found.append(("mode", query.mode))
    if query.rerank:
        found.append(("rerank", "true"))
    return found


def asking_address(query: Query, question: str | None = None) -> str:
    """Of the page that answers ``query``, or another question asked in the same way."""
    text = query.question if question is None else question
    parts = [*([("q", text)] if text else []), *chosen(query)]
    return f"/?{urlencode(parts, errors='replace')}" if parts else "/"


def json_address(document: str) -> str:
    return "/v1/documents/" + quote(document, errors="replace")


def reading_address(document: str, start: int, end: int, query: Query | None = None) -> str:
    """Of the page that shows a span in its place; the fragment has the browser go to it."""
    asked = [("q", query.question), *chosen(query)] if query is not None and query.question else []
    parts = urlencode([("start", str(start)), ("end", str(end)), *asked], errors="replace")
    return f"/documents/{quote(document, errors='replace')}?{parts}#span"
