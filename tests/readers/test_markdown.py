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


def test_sections_are_nested_spans_of_the_text_that_is_shown(tmp_path: Path) -> None:
    document = _read(tmp_path, "# A\none\n## B\ntwo\n### C\n## D\nthree\n# E\n")
    text = document.text
    assert text == "A\n\none\n\nB\n\ntwo\n\nC\n\nD\n\nthree\n\nE"
    assert {section.title: text[section.start : section.end].rstrip() for section in document.sections} == {
        "A": "A\n\none\n\nB\n\ntwo\n\nC\n\nD\n\nthree",
        "B": "B\n\ntwo\n\nC",
        "C": "C",
        "D": "D\n\nthree",
        "E": "E",
    }
    assert [text[section.start : section.body] for section in document.sections] == list("ABCDE")


def test_setext_headings(tmp_path: Path) -> None:
    document = _read(tmp_path, "One\ntwo\n===\n\ntext\n\nThree\n---\n")
    assert [(section.level, section.title) for section in document.sections] == [(1, "One two"), (2, "Three")]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a *b* **c** `d_e`", "a b c d_e"),
        ("led by [Ada **Hall**](https://x.org/?a=1) now", "led by Ada Hall now"),
        ("the [form](a/form.pdf) and [us](mailto:a@b.org)", "the form (a/form.pdf) and us (a@b.org)"),
        ("costs ~~$50~~ $40 or <del>9</del> 8", "costs $40 or 8"),
        ("a\n\n<!-- the fee was 90 -->\n\nb <!-- no --> c", "a\n\nb c"),
        ("![chart](data:image/png;base64,AAAA)\n\nb", "b"),
        ("![the chart of May](x.png) b", "the chart of May b"),
        ("<details>\n<summary>What if?</summary>\n\nAsk **us**.\n\n</details>", "What if?\n\nAsk us."),
        ('<p align="center"><img src="x.png" alt="logo" width="200"></p>\n\nb', "b"),
        ("one<br>two  \nthree\nfour", "one\ntwo\nthree\nfour"),
        ("- a\n  - b\n- [ ] c\n- [x] d\n\n  e", "• a\n  • b\n• ☐ c\n• ☑ d\n  e"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("> a\n> b\n\nc", "a\nb\n\nc"),
        ("```py\nx = '*a*'\n```\n\n    y", "x = '*a*'\n\ny"),
        ("a[^1]\n\n[^1]: Note\n", "a[^1]\n\n[^1]: Note"),
        ("a\n\n[x]: http://y.z\n", "a"),
        ("see [the form][x] and [x]\n\n[x]: http://y.z\n", "see the form and x"),
        ("a | b | c\n--|--|--\n1 | **2** | 3\n", "a | b | c\na: 1 | b: 2 | c: 3"),
        ("a\n***\nb &amp; \\# c", "a\n\nb & # c"),
        ("---\ntitle: Mine\ndate: 2020-01-01\n---\n\n# T\n", "title: Mine\ndate: 2020-01-01\n\nT"),
    ],
)
def test_the_text_is_what_is_shown(tmp_path: Path, source: str, text: str) -> None:
    assert _read(tmp_path, source).text == text


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


def test_a_rule_at_the_start_is_no_front_matter(tmp_path: Path) -> None:
    assert _outline(tmp_path, "---\n\nWords\n---\n") == [(2, "Words")]


def test_crlf_and_a_byte_order_mark_leave_the_spans_right(tmp_path: Path) -> None:
    document = _read(tmp_path, "\ufeff# A\r\n\r\ntext\r\n\r\nB\r\n---\r\n")
    assert document.text == "A\n\ntext\n\nB"
    assert [document.text[section.start : section.body] for section in document.sections] == ["A", "B"]


@pytest.mark.slow
def test_long_documents_have_the_sections_of_short_ones(tmp_path: Path) -> None:
    filling = "Words and words.\n\n" * 10
    chapters = [f"# Chapter {n}\n\n{filling}```\nx\n\n# no\n\n```\n\n" for n in range(6_000)]
    document = _read(tmp_path, "".join(chapters))
    assert len(document.text) > 1_000_000
    assert [section.title for section in document.sections] == [f"Chapter {n}" for n in range(6_000)]
    assert document.text[document.sections[5_000].start :].startswith("Chapter 5000\n\nWords and words.\n\nWords")


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
