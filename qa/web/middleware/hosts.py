"""The Host header must name this server: a page whose own name was pointed here (DNS rebinding) reads nothing."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from qa.web.problems import Problem

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.%]+\]|[^:\[\]/?#@\s]+)(?::\d{1,5})?")


def own_names(host: str) -> tuple[str, ...]:
    """Names that are this machine's without anybody saying so, for a server that listens on ``host``."""
    return ("localhost", socket.gethostname().lower(), host.lower())


class Hosts:
    """Answers 421 to a request for another host (RFC 9110, section 15.5.20).

    An address in figures is let through: a name is what can be pointed elsewhere.

    Args:
        names: in lower case; ``*.example.org`` is every name below that, ``*`` every one.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self.app = app
        self.names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_own(Headers(scope=scope).get("host", "")):
            detail = "The Host header names no host of this server; its operator can add it to QA_ALLOWED_HOSTS."
            await Problem("host-not-allowed", 421, detail).response()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        if "*" in self.names:
            return True
        if not (match := _HOST.fullmatch(host)):
            return False
        name = match["name"].lower().rstrip(".")
        if name in self.names or any(f"*{name[at:]}" in self.names for at in _dots(name)):
            return True
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def _dots(name: str) -> list[int]:
    return [at for at, character in enumerate(name) if character == "."]
