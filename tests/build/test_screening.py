"""Files that are sent are read before they become documents: what cannot be read is refused, and why is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qa.build.screening import Screening
from qa.errors import UploadRefused
from qa.readers.isolation import ReadingLimits
from qa.readers.registry import ReadingOptions
from tests.support import reader_samples as samples
from tests.support import scans


@pytest.fixture(scope="module")
def screening() -> Iterator[Screening]:
    with Screening(ReadingLimits(max_bytes=1_000_000), ReadingOptions()) as screening:
        yield screening


@pytest.fixture(scope="module")
def recognising() -> Iterator[Screening]:
    with Screening(ReadingLimits(), ReadingOptions(ocr="some OCR")) as screening:
        yield screening


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", samples.text()),
        ("a.docx", samples.docx()),
        ("a.pdf", samples.pdf()),
        ("a.xlsx", samples.xlsx()),
        ("below/a.html", samples.html()),
        ("a.eml", samples.mail()),
        ("notes", b"A text without a suffix, as people write them.\n"),
    ],
)
def test_what_a_reader_takes_is_accepted(screening: Screening, tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / "received"
    path.write_bytes(data)
    screening.check(path, name)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.exe", b"MZ\x90\0" + b"\0" * 100, "a Windows program"),
        ("a.pdf", b"MZ\x90\0" + b"\0" * 100, "a Windows program"),
        ("a.zip", samples.zipped({"a.txt": "text"}), "it is a ZIP archive"),
        ("a.xyz", b"\0\1", "no reader"),
        ("a.txt", b"", "no text"),
        ("a.txt", b" \n", "no text"),
        ("a.docx", samples.docx()[:-200], ""),
        ("a.pdf", samples.pdf()[:300], ""),
        ("a.png", scans.encoded(scans.scan("A page", size=(200, 200)), "png"), "a PNG image"),
        ("a.txt", b"word " * 300_000, "it is 2 MB"),
        (".qaignore", b"\0\0", ""),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    screening: Screening, tmp_path: Path, name: str, data: bytes, why: str
) -> None:
    path = tmp_path / "received"
    path.write_bytes(data)
    with pytest.raises(UploadRefused) as refused:
        screening.check(path, name)
    assert why in str(refused.value)
    assert str(path) not in str(refused.value)


def test_scans_are_accepted_where_their_pages_are_recognised(recognising: Screening, tmp_path: Path) -> None:
    path = tmp_path / "received"
    image = scans.scan("A page")
    for name, kind in (("a.png", "png"), ("a.jpg", "jpeg"), ("a.pdf", "pdf")):
        path.write_bytes(scans.encoded(image, kind))
        recognising.check(path, name)
    path.write_bytes(b"GIF89a" + b"\0" * 100)
    with pytest.raises(UploadRefused, match="GIF"):
        recognising.check(path, "a.gif")
