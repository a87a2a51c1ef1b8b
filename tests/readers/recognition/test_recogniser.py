"""Pages that are images are recognised, once; what has text is read as text, and nothing is lost where OCR fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import cos, radians, sin
from pathlib import Path

import pytest

from qa.readers.recognition import recogniser as recognition
from qa.readers.recognition.layout import RecognisedImage, RecognisedLine, lay_out
from qa.readers.recognition.recogniser import (
    MISSING,
    OFF,
    NoRecogniser,
    PageCache,
    PageRecogniser,
    Recogniser,
    recognition_version,
)
from qa.readers.registry import ReadingOptions, read_source
from qa.types import Document, FileReport, Source
from tests.support import pdfs
from tests.support.scans import SIZE, FakeModels, encoded, line, merged, pages_of, recogniser_of, scan, stamped

PROSE = "The harbour office is open on weekdays."
WRITTEN = pdfs.pdf(pdfs.lines(PROSE, "It closes at five."))
SCANNED = encoded(scan("noon"), "PDF")
BLANK = pdfs.pdf([])


def _read(
    folder: Path, data: bytes, recogniser: Recogniser | None, name: str = "a.pdf", ocr: str = OFF
) -> tuple[Document | None, FileReport]:
    path = folder / name
    path.write_bytes(data)
    return read_source(Source(name, path, len(data)), ReadingOptions(ocr=ocr), recogniser)


def _text(*lines: RecognisedLine, shape: tuple[int, int] = (2200, 1700)) -> list[str]:
    return [line.text for line in lay_out(RecognisedImage(lines, shape), 200 / 72).lines]


def test_only_pages_without_text_are_recognised(tmp_path: Path) -> None:
    models, messages = FakeModels(), list[Mapping[str, object]]()
    document, report = _read(tmp_path, merged(WRITTEN, SCANNED, WRITTEN), recogniser_of(models, messages))
    assert document is not None
    assert pages_of(messages) == [2]
    assert len(models.images) == 1
    texts = [document.text[page.start : page.end] for page in document.pages]
    assert PROSE in texts[0]
    assert texts[1] == "A scanned page says that the ferry leaves at noon."
    assert [page.recognised for page in document.pages] == [None, pytest.approx(0.9), None]
    assert (report.status, report.reason) == ("read", "")
    assert dict(report.recognised) == {2: pytest.approx(0.9)}


def test_a_scan_with_a_stamp_is_recognised_and_keeps_what_ocr_did_not_see(tmp_path: Path) -> None:
    models = FakeModels(
        line("The ferry leaves at noon from the old quay, and returns at night.", 100, 100),
        line("Filed on 3 May", 100, 1600),
    )
    data = stamped(stamped(SCANNED, "Filed on 3 May"), "Exhibit 17", y=60)
    document, _ = _read(tmp_path, data, recogniser_of(models))
    assert document is not None
    assert document.pages[0].recognised == pytest.approx(0.9)
    assert document.text.startswith("The ferry leaves at noon from the old quay")
    assert document.text.count("Filed on 3 May") == 1
    assert document.text.endswith("Exhibit 17")


def test_a_stamped_scan_in_which_ocr_sees_no_more_keeps_its_text(tmp_path: Path) -> None:
    document, report = _read(
        tmp_path, stamped(SCANNED, "Exhibit 17"), recogniser_of(FakeModels(line("Exhibit I7", 9, 9)))
    )
    assert document is not None
    assert document.text == "Exhibit 17"
    assert document.pages[0].recognised is None
    assert report.reason == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ((400, 300), "Exhibit 17"),
        (SIZE, "A page that says a good deal by itself needs no reading of its picture. " * 6),
    ],
    ids=["small picture", "much text"],
)
def test_a_page_with_a_small_picture_or_much_text_is_no_scan(tmp_path: Path, size: tuple[int, int], text: str) -> None:
    models = FakeModels()
    data = stamped(encoded(scan("noon", size=size), "PDF"), text, page=SIZE)
    document, _ = _read(tmp_path, data, recogniser_of(models))
    assert document is not None
    assert document.pages[0].recognised is None
    assert not models.images


def test_a_page_with_nothing_on_it_is_not_given_to_the_models(tmp_path: Path) -> None:
    models = FakeModels()
    _, report = _read(tmp_path, merged(WRITTEN, BLANK), recogniser_of(models))
    assert (report.status, report.empty_pages, models.images) == ("read", 1, [])
    _, report = _read(tmp_path, BLANK, recogniser_of(models))
    assert (report.status, report.reason) == ("skipped", "no text")


@pytest.mark.parametrize(
    "seen",
    [
        (line("7", 10, 10), line("a", 90, 90)),
        (line("wavy shapes", 10, 10, confidence=0.4),),
        (line("~ — ~ ·", 10, 10),),
        (line("looks like words", 10, 10, confidence=0.55),),
    ],
)
def test_a_picture_without_words_has_no_text(tmp_path: Path, seen: tuple[RecognisedLine, ...]) -> None:
    _, report = _read(tmp_path, encoded(scan("x"), "PNG"), recogniser_of(FakeModels(*seen)), "a.png")
    assert (report.status, report.reason) == ("skipped", "no text")


def test_a_page_that_is_hard_to_read_is_named(tmp_path: Path) -> None:
    models = FakeModels(line("barely legible handwriting", 10, 10, confidence=0.7))
    _, report = _read(tmp_path, merged(WRITTEN, SCANNED), recogniser_of(models))
    assert report.status == "partial"
    assert report.reason == "OCR is less than 80 % sure of the words of page 2; check what was read"


def test_boxes_on_one_line_are_one_line_and_the_cells_of_a_row_stay_apart() -> None:
    assert _text(line("the ferry", 100, 100), line("leaves", 284, 104), line("at noon.", 410, 97)) == [
        "the ferry leaves at noon."
    ]
    rows = [
        line(text, x, y)
        for y, row in ((100, "Tea 4.50"), (160, "Milk 1.20"))
        for x, text in zip((100, 900), row.split(), strict=True)
    ]
    assert _text(*reversed(rows)) == ["Tea\t4.50", "Milk\t1.20"]


def test_columns_are_read_one_after_the_other() -> None:
    left = [f"left line number {number} of the column" for number in range(8)]
    right = [f"right line number {number} of the column" for number in range(8)]
    lines = [line(text, 100, 100 + 50 * at, 30) for at, text in enumerate(left)]
    lines += [line(text, 750, 104 + 50 * at, 30) for at, text in enumerate(right)]
    assert _text(*lines) == left + right


def test_a_skewed_page_keeps_its_lines() -> None:
    # Over a line of 1,300 pixels three degrees are 68 pixels, more than the distance of two lines.
    straight = [line(f"item {at}", 100, 300 + 60 * at) for at in range(6)]
    straight += [line(f"price {at}", 1400, 300 + 60 * at) for at in range(6)]
    angle = radians(3)

    def turned(point: tuple[float, float]) -> tuple[float, float]:
        x, y = point
        return x * cos(angle) - y * sin(angle), x * sin(angle) + y * cos(angle)

    a, b, c, d = zip(*([turned(corner) for corner in each.corners] for each in straight), strict=True)
    skewed = [
        replace(each, corners=corners) for each, corners in zip(straight, zip(a, b, c, d, strict=True), strict=True)
    ]
    assert _text(*skewed) == _text(*straight) == [f"item {at}\tprice {at}" for at in range(6)]


def test_writing_that_runs_up_the_margin_comes_last() -> None:
    margin = RecognisedLine("arXiv:1234.5678", 0.9, ((10.0, 400.0), (50.0, 400.0), (50.0, 1200.0), (10.0, 1200.0)))
    assert _text(margin, line("The words of the page", 100, 100))[-1] == "arXiv:1234.5678"


def test_what_was_recognised_before_is_not_recognised_again(tmp_path: Path) -> None:
    cache, models = PageCache(tmp_path / "cache"), FakeModels()

    def read(data: bytes, version: str = "fake/1") -> Document:
        recogniser = PageRecogniser(version, cache.folder, cache.keep, lambda: models)
        document, _ = _read(tmp_path, data, recogniser)
        assert document is not None
        return document

    first = read(SCANNED)
    assert read(SCANNED) == first
    # The same page in another file is known, other pixels and other models are not.
    assert read(merged(WRITTEN, SCANNED)).pages[1].recognised == first.pages[0].recognised
    assert len(models.images) == 1
    read(encoded(scan("one"), "PDF"))
    read(SCANNED, "fake/2")
    assert len(models.images) == 3


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b"{}", b'{"upright": [[1]], "turned": [], "height": 1, "confidence": 1}']
)
def test_a_damaged_cache_costs_time_only(tmp_path: Path, damage: bytes) -> None:
    cache, models = PageCache(tmp_path / "cache"), FakeModels()
    for _ in range(2):
        document, _ = _read(tmp_path, SCANNED, PageRecogniser("fake/1", cache.folder, cache.keep, lambda: models))
        assert document is not None
        assert "ferry" in document.text
        for entry in cache.folder.rglob("*.json"):
            entry.write_bytes(damage)
    assert len(models.images) == 2


@pytest.mark.parametrize("key", ["../../evil", "a" * 63, 5, None])
def test_the_cache_takes_no_name_that_is_no_hash(tmp_path: Path, key: object) -> None:
    PageCache(tmp_path / "cache").keep({"recognised": key, "entry": {"height": 1}})
    assert not any(tmp_path.rglob("*"))


def test_a_cache_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    cache = PageCache(tmp_path / "cache")
    document, _ = _read(tmp_path, SCANNED, PageRecogniser("fake/1", cache.folder, cache.keep, FakeModels))
    assert document is not None


def test_models_that_fail_lose_no_text(tmp_path: Path) -> None:
    models = FakeModels(error=RuntimeError("no such operation\nat node 7"))
    document, report = _read(tmp_path, merged(WRITTEN, SCANNED, SCANNED), recogniser_of(models))
    assert document is not None
    assert PROSE in document.text
    assert report.reason == (
        "pages 2 and 3 have no text; they may be scanned images: OCR failed (RuntimeError: no such operation)"
    )
    assert len(models.images) == 1
    with pytest.raises(MemoryError):
        _read(tmp_path, SCANNED, recogniser_of(FakeModels(error=MemoryError())))


def test_the_pages_of_one_file_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "MOST_PAGES", 1)
    models = FakeModels()
    _, report = _read(tmp_path, merged(SCANNED, encoded(scan("two"), "PDF")), recogniser_of(models))
    assert report.reason == "page 2 has no text; it may be a scanned image: OCR reads at most 1 pages of a file"
    assert len(models.images) == 1


@pytest.mark.parametrize(
    ("ocr", "advice"), [(OFF, "OCR is off (QA_OCR)"), (MISSING, "install qa[ocr] to have it recognised")]
)
def test_without_a_recogniser_the_report_says_what_to_do(tmp_path: Path, ocr: str, advice: str) -> None:
    assert NoRecogniser(ocr).advice == advice
    _, report = _read(tmp_path, SCANNED, None, ocr=ocr)
    assert (report.status, report.reason) == ("failed", f"no page has text; it may be scanned: {advice}")
    _, report = _read(tmp_path, merged(WRITTEN, SCANNED), None, ocr=ocr)
    assert report.reason == f"page 2 has no text; it may be a scanned image: {advice}"
    _, report = _read(tmp_path, encoded(scan("noon"), "PNG"), None, "a.png", ocr)
    assert (report.status, report.reason) == ("skipped", f"a PNG image; {advice}")


def test_what_recognises_is_named_with_its_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recognition_version(False) == OFF
    monkeypatch.setattr(recognition, "_PACKAGES", ("a-package-that-is-not-there",))
    assert recognition_version(True) == MISSING
    monkeypatch.setattr(recognition, "_PACKAGES", ("pytest",))
    assert recognition_version(True) == f"qa/1 pytest/{pytest.__version__}"
