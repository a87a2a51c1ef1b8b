"""Mails: a message (RFC 5322), a mailbox of them (RFC 4155) or a message of Outlook, with subjects as sections.

What is attached is handed on, to be read as documents of their own; the mails within a mail are among it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from email import message_from_bytes
from email.message import Message
from email.policy import compat32
from email.utils import getaddresses
from mimetypes import guess_extension

from qa.errors import UnreadableDocument
from qa.readers.attachments import AttachmentNames
from qa.readers.composition import Attachment, Composition, Content, one_line
from qa.readers.decoding import charset, decode
from qa.readers.html.page import decode_page, write_page
from qa.readers.metadata import Metadata, iso_date, iso_moment

_BEGINNING = re.compile(rb"^From [^\r\n]*\r?\n", re.MULTILINE)
_HEADERS = ("From", "To", "Cc", "Date")
_LONGEST_HEADER = 1_000
_MOST_PARTS = 1_000
_MOST_RECIPIENTS = 20
_MOST_ATTACHMENTS = 10_000
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_SIGNATURES = frozenset({"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"})


class MailReader:
    """A reader of ``message/rfc822`` and mailboxes: who wrote what to whom and when, and what is attached.

    In a mailbox of several mails the names of attachments begin with the number of the mail, from 1: "3/plan.pdf".
    """

    name = "mail"
    version = "2"
    media_type = "message/rfc822"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        composition = Composition()
        attachments = _Attachments()
        spans = _find_messages(data)
        try:
            for number, (start, end) in enumerate(spans, 1):
                attachments.folder = f"{number}/" if len(spans) > 1 else ""
                _write(message_from_bytes(data[start:end], policy=compat32), composition, attachments)
        except RecursionError as error:
            raise UnreadableDocument("its parts are nested too deep") from error
        return replace(composition.content([], attachments.problems()), attachments=tuple(attachments.found))


class OutlookReader:
    """A reader of Outlook's ``.msg``, read as other mails are; a message within it is only named."""

    name = "outlook"
    version = "3"
    media_type = "application/vnd.ms-outlook"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        from oxmsg import Message as OutlookMessage

        try:
            message = OutlookMessage.load(io.BytesIO(data))
            headers = {
                "From": _decode_words(message.sender or ""),
                "To": ", ".join(filter(None, (recipient.email_address for recipient in message.recipients))),
                "Date": message.sent_date.isoformat(" ") if message.sent_date else "",
            }
            sent = iso_moment(message.sent_date) if message.sent_date else ""
            body, page, subject = message.body, message.html_body, message.subject
            files = [(each.file_name or "", each.file_bytes, each.mime_type or "") for each in message.attachments]
        except Exception as error:  # the library raises any error
            raise UnreadableDocument("it is a damaged Outlook message; save it again") from error
        composition = Composition()
        metadata = _describe(headers, sent)
        _write_head(one_line(subject or ""), headers, composition)
        if body and body.strip():
            _write_paragraphs(body.replace("\r\n", "\n"), composition)
        elif page:
            write_page(page, composition, is_whole=True)
        attachments = _Attachments()
        names = [attachments.add(name, bytes_, media_type, metadata) for name, bytes_, media_type in files]
        _write_names(names, composition)
        content = composition.content([], attachments.problems(), metadata=metadata)
        return replace(content, attachments=tuple(attachments.found))


class _Attachments:
    """The files that are attached to the mails of one file, each under a name of its own.

    ``folder`` is what the names of those that follow begin with.
    """

    def __init__(self) -> None:
        self.found: list[Attachment] = []
        self.folder = ""
        self._names = AttachmentNames()
        self._beyond = 0
        self._empty = 0

    def add(self, name: str, data: bytes | None, media_type: str, metadata: Metadata) -> str:
        """Add a file, and return its name, without folder; ``data`` is ``None`` where it cannot be taken out."""
        name = self._names.choose(name, f"attachment{guess_extension(media_type) or ''}", self.folder)
        if len(self.found) >= _MOST_ATTACHMENTS:
            self._beyond += 1
        elif data is None:
            self._empty += 1
        else:
            self.found.append(Attachment(self.folder + name, data, metadata))
        return name

    def problems(self) -> list[str]:
        """Return what of them is not read, in words."""
        problems = []
        if self._empty:
            count = "an attachment is" if self._empty == 1 else f"{self._empty:,} attachments are"
            problems.append(f"{count} not read")
        if self._beyond:
            problems.append(f"{self._beyond:,} attachments beyond the first {_MOST_ATTACHMENTS:,} are not read")
        return problems


def _find_messages(data: bytes) -> list[tuple[int, int]]:
    """Return where each mail of a mailbox starts and ends, or the whole of what is no mailbox."""
    lines = list(_BEGINNING.finditer(data)) if data.startswith(b"From ") else []
    ends = [*(line.start() for line in lines[1:]), len(data)]
    return [(line.end(), end) for line, end in zip(lines, ends, strict=True)] if lines else [(0, len(data))]


def _write(message: Message, composition: Composition, attachments: _Attachments) -> None:
    """Write a mail, and add what is attached to it."""
    headers = {name: _header(message, name) for name in _HEADERS}
    metadata = _describe(headers, iso_date(headers["Date"]))
    composition.part(metadata)
    _write_head(_header(message, "Subject"), headers, composition)
    parts = [part for at, part in enumerate(_parts(message)) if at < _MOST_PARTS]
    texts = [part for part in parts if not _is_attachment(part)]
    plain = [part for part in texts if part.get_content_type() == "text/plain"]
    for part in plain or [part for part in texts if part.get_content_type() == "text/html"]:
        _write_body(part, composition)
    names = []
    for part in parts:
        if _is_attachment(part) and not _is_decoration(part):
            name, data = _take_out(part)
            names.append(attachments.add(name, data, part.get_content_type(), metadata))
    _write_names(names, composition)


def _parts(message: Message) -> Iterator[Message]:
    """Yield the parts of a mail in order, without the parts of the mails within it."""
    pending = [message]
    while pending:
        part = pending.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            pending.extend(reversed([inner for inner in part.get_payload() if isinstance(inner, Message)]))
        else:
            yield part


def _is_attachment(part: Message) -> bool:
    is_text = part.get_content_type() in {"text/plain", "text/html"}
    return not is_text or part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _is_decoration(part: Message) -> bool:
    """Return whether a part is a picture that the text shows, such as a logo, or a signature."""
    is_shown = "Content-ID" in part and part.get_content_disposition() != "attachment"
    return (is_shown and part.get_content_maintype() == "image") or part.get_content_type() in _SIGNATURES


def _take_out(part: Message) -> tuple[str, bytes | None]:
    """Return the name and the bytes of an attachment; of a mail within a mail the name is its subject."""
    name = _decode_words(part.get_filename() or "")
    try:
        if part.is_multipart():
            inner = part.get_payload(0)
            assert isinstance(inner, Message)
            return name or f"{_header(inner, 'Subject') or 'message'}.eml", inner.as_bytes()
        data = part.get_payload(decode=True)
    except (LookupError, ValueError, TypeError, AssertionError):  # of headers and encodings that are none
        return name, None
    return name, data if isinstance(data, bytes) else None


def _describe(headers: Mapping[str, str], sent: str) -> Metadata:
    addresses = getaddresses([headers.get("To", ""), headers.get("Cc", "")])[:_MOST_RECIPIENTS]
    recipients = [f"{name} <{address}>" if name and address else name or address for name, address in addresses]
    named = (("sender", headers.get("From", "")), ("sent", sent))
    return (*named, *(("recipient", recipient) for recipient in recipients))


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


def _write_names(names: Sequence[str], composition: Composition) -> None:
    if names:
        composition.paragraph(f"Attachments: {', '.join(names)}")
        composition.gap()


def _write_body(part: Message, composition: Composition) -> None:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes) or not payload.strip():
        return
    if part.get_content_type() == "text/html":
        write_page(decode_page(payload).text, composition, is_whole=True)
        return
    _write_paragraphs(decode(payload, charset(part.get_content_charset() or "")).text, composition)


def _header(message: Message, name: str) -> str:
    """Return a header as a person reads it."""
    return _decode_words(str(message.get(name) or ""))


def _decode_words(value: str) -> str:
    """Decode the encoded words of a header (RFC 2047), on one line."""
    from email.errors import HeaderParseError
    from email.header import decode_header, make_header

    value = value[:_LONGEST_HEADER]
    try:
        return one_line(str(make_header(decode_header(value))))
    except (HeaderParseError, LookupError, ValueError):
        return one_line(value)
