"""XML as records: the path of each element and attribute is the name of its value.

Entities are refused, nothing is fetched, and what a document type declares is not looked at.
"""

from __future__ import annotations

import html
import re
from typing import Any

from qa.errors import UnreadableDocument
from qa.readers.archive import local
from qa.readers.composition import Composition, Content, one_line
from qa.readers.records import write_records

_ENTITY = re.compile(rb"<!\s*ENTITY", re.IGNORECASE)
_ENTITIES = "its XML declares entities, which may grow without bound; save it without them"
_BROKEN = "it is not XML; save it again"
# Pages within feeds, as text.
_BLOCK = re.compile(r"</?(?:p|br|div|li|ul|ol|tr|td|th|table|h[1-6])\b[^<>]{0,500}>", re.IGNORECASE)
_TAG = re.compile(r"<[a-zA-Z/!][^<>]{0,500}>")
_DEEPEST = 100

_Value = str | dict[str, Any] | list[Any]


class XmlReader:
    """A reader of ``.xml`` and of feeds: lists of elements as records, as those of JSON are.

    An attribute is named as an element would be: "book.id: 7". Text that has elements in it, such as a paragraph with
    emphasis, is one value.
    """

    name = "xml"
    version = "1"
    media_type = "application/xml"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        root, problems = _parse(data)
        composition = Composition()
        write_records(_value(root), composition)
        return composition.content([], problems, titled_by_heading=False)


def _parse(data: bytes) -> tuple[Any, list[str]]:
    """Return the root element, and what is damaged. Raises UnreadableDocument."""
    from lxml import etree

    # UTF-16 has a zero in every other byte of what is looked for.
    if _ENTITY.search(data.replace(b"\0", b"") if b"\0" in data[:64] else data):
        raise UnreadableDocument(_ENTITIES)
    for is_lenient in (False, True):
        parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
            recover=is_lenient,
        )
        try:
            root = etree.fromstring(data, parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            if is_lenient:
                raise UnreadableDocument(_BROKEN) from error
            continue
        if root is None or (is_lenient and not len(root)):
            break
        declared = root.getroottree().docinfo.internalDTD
        if declared is not None and any(True for _ in declared.iterentities()):  # in an encoding not seen above
            raise UnreadableDocument(_ENTITIES)
        return root, ["its XML is damaged and read in part"] if is_lenient else []
    raise UnreadableDocument(_BROKEN)


def _value(element: Any, depth: int = 0) -> _Value:
    """Return what an element holds, as JSON would: a text, or values by their names; "" is that of its own text."""
    children = list(element)
    attributes = {str(name).rpartition("}")[2]: str(value) for name, value in element.attrib.items()}
    is_text = bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)
    if depth > _DEEPEST or is_text or not children:
        text = _plain("".join(element.itertext()))
        return {"": text, **attributes} if attributes else text
    values: dict[str, Any] = dict(attributes)
    for child in children:
        name, value = local(child), _value(child, depth + 1)
        if name not in values:
            values[name] = value
        elif isinstance(values[name], list):
            values[name].append(value)
        else:
            values[name] = [values[name], value]
    return values


def _plain(text: str) -> str:
    """Return a text without the tags of a page that it holds."""
    if "<" in text or "&" in text:
        text = html.unescape(_TAG.sub("", _BLOCK.sub(" ", text)))
    return one_line(text)
