"""Parts of an Office file and how they are related (ECMA-376 part 2); what is missing harms nothing else."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from posixpath import dirname, join, normpath, split
from typing import Any
from urllib.parse import unquote

from qa.errors import UnreadableDocument
from qa.readers.archive import Archive, attribute, local

# Namespaces of the Strict form of ECMA-376, which few programs know, and of its Transitional form.
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/(\w+)")
_RELATION = re.compile(rb"<(?:\w+:)?Relationship\s[^>]*>")


@dataclass(frozen=True, slots=True)
class Relation:
    """What a part refers to: ``kind`` is the last word of the relation's type, and ``target`` the name of a part."""

    kind: str
    target: str


class Package:
    """An Office file. Relations that lead nowhere, or out of the file, are not there.

    Args:
        data: the bytes of the file.
        main: the name of its main part where the file does not say which one it is.

    Raises:
        UnreadableDocument: it is no archive, damaged, or a bomb.
    """

    def __init__(self, data: bytes, main: str) -> None:
        self._archive = Archive(data)
        self._known: dict[str, Mapping[str, Relation]] = {}
        self.main = next(self.related("", "officeDocument"), main)

    def relations(self, part: str) -> Mapping[str, Relation]:
        """Return what a part refers to, by the id of each reference; ``""`` is the package itself."""
        if part not in self._known:
            self._known[part] = dict(self._read_relations(part))
        return self._known[part]

    def related(self, part: str, kind: str) -> Iterator[str]:
        """Yield the names of the parts of a kind that a part refers to."""
        return (relation.target for relation in self.relations(part).values() if relation.kind == kind)

    def read(self, part: str) -> bytes:
        """Return the bytes of a part. Raises UnreadableDocument."""
        return self._archive.read(part)

    def xml(self, part: str) -> Any:
        """Return the root element of a part. Raises UnreadableDocument."""
        return self._archive.xml(part)

    def first(self, part: str, kind: str) -> Any:
        """Return the root element of the first part of a kind that a part refers to, or ``None``."""
        for target in self.related(part, kind):
            try:
                return self.xml(target)
            except UnreadableDocument:
                return None
        return None

    def title(self) -> str:
        """Return the title in the properties of the file, if it has one."""
        root = self.first("", "core-properties")
        return (
            next((element.text or "" for element in root if local(element) == "title"), "") if root is not None else ""
        )

    def _read_relations(self, part: str) -> Iterator[tuple[str, Relation]]:
        folder, name = split(part)
        path = join(folder, "_rels", f"{name}.rels")
        if path not in self._archive:
            return
        for element in self._archive.xml(path):
            target = unquote(attribute(element, "Target"))
            if attribute(element, "TargetMode") == "External" or not target:
                continue
            resolved = target.lstrip("/") if target.startswith("/") else normpath(join(dirname(part), target))
            if resolved in self._archive:
                yield attribute(element, "Id"), Relation(attribute(element, "Type").rpartition("/")[2], resolved)


def repair(data: bytes) -> bytes:
    """Rewrite an Office file without relations to parts that are missing, and in the Transitional form.

    Raises:
        UnreadableDocument: it is no archive, damaged, or a bomb.
    """
    archive = Archive(data)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as repaired:
        for name in archive.names:
            if name.endswith("/"):
                continue
            content = archive.read(name)
            if name.endswith((".xml", ".rels")):
                content = _STRICT.sub(_transitional, content)
            if name.endswith(".rels"):
                content = _without_dangling(content, name, archive)
            repaired.writestr(name, content)
    return buffer.getvalue()


def _transitional(found: re.Match[bytes]) -> bytes:
    return b"http://schemas.openxmlformats.org/%s/2006/%s" % (found[1], found[2])


def _without_dangling(relations: bytes, name: str, archive: Archive) -> bytes:
    folder = dirname(dirname(name))

    def kept(found: re.Match[bytes]) -> bytes:
        target = re.search(rb"""Target\s*=\s*["']([^"']*)""", found[0])
        if target is None or b"External" in found[0]:
            return found[0]
        path = unquote(target[1].decode("utf-8", "replace"))
        resolved = path if path.startswith("/") else normpath(join(folder, path))
        return found[0] if resolved in archive else b""

    return _RELATION.sub(kept, relations)
