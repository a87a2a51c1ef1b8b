"""Mails: one message (RFC 5322) or a mailbox of them (RFC 4155), with their subjects as sections."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from email.policy import compat32

from qa.errors import UnreadableDocument
from qa.readers.composition import Composition, Content, one_line
from qa.readers.decoding import charset, decode
from qa.readers.html.page import decode_page, write_page

_BEGINNING = re.compile(rb"^From [^\r\n]*\r?\n", re.MULTILINE)
_HEADERS = ("From", "To", "Cc", "Date")
_LONGEST_HEADER = 1_000
_MOST_PARTS = 1_000
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


class MailReader:
    """A reader of ``message/rfc822`` and mailboxes: who wrote what to whom and when. Attachments are named only."""

    name = "mail"
    version = "1"
    media_type = "message/rfc822"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        composition = Composition()
        attachments: list[str] = []
        try:
            for message in _messages(data):
                attachments += _write(message_from_bytes(message, policy=compat32), composition)
        except RecursionError as error:
            raise UnreadableDocument("its parts are nested too deep") from error
        problems = [f"{len(attachments)} attachments are not read"] if attachments else []
        return composition.content([], problems)


def _messages(data: bytes) -> Iterator[bytes]:
    starts = list(_BEGINNING.finditer(data)) if data.startswith(b"From ") else []
    if not starts:
        yield data
        return
    for start, end in zip(starts, [*(found.start() for found in starts[1:]), len(data)], strict=True):
        yield data[start.end() : end]


def _write(message: Message, composition: Composition) -> list[str]:
    """Write a message, and return the names of its attachments."""
    composition.heading(_header(message, "Subject") or "(no subject)", 1)
    for name in _HEADERS:
        if value := _header(message, name):
            composition.line(f"{name}: {value}", "header")
    composition.gap()
    parts = [part for at, part in enumerate(message.walk()) if at < _MOST_PARTS and not part.is_multipart()]
    attachments = [part for part in parts if _is_attachment(part)]
    texts = [part for part in parts if part not in attachments]
    plain = [part for part in texts if part.get_content_type() == "text/plain"]
    for part in plain or [part for part in texts if part.get_content_type() == "text/html"]:
        _write_body(part, composition)
    names = [one_line(part.get_filename() or part.get_content_type()) for part in attachments]
    if names:
        composition.paragraph(f"Attachments: {', '.join(names)}")
    return names


def _is_attachment(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or not part.get_content_type().startswith("text/")


def _write_body(part: Message, composition: Composition) -> None:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes) or not payload.strip():
        return
    if part.get_content_type() == "text/html":
        write_page(decode_page(payload).text, composition, is_whole=True)
        return
    for paragraph in _BLANK_LINE.split(decode(payload, charset(part.get_content_charset() or "")).text):
        composition.paragraph(paragraph)
    composition.gap()


def _header(message: Message, name: str) -> str:
    """Return a header as a person reads it: encoded words (RFC 2047) are decoded."""
    from email.errors import HeaderParseError
    from email.header import decode_header, make_header

    value = str(message.get(name) or "")[:_LONGEST_HEADER]
    try:
        return one_line(str(make_header(decode_header(value))))
    except (HeaderParseError, LookupError, ValueError):
        return one_line(value)
