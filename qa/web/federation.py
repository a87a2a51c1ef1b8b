"""A question to several collections at once (federated search): each answers by itself, and the replies are merged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request

from qa.answers.merging import merge_replies
from qa.errors import Overloaded, QAError, QueryError
from qa.types import Query, Reply
from qa.web.deps import Dependencies, of_request, visible_collections

# Stands for all collections that the request may ask.
ALL = "*"


async def ask_collections(request: Request, query: Query) -> Reply:
    """Answer a question from the collections that it names, or from that of the request's address.

    Raises:
        QueryError, NotReady, Overloaded, HungUp: as :meth:`qa.web.asking.Asking.ask`; of several collections where
            none of them answered. QueryError also where there is no collection of a name, or none for the key.
    """
    if not query.collections:
        return await of_request(request).asking.ask(query, request)
    started = time.perf_counter()
    asked = choose_collections(request, query.collections)
    alone = replace(query, collections=())
    tasks = [asyncio.create_task(_ask(each, alone, request)) for each in asked]
    try:
        outcomes = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    names = [each.name for each in asked]
    # In a thread, because a hundred passages of a hundred collections take milliseconds.
    reply = await asyncio.to_thread(merge_replies, dict(zip(names, outcomes, strict=True)), query.top_k)
    # What none of them answered is missing in each.
    for each in asked:
        each.asking.note_unanswered(alone, reply)
    return replace(reply, timings_ms={**reply.timings_ms, "total": 1000 * (time.perf_counter() - started)})


def choose_collections(request: Request, names: Sequence[str]) -> list[Dependencies]:
    """Return the collections of these names that the request may ask, in the server's order. Raises QueryError."""
    known = visible_collections(request)
    if ALL in names:
        return known
    for number, name in enumerate(names):
        if name not in {each.name for each in known}:
            # The same where it is there and not for this key.
            raise QueryError(
                f"collections[{number}]", f"collections[{number}] names no collection that can be asked here"
            )
    return [each for each in known if each.name in names]


async def _ask(parts: Dependencies, query: Query, request: Request) -> Reply | QAError:
    """Ask one collection; what is wrong with it must not keep the others from answering."""
    try:
        return await parts.asking.ask(query, request, noted=True)
    except Overloaded:
        raise
    except QAError as error:
        return error
