from __future__ import annotations

from pathlib import Path

import pytest

from qa.errors import UnreadableDocument
from qa.readers.kinds import Kind, classify, detect_kind, parse_suffix
from tests.support.reader_samples import SAMPLES, zipped
from tests.support.texts import derived


def _detect(path: Path, name: str) -> Kind:
    with path.open("rb") as file:
        return detect_kind(file, name)


_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("a.txt", "text"),
        ("A.TXT", "text"),
        ("README", "text"),
        ("minutes of 3.11", "text"),
        ("Dr. Who", "text"),
        ("a.log", "text"),
        ("a.rst", "rst"),
        ("a.adoc", "asciidoc"),
        ("a.org", "org"),
        ("a.md", "markdown"),
        ("a.Markdown", "markdown"),
        ("a.csv", "delimited"),
        ("a.htm", "html"),
        ("a.docx", "text"),
    ],
)
def test_text_goes_by_its_name(name: str, reader: str) -> None:
    assert classify(b"Words.", name) == Kind(reader)


@pytest.mark.parametrize(
    "head",
    [
        b"<!DOCTYPE html><p>",
        b"\xef\xbb\xbf \n<HTML lang=en>",
        b"<!-- <p> --> <?xml version='1.0'?>\n<html>",
        "\ufeff<html>".encode("utf-16-le"),
    ],
)
def test_html_by_content(head: bytes) -> None:
    assert classify(head, "a.pdf") == Kind("html")


@pytest.mark.parametrize("head", [b"<p>html</p>", b"A text on <html> and <body>.", b"<htmlish>"])
def test_what_only_speaks_of_html_is_text(head: bytes) -> None:
    assert classify(head, "a.txt") == Kind("text")


@pytest.mark.parametrize(
    ("head", "name", "reader"),
    [
        (b"%PDF-1.7\n", "a.docx", "pdf"),
        (b"\0junk%PDF-1.7\n", "a", "pdf"),
        (b"junk\n%PDF-1.7\n", "a.pdf", "pdf"),
        (b"A file that begins with %PDF-1.7 is a PDF.", "a.txt", "text"),
    ],
)
def test_pdf_by_content(head: bytes, name: str, reader: str) -> None:
    assert classify(head, name) == Kind(reader)


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx", "a.odt", "a.epub", "a.pdf", "a.html"])
def test_formats_are_known_under_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(SAMPLES[name]())
    assert _detect(path, "x.txt") == Kind(name.removeprefix("a."))


@pytest.mark.parametrize(
    ("head", "name", "reason"),
    [
        (b"", "a.pdf", "no text"),
        (b"RIFF\0\0\0\0WEBP", "a", "a WebP image"),
        (b"\x7fELF\2\1\1\0", "a.txt", "a program"),
        (_OLE2, "a.doc", "an old Word document; save it as .docx"),
        (b"a{" + b"x" * 6_000 + b"}", "a.min.js", "packed code, not a document"),
        (b"a{}", "a.css", "data, not a document"),
        (b"id,question,answers\n1,Why?,so", "questions.csv", "a question file, not a document"),
        (b'"question";"document"\nWhy?;a.txt', "questions.csv", "a question file, not a document"),
        (b"{}", "package.json", "data, not a document"),
        (b"Words.", "a.xyz", "no reader for .xyz files"),
    ],
)
def test_what_is_skipped_and_why(head: bytes, name: str, reason: str) -> None:
    assert classify(head, name) == Kind(None, reason)


@pytest.mark.parametrize("head", [b"ID3 is an algorithm.", b"BZh is how it begins.", b"OTTO said so."])
def test_words_that_look_like_magic_are_text(head: bytes) -> None:
    assert classify(head, "a.txt") == Kind("text")


@pytest.mark.parametrize("length", [20, 100, 200, 290])
def test_a_document_that_is_cut_off_is_one_still(tmp_path: Path, length: int) -> None:
    whole = zipped({"[Content_Types].xml": "<Types/>", "_rels/.rels": "<Relationships/>", "docProps/app.xml": "<x/>"})
    (tmp_path / "x").write_bytes((whole + zipped({"word/document.xml": "Words."}))[:length])
    assert _detect(tmp_path / "x", "report.docx") == Kind("docx")


def test_archives_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(zipped({"a.txt": "Words.", "b.txt": "Words."}))
    assert _detect(path, "x.docx") == Kind(None, "a ZIP archive; unpack it")
    path.write_bytes(zipped({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": ""}))
    assert _detect(path, "x") == Kind("ods")


def test_a_protected_file_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    # Its directory may stand behind all else: sector size 2**9, first directory sector 200.
    header = bytearray(_OLE2)
    header[30:32], header[48:52] = (9).to_bytes(2, "little"), (200).to_bytes(4, "little")
    path.write_bytes(bytes(header) + bytes(200 * 512) + "EncryptedPackage".encode("utf-16-le"))
    with pytest.raises(UnreadableDocument, match="protected by a password"):
        _detect(path, path.name)


@pytest.mark.parametrize(("name", "suffix"), [("a.TXT", "txt"), ("b/a.b.md", "md"), ("v1.2", ""), (".env", "")])
def test_suffixes(name: str, suffix: str) -> None:
    assert parse_suffix(name) == suffix


@pytest.mark.parametrize(
    ("name", "reader"), [("html_named.pdf", "html"), ("pdf_named.docx", "pdf"), ("truncated.docx", "docx")]
)
def test_real_files_under_wrong_names(name: str, reader: str) -> None:
    path = derived(name)
    assert _detect(path, name) == Kind(reader)
