"""The files to read under the given paths, in an order that is the same on every machine.

``.qaignore`` files say which are not wanted, in the syntax and with the meaning of ``.gitignore``
(https://git-scm.com/docs/gitignore). A file of this name may lie at any level and applies to what lies below it; the
nearest decides first, and in it the last pattern that matches. What lies in an ignored folder cannot be included again.
There are two differences, because otherwise a folder that was meant to be kept out could be indexed: a broken pattern
is an error, where git ignores it silently, and tabs at the end of a line are not part of its pattern.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pathspec.patterns.gitignore.base import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from qa.errors import BadIgnoreFile, DuplicateDocument, SourceNotFound
from qa.files import FOLDER, fault, open_in, opened_folder, printable, why
from qa.types import FileReport, Source

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
        """Return whether the file or folder of this id, which lies below ``folder``, is not wanted."""
        nearest: IgnoreRules | None = self
        while nearest is not None:
            path = id.removeprefix(f"{nearest.folder}/") if nearest.folder else id
            for rule in nearest.rules:
                if rule.matches(path, is_folder):
                    return rule.excludes
            nearest = nearest.above
        return False


def read_rules(file: Path, folder: str, above: IgnoreRules | None) -> IgnoreRules | None:
    """Read the rules that apply below ``folder``, whose ``.qaignore`` is ``file``; if it is gone, return those above.

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
    """Parse a line; blank lines and comments are no rule. Raises ValueError if it is not a pattern."""
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


_IRREGULAR = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def discover(paths: Sequence[Path]) -> Iterator[Source | FileReport]:
    """Yield every file under ``paths``: a ``Source`` if it is to be read, otherwise a report that says why not.

    With one path, ids are relative to it (a single file: its name). With several, each id starts with the base name of
    its path, and with as many of the folders above as tell the paths apart: ``a/docs/x.txt``, ``b/docs/x.txt``. Hidden
    files are read only where a path names them, and so are those that a ``.qaignore`` keeps out. A link is followed
    only where it leads to a file inside the folder, and is ignored by its own name. An ignored or hidden folder, or one
    of installed packages, is one report; a ``.qaignore`` is none. What cannot be looked at has failed; what vanishes
    meanwhile, and a link that leads nowhere, is skipped.

    Raises:
        SourceNotFound: at once, a path that is not there or cannot be looked at.
        DuplicateDocument: at once, two paths that are the same; on the way, two files that would get one id.
        BadIgnoreFile: on the way, a ``.qaignore`` that is broken.
    """
    for path in paths:
        try:
            path.stat()
        except (OSError, ValueError) as error:
            raise SourceNotFound(f"{printable(str(path))}: {why(error)}; give a file or folder that exists") from None
    if len(paths) == 1:
        return _walk(paths[0], "")
    return _walk_all(paths, prefixes(paths))


def _walk_all(paths: Sequence[Path], beginnings: Sequence[str]) -> Iterator[Source | FileReport]:
    # Only where one path's ids may be among another's are they remembered.
    ordered = sorted(f"{each}/" for each in beginnings)
    is_clear = all(beginnings) and not any(other.startswith(one) for one, other in pairwise(ordered))
    seen: dict[str, Path] = {}
    for path, prefix in zip(paths, beginnings, strict=True):
        for found in _walk(path, prefix):
            if isinstance(found, Source) and not is_clear:
                if (other := seen.get(found.id)) is not None:
                    both = printable(f"{other} and {found.path}")
                    raise DuplicateDocument(
                        f"{both} would both be document {found.id}; rename one, or give a folder that holds both"
                    )
                seen[found.id] = found.path
            yield found


def prefixes(paths: Sequence[Path]) -> list[str]:
    """Choose what the ids of each path begin with, so that no two paths share ids, if that is possible.

    Raises:
        DuplicateDocument: two paths are the same.
    """
    first: dict[Path, Path] = {}
    for path in paths:
        if (other := first.setdefault(path.resolve(), path)) is not path:
            both = printable(f"{other} and {path}")
            raise DuplicateDocument(f"{both} are the same folder or file; give one of them")
    names = [_names(path) for path in paths]
    counts = [1] * len(paths)
    while True:
        tried = [parts[-count:] for parts, count in zip(names, counts, strict=True)]
        taken = Counter(tried)
        clashing = {prefix for prefix in tried if taken[prefix] > 1}
        for prefix in tried:
            above = [prefix[:end] for end in range(1, len(prefix)) if prefix[:end] in taken]
            clashing.update([prefix, *above] if above else [])
        longer = [
            min(count + (prefix in clashing), max(1, len(parts)))
            for prefix, count, parts in zip(tried, counts, names, strict=True)
        ]
        if longer == counts:
            return ["/".join(prefix) for prefix in tried]
        counts = longer


def _names(path: Path) -> tuple[str, ...]:
    """Return the folders above a path, outermost first, and its name as it was given, unless that was "." or ".."."""
    place = path.resolve() if path.name in {"", ".."} else path.parent.resolve() / path.name
    return tuple(printable(part) for part in place.parts[1:])


def _walk(root: Path, prefix: str) -> Iterator[Source | FileReport]:
    if root.is_dir():
        yield from _walk_folder(root, prefix)
    else:
        # A path given by the user is read under the name it was given, hidden or a link as it may be.
        yield _file(root, prefix or root.name)


def _walk_folder(root: Path, prefix: str) -> Iterator[Source | FileReport]:
    """Walk a folder depth first, in the order in which the ids sort."""
    with closing(_Folders(root)) as folders:
        yield from _walk_below(root, prefix, folders)


def _walk_below(root: Path, prefix: str, folders: _Folders) -> Iterator[Source | FileReport]:
    inside = root.resolve()
    # A stack and not recursion: folders may be nested deeper than Python's stack. Of each folder that the walk is in
    # the names that are left are on it, of folders with a slash: one may hold a million files.
    pending: list[tuple[Path, str, IgnoreRules | None, list[str]]] = []
    entered: tuple[Path, str, IgnoreRules | None] | None = (root, prefix, None)
    while entered or pending:
        if entered is not None:
            path, id, rules = entered
            entered = None
            try:
                names = folders.names(path)
            except OSError as error:
                yield _unreachable(printable(id or inside.name), "the folder: ", error)
                continue
            if IGNORE_FILE in names:
                names.remove(IGNORE_FILE)
                rules = read_rules(path / IGNORE_FILE, id, rules)
            pending.append((path, id, rules, names))
        folder, above, rules, names = pending[-1]
        if not names:
            pending.pop()
            continue
        name = names.pop()
        is_folder = name.endswith("/")
        name = name.removesuffix("/")
        path, id = folder / name, f"{above}/{name}" if above else name
        if reason := _unwanted(name, id, is_folder, rules):
            yield FileReport(printable(id), "skipped", reason)
        elif is_folder:
            entered = path, id, rules
        else:
            yield _entry(path, id, root, inside)


# Folders that programs fill with the code of others, which would crowd out a project's own.
INSTALLED = frozenset({"node_modules", "bower_components", "site-packages", "__pycache__"})


def _unwanted(name: str, id: str, is_folder: bool, rules: IgnoreRules | None) -> str:
    """Return why a file or folder is left out for its name, or nothing."""
    if name.startswith("."):
        return "hidden"
    if is_folder and name in INSTALLED:
        return "installed packages, not documents"
    if rules is not None and rules.ignore(id, is_folder):
        return f"ignored by {IGNORE_FILE}"
    return fault(name)


class _Folders:
    """The folders at and below ``root``, opened one after another without following a link.

    The last one stays open, so that what it holds is opened in one step: the way from the root may be long.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._last: tuple[Path, int] | None = None

    def close(self) -> None:
        if self._last is not None:
            os.close(self._last[1])
            self._last = None

    def names(self, folder: Path) -> list[str]:
        """List what a folder holds, last id first; the names of folders, which no link is, end in a slash.

        Raises:
            OSError: it cannot be listed.
        """
        with os.scandir(self._open(folder)) as entries:
            found = [f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in entries]
        # With the slash the order is that of the ids: "a.txt" comes before "a/b.txt".
        found.sort(reverse=True)
        return found

    def _open(self, folder: Path) -> int:
        if self._last is not None and self._last[0] == folder.parent:
            descriptor = open_in(self._last[1], folder.name, FOLDER)
        else:
            with opened_folder(folder, self._root) as opened:
                descriptor = os.dup(opened)
        self.close()
        self._last = folder, descriptor
        return descriptor


def _entry(path: Path, id: str, root: Path, inside: Path) -> Source | FileReport:
    """Look at one file or link that was found in the folder ``root``; ``inside`` is that folder, resolved."""
    try:
        status = path.lstat()
    except OSError as error:
        return _unreachable(id, "", error)
    if not stat.S_ISLNK(status.st_mode):
        return _found(path, id, status, root)
    try:
        target = path.resolve(strict=True)
        if reason := _unfollowed(target, inside):
            return FileReport(id, "skipped", reason)
        # Read where it leads now, so that it cannot lead elsewhere by then.
        return _file(root / target.relative_to(inside), id, root)
    except OSError as error:
        return _unreachable(id, "the link: ", error)
    except RuntimeError:  # of Python before 3.13, whose text holds the whole path
        return _unreachable(id, "the link: ", OSError(errno.ELOOP, os.strerror(errno.ELOOP)))


def _unfollowed(target: Path, inside: Path) -> str:
    """Return why a link to ``target`` is not followed, or nothing if that is a file that is read."""
    if not target.is_relative_to(inside):
        return "a link that leads out of the folder"
    if target.is_dir():
        return "a link to a folder"
    if any(part.startswith(".") for part in target.relative_to(inside).parts):
        return "a link to a hidden file"
    return ""


def _file(path: Path, id: str, root: Path | None = None) -> Source | FileReport:
    if reason := fault(path.name):
        return FileReport(printable(id), "skipped", reason)
    try:
        status = path.stat()
    except OSError as error:
        return _unreachable(id, "", error)
    return _found(path, id, status, root)


def _found(path: Path, id: str, status: os.stat_result, root: Path | None) -> Source | FileReport:
    """Make a source of what the system says of a file, or a report where it is none."""
    if not stat.S_ISREG(status.st_mode):
        kind = _IRREGULAR.get(stat.S_IFMT(status.st_mode), "not a regular file")
        return FileReport(id, "skipped", kind)
    return Source(id, path, status.st_size, root=root)


def _unreachable(id: str, what: str, error: Exception) -> FileReport:
    """Report a file that cannot be looked at as failed, and one that is gone as skipped."""
    is_gone = isinstance(error, FileNotFoundError | NotADirectoryError)
    return FileReport(id, "skipped" if is_gone else "failed", f"{what}{why(error)}")
