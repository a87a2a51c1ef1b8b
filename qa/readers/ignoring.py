"""``.qaignore``: which files of a folder are not wanted, in the syntax and with the meaning of ``.gitignore``.

The meaning is https://git-scm.com/docs/gitignore. A file of this name may lie at any level and speaks of what lies
below it; the nearest decides first, and in it the last pattern that matches. What lies in an ignored folder cannot be
included again. Two differences, because a folder that was meant to be kept out would be indexed: a broken pattern is an
error, where git passes over it in silence, and tabs at a line's end are no part of its pattern.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from pathspec.patterns.gitignore.base import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from qa.errors import BadIgnoreFile
from qa.names import printable, why

IGNORE_FILE = ".qaignore"
_LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class _Rule:
    """A pattern. ``excludes`` is false where it began with ``!``."""

    expression: re.Pattern[str]
    excludes: bool
    only_folders: bool

    def matches(self, path: str, is_folder: bool) -> bool:
        if self.only_folders and not is_folder:
            return False
        found = self.expression.search(path)
        # pathspec also matches what lies below a match, and marks that with its only group. Here the walk takes care of
        # it: it does not enter an ignored folder, and in a folder that is included its own name decides nothing.
        return found is not None and found.lastgroup is None


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The patterns of one file, the last first, and those of the nearest file ``above`` it.

    ``folder`` is the id of the folder that it lies in, empty for the outermost.
    """

    folder: str
    rules: tuple[_Rule, ...]
    above: IgnoreRules | None = None

    def ignore(self, id: str, is_folder: bool) -> bool:
        """Whether the file or folder of this id, which lies below ``folder``, is not wanted."""
        nearest: IgnoreRules | None = self
        while nearest is not None:
            path = id.removeprefix(f"{nearest.folder}/") if nearest.folder else id
            for rule in nearest.rules:
                if rule.matches(path, is_folder):
                    return rule.excludes
            nearest = nearest.above
        return False


def read_rules(file: Path, folder: str, above: IgnoreRules | None) -> IgnoreRules | None:
    """The rules that hold below ``folder``, whose ``.qaignore`` is ``file``; those above where it is gone.

    Raises:
        BadIgnoreFile: it cannot be read, or a line of it is no pattern; the message names file and line.
    """
    try:
        lines = _content(file).decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        return above
    except UnicodeDecodeError as error:
        raise BadIgnoreFile(f"{printable(str(file))}: it is not valid UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise BadIgnoreFile(f"{printable(str(file))}: {why(error)}; what it keeps out is not known") from error
    rules: list[_Rule] = []
    for number, line in enumerate(lines, 1):
        try:
            rules += _rule(line)
        except ValueError:
            shown = printable(line.strip())
            raise BadIgnoreFile(
                f"{printable(str(file))}, line {number}: {shown!r} is no gitignore pattern; correct or remove it"
            ) from None
    return IgnoreRules(folder, tuple(reversed(rules)), above)


def _content(file: Path) -> bytes:
    # A named pipe would never open, and a device never end.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is not a regular file")
        content = opened.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise OSError(0, f"it is larger than {_LARGEST // 1_000_000} MB")
    return content


def _rule(line: str) -> list[_Rule]:
    """The rule of a line; none where it is blank or a comment. Raises ValueError where it is no pattern."""
    pattern = line if line.endswith("\\ ") else line.rstrip()
    if not pattern.strip() or pattern.startswith("#") or pattern in {"/", "!/"}:
        return []
    # As git does, the slash that asks for a folder is taken off first, for it does not anchor the pattern.
    only_folders = pattern.endswith("/")
    try:
        expression, excludes = GitIgnoreSpecPattern.pattern_to_regex(pattern.removesuffix("/"))
        if expression is None or excludes is None:
            raise ValueError(pattern)
        return [_Rule(re.compile(expression, re.DOTALL), excludes, only_folders)]
    except (GitIgnorePatternError, re.error, IndexError) as error:
        raise ValueError(pattern) from error
