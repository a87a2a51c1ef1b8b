from __future__ import annotations

from pathlib import Path
from time import thread_time

import pytest

from qa.readers.html.page import HtmlReader
from qa.readers.registry import read_document
from qa.types import Document, Source

_WORDS = "Words and words and words. " * 8


def _read(folder: Path, page: str | bytes) -> Document:
    path = folder / "a.html"
    path.write_bytes(page.encode() if isinstance(page, str) else page)
    return read_document(HtmlReader(), Source("docs/a.html", path, path.stat().st_size))


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>a\n  b<p>c", "a b\n\nc"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<b>a</b>b &amp; &eacute;&nbsp;c", "ab & é c"),
        ("<ul><li>a<li>b<ul><li>c</ul><li><p>d<p>e</ul>f", "• a\n• b\n  • c\n• d\n  e\n\nf"),
        ("<ol start=3><li>a<li value=9>b<li>c</ol>", "3. a\n9. b\n10. c"),
        ("<ol reversed start=2><li>a<li>b</ol>", "2. a\n1. b"),
        ("<dl><dt>a<dd>b<dt>c<dd>d</dl>e", "a: b\nc: d\n\ne"),
        ("<table><tr><th>a<th>b<tr><td>1<td><ul><li>x<li>y</ul></table>z", "a | b\n1 | x; y\n\nz"),
        ("<table><tr><td>a<td>b<tr><td></table><table><tr><td>c<td>d</table>", "a | b\n\nc | d"),
        ("<table><tr><td><table><tr><td>a<td>b</table><td><p>c<p>d</table>", "a | b\n\nc\n\nd"),
        ("<table><caption> a <b>b</b><tr><td>c<td>d</table>", "a b\n\nc | d"),
        ("<table><tr><td rowspan=2>a<td>b<tr><td>c<tr><td>d<td>e</table>", "a | b\na | c\nd | e"),
        ("<table><tr><td>a<td rowspan=2>b<td>c<tr><td>d<td>e</table>", "a | b | c\nd | b | e"),
        ("<table><tr><td>a<td rowspan=2>b<tr><td>d</table>", "a | b\nd | b"),
        ("<table><tr><th colspan=2>a<th>b<tr><td>c<td>d<td>e</table>", "a | b\na: c | a: d | b: e"),
        ("<table><tr><td rowspan=2 colspan=2>a<td>b<tr><td>c</table>", "a | | b\na | | c"),
        ("<table><tbody><tr><td rowspan=0>a<td>b<tr><td>c<tbody><tr><td>d<td>e</table>", "a | b\na | c\nd | e"),
        (f"<table><tr><td rowspan=2>{'a' * 101}<td>b<tr><td>c</table>", f"{'a' * 101} | b\n| c"),
        ("<table><tr><td rowspan=-1 colspan=x>a<td>b<tr><td>c<td>d</table>", "a | b\nc | d"),
        ("<pre>a\n  b\n</pre>c", "a\n  b\n\nc"),
        ("10<sup>3</sup> and 1<sup>st</sup>", "10³ and 1st"),
        ("the zorblatt<sup>12</sup> of 4 km<sup>2</sup>", "the zorblatt[12] of 4 km²"),
        ("<q>a</q>&shy;b\u200b", "“a”b"),
        ("<p hidden>a<p style='display: none'>b<p>c", "c"),
        (
            "<p><script>a</script><style>b</style><noscript>Enable JavaScript here.</noscript><template>d</template>e",
            "e",
        ),
        ("a<button>b</button><select><option>c</select><input value=d>", "a"),
        ("<p>a<span/>b<p/>c", "ab\n\nc"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>", "漢"),
    ],
)
def test_markup_becomes_legible_text(tmp_path: Path, page: str, text: str) -> None:
    assert _read(tmp_path, page).text == text


def test_headings_are_sections_and_nested(tmp_path: Path) -> None:
    document = _read(tmp_path, "<h1>A\n <i>b</i></h1>one<div><h2>C</h2>two</div><h3></h3><h1>D</h1>")
    assert document.text == "A b\n\none\n\nC\n\ntwo\n\nD"
    assert [(s.title, s.level, document.text[s.start : s.end].strip()) for s in document.sections] == [
        ("A b", 1, "A b\n\none\n\nC\n\ntwo"),
        ("C", 2, "C\n\ntwo"),
        ("D", 1, "D"),
    ]


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title> A\n b </title><h1>C</h1>", "A b"),
        ("<title></title><h1>C</h1>", "C"),
        ("<title>Untitled</title><h1>C</h1>", "C"),
        ("<title>Book</title><h1>C</h1>", "Book"),
        ("<title>Book1</title><h1>C</h1>", "C"),
        ("<svg><title>Logo</title></svg>words", "a.html"),
    ],
)
def test_titles(tmp_path: Path, page: str, title: str) -> None:
    assert _read(tmp_path, page).title == title


def test_a_title_outside_the_main_text_is_kept(tmp_path: Path) -> None:
    menu = "<nav><a>Menu</a></nav>"
    document = _read(
        tmp_path, f"<header>{menu}<h1>Boilers</h1></header><aside>x</aside><main><h2>A</h2><p>{_WORDS}</main>"
    )
    assert document.text == f"Boilers\n\nA\n\n{_WORDS.strip()}"
    assert document.title == "Boilers"
    assert [(section.title, section.level) for section in document.sections] == [("Boilers", 1), ("A", 2)]


def test_a_title_of_the_site_beside_one_of_the_text_is_left_out(tmp_path: Path) -> None:
    document = _read(tmp_path, f"<header><h1>Site</h1></header><main><h1>Boilers</h1><p>{_WORDS}</main>")
    assert document.text == f"Boilers\n\n{_WORDS.strip()}"


def test_spans_of_a_hostile_table_are_bounded(tmp_path: Path) -> None:
    row = "<tr>" + "<td colspan=1000 rowspan=65534>a" * 20
    assert len(_read(tmp_path, f"<table>{row * 20}</table>").text) < 1_000_000


@pytest.mark.parametrize(
    "boilerplate",
    [
        "<nav>x</nav>",
        "<header>x</header>",
        "<footer>x</footer>",
        "<aside>x</aside>",
        "<form>x</form>",
        "<div role=navigation>x</div>",
        "<div class='cookie-banner top'>x</div>",
        "<div id=onetrust-consent>x</div>",
        "<div aria-hidden=true>x</div>",
        "<div class=navbox>x</div>",
    ],
)
def test_what_is_not_of_the_text_is_left_out(tmp_path: Path, boilerplate: str) -> None:
    assert _read(tmp_path, f"{boilerplate}<p>{_WORDS}</p>{boilerplate}").text == _WORDS.strip()


@pytest.mark.parametrize(
    "page",
    [
        f"<article><header>{_WORDS}</header><aside>{_WORDS}</aside></article>",
        f"<form>{_WORDS}</form>",
        f"<nav>{_WORDS}</nav>",
        f"<div class=cookie-policy>{_WORDS}</div>",
        f"<header><h1>{_WORDS[:20]}</h1></header><p>{_WORDS}",
        f"<main>Few.</main><p>{_WORDS}",
    ],
)
def test_the_text_itself_is_never_left_out(tmp_path: Path, page: str) -> None:
    assert _WORDS.strip() in _read(tmp_path, page).text


def test_main_is_taken_where_most_of_the_text_is_in_it(tmp_path: Path) -> None:
    assert _read(tmp_path, f"<div>Menu</div><main>{_WORDS}</main><div>Menu</div>").text == _WORDS.strip()


def test_menus_beside_the_title_are_left_out(tmp_path: Path) -> None:
    page = f"<header><h1>A</h1><ul><li>Deutsch<li>中文</ul></header>{_WORDS}"
    assert _read(tmp_path, page).text == f"A\n\n{_WORDS.strip()}"


@pytest.mark.parametrize(
    ("page", "encoding"),
    [
        ("<meta charset=windows-1251><p>Привет, мир", "cp1251"),
        ("<meta http-equiv=Content-Type content='text/html; charset=iso-8859-1'><p>“Grüße”", "cp1252"),
        ("<?xml version='1.0' encoding='Shift_JIS'?><html><p>こんにちは", "shift_jis"),
        ("<meta charset=iso-2022-jp><p>こんにちは", "iso2022_jp"),
        ("<meta charset=iso-8859-1><p>Привет, declared wrongly", "utf-8"),
        ("<p>Привет, marked", "utf-16"),
        ("<meta charset=utf-16><p>Grüße", "utf-8"),
        ("<meta charset=no-such-thing><p>Grüße aus Köln, schöne Übungen", "cp1252"),
    ],
)
def test_encodings(tmp_path: Path, page: str, encoding: str) -> None:
    document = _read(tmp_path, page.encode(encoding))
    assert document.text == page.rpartition(">")[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 100_000,
        "<b>" * 100_000,
        "<ul><li>" * 50_000,
        "<table><tr><td>" * 30_000,
        "<foo/>" * 100_000,
        "<a<" * 100_000,
        "<a b='" * 100_000,
        "<!--" * 100_000,
        "".join(f"<b {n}>" for n in range(10_000)) + "<p>x</b>" * 10_000,
        "<p>a<br>" * 50_000,
        "<td><li>;" * 30_000,
    ],
    ids=lambda page: page[:12],
)
def test_hostile_pages_take_linear_time(tmp_path: Path, page: str) -> None:
    # Of the processor, which a busy machine gives whenever it does; what grows by the square takes hours of it.
    started = thread_time()
    _read(tmp_path, f"{_WORDS}{page}")
    assert thread_time() - started < 10


def test_what_is_nested_too_deep_is_still_read(tmp_path: Path) -> None:
    assert _read(tmp_path, "<div>" * 10_000 + "deep" + "</div>" * 10_000 + "<p>after").text == "deep\n\nafter"


@pytest.mark.parametrize("label", ["hex", "rot13", "idna", "undefined", "punycode", "unicode_escape"])
def test_a_page_that_declares_a_codec_of_python_is_read(tmp_path: Path, label: str) -> None:
    page = f"<meta charset={label}><p>Caf\xe9 \\x41 {_WORDS}".encode("cp1252")
    assert _read(tmp_path, page).text.startswith("Caf\xe9 \\x41 Words")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>It costs <del>$50</del> $40.", "It costs $40."),
        ("<p><s>Nine crowns.</s><p>Twelve crowns.<p><strike>x</strike>", "Twelve crowns."),
        ("<p>a <span style='text-decoration: line-through'>b</span> c", "a c"),
        ("<style>.old{color:red} .was, #x {text-decoration:line-through}</style><p class='was y'>a<p id=x>b<p>c", "c"),
        ("<style>/* .c{} */ .old{display:none}</style><p class=old>a<p class=new>b", "b"),
        ("<style>@media print{.old{display:none}} .a .old{display:none}</style><p class=old>a", "a"),
        ("<style>.a{</style><p>b", "b"),
        ("<p style='opacity: 0'>a<p style='font-size:0px'>b<p style='opacity:0.5'>c", "c"),
    ],
)
def test_what_is_struck_out_or_hidden_is_not_read(tmp_path: Path, page: str, text: str) -> None:
    assert _read(tmp_path, page).text == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<h2><button>Is there a lift?</button></h2><div class=collapse hidden>No.</div>", "Is there a lift?\n\nNo."),
        ("<button aria-controls=x>Fees</button><div id=x style='display:none'>Nine.</div>", "Fees\n\nNine."),
        ("<div role=tabpanel hidden>a</div><p>b", "a\n\nb"),
        ("<details><summary>a</summary>b</details>", "a\n\nb"),
        ("<p>a<button>Send</button><select><option>c<option selected>d</select>", "a\n\nd"),
        ("<button>May I bring my dog?</button>", "May I bring my dog?"),
        ("<p>a<textarea>b</textarea>", "ab"),
        ("<p>a<noscript>Bus 9 runs every twenty minutes.</noscript>", "aBus 9 runs every twenty minutes."),
        ("<x-y><template shadowrootmode=open><p>a</template></x-y><template>b</template>", "a"),
        ("<p>a<svg><title>t</title><text>slip B</text><path/></svg>", "aslip B"),
        (
            "<table><tr><th>A<th>B<th>C<tr><td>x<td><img alt=No><td><img alt=Yes></table>",
            "A | B | C\nA: x | B: No | C: Yes",
        ),
        (
            "<p>a<img alt='logo'><img alt='crane.png on the quay'><img alt='A crane on the quay'>",
            "a A crane on the quay",
        ),
        (
            "<p><a href='a/form.pdf'>Form</a> <a href='mailto:a@b.org?subject=x'>us</a>",
            "Form (a/form.pdf) us (a@b.org)",
        ),
        (
            "<p><a href='mailto:a@b.org'>a@b.org</a> <a href='tel:+44 1'>+44 (1)</a> <a href=/x>y</a>",
            "a@b.org +44 (1) y",
        ),
    ],
)
def test_what_a_person_can_open_or_is_told_otherwise_is_read(tmp_path: Path, page: str, text: str) -> None:
    assert _read(tmp_path, page).text == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<span>Capacity</span><span>40 tonnes</span>", "Capacity 40 tonnes"),
        ("<span>Phone</span>1-855", "Phone 1-855"),
        ("<b>Fee</b><strong>40</strong>", "Fee 40"),
        ("<a>Tides</a><a>winds</a>", "Tides winds"),
        ("<b>a</b>b<i>C</i><sub>2</sub>", "abC2"),
        ("<span>N</span>avigation<span>al</span>", "Navigational"),
        ("<pre><span>get</span><span>Name</span></pre>", "getName"),
    ],
)
def test_words_of_neighbouring_boxes_are_apart(tmp_path: Path, page: str, text: str) -> None:
    assert _read(tmp_path, page).text == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<dl><dt>Is there a lift?<dd>No.<dd>Stairs.</dl>", "Is there a lift? No.\n  Stairs."),
        ("<dl><dt>a<dt>b<dd>c<dt>d</dl>", "a\nb: c\nd"),
        (f"<dl><dt>{'a' * 300}<dd>b</dl>", f"{'a' * 300}\n  b"),
    ],
)
def test_a_term_and_what_is_said_of_it_are_one_line(tmp_path: Path, page: str, text: str) -> None:
    assert _read(tmp_path, page).text == text


def test_facts_beside_the_main_text_are_read_and_links_are_not(tmp_path: Path) -> None:
    page = (
        f"<main><h1>Mill</h1><p>{_WORDS}</p></main>"
        "<aside><table><tr><th>Open</th><td>10 to 4</td></tr></table></aside><aside>Elsewhere: weather.</aside>"
        "<footer><p>Telephone 555 0199.</p></footer><footer>© 2019-2024 <a href=/terms>Terms and terms</a></footer>"
    )
    text = _read(tmp_path, page).text
    assert text.endswith("\n\nOpen | 10 to 4\n\nTelephone 555 0199.")
    assert "weather" not in text
    assert "2019" not in text


def test_headings_of_several_rows_name_columns_together(tmp_path: Path) -> None:
    page = (
        "<table><thead><tr><th rowspan=2>Hut<th colspan=2>Season<tr><th>low<th>high</thead>"
        "<tr><td colspan=3>North<tr><td>A<td>4<td>9</table>"
    )
    assert _read(tmp_path, page).text.split("\n") == [
        "Hut | Season",
        "Hut | low | high",
        "North",
        "Hut: A | Season low: 4 | Season high: 9",
    ]
