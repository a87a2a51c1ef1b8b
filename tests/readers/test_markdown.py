from __future__ import annotations

from pathlib import Path

import pytest

from qa.readers.markdown import MarkdownReader
from qa.readers.registry import read_document
from qa.types import Document, Source
from tests.support.texts import shared


def _read(folder: Path, text: str) -> Document:
    path = folder / "a.md"
    path.write_bytes(text.encode())
    return read_document(MarkdownReader(), Source("docs/a.md", path, path.stat().st_size))


def _outline(folder: Path, text: str) -> list[tuple[int, str]]:
    return [(section.level, section.title) for section in _read(folder, text).sections]


def test_sections_are_nested_spans_of_the_source(tmp_path: Path) -> None:
    text = "# A\none\n## B\ntwo\n### C\n## D\nthree\n# E\n"
    document = _read(tmp_path, text)
    assert document.text == text
    assert {section.title: text[section.start : section.end] for section in document.sections} == {
        "A": "# A\none\n## B\ntwo\n### C\n## D\nthree\n",
        "B": "## B\ntwo\n### C\n",
        "C": "### C\n",
        "D": "## D\nthree\n",
        "E": "# E\n",
    }
    assert [text[section.start : section.body] for section in document.sections] == [
        "# A",
        "## B",
        "### C",
        "## D",
        "# E",
    ]


def test_setext_headings_with_their_underline(tmp_path: Path) -> None:
    document = _read(tmp_path, "One\ntwo\n===\n\ntext\n\nThree\n---\n")
    assert [(section.level, section.title) for section in document.sections] == [(1, "One two"), (2, "Three")]
    assert document.text[document.sections[0].start : document.sections[0].body] == "One\ntwo\n==="


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ("# *Very* **bold** `code`", "Very bold code"),
        ("## A [link](http://x.y) and ![a picture](z.png) ##", "A link and a picture"),
        ("# Q&amp;A \\# <b>1</b>", "Q&A # 1"),
        ("   # Indented", "Indented"),
        ("# Überschrift 你好 👍🏽", "Überschrift 你好 👍🏽"),
    ],
)
def test_titles_are_plain_text(tmp_path: Path, heading: str, title: str) -> None:
    assert [section.title for section in _read(tmp_path, f"{heading}\n\ntext\n").sections] == [title]


@pytest.mark.parametrize(
    "text",
    [
        "```\n# no\n```\n",
        "~~~sh\n# no\n",
        "    # no\n",
        "> # no\n",
        "- # no\n",
        "#no\n",
        "<!--\n# no\n-->\n",
        "#\n",
        "a\n# \n",
    ],
)
def test_what_is_no_heading(tmp_path: Path, text: str) -> None:
    assert _outline(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# T\n\ntext", "T"),
        ("<!-- licence -->\n\n## T\n", "T"),
        ("text\n\n# T\n", "a.md"),
        ("text", "a.md"),
        ("---\ntags: [x]\n---\n# T\n", "T"),
        ("---\ntags: [x]\ntitle: Mine # not this\n---\n# T\n", "Mine"),
        ('---\ntitle: "A: b"\n---\n', "A: b"),
        ("---\ntitle: 'A: b'\n...\n", "A: b"),
        ("---\ntitle: >\n  folded\n---\n# T\n", "T"),
    ],
)
def test_the_title_is_from_front_matter_or_the_first_heading(tmp_path: Path, text: str, title: str) -> None:
    assert _read(tmp_path, text).title == title


def test_front_matter_is_no_heading_but_stays_in_the_text(tmp_path: Path) -> None:
    text = "---\ntitle: Mine\ndate: 2020-01-01\n---\n\n# T\n"
    document = _read(tmp_path, text)
    assert document.text == text
    assert [(section.title, section.start) for section in document.sections] == [("T", text.index("# T"))]


def test_a_rule_at_the_start_is_no_front_matter(tmp_path: Path) -> None:
    assert _outline(tmp_path, "---\n\nWords\n---\n") == [(2, "Words")]


def test_crlf_and_a_byte_order_mark_leave_the_spans_right(tmp_path: Path) -> None:
    document = _read(tmp_path, "\ufeff# A\r\n\r\ntext\r\n\r\nB\r\n---\r\n")
    assert [document.text[section.start : section.body] for section in document.sections] == ["# A", "B\n---"]


@pytest.mark.slow
def test_long_documents_have_the_sections_of_short_ones(tmp_path: Path) -> None:
    filling = "Words and words.\n\n" * 10
    chapters = [f"# Chapter {n}\n\n{filling}```\nx\n\n# no\n\n```\n\n" for n in range(6_000)]
    document = _read(tmp_path, "".join(chapters))
    assert len(document.text) > 1_000_000
    assert [section.title for section in document.sections] == [f"Chapter {n}" for n in range(6_000)]
    assert document.text[document.sections[5_000].start :].startswith(chapters[5_000])


def test_a_fence_longer_than_a_piece_hides_its_headings(tmp_path: Path) -> None:
    document = _read(tmp_path, "# A\n\n```\n" + "code\n\n# no\n\n" * 150_000 + "```\n\n# B\n")
    assert [section.title for section in document.sections] == ["A", "B"]


def test_a_real_document(tmp_path: Path) -> None:
    path = shared("deepset-ai+haystack", "test", "test_files", "markdown", "sample.md")
    document = read_document(MarkdownReader(), Source("sample.md", path, path.stat().st_size))
    assert [(section.level, section.title) for section in document.sections][-2:] == [
        (3, "2nd level headline for testing purposes"),
        (4, "3rd level headline for testing purposes"),
    ]
