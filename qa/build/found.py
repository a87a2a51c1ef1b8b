"""The files that an update found, packed: it goes through them more than once, and there may be ten million."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

from qa.errors import NothingToIndex
from qa.types import FileReport, Source

# Files that are packed together, and the level of zlib: names that follow each other have much in common.
_BLOCK = 1024
_LEVEL = 1
# Files that were not read and are named where none was.
_NAMED = 5
_columns_of = attrgetter(*(field.name for field in fields(FileReport)))


class FoundFiles:
    """What discovery found, in order, in 10 to 40 bytes a file; it can be iterated any number of times.

    Args:
        items: what :func:`qa.readers.discovery.discover` yields; what that raises, making this raises.
    """

    def __init__(self, items: Iterable[Source | FileReport]) -> None:
        self._roots: dict[Path, int] = {}
        self._blocks: list[bytes] = []
        #: The bytes of the files that are to be read.
        self.size = 0
        self._count = 0
        source = iter(items)
        while block := list(islice(source, _BLOCK)):
            packed = json.dumps([self._pack(item) for item in block], separators=(",", ":"))
            self._blocks.append(zlib.compress(packed.encode(), _LEVEL))
            self._count += len(block)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Source | FileReport]:
        roots: tuple[Path | None, ...] = (*self._roots, None)
        for block in self._blocks:
            for row in json.loads(zlib.decompress(block)):
                yield _unpacked(row, roots)

    def _pack(self, item: Source | FileReport) -> list[Any]:
        if isinstance(item, FileReport):
            return [*_columns_of(item)]
        self.size += item.size
        path = str(item.path)
        if item.root is None:
            return [item.id, item.size, -1, path]
        root = self._roots.setdefault(item.root, len(self._roots))
        # With one path ids are where the files lie below it, unless a link led there.
        return [item.id, item.size, root] if path == f"{item.root}/{item.id}" else [item.id, item.size, root, path]


def _unpacked(row: list[Any], roots: tuple[Path | None, ...]) -> Source | FileReport:
    match row:
        case [id, size, place]:
            root = roots[place]
            return Source(id, Path(f"{root}/{id}"), size, root=root)
        case [id, size, place, path]:
            return Source(id, Path(path), size, root=roots[place])
        case _:
            pages = tuple((number, confidence) for number, confidence in row[-1])
            return FileReport(*(*row[:-1], pages))


class UnreadFiles:
    """The files that were not read, of which the first are named."""

    def __init__(self) -> None:
        self._first: list[FileReport] = []
        self._count = 0

    def add(self, report: FileReport) -> None:
        if report.status != "read":
            self._count += 1
            if len(self._first) < _NAMED:
                self._first.append(report)

    def __str__(self) -> str:
        if not self._count:
            return "there is no file to index; give a folder that holds documents"
        shown = "; ".join(f"{report.id}: {report.status}, {report.reason}" for report in self._first)
        more = f"; and {self._count - _NAMED} more" if self._count > _NAMED else ""
        return f"nothing could be read: {shown}{more}"


def require_sources(found: FoundFiles) -> None:
    """Raise NothingToIndex where discovery found no file that could be read, before a model is loaded for them."""
    unread = UnreadFiles()
    for item in found:
        if isinstance(item, Source):
            return
        unread.add(item)
    raise NothingToIndex(str(unread))
