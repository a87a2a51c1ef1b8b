"""Access: API keys and their scopes; without keys, this machine alone may operate; other sites' pages may only link.

A key is 256 random bits, which cannot be found by trying, so a fast hash of it is enough. Keys are kept as SHA-256 and
compared in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from qa.errors import SettingsError
from qa.web.fairness import CLIENT
from qa.web.problems import Problem, Render, nothing_at

KeyScope = Literal["ask", "admin"]

# Addresses of which is remembered what they are.
_ADDRESSES = 1024
_ENTRY = re.compile(
    r"(?P<name>[A-Za-z0-9._-]{1,64}):(?P<scope>ask|admin):(?P<sha256>[0-9a-f]{64})"
    r"(?::(?P<collections>[A-Za-z0-9._-]+(?:\+[A-Za-z0-9._-]+)*))?"
)


@dataclass(frozen=True, slots=True)
class Key:
    """An API key. ``name`` stands in logs; the scope ``admin`` includes ``ask``.

    ``collections`` are those that it is for; without any, it is for all.
    """

    name: str
    scope: KeyScope
    sha256: str
    collections: tuple[str, ...] = ()

    def allows(self, scope: KeyScope) -> bool:
        """Return whether this key may do what needs ``scope``."""
        return self.scope in ("admin", scope)

    def is_for(self, collection: str) -> bool:
        """Return whether this key may do in ``collection`` what its scope allows."""
        return not self.collections or collection in self.collections


def parse_keys(text: str) -> tuple[Key, ...]:
    """Parse ``QA_API_KEYS``: entries ``NAME:SCOPE:SHA256`` or ``NAME:SCOPE:SHA256:COLLECTION+COLLECTION``.

    Between two entries are commas or spaces.

    Raises:
        SettingsError: an entry is wrong; it is named by its place, because it may hold a key in clear text.
    """
    keys = []
    for place, entry in enumerate(re.split(r"[,\s]+", text.strip()) if text.strip() else [], start=1):
        if not (match := _ENTRY.fullmatch(entry)):
            raise SettingsError(
                f"entry {place} of QA_API_KEYS is not NAME:SCOPE:SHA256, with :COLLECTION+COLLECTION behind it where "
                "the key is not for all; the scope is ask or admin; make one with: qa keys"
            )
        collections = tuple((match["collections"] or "").split("+")) if match["collections"] else ()
        keys.append(Key(match["name"], match["scope"], match["sha256"], collections))  # type: ignore[arg-type]
    return tuple(keys)


def require_served(keys: Sequence[Key], names: Sequence[str]) -> None:
    """Raise SettingsError where a key is for a collection that is not served: its name is wrong, or was forgotten."""
    for key in keys:
        if unknown := [name for name in key.collections if name not in names]:
            raise SettingsError(
                f"the key {key.name} of QA_API_KEYS is for {unknown[0]!r}, which is not served ({', '.join(names)} "
                f"{'is' if len(names) == 1 else 'are'}); correct the name, or serve it with --name {unknown[0]}"
            )


def asking_needs_key(keys: Sequence[Key]) -> bool:
    """Return whether asking needs a key: where any has the scope ``ask``."""
    return any(key.scope == "ask" for key in keys)


def new_key(name: str, scope: KeyScope, collections: Sequence[str] = ()) -> tuple[str, str]:
    """Make a new key for ``collections``, or for all of them, and its entry of ``QA_API_KEYS``.

    Raises:
        SettingsError: a name has characters that an entry cannot hold.
    """
    secret = f"qa-{scope}-{secrets.token_urlsafe(32)}"
    entry = f"{name}:{scope}:{hashlib.sha256(secret.encode()).hexdigest()}"
    if not _ENTRY.fullmatch(entry):
        raise SettingsError(f"{name!r} cannot be the name of a key: use letters, digits, '.', '_' and '-'")
    whole = f"{entry}:{'+'.join(collections)}" if collections else entry
    if not _ENTRY.fullmatch(whole):
        raise SettingsError(f"{'+'.join(collections)!r} names no collection: use letters, digits, '.', '_' and '-'")
    return secret, whole


def find_key(keys: tuple[Key, ...], secret: str) -> Key | None:
    """Return the key with this secret, if any. Every entry is compared, so that the time tells nothing."""
    digest = hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


# Paths that never need a key.
_OPEN = ("/healthz", "/readyz", "/favicon.ico", "/openapi.json")
_OPERATING = ("/v1/snapshots", "/v1/index")
# Paths where reading needs the scope ask, and changing something the scope admin.
_CHANGING = ("/v1/evaluations", "/evaluate", "/v1/documents")
# The same, where a browser's dialogue may send the key: pages whose forms change documents, and what only shows
# something.
_BY_DIALOGUE = ("/upkeep", "/unanswered", "/v1/unanswered")
# Headers by which proxies name their client, beside all that begin with X-Forwarded.
_FORWARDED = frozenset(
    """
    cdn-loop cf-connecting-ip cf-ray client-ip fastly-client-ip fly-client-ip forwarded true-client-ip via x-client-ip
    x-cluster-client-ip x-envoy-external-address x-original-forwarded-for x-original-host x-original-url x-real-ip
    """.split()
)


def required_scope(method: str, path: str) -> KeyScope | None:
    """Return the scope that a request needs; ``None`` where it needs no key."""
    if path in _OPEN or is_below(path, "/static"):
        return None
    if any(is_below(path, prefix) for prefix in (*_OPERATING, *_BY_DIALOGUE)):
        return "admin"
    if method not in ("GET", "HEAD", "OPTIONS") and any(is_below(path, prefix) for prefix in _CHANGING):
        return "admin"
    return "ask"


def is_below(path: str, prefix: str) -> bool:
    """Return whether a path is ``prefix``, or an address below it."""
    return path == prefix or path.startswith(f"{prefix}/")


class Identity:
    """The middleware that finds out who asks, and puts it into ``scope["state"]``: ``client``, ``key``, ``secret``.

    ``client`` is the name of the key, or else the address; ``key`` is the :class:`Key`, or ``None``. It stands outside
    of the rates, so that requests with a wrong key are counted too.
    """

    def __init__(self, app: ASGIApp, keys: tuple[Key, ...]) -> None:
        self.app = app
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            secret, by_browser = _read_secret(Headers(scope=scope))
            key = find_key(self.keys, secret) if secret else None
            client = key.name if key is not None else client_at(scope.get("client"))
            scope.setdefault("state", {}).update(client=client, key=key, secret=bool(secret), by_browser=by_browser)
            CLIENT.set(client)
        await self.app(scope, receive, send)


class Access:
    """The middleware that answers 401 or 403 to what a request's key does not allow; :class:`Identity` found the key.

    Without any keys, what needs ``admin`` is for clients on this machine alone. Where no key has the scope ``ask``,
    asking needs none. A browser may send a key as the password of its own dialogue (RFC 7617), but for asking only,
    because it would send it with another site's requests too; and for the pages of who keeps the documents, where what
    changes something must prove to come from a page of this server.
    """

    def __init__(self, app: ASGIApp, keys: tuple[Key, ...], origins: tuple[str, ...], render: Render) -> None:
        self.app = app
        self.render = render
        self.keys = keys
        self.origins = origins
        self._asking_needs_key = asking_needs_key(keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._refusal(scope)) is not None:
            await self.render(Request(scope), problem)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        method, path = scope["method"], scope["path"]
        if "\n" in path:
            # A route's pattern ends before a line end: "/v1/index\n" would be "/v1/index" to it, and not to the scopes.
            return nothing_at(path)
        needed = required_scope(method, path)
        changes = method not in ("GET", "HEAD", "OPTIONS")
        costs = changes or (needed is not None and method != "OPTIONS" and not _is_link(headers))
        if costs and self._is_from_elsewhere(headers):
            detail = "This request was sent by a page of another site, which is not allowed here."
            return Problem("cross-site", 403, detail)
        if needed is None or (needed == "ask" and not self._asking_needs_key):
            return None
        if not self.keys:
            return None if may_operate(scope, headers) else _no_keys()
        if scope["state"]["by_browser"] and _is_for_keepers(path):
            return _browser_refusal(scope, headers, changes=changes)
        return _key_refusal(scope, needed)

    def _is_from_elsewhere(self, headers: Headers) -> bool:
        """Return whether another site's page sent this, by headers that no page can forge (RFC 6454)."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        return origin not in self.origins and _parse_host(origin) != headers.get("host")


def _key_refusal(scope: Scope, needed: KeyScope) -> Problem | None:
    key: Key | None = scope["state"]["key"]
    if key is None or (needed == "admin" and scope["state"]["by_browser"]):
        basic = needed == "ask" or _is_for_keepers(scope["path"])
        return _unauthorized(given=scope["state"]["secret"], basic=basic)
    if not key.allows(needed):
        return Problem("forbidden", 403, f"This key has the scope {key.scope}; the request needs {needed}.")
    return None


def _is_for_keepers(path: str) -> bool:
    return any(is_below(path, prefix) for prefix in _BY_DIALOGUE)


def _browser_refusal(scope: Scope, headers: Headers, *, changes: bool) -> Problem | None:
    """Refuse what a browser sends to such pages with no key of the scope admin, or from another page."""
    key: Key | None = scope["state"]["key"]
    if key is None or not key.allows("admin"):
        # The dialogue asks for another key.
        return _unauthorized(given=True, basic=True)
    if changes and not _is_from_own_page(headers):
        return Problem("cross-site", 403, "This must be sent by a page of this server, in a browser that says so.")
    return None


def _is_from_own_page(headers: Headers) -> bool:
    """Return whether a browser says that a page of this very server sent this."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") == "same-origin"
    return _parse_host(origin) == headers.get("host")


def _is_link(headers: Headers) -> bool:
    """Return whether a person follows a link (W3C Fetch Metadata), and no script, picture or frame asks."""
    is_page = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    # A page can have another one fetched before anybody follows the link to it.
    return is_page and "sec-purpose" not in headers and "purpose" not in headers


def _parse_host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def is_on_this_machine(scope: Scope, headers: Headers) -> bool:
    """Return whether the client is on this machine; one behind a proxy that says so is not."""
    if any(name in _FORWARDED or name.startswith("x-forwarded") for name in headers):
        return False
    return _is_loopback(str((scope.get("client") or ("",))[0]))


def may_operate(scope: Scope, headers: Headers) -> bool:
    """Return whether this is this machine's operator, where there are no keys.

    A proxy that adds no header looks like a client on this machine; it passes on the name by which others know it, and
    the operator asks for a loopback address or ``localhost``.
    """
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    is_named_so = name.lower().rstrip(".") == "localhost" or _is_loopback(name.strip("[]"))
    return is_named_so and is_on_this_machine(scope, headers)


@lru_cache(maxsize=_ADDRESSES)
def _is_loopback(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def client_at(address: tuple[str, int] | None) -> str:
    """Return the client at an address: for IPv6 its /64 network, because one household has all of it."""
    return _network(str((address or ("unknown",))[0]))


@lru_cache(maxsize=_ADDRESSES)
def _network(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return text
    if isinstance(address, IPv4Address):
        return text
    return str(address.ipv4_mapped or ":".join(address.exploded.split(":")[:4]) + "::/64")


def _read_secret(headers: Headers) -> tuple[str, bool]:
    """Return the key that was sent, and whether a browser's dialogue sent it."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip(), False
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2], True
        except (binascii.Error, UnicodeDecodeError):
            return "", True
    return headers.get("x-api-key", ""), False


def _unauthorized(*, given: bool, basic: bool) -> Problem:
    what = "The key is not known here" if given else "This needs a key"
    by_hand = ", or in a browser as the password of any user" if basic else ""
    detail = f"{what}; send one as Authorization: Bearer KEY{by_hand}."
    challenge = 'Bearer realm="qa", Basic realm="qa", charset="UTF-8"' if basic else 'Bearer realm="qa"'
    return Problem("unauthorized", 401, detail, headers={"WWW-Authenticate": challenge})


def _no_keys() -> Problem:
    detail = (
        "Without keys this is answered on the server's own machine only, at localhost or a loopback address; its "
        "operator can set QA_API_KEYS."
    )
    return Problem("forbidden", 403, detail)
