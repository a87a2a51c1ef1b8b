"""ZIP containers of documents (OOXML, OpenDocument, EPUB), within limits that no ZIP bomb passes.

The parts of an Office file and how they are related (ECMA-376 part 2) are here too; what is missing harms nothing else.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from posixpath import dirname, join, normpath, split
from typing import Any
from urllib.parse import unquote

from qa.errors import UnreadableDocument
from qa.readers.metadata import Metadata, describe_elements

_MOST_MEMBERS = 20_000
_MOST_BYTES = 1 << 30
# DEFLATE packs zeros 1,032 times; real parts of documents stay below 100 as a whole.
_MOST_RATIO = 200
_RATIO_FROM = 64 << 20
_MOST_XML = 256 << 20
# The public name of a document type, as old books have it, refers to no file and is never looked up.
_DECLARATION = re.compile(rb"<!\s*(?:ENTITY|DOCTYPE(?:[^>]*\[|\s+\S+\s+SYSTEM))", re.IGNORECASE)
_ENCRYPTED = 0x1

BROKEN = "it is damaged or cut off: its archive cannot be opened; save it again"
_BOMB = "it unpacks to far more than a document holds; if it is to be trusted, save it again in parts"
# What the archive and its decompressors raise at damaged bytes; NotImplementedError is an unknown compression.
_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


class Archive:
    """The members of a ZIP file held in memory.

    Declared sizes are checked at once, and what a member unpacks to never exceeds what was declared: ``zipfile`` stops
    there.

    Raises:
        UnreadableDocument: it is no archive, damaged, or a bomb.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            members = self._zip.infolist()
        except _FAULTS as error:
            raise UnreadableDocument(BROKEN) from error
        total = sum(member.file_size for member in members)
        too_dense = total > _RATIO_FROM and total > _MOST_RATIO * len(data)
        if len(members) > _MOST_MEMBERS or total > _MOST_BYTES or too_dense:
            raise UnreadableDocument(_BOMB)
        self._members = {_normal(member.filename): member for member in reversed(members)}
        # Programs on Windows and macOS do not tell capitals from small letters.
        self._folded = {name.casefold(): member for name, member in self._members.items()}

    @property
    def names(self) -> Iterable[str]:
        return self._members.keys()

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def read(self, name: str) -> bytes:
        """Read a whole member.

        Raises:
            UnreadableDocument: it is missing, damaged, encrypted or too large.
        """
        member = self._find(name)
        if member is None:
            raise UnreadableDocument(f"it has no {name}, which every file of its format has; save it again")
        if member.flag_bits & _ENCRYPTED:
            raise UnreadableDocument("it is protected by a password; save it without one")
        if member.file_size > _MOST_XML:
            raise UnreadableDocument(_BOMB)
        try:
            return self._zip.read(member)
        except _FAULTS as error:
            raise UnreadableDocument(BROKEN) from error

    def _find(self, name: str) -> zipfile.ZipInfo | None:
        name = _normal(name)
        return self._members.get(name) or self._folded.get(name.casefold())

    def xml(self, name: str) -> Any:
        """Parse a member, without entities, network or unlimited depth, and return its root element.

        Raises:
            UnreadableDocument: as ``read``, and where it is not well-formed.
        """
        return parse_xml(self.read(name))

    def refuse_entities(self) -> None:
        """Check all XML members, for libraries that parse them with parsers of their own.

        Raises:
            UnreadableDocument: one declares a document type or entities, which no program that writes these does.
        """
        for name in self._members:
            if name.lower().endswith((".xml", ".rels", ".vml")):
                _refuse_declarations(self.read(name))


def _normal(name: str) -> str:
    return name.replace("\\", "/").lstrip("/")


def parse_xml(data: bytes) -> Any:
    """Parse an XML document, and return its root element.

    Raises:
        UnreadableDocument: it is not well-formed, or declares entities.
    """
    from lxml import etree

    _refuse_declarations(data)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise UnreadableDocument("its XML is damaged or nested too deep; save it again") from error


def _refuse_declarations(data: bytes) -> None:
    # UTF-16 has a zero in every other byte of what is looked for.
    plain = data.replace(b"\0", b"") if b"\0" in data[:64] else data
    if _DECLARATION.search(plain):
        raise UnreadableDocument("its XML declares entities, which documents do not; it may be an attack")


def local(element: Any) -> str:
    """Return an element's name without its namespace; it is empty for comments and processing instructions."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: Any, name: str) -> str:
    """Return an attribute by its name without namespace, or nothing if it is not there."""
    for key, value in element.attrib.items():
        if key == name or key.endswith("}" + name):
            return str(value)
    return ""


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

    def metadata(self) -> Metadata:
        """Return what the properties of the file say."""
        return describe_elements(self.first("", "core-properties"))

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
