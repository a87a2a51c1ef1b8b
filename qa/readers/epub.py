"""The chapters of an EPUB book in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import dirname, join, normpath
from typing import Any
from urllib.parse import unquote

from qa.errors import UnreadableDocument
from qa.readers.archive import Archive, attribute, local, parse_xml
from qa.readers.composition import Composition, Content
from qa.readers.html.page import decode_page, write_page
from qa.readers.metadata import describe_elements

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGES = frozenset(
    {
        "application/xhtml+xml",
        "text/html",
        "application/x-dtbook+xml",
        "text/x-oeb1-document",
        "text/x-oeb-document",
        "",
    }
)


class EpubReader:
    """A reader of ``application/epub+zip``: every document of the spine, without the navigation."""

    name = "epub"
    version = "6"
    media_type = "application/epub+zip"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        archive = Archive(data)
        package_path = _package_path(archive)
        package = parse_xml(archive.read(package_path))
        composition = Composition()
        problems = []
        locked = _locked(archive)
        for path in _spine(package, package_path):
            if path in locked:
                raise UnreadableDocument("it is protected against copying (DRM); use a copy without protection")
            try:
                page = decode_page(archive.read(path))
                write_page(page.text, composition, is_whole=True)
            except UnreadableDocument:
                problems.append(f"{path} could not be read")
            composition.gap()
        titles = [element.text or "" for element in package.iter() if local(element) == "title"]
        return composition.content(titles[:1], problems, metadata=describe_elements(package))


def _package_path(archive: Archive) -> str:
    for element in archive.xml(_CONTAINER).iter():
        if local(element) == "rootfile" and (path := attribute(element, "full-path")):
            return path
    raise UnreadableDocument("its container names no book; save it again")


def _spine(package: Any, package_path: str) -> Iterator[str]:
    """Yield the paths of the chapters in the archive, in order, each once."""
    items = {attribute(element, "id"): element for element in package.iter() if local(element) == "item"}
    seen = set()
    for element in package.iter():
        item = items.get(attribute(element, "idref")) if local(element) == "itemref" else None
        if item is None or attribute(item, "media-type") not in _PAGES:
            continue
        path = normpath(join(dirname(package_path), unquote(attribute(item, "href").partition("#")[0]))).lstrip("/")
        if path not in seen and "nav" not in attribute(item, "properties").split():
            seen.add(path)
            yield path


def _locked(archive: Archive) -> frozenset[str]:
    """Return the paths of what is encrypted. Fonts often are, in books that anyone may read."""
    if _ENCRYPTION not in archive:
        return frozenset()
    references = (element for element in archive.xml(_ENCRYPTION).iter() if local(element) == "CipherReference")
    return frozenset(normpath(unquote(attribute(element, "URI"))) for element in references)
