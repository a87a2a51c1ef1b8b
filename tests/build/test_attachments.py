"""What is attached to mails is documents of their own, from the first build to the removal of the mail."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from qa.build import contents
from qa.build.update import Update, update
from qa.errors import DocumentNotFound
from qa.readers.registry import read_source
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Document, FileReport, Query, Source
from tests.conftest import Recorder, hashing_encoder

ROPES = b"item,price\nrope,nine crowns\nanchor,forty crowns\n"


def mail(subject: str = "Stock", **attachments: bytes | EmailMessage) -> EmailMessage:
    """Return a mail with attachments; "__" in a name stands for its dot."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ann <ann@x.org>", "bob@x.org", subject
    message["Date"] = "Mon, 6 May 2024 10:00:00 +0200"
    message.set_content("The list is attached.\n")
    for name, content in attachments.items():
        if isinstance(content, EmailMessage):
            message.add_attachment(content)
        else:
            filename = name.replace("__", ".")
            message.add_attachment(content, maintype="application", subtype="octet-stream", filename=filename)
    return message


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("qa.build.reuse._SETTLED_NS", 0)
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "note.txt").write_text("Gulls nest on the roof.\n")
    (folder / "stock.eml").write_bytes(mail(list__csv=ROPES, logo__png=b"\x89PNG\r\n\x1a\n\0").as_bytes())
    return folder


class _Index:
    """Builds of one folder; ``read`` are the ids that the last one read, ``broken`` those that cannot be read."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.read: list[str] = []
        self.broken: set[str] = set()

    def __call__(self, *, isolated: bool = False) -> Update:
        self.read = []
        read = None if isolated else self._read
        return update(self.settings, [self.folder], Recorder(), make=hashing_encoder, read=read)

    def _read(self, source: Source) -> tuple[Document | None, FileReport]:
        self.read.append(source.id)
        if source.id in self.broken:
            return None, FileReport(source.id, "failed", "it is locked", size=source.size, container=source.container)
        return read_source(source)

    def service(self) -> Service:
        service = Service(self.settings, make=hashing_encoder)
        service.reload()
        return service

    def lines(self) -> dict[str, tuple[str, str]]:
        return {line.id: (line.status, line.container) for line in self.service().collection().report}


@pytest.fixture
def index(settings: Settings, inbox: Path) -> _Index:
    # A picture is read where OCR is installed, and this one is none.
    return _Index(settings.model_copy(update={"ocr": False}), inbox)


@pytest.mark.parametrize("isolated", [False, True])
def test_attachments_are_documents_and_lines_of_the_report(index: _Index, isolated: bool) -> None:
    index(isolated=isolated)
    assert index.lines() == {
        "note.txt": ("read", ""),
        "stock.eml": ("read", ""),
        "stock.eml/list.csv": ("read", "stock.eml"),
        "stock.eml/logo.png": ("skipped", "stock.eml"),
    }
    service = index.service()
    document = service.document("stock.eml/list.csv").document
    assert "item: rope | price: nine crowns" in document.text
    assert document.media_type == "text/csv"
    assert document.source_sha256 == service.document("stock.eml").document.source_sha256
    assert service.document("stock.eml").document.attachments == ("stock.eml/list.csv", "stock.eml/logo.png")
    assert service.ask(Query("price of the anchor", mode="lexical")).hits[0].passage.document == "stock.eml/list.csv"


def test_an_attachment_says_who_sent_it_and_when(index: _Index) -> None:
    index()
    (hit, *_) = index.service().ask(Query("anchor crowns", mode="lexical")).hits
    assert dict(hit.metadata) == {"sender": "Ann <ann@x.org>", "sent": "2024-05-06T08:00:00Z", "recipient": "bob@x.org"}


def test_a_citation_of_an_attachment_is_of_the_mail(index: _Index, inbox: Path) -> None:
    index()
    service = index.service()
    assert service.source_status("stock.eml/list.csv") == "verified"
    original = service.original("stock.eml/list.csv")
    assert (original.name, b"".join(original.blocks())) == ("stock.eml", (inbox / "stock.eml").read_bytes())
    (inbox / "stock.eml").write_bytes(mail(list__csv=b"changed").as_bytes())
    assert service.source_status("stock.eml/list.csv") == "drifted"
    (inbox / "stock.eml").unlink()
    assert service.source_status("stock.eml/list.csv") == "missing"


def test_an_unchanged_mail_is_taken_over_with_what_is_attached(index: _Index, inbox: Path) -> None:
    index()
    before = index.lines()
    assert not index().counts.changed
    (inbox / "note.txt").write_text("Gulls have left.\n")
    assert index().counts.changed
    assert index.read == ["note.txt"]
    assert index.lines() == before


def test_attachments_go_with_their_mail_and_with_its_next_version(index: _Index, inbox: Path) -> None:
    index()
    (inbox / "stock.eml").write_bytes(mail(prices__csv=ROPES).as_bytes())
    index()
    assert sorted(index.lines()) == ["note.txt", "stock.eml", "stock.eml/prices.csv"]
    (inbox / "stock.eml").unlink()
    index()
    assert sorted(index.lines()) == ["note.txt"]
    with pytest.raises(DocumentNotFound):
        index.service().document("stock.eml/prices.csv")


def test_a_mail_that_cannot_be_read_keeps_its_attachments(index: _Index, inbox: Path) -> None:
    index()
    index.broken = {"stock.eml"}
    (inbox / "stock.eml").write_bytes(b"half")
    index()
    lines = index.lines()
    assert lines["stock.eml/list.csv"] == ("failed", "stock.eml")
    assert "anchor" in index.service().document("stock.eml/list.csv").document.text
    assert "stock.eml/logo.png" not in lines


def test_an_attachment_that_could_not_be_read_is_tried_again_and_keeps_its_last_good_version(
    index: _Index, inbox: Path
) -> None:
    index.broken = {"stock.eml/list.csv"}
    index()
    assert index.lines()["stock.eml/list.csv"] == ("failed", "stock.eml")
    index.broken = set()
    assert index().counts.changed
    assert index.lines()["stock.eml/list.csv"] == ("read", "stock.eml")
    index.broken = {"stock.eml/list.csv"}
    (inbox / "stock.eml").write_bytes(mail("Changed", list__csv=b"item,price\noar,two crowns\n").as_bytes())
    index()
    assert index.lines()["stock.eml/list.csv"] == ("failed", "stock.eml")
    assert "anchor" in index.service().document("stock.eml/list.csv").document.text


def test_a_mail_within_a_mail_is_a_document_with_attachments_of_its_own(index: _Index, inbox: Path) -> None:
    inner = mail("Old prices", old__csv=ROPES)
    inner.replace_header("From", "Carl <carl@x.org>")
    (inbox / "stock.eml").write_bytes(mail("Fwd", forwarded=inner).as_bytes())
    index(isolated=True)
    assert index.lines() == {
        "note.txt": ("read", ""),
        "stock.eml": ("read", ""),
        "stock.eml/Old prices.eml": ("read", "stock.eml"),
        "stock.eml/Old prices.eml/old.csv": ("read", "stock.eml"),
    }
    assert index.service().document("stock.eml/Old prices.eml").document.attachments == (
        "stock.eml/Old prices.eml/old.csv",
    )
    for id in ("Old prices.eml", "Old prices.eml/old.csv"):
        metadata = index.service().document(f"stock.eml/{id}").document.metadata
        assert [each.value for each in metadata if each.name == "sender"] == ["Carl <carl@x.org>"]
    assert not index(isolated=True).counts.changed


def test_mails_nested_without_end_are_read_to_a_depth(index: _Index, inbox: Path) -> None:
    message = mail("0", list__csv=ROPES)
    for depth in range(1, 8):
        message = mail(str(depth), forwarded=message)
    (inbox / "stock.eml").write_bytes(message.as_bytes())
    index()
    assert max(id.count("/") for id in index.lines()) == 3
    assert index.lines()["stock.eml/6.eml/5.eml/4.eml"] == ("partial", "stock.eml")


def test_more_attachments_than_the_bound_are_named_and_not_read(
    index: _Index, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_MOST_ATTACHED", 2)
    inner = mail("Inner", a__txt=b"one", b__txt=b"two", c__txt=b"three")
    (inbox / "stock.eml").write_bytes(mail(inner=inner).as_bytes())
    index()
    lines = index.lines()
    assert "stock.eml/Inner.eml/c.txt" not in lines
    assert lines["stock.eml/Inner.eml/b.txt"] == ("skipped", "stock.eml")


def test_attachments_of_a_mailbox_are_named_by_the_number_of_their_mail(index: _Index, inbox: Path) -> None:
    mails = [mail(list__csv=ROPES), mail("Empty"), mail("More", list__csv=b"item,price\noar,two crowns\n")]
    (inbox / "box.mbox").write_bytes(b"".join(b"From x Mon\n" + message.as_bytes() + b"\n" for message in mails))
    index()
    assert {"box.mbox/1/list.csv", "box.mbox/3/list.csv"} <= index.lines().keys()
    (hit, *_) = index.service().ask(Query("Empty", mode="lexical", documents=("box.mbox",))).hits
    assert ("sent", "2024-05-06T08:00:00Z") in hit.metadata


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("../../etc/passwd.txt", "_.._etc_passwd.txt"),
        ("a\\b.txt", "a_b.txt"),
        ("a\nb.txt", "a b.txt"),
        ("x" * 500 + ".txt", "x" * 116 + ".txt"),
        ("..", "attachment.bin"),
    ],
)
def test_names_of_attachments_are_one_part_of_an_id(index: _Index, inbox: Path, name: str, id: str) -> None:
    message = mail()
    message.add_attachment(b"words", maintype="application", subtype="octet-stream", filename="NAME")
    quoted = name.replace("\\", "\\\\").replace("\n", "=0A")
    raw = message.as_bytes().replace(b'filename="NAME"', f'filename="{quoted}"'.encode())
    if "\n" in name:
        raw = raw.replace(b'"a=0Ab.txt"', b'"=?utf-8?q?a=0Ab.txt?="')
    (inbox / "stock.eml").write_bytes(raw)
    index()
    assert f"stock.eml/{id}" in index.lines()


def test_two_attachments_of_one_name_are_told_apart(index: _Index, inbox: Path) -> None:
    message = mail()
    for content in (b"one", b"two"):
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename="a.txt")
    (inbox / "stock.eml").write_bytes(message.as_bytes())
    index()
    service = index.service()
    texts = [service.document(f"stock.eml/{name}").document.text for name in ("a.txt", "a (2).txt")]
    assert texts == ["one", "two"]
