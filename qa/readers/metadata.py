"""What files say of themselves: authors, dates, senders, sheets, within bounds that no file can exceed.

The names are few, so that documents of all formats can be filtered alike:

author          who wrote it
created         when it was written first
modified        when it was changed last
sender          who sent a mail, with the address
recipient       who a mail was sent to
sent            when a mail was sent
keyword         a word that describes it
sheet           the sheet of a workbook

A name may come more than once. Dates are in ISO 8601, those whose time zone is known in UTC, so that they sort as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from qa.types import Property

NAMES = ("author", "created", "modified", "sender", "recipient", "sent", "keyword", "sheet")
DATES = frozenset({"created", "modified", "sent"})
# Names and values, in order.
Metadata = tuple[tuple[str, str], ...]

LONGEST_VALUE = 200
_MOST_OF_ONE_NAME = 20
# A mailbox has a few for each mail.
_MOST_PARTS = 20_000
_LONGEST_READ = 4_000

_LISTED = re.compile(r"[;,\n]")
_PDF_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?\s*(Z|[+-]\d\d)?'?(\d\d)?")
_ISO_DATE = re.compile(r"\d{4}(?:-\d\d(?:-\d\d(?:[T ]\d\d:\d\d.*)?)?)?")
# Names of elements and meta tags: Dublin Core, ODF, HTML, and the properties of Office files.
_NAMES = {
    **{"creator": "author", "author": "author", "initial-creator": "author", "dc.creator": "author"},
    **{"creationdate": "created", "moddate": "modified"},
    **{"created": "created", "creation-date": "created", "date": "created", "dc.date": "created"},
    **{"article:published_time": "created", "article:modified_time": "modified", "modified": "modified"},
    **{"keywords": "keyword", "keyword": "keyword", "subject": "keyword", "language": "language"},
}


def describe(pairs: Iterable[tuple[str, str | None]]) -> Metadata:
    """Return metadata from names and values as formats have them; those of other names are left out.

    Keywords are taken apart at commas and semicolons, authors at semicolons.
    """
    return tuple(_described(pairs))


def _described(pairs: Iterable[tuple[str, str | None]]) -> Iterator[tuple[str, str]]:
    for given, value in pairs:
        name = _NAMES.get(given.lower(), "")
        if not name or not value:
            continue
        cut = value[:_LONGEST_READ]
        if name in DATES:
            yield name, iso_date(cut)
        elif name == "keyword":
            yield from ((name, word) for word in _LISTED.split(cut))
        elif name == "author":
            yield from ((name, author) for author in cut.split(";"))
        else:
            yield name, cut


def describe_elements(root: Any) -> Metadata:
    """Return what the elements below ``root`` say: the core properties of an Office file, or the metadata of a book."""
    elements = root.iter() if root is not None else ()
    return describe(
        (element.tag.rpartition("}")[2], element.text) for element in elements if isinstance(element.tag, str)
    )


def iso_date(value: str) -> str:
    """Return a date of a mail (RFC 5322), a PDF or an XML document in ISO 8601; empty where it is none."""
    from email.utils import parsedate_to_datetime

    value = value.strip()[:100]
    try:
        if _ISO_DATE.fullmatch(value):
            if len(value) <= len("2024-05-01"):
                return value if len(value) < len("2024-05-01") else datetime.fromisoformat(value).date().isoformat()
            return iso_moment(datetime.fromisoformat(value))
        if found := _PDF_DATE.fullmatch(value.rstrip("'")):
            year, month, day, hour, minute, second, zone, minutes = found.groups()
            if hour is None:
                return "-".join(filter(None, (year, month, day)))
            offset = {"Z": "+00:00", None: ""}.get(zone, f"{zone}:{minutes or '00'}")
            return iso_moment(
                datetime.fromisoformat(f"{year}-{month}-{day}T{hour}:{minute or '00'}:{second or '00'}{offset}")
            )
        return iso_moment(parsedate_to_datetime(value))
    except (ValueError, TypeError, OverflowError, IndexError):
        return ""


def iso_moment(moment: datetime) -> str:
    """Return a moment in ISO 8601 to the second, in UTC where its time zone is known."""
    moment = moment.replace(microsecond=0)
    if moment.tzinfo is None:
        return moment.isoformat()
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def keep_metadata(parts: Iterable[tuple[int, Metadata]], length: int) -> tuple[Property, ...]:
    """Return the metadata of a text of ``length`` characters and of its parts, each within bounds.

    Args:
        parts: first the metadata of the whole, with start 0, then of each part, in order of their start; a part ends
            where the next one begins.
    """
    whole, *rest = parts
    starts = [start for start, _ in rest]
    spans = [(0, length, whole[1])]
    # The last of all ends with the text.
    for (start, pairs), end in islice(zip(rest, [*starts[1:], length], strict=False), _MOST_PARTS):
        spans.append((start, end, pairs))
    return tuple(
        Property(name, value, start, end)
        for start, end, pairs in spans
        if start < end
        for name, value in bounded(pairs)
    )


def bounded(pairs: Metadata) -> Metadata:
    """Return the metadata of known names, each value once, on one line and cut; at most twenty of a name."""
    counts = dict.fromkeys(NAMES, 0)
    kept: dict[tuple[str, str], None] = {}
    for name, value in pairs:
        line = " ".join(value[:_LONGEST_READ].split())
        line = "".join(character for character in line if character.isprintable())[:LONGEST_VALUE]
        if line and counts.get(name, _MOST_OF_ONE_NAME) < _MOST_OF_ONE_NAME and (name, line) not in kept:
            counts[name] += 1
            kept[name, line] = None
    return tuple(kept)


def add_to_whole(metadata: tuple[Property, ...], more: Metadata, length: int) -> tuple[Property, ...]:
    """Return metadata with ``more`` of the whole text, such as the sender of a mail that a file was attached to.

    What the text says of itself, as a mail within a mail does, is not added to.
    """
    known = {each.name for each in metadata}
    added = (Property(name, value, 0, length) for name, value in bounded(more) if name not in known)
    return (*added, *metadata)
