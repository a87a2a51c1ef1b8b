"""Names of what is within a file and becomes documents of its own: files attached to mails, lines of a corpus."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath

from qa.files import printable
from qa.readers.composition import one_line

_LONGEST_NAME = 120
_SEPARATORS = re.compile(r"[/\\]+")


class AttachmentNames:
    """The names given so far within one file: no two are the same."""

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._times: Counter[str] = Counter()

    def choose(self, name: str, otherwise: str, folder: str = "") -> str:
        """Return a name that is one part of a document's id, with a number in it where it is given: "plan (2).pdf".

        It is on one line, without slashes, not too long, and never empty.

        Args:
            name: what the file says.
            otherwise: the name where that says nothing.
            folder: what stands before the name in the id; names are told apart within one folder.
        """
        name = _clean(name) or otherwise
        path, tried = PurePosixPath(name), name
        while folder + tried in self._given:
            # Counted by name, so that a million of one name do not each begin with "(2)".
            self._times[folder + name] += 1
            tried = f"{path.stem} ({self._times[folder + name] + 1}){path.suffix}"
        self._given.add(folder + tried)
        return tried


def _clean(name: str) -> str:
    name = printable(_SEPARATORS.sub("_", one_line(name))).strip(". ")
    suffix = PurePosixPath(name).suffix[:20]
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - len(suffix)] + suffix
