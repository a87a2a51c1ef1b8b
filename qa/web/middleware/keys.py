"""API keys: made at random, kept as SHA-256, compared in constant time.

A key is 256 random bits, which nobody finds by trying: no slow hash is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Literal, get_args

from qa.errors import SettingsError

Scope = Literal["ask", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64}):(?P<scope>ask|admin):(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Key:
    """``name`` is told in logs; ``admin`` may all that ``ask`` may."""

    name: str
    scope: Scope
    sha256: str

    def allows(self, scope: Scope) -> bool:
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


def new_key(name: str, scope: Scope) -> tuple[str, str]:
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
