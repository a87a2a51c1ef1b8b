"""What OCR reads, with the real models: words of scans however they lie, and nothing in pictures without words."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw

from qa.readers.isolation import IsolatedReader, ReadingLimits, Recognition
from qa.readers.recognition.layout import RecognisedPage, lay_out
from qa.readers.recognition.recogniser import PageCache, recognition_version
from qa.readers.registry import ReadingOptions
from qa.types import Document, FileReport, Source
from tests.support.scans import encoded, scan
from tests.support.texts import shared

if TYPE_CHECKING:
    from qa.readers.recognition.recogniser import Recognise

pytest.importorskip("rapidocr", reason="qa[ocr] is not installed")
pytestmark = pytest.mark.slow

LINES = (
    "Harbour Office",
    "The ferry to Skellig leaves at 10:45 every morning",
    "from pier no. 7. A ticket costs $12.50 for adults and",
    "$6.25 for children; dogs travel free.",
)


@cache
def _models() -> Recognise:
    from qa.readers.recognition.models import Models

    return Models().recognise


def _recognise(image: Image.Image) -> RecognisedPage:
    pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
    return lay_out(_models()(pixels), 200 / 72)


def _text(image: Image.Image) -> str:
    return " ".join(line.text for line in _recognise(image).lines)


@pytest.mark.parametrize("angle", [0, 2.5, -1, 90, 180, 270])
def test_the_words_of_a_scan_are_read_however_it_lies(angle: float) -> None:
    assert _text(scan(*LINES, angle=angle)) == " ".join(LINES)


def test_the_same_pixels_give_the_same_page() -> None:
    assert _recognise(scan(*LINES)) == _recognise(scan(*LINES))


def test_a_picture_without_words_has_none() -> None:
    picture = Image.new("RGB", (800, 600), (90, 140, 200))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((300, 100, 500, 300), fill=(250, 220, 60))
    draw.polygon([(0, 600), (250, 250), (500, 600)], fill=(60, 110, 50))
    draw.rectangle((550, 400, 700, 600), fill=(150, 60, 40))
    assert _recognise(picture).lines == []
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (700, 900, 3), dtype=np.uint8))
    assert _recognise(noise).lines == []


@pytest.mark.parametrize("size", [(8, 8), (2400, 12), (12, 2400), (33, 31)])
def test_images_of_any_shape_are_recognised(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert _recognise(Image.fromarray(noise)).lines == []


def test_words_in_colour_on_a_small_screen_are_read() -> None:
    screen = Image.new("RGB", (420, 120), (30, 60, 120))
    ImageDraw.Draw(screen).text((20, 40), "Battery low: 7 % left", fill=(255, 230, 120), font_size=16)
    assert _text(screen).replace(" ", "") == "Batterylow:7%left"


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", connect)
    _models.cache_clear()
    assert "ferry" in _text(scan(*LINES))


Read = Callable[[Path], tuple[Document | None, FileReport]]


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    """Read files as a build does: in a process of their own with the limits of the settings."""
    options = ReadingOptions(ocr=recognition_version(True))
    with IsolatedReader(ReadingLimits(), options=options, recognition=Recognition(PageCache(tmp_path / "c"))) as reader:
        yield lambda path: reader.read(Source(path.name, path, path.stat().st_size))


def test_scans_are_read_in_the_process_with_limits_which_goes_on(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(encoded(scan(*LINES), "PDF"))
    document, report = read(path)
    assert document is not None
    assert "A ticket costs $12.50" in document.text
    ((page, confidence),) = report.recognised
    assert (page, report.status) == (1, "read")
    assert confidence > 0.95
    # Of the models nothing counts against the next file, and the page is known.
    again, _ = read(path)
    assert again == document
    (tmp_path / "a.txt").write_text("Words.")
    assert read(tmp_path / "a.txt")[1].status == "read"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("deepset-ai+haystack/test/test_files/pdf/non_text_searchable.pdf", "an example of a non-text-searchable PDF"),
        (
            "microsoft+markitdown/packages/markitdown/tests/test_files/MEDRPT-2024-PAT-3847_medical_report_scan.pdf",
            "Blood Pressure\t142/88 mmHg\t120/80 mmHg\tELEVATED",
        ),
        ("microsoft+markitdown/packages/markitdown/tests/test_files/test_llm.jpg", "5bda1dd6"),
    ],
)
def test_real_scans_that_could_not_be_read_before(read: Read, name: str, words: str) -> None:
    document, report = read(shared(name))
    assert document is not None
    assert words in document.text
    assert report.status == "read"
    assert len(report.recognised) == len(document.pages)
