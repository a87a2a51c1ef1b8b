"""Collections by address: which one a request is for, and whether its key may ask that one.

``/v1/collections/hr/ask`` is what ``/v1/ask`` is for the default collection, and ``/collections/hr/documents`` the page
that ``/documents`` is. The name is taken out of the path before anything else looks at it, so that each route, each
scope and each limit is written once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextvars import ContextVar

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from qa.web.middleware.access import Key, asking_needs_key, required_scope
from qa.web.problems import Render, nothing_at

# The collection that the address of the request names, so that the addresses in its response name it too.
_NAMED: ContextVar[str | None] = ContextVar("named", default=None)

_API = re.compile(r"/v1/collections/(?P<name>[^/\n]+)(?P<rest>/(?!collections(/|$)).+)", re.DOTALL)
_PAGE = re.compile(r"/collections/(?P<name>[^/\n]+)(?P<rest>/.*|$)", re.DOTALL)
# What is of the whole server, and not of a collection.
_OF_SERVER = re.compile(r"/(v1|static|collections|healthz|readyz|metrics|openapi\.json|docs|favicon\.ico)(/|$)")


def split_path(path: str) -> tuple[str | None, str]:
    """Return the collection that a path names, if it names one, and the path that is the default collection's."""
    if match := _API.fullmatch(path):
        return match["name"], f"/v1{match['rest']}"
    if (match := _PAGE.fullmatch(path)) and not _OF_SERVER.match(match["rest"]):
        return match["name"], match["rest"] or "/"
    return None, path


def in_collection(path: str, name: str | None = None) -> str:
    """Return a path, such as ``/documents`` or ``/v1/documents``, as that of a collection.

    Without ``name`` it is the collection that the request's own address names, and the path itself if that names none.
    """
    collection = name or _NAMED.get()
    if collection is None:
        return path
    return f"/v1/collections/{collection}{path[3:]}" if path.startswith("/v1/") else f"/collections/{collection}{path}"


def asked_path(scope: Scope) -> str:
    """Return the path of a request as its client wrote it, with the collection's name."""
    path: str = scope.get("state", {}).get("asked", scope["path"])
    return path


class CollectionPaths:
    """The middleware that takes the collection's name out of the path, into ``scope["state"]``: ``named``, ``asked``.

    ``named`` is the name, or ``None``; ``asked`` is the path as it was.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            named, path = split_path(scope["path"])
            scope.setdefault("state", {}).update(named=named, asked=scope["path"])
            # In place: what stands outside reads the route that is found for it.
            scope["path"] = path
        await self.app(scope, receive, send)


class CollectionAccess:
    """The middleware that answers 404 where a request names a collection that is not there, or not for its key.

    It puts into ``scope["state"]`` what the request is for: ``collection``, its name, and ``collections``, the names of
    all that it may ask. Without a name, that is the first of them.

    Args:
        names: of all collections, the default one first.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str], keys: tuple[Key, ...], render: Render) -> None:
        self.app = app
        self.names = tuple(names)
        self.render = render
        self._hides = asking_needs_key(keys) and any(key.collections for key in keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        allowed = self._allowed(scope["state"]["key"])
        named = scope["state"]["named"]
        collection = next(iter(allowed), "") if named is None else named
        is_open = named is None and required_scope(scope["method"], scope["path"]) is None
        if collection not in allowed and not is_open:
            problem = nothing_at(asked_path(scope))
            await self.render(Request(scope), problem)(scope, receive, send)
            return
        _NAMED.set(named)
        scope["state"].update(collection=collection, collections=allowed)
        await self.app(scope, receive, send)

    def _allowed(self, key: Key | None) -> tuple[str, ...]:
        if key is not None:
            return tuple(name for name in self.names if key.is_for(name))
        # Addresses that need no key, such as /readyz, must not say either what only some keys may know of.
        return () if self._hides else self.names
