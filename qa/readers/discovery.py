"""What there is to read under the given paths, in an order that is the same on every machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from qa.errors import DuplicateDocument, SourceNotFound
from qa.types import FileReport, Source

_IRREGULAR = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def discover(paths: Sequence[Path]) -> Iterator[Source | FileReport]:
    """Every file under ``paths``: a ``Source`` where it is to be read, else a report that says why it is not.

    With one path, ids are relative to it (a single file: its name). With several, each id starts with the base name
    of its path. Hidden files are read only where a path names them. A link is followed only where it leads to a file
    inside the folder.

    Raises:
        SourceNotFound: at once, a path that is not there or cannot be looked at.
        DuplicateDocument: on the way, two files that would get one id.
    """
    for path in paths:
        try:
            path.stat()
        except (OSError, ValueError) as error:
            raise SourceNotFound(f"{printable(str(path))}: {_why(error)}; give a file or folder that exists") from None
    return _walk_all(paths)


def printable(name: str) -> str:
    """``name`` as text that can be encoded in UTF-8: bytes that were not are written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _walk_all(paths: Sequence[Path]) -> Iterator[Source | FileReport]:
    if len(paths) == 1:
        yield from _walk(paths[0], "")
        return
    seen: dict[str, Path] = {}
    for path in paths:
        for found in _walk(path, printable(_base_name(path))):
            if isinstance(found, Source):
                if (other := seen.get(found.id)) is not None:
                    both = printable(f"{other} and {found.path}")
                    raise DuplicateDocument(
                        f"{both} would both be document {found.id}; rename one, or give a folder that holds both"
                    )
                seen[found.id] = found.path
            yield found


def _base_name(path: Path) -> str:
    """The last name of a path, also where it is written "." or ".."."""
    return path.resolve().name if path.name in {"", ".."} else path.name


def _walk(root: Path, prefix: str) -> Iterator[Source | FileReport]:
    if root.is_dir():
        yield from _walk_folder(root, prefix)
    else:
        # A path given by the user is read under the name it was given, hidden or a link as it may be.
        yield _file(root, prefix or root.name)


def _walk_folder(root: Path, prefix: str) -> Iterator[Source | FileReport]:
    """Depth first; ids come in the order in which they sort."""
    inside = root.resolve()
    # A stack and not recursion: folders may be nested deeper than Python's stack.
    pending: list[tuple[Path, str, bool]] = [(root, prefix, True)]
    while pending:
        path, id, is_folder = pending.pop()
        if path != root and path.name.startswith("."):
            yield FileReport(printable(id), "skipped", "hidden")
        elif not is_folder:
            yield _entry(path, id, inside)
        elif path != root and not _encodable(path.name):
            yield _badly_named(id)
        else:
            try:
                children = _children(path)
            except OSError as error:
                yield FileReport(printable(id or inside.name), "failed", f"the folder: {_why(error)}")
                continue
            pending += [(child, f"{id}/{child.name}" if id else child.name, folder) for child, folder in children]


def _children(folder: Path) -> list[tuple[Path, bool]]:
    """What a folder holds, and whether each is a folder (a link never is), last id first."""
    with os.scandir(folder) as entries:
        found = [(Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries]
    # The slash makes the order that of the ids: "a.txt" comes before "a/b.txt".
    return sorted(found, key=lambda child: f"{child[0].name}/" if child[1] else child[0].name, reverse=True)


def _entry(path: Path, id: str, inside: Path) -> Source | FileReport:
    """One file or link found in a folder; ``inside`` is that folder, resolved."""
    if not _encodable(path.name):
        return _badly_named(id)
    try:
        if path.is_symlink() and (reason := _unfollowed(path, inside)):
            return FileReport(id, "skipped", reason)
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError before Python 3.13
        return FileReport(id, "failed", f"the link: {_why(error)}")
    return _file(path, id)


def _unfollowed(link: Path, inside: Path) -> str:
    """Why a link is not followed; empty where it leads to a file that is read.

    Raises:
        OSError: it leads nowhere.
    """
    target = link.resolve(strict=True)
    if not target.is_relative_to(inside):
        return "a link that leads out of the folder"
    if target.is_dir():
        return "a link to a folder"
    if any(part.startswith(".") for part in target.relative_to(inside).parts):
        return "a link to a hidden file"
    return ""


def _file(path: Path, id: str) -> Source | FileReport:
    if not _encodable(path.name):
        return _badly_named(id)
    try:
        status = path.stat()
    except OSError as error:
        return FileReport(id, "failed", _why(error))
    if not stat.S_ISREG(status.st_mode):
        kind = _IRREGULAR.get(stat.S_IFMT(status.st_mode), "not a regular file")
        return FileReport(id, "skipped", kind)
    return Source(id, path, status.st_size)


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _badly_named(id: str) -> FileReport:
    return FileReport(printable(id), "skipped", "its name is not valid UTF-8; rename it")


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return str(error) or type(error).__name__
