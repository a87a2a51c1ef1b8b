from __future__ import annotations

from pathlib import Path

from qa.readers.registry import read_source
from qa.types import Document, FileReport, Source
from tests.support.texts import shared


def _read(folder: Path, name: str, data: bytes | str) -> tuple[Document | None, FileReport]:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_source(Source(name, path, path.stat().st_size))


def _text(folder: Path, name: str, data: bytes | str) -> str:
    document, report = _read(folder, name, data)
    assert document is not None, report
    return document.text


_MAIL = (
    "From: =?utf-8?q?J=C3=BCrgen?= <j@x.org>\r\nTo: b@x.org\r\nDate: Mon, 6 May 2024 10:00:00 +0200\r\n"
    "Subject: Berth 14\r\nMIME-Version: 1.0\r\n"
)


def test_a_mail_says_who_wrote_what_and_when(tmp_path: Path) -> None:
    document, report = _read(tmp_path, "a.eml", _MAIL + "\r\nThe berth is free.\r\n\r\nOn Tuesday.\r\n")
    assert document is not None
    assert document.title == "Berth 14"
    assert document.text == (
        "Berth 14\n\nFrom: Jürgen <j@x.org>\nTo: b@x.org\nDate: Mon, 6 May 2024 10:00:00 +0200\n\n"
        "The berth is free.\n\nOn Tuesday."
    )
    assert report.status == "read"


def test_plain_text_is_read_rather_than_the_page_beside_it_and_attachments_are_named(tmp_path: Path) -> None:
    body = (
        'Content-Type: multipart/mixed; boundary="x"\r\n\r\n'
        "--x\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\nf=FCr\r\n"
        "--x\r\nContent-Type: text/html\r\n\r\n<p>page</p>\r\n"
        '--x\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment\r\n\r\nAAAA\r\n--x--\r\n'
    )
    document, report = _read(tmp_path, "a.eml", _MAIL + body)
    assert document is not None
    assert document.text.endswith("\n\nfür\n\nAttachments: a.pdf")
    assert document.attachments == ("a.eml/a.pdf",)
    assert report.status == "read"


def test_pictures_that_the_text_shows_and_signatures_are_no_attachments(tmp_path: Path) -> None:
    body = (
        'Content-Type: multipart/related; boundary="x"\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>page\r\n'
        "--x\r\nContent-Type: image/png\r\nContent-ID: <logo>\r\n\r\nAAAA\r\n"
        "--x\r\nContent-Type: application/pgp-signature\r\n\r\nAAAA\r\n--x--\r\n"
    )
    document, _ = _read(tmp_path, "a.eml", _MAIL + body)
    assert document is not None
    assert document.text.endswith("page")
    assert not document.attachments


def test_a_page_is_read_where_there_is_no_plain_text(tmp_path: Path) -> None:
    text = _text(tmp_path, "a.eml", _MAIL + "Content-Type: text/html; charset=hex\r\n\r\n<p>one<p>two")
    assert text.endswith("\n\none\n\ntwo")


def test_messages_of_a_mailbox_are_sections(tmp_path: Path) -> None:
    document, _ = _read(tmp_path, "a.mbox", "".join(f"From x Mon\n{_MAIL}\r\nText {n}.\n\n" for n in range(3)))
    assert document is not None
    assert [section.title for section in document.sections] == ["Berth 14"] * 3
    assert [document.text[section.body : section.end].rstrip()[-7:] for section in document.sections] == [
        "Text 0.",
        "Text 1.",
        "Text 2.",
    ]


def test_parts_nested_without_end_are_bounded(tmp_path: Path) -> None:
    part = "".join(f'Content-Type: multipart/mixed; boundary="{n}"\r\n\r\n--{n}\r\n' for n in range(2_000))
    _, report = _read(tmp_path, "a.eml", f"Subject: x\r\n{part}\r\nwords")
    assert "Error" not in report.reason


def test_a_message_of_outlook_reads_as_other_mails() -> None:
    path = shared("microsoft+markitdown", "packages", "markitdown", "tests", "test_files", "test_outlook_msg.msg")
    document, _ = read_source(Source("a.msg", path, path.stat().st_size))
    assert document is not None
    assert document.text.startswith("Test Email Message\n\nFrom: M. C. Kurtuluş <muratcan.kurtulus@gmail.com>\n")
    assert "This is the body of the test email message" in document.text


def test_a_damaged_message_of_outlook_is_refused(tmp_path: Path) -> None:
    _, report = _read(tmp_path, "a.msg", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    assert report.reason == "it is a damaged Outlook message; save it again"
