"""Spans of real PDF files marked on pictures of their pages, and what PDFium finds within the marks.

``python -m benchmarks.page_marks`` reads each file, looks at up to six of its pages and marks eight spans of each, by
lots from a fixed seed. Counted are the characters of the pages' text that are found on the page again, and the spans
that PDFium reads within the middle third of the marked rectangles. Then twelve pages are drawn as a server does, each
in a process of its own. It needs ``../shared/data``.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from statistics import median
from typing import Any

from qa.readers.pictures.page import draw_page
from qa.readers.pictures.places import Rectangle, place, rectangles
from qa.readers.pictures.process import Wanted, draw
from qa.readers.recognition.recogniser import NoRecogniser
from qa.readers.registry import read_source
from qa.types import Document, Page, Source

DOCUMENTS = Path("../shared/data/documents")
_PAGES, _SPANS, _TIMED = 6, 8, 12
_LENGTHS = (8, 20, 50)


def pages_of(lots: random.Random) -> list[tuple[Path, Document, Page]]:
    """Return the pages that are looked at, with their files and documents."""
    found = []
    for path in sorted(DOCUMENTS.rglob("*.pdf")):
        document, _ = read_source(Source(path.name, path, path.stat().st_size))
        if document is None or document.media_type != "application/pdf":
            continue
        pages = [page for page in document.pages if page.end - page.start > 30]
        lots.shuffle(pages)
        found += [(path, document, page) for page in pages[:_PAGES]]
    return found


def span_of(text: str, page: Page, lots: random.Random) -> tuple[int, int]:
    """Return a span of whole words of a page."""
    start = lots.randrange(page.start, page.end - 10)
    while start > page.start and not text[start - 1].isspace():
        start -= 1
    end = min(start + lots.choice(_LENGTHS), page.end)
    while end < page.end and not text[end].isspace():
        end += 1
    return start, end


def read_within(page: Any, marks: list[Rectangle]) -> str:
    """Return what PDFium reads within the middle third of rectangles on a page that is not turned."""
    left, bottom, right, top = page.get_bbox()
    text, wide, high = page.get_textpage(), right - left, top - bottom
    return "".join(
        text.get_text_bounded(
            left + wide * mark.left / 100 + 0.3,
            top - high * (mark.top + mark.height * 0.75) / 100,
            left + wide * (mark.left + mark.width) / 100 - 0.3,
            top - high * (mark.top + mark.height * 0.35) / 100,
        )
        for mark in marks
    )


def ink(text: str) -> str:
    return "".join(text.split())


def main() -> None:
    import pypdfium2

    lots = random.Random(5)
    pages = pages_of(lots)
    shares, spans, exact, alike = [], 0, 0, 0
    for path, document, page in pages:
        data = path.read_bytes()
        drawn = draw_page(data, document.media_type, page.number, 800, NoRecogniser())
        boxes, share = place(drawn.lines, "", document.text[page.start : page.end])
        shares.append(share)
        on_page = pypdfium2.PdfDocument(data)[page.number - 1]
        if on_page.get_rotation():
            continue
        for _ in range(_SPANS):
            start, end = span_of(document.text, page, lots)
            marks = rectangles(boxes[start - page.start : end - page.start])
            want, got = ink(document.text[start:end]), ink(read_within(on_page, marks))
            spans += 1
            exact += want == got
            alike += want != got and sorted(want) == sorted(got)
    seconds = []
    for path, document, page in lots.sample(pages, _TIMED):
        wanted = Wanted(
            document.source_sha256,
            (),
            document.media_type,
            page.number,
            800,
            "",
            document.text[page.start : page.end],
            recognised=False,
        )
        with path.open("rb") as file:
            started = time.perf_counter()
            draw(file.fileno(), wanted, None)
            seconds.append(time.perf_counter() - started)
    found = {
        "pages": len(pages),
        "found": round(sum(shares) / len(shares), 4),
        "least": round(min(shares), 3),
        "spans": spans,
        "exact": exact,
        "alike": alike,
        "seconds": round(median(seconds), 2),
        "slowest": round(max(seconds), 2),
    }
    for name, value in found.items():
        print(f"{name:>8}  {value}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
