"""API keys: made at random, kept as SHA-256, compared in constant time.

A key is 256 random bits, which nobody finds by trying: no slow hash is needed.

Who may do what: keys and scopes, and without keys the operator's own machine; nothing from another site's page.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, get_args
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from qa.errors import SettingsError
from qa.web.problems import Problem, Render

KeyScope = Literal["ask", "admin"]
SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)

_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64}):(?P<scope>ask|admin):(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Key:
    """``name`` is told in logs; ``admin`` may all that ``ask`` may."""

    name: str
    scope: KeyScope
    sha256: str

    def allows(self, scope: KeyScope) -> bool:
        return self.scope in ("admin", scope)


def parse_keys(text: str) -> tuple[Key, ...]:
    """``QA_API_KEYS``: ``NAME:SCOPE:SHA256``, several with commas or spaces between.

    Raises:
        SettingsError: an entry is wrong; by its place, as a key that was put there in clear must not be printed.
    """
    keys = []
    for place, entry in enumerate(re.split(r"[,\s]+", text.strip()) if text.strip() else [], start=1):
        if not (match := _ENTRY.fullmatch(entry)):
            raise SettingsError(
                f"entry {place} of QA_API_KEYS is not NAME:SCOPE:SHA256, scope ask or admin; make one with: qa keys"
            )
        keys.append(Key(match["name"], match["scope"], match["sha256"]))  # type: ignore[arg-type]
    return tuple(keys)


def new_key(name: str, scope: KeyScope) -> tuple[str, str]:
    """A new key, and its entry of ``QA_API_KEYS``.

    Raises:
        SettingsError: the name has other characters than an entry may have.
    """
    secret = f"qa-{scope}-{secrets.token_urlsafe(32)}"
    entry = f"{name}:{scope}:{hashlib.sha256(secret.encode()).hexdigest()}"
    if not _ENTRY.fullmatch(entry):
        raise SettingsError(f"{name!r} is no name for a key: use letters, digits, '.', '_' and '-'")
    return secret, entry


def find(keys: tuple[Key, ...], secret: str) -> Key | None:
    """The key that ``secret`` is. Every entry is compared, whichever it is."""
    digest = hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


# Nobody needs a key to see whether the service is up, or how the page looks.
_OPEN = ("/healthz", "/readyz", "/favicon.ico", "/openapi.json")
_OPERATING = ("/v1/snapshots", "/v1/index")
# Asking is reading; to have a file evaluated is work that lasts, and to cancel it undoes somebody's.
_EVALUATING = ("/v1/evaluations", "/evaluate")
# What proxies and networks of delivery say of whom they ask for, beside all that begins with X-Forwarded.
_FORWARDED = frozenset(
    """
    cdn-loop cf-connecting-ip cf-ray client-ip fastly-client-ip fly-client-ip forwarded true-client-ip via x-client-ip
    x-cluster-client-ip x-envoy-external-address x-original-forwarded-for x-original-host x-original-url x-real-ip
    """.split()
)


def required_scope(method: str, path: str) -> KeyScope | None:
    """What a request needs; ``None`` where it is anybody's."""
    if path in _OPEN or _is_below(path, "/static"):
        return None
    if any(_is_below(path, prefix) for prefix in _OPERATING):
        return "admin"
    if method not in ("GET", "HEAD", "OPTIONS") and any(_is_below(path, prefix) for prefix in _EVALUATING):
        return "admin"
    return "ask"


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


class Access:
    """Refuses what the request's key does not allow, with 401 or 403. Notes who asks in ``scope["state"]["client"]``.

    Where there are no keys at all, what needs ``admin`` is for clients on this machine alone, and asking is free; so it
    is where no key has the scope ``ask``. A browser may send a key as the password of its own dialogue (RFC 7617), for
    asking only: it would send it along with another site's requests too.
    """

    def __init__(self, app: ASGIApp, keys: tuple[Key, ...], origins: tuple[str, ...], render: Render) -> None:
        self.app = app
        self.render = render
        self.keys = keys
        self.origins = origins
        self._asking_needs_key = any(key.scope == "ask" for key in keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._refusal(scope)) is not None:
            await self.render(Request(scope), problem)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        needed = required_scope(scope["method"], scope["path"])
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and self._is_from_elsewhere(headers):
            detail = "This request was sent by a page of another site; such pages may not."
            return Problem("cross-site", 403, detail)
        secret, by_browser = _secret(headers)
        key = find(self.keys, secret) if secret else None
        scope.setdefault("state", {})["client"] = key.name if key is not None else _address(scope)
        if needed is None or (needed == "ask" and not self._asking_needs_key):
            return None
        if not self.keys:
            return None if is_on_this_machine(scope, headers) else _no_keys()
        if key is None or (needed == "admin" and by_browser):
            return _unauthorized(given=bool(secret), basic=needed == "ask")
        if not key.allows(needed):
            return Problem("forbidden", 403, f"This key has the scope {key.scope}; the request needs {needed}.")
        return None

    def _is_from_elsewhere(self, headers: Headers) -> bool:
        """By what browsers say of it, and no page can forge (Fetch Metadata, and Origin of RFC 6454)."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        return origin not in self.origins and _host(origin) != headers.get("host")


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def is_on_this_machine(scope: Scope, headers: Headers) -> bool:
    """Whether the client is here; one behind a proxy is not, wherever the proxy stands."""
    if any(name in _FORWARDED or name.startswith("x-forwarded") for name in headers):
        return False
    try:
        address = ip_address((scope.get("client") or ("",))[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _address(scope: Scope) -> str:
    """One household's addresses are one client: of IPv6, a /64."""
    text = str((scope.get("client") or ("unknown",))[0])
    try:
        address = ip_address(text)
    except ValueError:
        return text
    if isinstance(address, IPv4Address):
        return text
    return str(address.ipv4_mapped or ":".join(address.exploded.split(":")[:4]) + "::/64")


def _secret(headers: Headers) -> tuple[str, bool]:
    """The key that was sent, and whether a browser's dialogue sent it."""
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
    detail = "Without keys this is answered on the server's own machine only; its operator can set QA_API_KEYS."
    return Problem("forbidden", 403, detail)
