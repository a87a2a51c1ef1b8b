"""Mails: a message (RFC 5322), a mailbox of them (RFC 4155) or a message of Outlook, with subjects as sections."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
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
_MOST_PROBLEMS = 5
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


class MailReader:
    """A reader of ``message/rfc822`` and mailboxes: who wrote what to whom and when. Attachments are named only."""

    name = "mail"
    version = "1"
    media_type = "message/rfc822"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        composition = Composition()
        problems: list[str] = []
        try:
            for message in _messages(data):
                problems += _write(message_from_bytes(message, policy=compat32), composition)
        except RecursionError as error:
            raise UnreadableDocument("its parts are nested too deep") from error
        return composition.content([], problems[:_MOST_PROBLEMS])


class OutlookReader:
    """A reader of Outlook's ``.msg``, read as other mails are."""

    name = "outlook"
    version = "1"
    media_type = "application/vnd.ms-outlook"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        from oxmsg import Message as OutlookMessage

        try:
            message = OutlookMessage.load(io.BytesIO(data))
            headers = {
                "From": message.sender or "",
                "To": ", ".join(filter(None, (recipient.email_address for recipient in message.recipients))),
                "Date": message.sent_date.isoformat(" ") if message.sent_date else "",
            }
            body, page, subject = message.body, message.html_body, message.subject
            names = [one_line(attachment.file_name or "") or "a message" for attachment in message.attachments]
        except Exception as error:  # the library raises any error
            raise UnreadableDocument("it is a damaged Outlook message; save it again") from error
        composition = Composition()
        _write_head(one_line(subject or ""), headers, composition)
        if body and body.strip():
            _write_paragraphs(body.replace("\r\n", "\n"), composition)
        elif page:
            write_page(page, composition, is_whole=True)
        return composition.content([], _write_attachments(names, composition))


def _messages(data: bytes) -> Iterator[bytes]:
    starts = list(_BEGINNING.finditer(data)) if data.startswith(b"From ") else []
    if not starts:
        yield data
        return
    for start, end in zip(starts, [*(found.start() for found in starts[1:]), len(data)], strict=True):
        yield data[start.end() : end]


def _write(message: Message, composition: Composition) -> list[str]:
    """Write a message, and return what of it is not read."""
    _write_head(_header(message, "Subject"), {name: _header(message, name) for name in _HEADERS}, composition)
    parts = [part for at, part in enumerate(message.walk()) if at < _MOST_PARTS and not part.is_multipart()]
    attachments = [part for part in parts if _is_attachment(part)]
    texts = [part for part in parts if part not in attachments]
    plain = [part for part in texts if part.get_content_type() == "text/plain"]
    for part in plain or [part for part in texts if part.get_content_type() == "text/html"]:
        _write_body(part, composition)
    names = [one_line(part.get_filename() or part.get_content_type()) for part in attachments]
    return _write_attachments(names, composition)


def _write_head(subject: str, headers: Mapping[str, str], composition: Composition) -> None:
    composition.heading(subject or "(no subject)", 1)
    for name, value in headers.items():
        if value:
            composition.line(f"{name}: {one_line(value[:_LONGEST_HEADER])}", "header")
    composition.gap()


def _write_paragraphs(text: str, composition: Composition) -> None:
    for paragraph in _BLANK_LINE.split(text):
        composition.paragraph(paragraph)
    composition.gap()


def _write_attachments(names: Sequence[str], composition: Composition) -> list[str]:
    """Write the names of attachments, and return the problem that these are not read."""
    if not names:
        return []
    composition.paragraph(f"Attachments: {', '.join(names)}")
    return ["an attachment is not read" if len(names) == 1 else f"{len(names)} attachments are not read"]


def _is_attachment(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or not part.get_content_type().startswith("text/")


def _write_body(part: Message, composition: Composition) -> None:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes) or not payload.strip():
        return
    if part.get_content_type() == "text/html":
        write_page(decode_page(payload).text, composition, is_whole=True)
        return
    _write_paragraphs(decode(payload, charset(part.get_content_charset() or "")).text, composition)


def _header(message: Message, name: str) -> str:
    """Return a header as a person reads it: encoded words (RFC 2047) are decoded."""
    from email.errors import HeaderParseError
    from email.header import decode_header, make_header

    value = str(message.get(name) or "")[:_LONGEST_HEADER]
    try:
        return one_line(str(make_header(decode_header(value))))
    except (HeaderParseError, LookupError, ValueError):
        return one_line(value)
