"""What has been written is on the disk, and not only on its way there.

Names that come from a file system, and its errors, as text that can be shown, stored and sent.
"""

from __future__ import annotations

import os
import re
from pathlib import Path


def sync(path: Path) -> None:
    """Return when a file's bytes, or a folder's names, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Line breaks of every kind and control characters: a name that holds one is no single line of a report, and no address.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def printable(name: str) -> str:
    """``name`` on one line, encodable in UTF-8: control characters and bytes that were not UTF-8 are escapes."""
    visible = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), name)
    return visible.encode("utf-8", "backslashreplace").decode("utf-8")


def fault(name: str) -> str:
    """Why a document cannot be called by this name, empty where it can."""
    if _CONTROL.search(name):
        return "its name holds a line break or control character; rename it"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8; rename it"
    return ""


def why(error: Exception) -> str:
    """The system's words for an error, as a part of a sentence."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return str(error) or type(error).__name__
