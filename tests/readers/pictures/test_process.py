"""The process that draws: the bytes that were checked, within its limits, and nothing of a file that breaks it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import numpy as np
import pytest

from qa.errors import PictureUnavailable
from qa.readers.pictures.places import rectangles
from qa.readers.pictures.process import DrawingLimits, Picture, Wanted, draw
from qa.readers.recognition.recogniser import PageCache
from tests.support import hostile_files
from tests.support.pdfs import Text, pdf
from tests.support.waiting import AT_MOST

pytestmark = pytest.mark.slow

TEXT = "The ferry leaves at noon."
DATA = pdf([Text(TEXT)])


def wanted(data: bytes = DATA, **changes: object) -> Wanted:
    values: dict[str, object] = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "parts": (),
        "media_type": "application/pdf",
        "page": 1,
        "width": 800,
        "before": "",
        "text": TEXT,
        "recognised": False,
    }
    return Wanted(**{**values, **changes})  # type: ignore[arg-type]


@contextmanager
def opened(folder: Path, data: bytes = DATA) -> Iterator[int]:
    path = folder / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        yield file.fileno()


def drawn(folder: Path, data: bytes = DATA, limits: DrawingLimits | None = None, **changes: object) -> Picture:
    with opened(folder, data) as file:
        return draw(file, wanted(data, **changes), PageCache(folder / "cache"), limits)


def test_a_page_comes_back_with_a_box_for_each_character(tmp_path: Path) -> None:
    picture = drawn(tmp_path, before="Before. ")
    assert picture.png.startswith(b"\x89PNG")
    assert (picture.width, picture.height, picture.found) == (800, 1067, 1)
    assert picture.boxes.shape == (len("Before. " + TEXT), 4)
    assert len(rectangles(picture.boxes)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_bytes_that_are_not_those_that_were_indexed_are_not_drawn(tmp_path: Path) -> None:
    with pytest.raises(PictureUnavailable, match="has changed"):
        drawn(tmp_path, sha256="0" * 64)


def test_what_is_attached_to_a_mail_is_taken_out_of_it(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["Subject"] = "Plan"
    mail.set_content("The plan is attached.")
    mail.add_attachment(DATA, maintype="application", subtype="pdf", filename="plan.pdf")
    data = mail.as_bytes()
    assert drawn(tmp_path, data, parts=("mail.eml", "plan.pdf")).found == 1
    with pytest.raises(PictureUnavailable, match="does not hold it"):
        drawn(tmp_path, data, parts=("mail.eml", "other.pdf"))


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (DrawingLimits(seconds=0), "takes longer"),
        (DrawingLimits(max_bytes=100), "larger than"),
        (DrawingLimits(memory_bytes=1), "memory|fails|not installed"),
    ],
    ids=["time", "size", "memory"],
)
def test_a_page_that_takes_too_much_is_not_drawn(tmp_path: Path, limits: DrawingLimits, reason: str) -> None:
    with pytest.raises(PictureUnavailable, match=reason):
        drawn(tmp_path, limits=limits)


@pytest.mark.parametrize("data", [b"%PDF-1.4 cut", b"\0" * 1000, b""])
def test_what_is_no_pdf_is_refused_in_words(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(PictureUnavailable) as refused:
        drawn(tmp_path, data)
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("name", sorted(hostile_files.pdfs()))
def test_a_hostile_page_is_drawn_or_refused_within_its_limits(tmp_path: Path, name: str) -> None:
    data = hostile_files.pdfs()[name]
    limits = DrawingLimits(seconds=AT_MOST, memory_bytes=1_000_000_000)
    if name in {"cut.pdf", "deep array.pdf", "xref.pdf"}:
        with pytest.raises(PictureUnavailable) as refused:
            drawn(tmp_path, data, limits)
        assert len(str(refused.value)) < 200
    else:
        picture = drawn(tmp_path, data, limits)
        assert picture.width * picture.height <= 4_100_000


def test_an_answer_that_is_not_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lie(*_: object) -> tuple[dict[str, object], bytearray]:
        return {"png": 1, "width": 8, "height": 8, "found": 1.0}, bytearray(b"x" + bytes(np.zeros(4, np.int16)))

    monkeypatch.setattr("qa.readers.pictures.process.receive_bytes", lie)
    with pytest.raises(PictureUnavailable, match="no valid answer"):
        drawn(tmp_path)
