from __future__ import annotations

from pathlib import Path

import pytest

from qa.readers.registry import read_source
from qa.types import Document, Source


def _read(folder: Path, name: str, text: str) -> Document:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    document, _ = read_source(Source(name, path, path.stat().st_size))
    assert document is not None
    return document


@pytest.mark.parametrize(
    ("name", "text", "sections"),
    [
        ("a.adoc", "= Guide\n\nVisitors.\n\n== Fees\n\nAt the desk.\n", [(1, "Guide"), (2, "Fees")]),
        ("a.adoc", "== A\n\n----\n== no\n----\n\n=no\n", [(2, "A")]),
        ("a.org", "* A\n** B\n#+begin_src\n* no\n#+end_src\n*no*\n", [(1, "A"), (2, "B")]),
        (
            "a.rst",
            "=====\nGuide\n=====\n\nFees\n====\n\nNet\n---\n\nMore\n====\n",
            [(1, "Guide"), (2, "Fees"), (3, "Net"), (2, "More")],
        ),
        ("a.rst", "Words and more words\n----\n\n----\n\na\n", []),
    ],
)
def test_marked_headings_are_sections(tmp_path: Path, name: str, text: str, sections: list[tuple[int, str]]) -> None:
    document = _read(tmp_path, name, text)
    assert document.text == text
    assert [(section.level, section.title) for section in document.sections] == sections
    for section in document.sections:
        assert section.title in text[section.start : section.body]


def test_the_first_heading_is_the_title(tmp_path: Path) -> None:
    assert _read(tmp_path, "a.rst", "Guide\n=====\n\ntext\n").title == "Guide"
    assert _read(tmp_path, "a.adoc", "text\n\n== Guide\n").title == "a.adoc"
