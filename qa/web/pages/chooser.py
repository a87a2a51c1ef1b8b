"""The chooser: links from a page to the same one of another collection, or to all collections together."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from qa.types import Query
from qa.web.deps import of_request, visible_collections
from qa.web.federation import ALL
from qa.web.middleware.collections import in_collection

# What the choice of all collections is called.
ALL_NAME = "all collections"


@dataclass(frozen=True, slots=True)
class CollectionChoice:
    """A collection that can be chosen on a page. ``address`` asks the same question there."""

    name: str
    address: str
    is_chosen: bool
    is_ready: bool = True


def make_choices(request: Request, here: str, query: Query | None = None) -> list[CollectionChoice]:
    """List the collections that a page lets choose from; none where the request may ask a single one.

    The page of another collection is of the same kind, ``here``, with the same question, but without filters, which are
    of the documents of this one.
    """
    if len(request.scope.get("state", {}).get("collections", ())) < 2:
        return []
    current = of_request(request).name
    asked = query.collections if query is not None else ()
    question = "" if query is None else query.question
    is_list = here in ("documents", "evaluate")
    choices = []
    for each in visible_collections(request):
        address = in_collection(f"/{here}", each.name) if is_list else asking_in(each.name, question)
        is_chosen = each.name in asked or (not asked and each.name == current)
        choices.append(CollectionChoice(each.name, address, is_chosen, each.service.state().ready))
    every = _address([("q", question), ("collections", ALL)] if question else [("collections", ALL)])
    return [*choices, CollectionChoice(ALL_NAME, every, ALL in asked)]


def asking_in(collection: str, question: str) -> str:
    """Return the address of the page that asks ``question``, or none yet, in a collection of this name."""
    return in_collection(_address([("q", question)] if question else []), collection)


def _address(parameters: list[tuple[str, str]]) -> str:
    return f"/?{urlencode(parameters, errors='replace')}" if parameters else "/"
