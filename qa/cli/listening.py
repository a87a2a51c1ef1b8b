"""A listening socket, opened before anything heavy is imported."""

from __future__ import annotations

import errno
import socket

from qa.errors import SettingsError


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen; connections wait in the backlog until somebody accepts them.

    Raises:
        SettingsError: the port is in use or not allowed, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(2048)
        except OSError:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        raise SettingsError(_reason(host, port, error)) from error
    return listening


def _reason(host: str, port: int, error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return f"{host!r} is no host name; check --host or QA_HOST"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; stop what uses it, or choose another with --port or QA_PORT"
    if error.errno == errno.EACCES:
        return f"port {port} needs rights that this user does not have; choose one above 1023 with --port or QA_PORT"
    return f"cannot listen on {host}, port {port} ({error.strerror}); check --host or QA_HOST"
