from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from qa.errors import UnreadableDocument
from qa.readers.archive import Archive, parse_xml
from qa.readers.registry import read_source
from qa.types import Source
from tests.support.reader_samples import epub, zipped


def test_members_are_read() -> None:
    archive = Archive(zipped({"a.xml": "<a><b>c</b></a>"}))
    assert archive.read("a.xml") == b"<a><b>c</b></a>"
    assert archive.xml("a.xml")[0].text == "c"
    with pytest.raises(UnreadableDocument, match=r"it has no b\.xml"):
        archive.read("b.xml")


def test_a_bomb_is_refused_unopened() -> None:
    bomb = zipped({"a.xml": bytes(100_000_000)})
    assert len(bomb) < 200_000
    with pytest.raises(UnreadableDocument, match="unpacks to far more"):
        Archive(bomb)


def test_a_lie_about_the_size_does_not_help() -> None:
    data = bytearray(zipped({"a.xml": bytes(50_000_000)}))
    declared = (50_000_000).to_bytes(4, "little")
    while (at := data.find(declared)) >= 0:
        data[at : at + 4] = (10).to_bytes(4, "little")
    with pytest.raises(UnreadableDocument, match="damaged"):
        Archive(bytes(data)).read("a.xml")


def test_too_many_members_are_refused() -> None:
    with pytest.raises(UnreadableDocument, match="unpacks"):
        Archive(zipped(dict.fromkeys(map(str, range(20_001)), "")))


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(10), zipped({"a": "b"})[:-8]],
    ids=["empty", "a head", "an end", "cut"],
)
def test_what_is_broken_says_so(data: bytes) -> None:
    with pytest.raises(UnreadableDocument, match="damaged or cut off"):
        Archive(data)


@pytest.mark.parametrize(
    "xml",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'.encode("utf-16"),
    ],
)
def test_entities_are_refused(xml: bytes) -> None:
    with pytest.raises(UnreadableDocument, match="declares entities"):
        parse_xml(xml)


def test_the_public_name_of_a_document_type_is_passed_over() -> None:
    root = parse_xml(b'<!DOCTYPE package PUBLIC "+//ISBN//DTD OEB//EN" "http://example.org/oeb.dtd"><package/>')
    assert root.tag == "package"


def test_members_are_found_whatever_their_case_and_slashes() -> None:
    archive = Archive(zipped({"OPS\\Text/Ch1.xhtml": "x"}))
    assert archive.read("/ops/text/ch1.xhtml") == b"x"
    assert "ops/text/ch2.xhtml" not in archive


@pytest.mark.parametrize("xml", [b"", b"<a>", b"<a>" * 100_000 + b"</a>" * 100_000])
def test_xml_that_is_damaged_or_too_deep_is_refused(xml: bytes) -> None:
    with pytest.raises(UnreadableDocument, match="damaged or nested too deep"):
        parse_xml(xml)


def _report(folder: Path, members: dict[str, str | bytes]) -> tuple[str, str]:
    path = folder / "a.epub"
    path.write_bytes(zipped(members))
    report = read_source(Source("a.epub", path, path.stat().st_size))[1]
    return report.status, report.reason


def _members(folder: Path) -> dict[str, str | bytes]:
    path = folder / "source.epub"
    path.write_bytes(epub())
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_chapter_that_is_missing_leaves_the_others(tmp_path: Path) -> None:
    members = _members(tmp_path)
    del members["OPS/b.xhtml"]
    assert _report(tmp_path, members) == ("partial", "OPS/b.xhtml could not be read")


def test_a_protected_book_says_so(tmp_path: Path) -> None:
    locked = '<encryption><CipherReference URI="OPS/b.xhtml"/></encryption>'
    status, reason = _report(tmp_path, _members(tmp_path) | {"META-INF/encryption.xml": locked})
    assert (status, "DRM" in reason) == ("failed", True)
    fonts = '<encryption><CipherReference URI="OPS/font.otf"/></encryption>'
    assert _report(tmp_path, _members(tmp_path) | {"META-INF/encryption.xml": fonts}) == ("read", "")
