from __future__ import annotations

import hashlib
from pathlib import Path
from time import thread_time

import pytest

from qa.errors import UnreadableDocument
from qa.readers.pdf.document import PdfReader
from qa.readers.registry import read_document
from qa.text.sentences import sentences
from qa.types import Document, Source
from tests.support.pdfs import Text, lines, pdf
from tests.support.texts import shared

SAMPLES = "pdfminer+pdfminer.six/samples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def _read(folder: Path, data: bytes, reader: PdfReader | None = None) -> Document:
    path = folder / "a.pdf"
    path.write_bytes(data)
    document = read_document(reader or PdfReader(), Source("papers/a.pdf", path, len(data)))
    _assert_sound(document)
    return document


def _real(name: str) -> Document:
    path = shared(*name.split("/"))
    document = read_document(PdfReader(), Source(path.name, path, path.stat().st_size))
    _assert_sound(document)
    return document


def _assert_sound(document: Document) -> None:
    """Pages and excluded spans lie in the text in order, sections are nested, nothing odd is in the text."""
    text = document.text
    position = 0
    for number, page in enumerate(document.pages, 1):
        assert (page.number, page.start) == (number, position)
        assert page.start <= page.end <= len(text)
        assert text[page.start : page.end] == text[page.start : page.end].strip()
        assert text[page.end : page.end + 2] == ("\n\n" if number < len(document.pages) else "")
        position = page.end + 2
    position = 0
    for span in document.excluded:
        assert position <= span.start < span.end <= len(text)
        assert text[span.start : span.end].strip()
        position = span.end
    for before, section in zip([None, *document.sections], document.sections, strict=False):
        assert 0 <= section.start <= section.body <= section.end <= len(text)
        assert before is None or before.body <= section.start
    assert not {character for character in text if not character.isprintable()} - set("\n\t") or not text.isascii()
    assert not any(character in text for character in "\x00\x02\ufffe\uffff\u00ad\ufb01")
    text.encode("utf-8")


def _page(document: Document, number: int) -> str:
    page = document.pages[number - 1]
    return document.text[page.start : page.end]


PROSE = [
    "It was a bright cold day in April, and the clocks were striking thirteen. He slipped quickly",
    "through the glass doors, though not quickly enough to prevent a swirl of gritty dust from",
    "entering along with him.",
]


def test_lines_of_a_paragraph_are_joined_and_paragraphs_set_apart(folder: Path) -> None:
    document = _read(folder, pdf(lines(*PROSE) + lines(*PROSE, y=640)))
    paragraph = " ".join(PROSE)
    assert document.text == f"{paragraph}\n\n{paragraph}"
    assert len(list(sentences(document.text))) == 4


def test_an_indented_line_begins_a_paragraph(folder: Path) -> None:
    second = [Text(PROSE[0], 84, 664), *lines(*PROSE[1:], y=652)]
    assert _read(folder, pdf(lines(*PROSE) + second)).text.count("\n\n") == 1


def test_lines_that_were_ended_on_purpose_are_kept(folder: Path) -> None:
    address = ["Emily Rodriguez", "4567 Innovation Boulevard", "San Francisco, California 94103"]
    assert _read(folder, pdf(lines(*address))).text == "\n".join(address)
    items = ["1. Flour, of the kind that is sold in small bags everywhere", "2. Eggs", "3. Milk"]
    assert _read(folder, pdf(lines(*items))).text == "\n".join(items)


def test_cells_of_a_row_are_set_apart(folder: Path) -> None:
    rows = [*lines("Name", "Ada", "Alan"), *lines("Born", "1815", "1912", x=300)]
    by_row = sorted(rows, key=lambda text: (-text.y, text.x))
    assert _read(folder, pdf(by_row)).text == "Name\tBorn\nAda\t1815\nAlan\t1912"


@pytest.mark.parametrize(
    ("first", "second", "elsewhere", "expected"),
    [
        ("the informa-", "tion that they", "", "the information that they"),
        ("the informa-", "tion that they", "an informa-tion of old", "the informa-tion that they"),
        ("the informa-", "tion that they", "much information is informa-tion and information", "the information that"),
        ("a long-", "term plan", "", "a longterm plan"),
        ("a long-", "term plan", "the long-term view", "a long-term plan"),
        ("a long-", "term plan", "how long is one term of office", "a long-term plan"),
        ("the chain-of-", "thought of it", "", "the chain-of-thought of it"),
        ("the Anglo-", "Saxon kings", "", "the Anglo-Saxon kings"),
        ("of COVID-", "19 they said", "", "of COVID-19 they said"),
        ("in 1914-", "1918 it was", "", "in 1914-1918 it was"),
        ("the years 1914–", "1918 were", "", "the years 1914–1918 were"),
    ],
)
def test_words_cut_at_the_end_of_a_line(folder: Path, first: str, second: str, elsewhere: str, expected: str) -> None:
    filler = "These are some words that are here to fill the line of text "
    text = lines(filler + first, second + " and so on", y=600)
    assert expected in _read(folder, pdf([*lines(elsewhere), *text] if elsewhere else text)).text


@pytest.mark.parametrize("by_line", [True, False])
def test_columns_are_read_one_after_the_other(folder: Path, by_line: bool) -> None:
    left = lines(*(f"left column line {n} has these words in" for n in range(12)), y=650)
    right = lines(*(f"right column line {n} has those words in" for n in range(12)), x=320, y=650)
    columns = [text for row in zip(left, right, strict=True) for text in row] if by_line else left + right
    title = Text("A title that runs over both of the columns of this page, from one side to the other", 72, 700, 11)
    text = _read(folder, pdf([title, *columns])).text
    assert text.startswith("A title that runs")
    assert [word for word in text.replace("\n", " ").split(" ") if word in {"left", "right"}] == (
        ["left"] * 12 + ["right"] * 12
    )


def test_what_stands_above_is_read_first_though_it_was_written_last(folder: Path) -> None:
    document = _read(folder, pdf([Text("At the bottom.", y=100), *lines(*PROSE), Text("At the top.", y=760)]))
    assert [part[:10] for part in document.text.split("\n\n")] == ["At the top", "It was a b", "At the bot"]


def _report(pages: int) -> list[list[Text]]:
    return [
        [
            Text("Annual report" if number % 2 else "The Company", 72 if number % 2 else 400, 770),
            *lines(f"On page {number} it says {'one' * number}. {PROSE[0]}", *PROSE[1:], y=600),
            Text(f"Page {number} of {pages}", 280, 30),
        ]
        for number in range(1, pages + 1)
    ]


def test_running_headers_and_footers_are_excluded_but_in_the_text(folder: Path) -> None:
    document = _read(folder, pdf(*_report(7)))
    excluded = [document.text[span.start : span.end] for span in document.excluded]
    assert excluded == [
        part for n in range(1, 8) for part in ("Annual report" if n % 2 else "The Company", f"Page {n} of 7")
    ]
    assert _page(document, 2).startswith("The Company\n\nOn page 2 it says oneone. It was")
    assert _page(document, 2).endswith("along with him.\n\nPage 2 of 7")


def test_lines_that_repeat_within_the_page_or_at_other_heights_are_not_excluded(folder: Path) -> None:
    pages = [[Text("Summary", y=500), Text("Notes", y=770 - 40 * number)] for number in range(4)]
    assert _read(folder, pdf(*pages)).excluded == ()


def test_text_that_is_nothing_but_running_lines_is_not_excluded(folder: Path) -> None:
    assert _read(folder, pdf(*[[Text("Figure", y=780)]] * 4)).excluded == ()


def test_outline_entries_are_sections_where_their_words_are(folder: Path) -> None:
    pages = [
        [Text("1. Of  MICE", y=700, size=14), *lines(*PROSE, y=680), Text("2 Of Men", y=600, size=14)],
        [Text("Chapter", y=770), *lines(*PROSE)],
    ]
    outline = [("Of Mice", 1), ("Of Men", 1), ("Not on the page", 2)]
    document = _read(folder, pdf(*pages, outline=outline))
    text = document.text
    assert [(section.title, text[section.start : section.body]) for section in document.sections] == [
        ("Of Mice", "1. Of MICE"),
        ("Of Men", "2 Of Men"),
        ("Not on the page", ""),
    ]
    assert document.sections[2].start == document.pages[1].start


def test_a_heading_is_not_placed_in_a_running_header(folder: Path) -> None:
    document = _read(folder, pdf(*_report(6), outline=[("Annual report", 3)]))
    page, section = document.pages[2], document.sections[0]
    assert section.start == page.start + len("Annual report")


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("On Mice", "On Mice"),
        ("", "The Largest Words"),
        ("untitled", "The Largest Words"),
        ("Microsoft Word - draft7.doc", "The Largest Words"),
        ("thesis.dvi", "The Largest Words"),
    ],
)
def test_the_title(folder: Path, declared: str, expected: str) -> None:
    page = [Text("The Largest Words", y=740, size=18), *lines(*PROSE)]
    assert _read(folder, pdf(page, title=declared)).title == expected


def test_without_a_title_the_outline_and_then_the_file_name_gives_one(folder: Path) -> None:
    assert _read(folder, pdf(lines(*PROSE), outline=[("Beginnings", 1)])).title == "Beginnings"
    document = _read(folder, pdf(lines(*PROSE)))
    assert document.title == "a.pdf"
    assert (document.id, document.media_type) == ("papers/a.pdf", "application/pdf")
    assert document.source_sha256 == hashlib.sha256((folder / "a.pdf").read_bytes()).hexdigest()


def test_pages_without_text_are_told(folder: Path) -> None:
    some = lines(*PROSE)
    document = _read(folder, pdf(some, some, [], some, [], [], []))
    assert document.problems == ("pages 3 and 5 to 7 have no text; they may be scanned images: OCR is off (QA_OCR)",)
    assert [page.number for page in document.pages if page.start == page.end] == [3, 5, 6, 7]
    assert _read(folder, pdf([], some)).problems == (
        "page 1 has no text; it may be a scanned image: OCR is off (QA_OCR)",
    )


def test_a_file_without_any_text_is_refused(folder: Path) -> None:
    with pytest.raises(UnreadableDocument, match=r"^no page has text; it may be scanned: OCR is off \(QA_OCR\)$"):
        _read(folder, pdf([], []))


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "it is empty"), (b"%PDF-1.7\n", "not a PDF, or too damaged"), (b"<html></html>", "not a PDF")],
)
def test_what_is_no_pdf_is_refused(folder: Path, data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableDocument, match=reason):
        _read(folder, data)


def test_a_lost_end_is_mended(folder: Path) -> None:
    whole = pdf(lines(*PROSE))
    assert _read(folder, whole[: whole.index(b"startxref")]).text == " ".join(PROSE)


def test_a_million_declared_pages_cost_no_time(folder: Path) -> None:
    started = thread_time()
    document = _read(folder, pdf(lines(*PROSE), count=1_000_000))
    assert thread_time() - started < 5
    assert document.text == " ".join(PROSE)
    assert all("1,000,000" in problem for problem in document.problems)


def test_what_was_written_into_a_form_is_read_on_its_page(folder: Path) -> None:
    fields = [
        "/Subtype /Widget /FT /Tx /T (name) /TU (Your name) /V (Anna Berg)",
        "/Subtype /Widget /FT /Tx /T (town) /V (Malm\xf6)",
        "/Subtype /Widget /FT /Ch /Ff 131072 /T (colour) /Opt [(red) (blue)] /V (blue)",
        "/Subtype /Widget /FT /Tx /T (empty)",
        "/Subtype /Widget /FT /Tx /Ff 8192 /T (password) /V (secret)",
        "/Subtype /Widget /FT /Tx /F 2 /T (hidden) /V (unseen)",
        "/Subtype /FreeText /Contents (Put on the page.)",
        "/Subtype /Text /Contents (Is this\\nright?)",
        "/Subtype /Link /Contents (a link)",
    ]
    document = _read(folder, pdf(lines("Form."), lines("Second."), annotations=fields))
    written = ["Your name: Anna Berg", "town: Malmö", "colour: blue", "Put on the page.", "Comment: Is this right?"]
    assert document.text == "Form.\n\n" + "\n".join(written) + "\n\nSecond."
    assert [document.text[page.start : page.end][-10:] for page in document.pages] == ["his right?", "Second."]


def test_a_form_without_any_other_text_is_read(folder: Path) -> None:
    document = _read(folder, pdf([], annotations=["/Subtype /Widget /FT /Tx /T (name) /V (Anna)"]))
    assert document.text == "name: Anna"


def test_annotations_are_bounded(folder: Path) -> None:
    many = [f"/Subtype /FreeText /Contents (Note {number})" for number in range(3000)]
    assert _read(folder, pdf(lines("Words."), annotations=many)).text.count("Note") == 2000


def test_the_fields_of_real_forms_are_read() -> None:
    assert "First Name: Alice" in _real("py-pdf+pypdf/resources/libreoffice-form.pdf").text


def test_pages_and_characters_are_bounded(folder: Path) -> None:
    reader = PdfReader(most_pages=2, most_characters=60)
    document = _read(folder, pdf(lines("Short."), lines(*PROSE), lines("Never read.")), reader)
    assert document.problems == (
        "only the first 2 of 3 pages were read",
        "of page 2 only the first 60 characters were read",
    )
    assert len(document.text) == len("Short.\n\n") + 60


@pytest.mark.slow
def test_every_pdf_of_the_shared_data_is_read_or_refused() -> None:
    paths = sorted(shared().rglob("*.pdf"))
    assert paths
    reasons = []
    for path in paths:
        try:
            _assert_sound(read_document(PdfReader(), Source(path.name, path, path.stat().st_size)))
        except UnreadableDocument as error:
            reasons.append(str(error))
    assert len(reasons) < len(paths) / 3
    assert not any(".pdf" in reason or "\n" in reason for reason in reasons)


def test_a_real_paper() -> None:
    document = _real("deepset-ai+haystack/test/test_files/pdf/react_paper.pdf")
    assert document.title.endswith("SYNERGIZING REASONING AND ACTING IN LANGUAGE MODELS")
    assert [section.title for section in document.sections[:3]] == [
        "1 Introduction",
        "2 ReAct: Synergizing Reasoning + Acting",
        "3 Knowledge-Intensive Reasoning Tasks",
    ]
    assert "being competitive with chain-of-thought reasoning (CoT) (Wei et al., 2022)." in document.text
    assert [document.text[span.start : span.end] for span in document.excluded] == [str(n) for n in range(1, 32)]


def test_a_real_paper_in_two_columns() -> None:
    text = _page(_real(f"{SAMPLES}/contrib/issue-1061-colour-space-stack.pdf"), 3)
    places = [text.index(words) for words in ("The amount of noise", "list of values.", "Example 1.", "III. Related")]
    assert places == sorted(places)
    assert "measures the maximum variability of a function between neighbor data sets." in text


@pytest.mark.parametrize("name", ["aes-128", "aes-256", "rc4-40"])
def test_a_password_is_asked_for(name: str) -> None:
    with pytest.raises(UnreadableDocument, match=r"^it is protected by a password"):
        _real(f"{SAMPLES}/encryption/{name}.pdf")


@pytest.mark.parametrize("name", ["r3-empty-password", "r6-owner-password"])
def test_the_empty_password_opens(name: str) -> None:
    assert _real(f"py-pdf+pypdf/resources/encryption/{name}.pdf").text


@pytest.mark.parametrize("ink", ["1 g", "1 1 1 rg", "3 Tr"])
def test_text_without_visible_ink_is_not_read(folder: Path, ink: str) -> None:
    page = [*lines(*PROSE), Text("The award is 1 crown.", y=500, ink=ink)]
    assert "crown" not in _read(folder, pdf(page)).text


def test_white_text_on_a_dark_shape_is_read(folder: Path) -> None:
    page = [*lines(*PROSE), Text("Fees of the port", y=500, ink="q 0 0 1 rg 60 490 300 30 re f Q 1 g")]
    assert "Fees of the port" in _read(folder, pdf(page)).text


def test_a_page_of_words_without_ink_over_a_scan_is_read(folder: Path) -> None:
    assert PROSE[0] in _read(folder, pdf([Text(line.text, line.x, line.y, ink="3 Tr") for line in lines(*PROSE)])).text


@pytest.mark.parametrize(
    ("name", "other"), [("(Draft)", "(Shown)"), ("<FEFF0044>", "(Shown)"), ("(D\\351)", "(Shown)")]
)
def test_a_layer_that_is_switched_off_is_not_read(folder: Path, name: str, other: str) -> None:
    page = [*lines(*PROSE), Text("Draft fee.", y=500, ink="/OC /L1 BDC"), Text("True fee.", y=400, ink="/OC /L2 BDC")]
    data = pdf(page).replace(b"/Pages 2 0 R", b"/Pages 2 0 R /OCProperties << /D << /OFF [90 0 R] >> >>", 1)
    data = data.replace(b"/Resources <<", b"/Resources << /Properties << /L1 90 0 R /L2 91 0 R >>", 1)
    groups = f"90 0 obj << /Type /OCG /Name {name} >> endobj 91 0 obj << /Type /OCG /Name {other} >> endobj "
    data = data.replace(b"3 0 obj", groups.encode() + b"3 0 obj", 1)
    text = _read(folder, data).text
    assert "True fee." in text
    assert "Draft fee." not in text


def test_a_column_written_after_another_is_the_same_rows(folder: Path) -> None:
    columns = (("Berth", "North 1", "South 1"), ("Length", "12 m", "15 m"), ("Fee", "310", "420"))
    page = [text for at, column in enumerate(columns) for text in lines(*column, x=72 + 120 * at)]
    assert _read(folder, pdf(page)).text == "Berth\tLength\tFee\nNorth 1\t12 m\t310\nSouth 1\t15 m\t420"


def test_entries_with_leaders_and_short_entries_are_lines(folder: Path) -> None:
    dots = lines("Berth ............ 310", "Crane ............ 195", "Water ............ 112")
    assert _read(folder, pdf(dots)).text == "Berth\t310\nCrane\t195\nWater\t112"
    fares = lines("Adult 9 crowns", "Child 4 crowns", "Car 30 crowns", "Dog free")
    assert _read(folder, pdf(fares)).text.split("\n") == [
        "Adult 9 crowns",
        "Child 4 crowns",
        "Car 30 crowns",
        "Dog free",
    ]


def test_raised_digits_are_powers(folder: Path) -> None:
    page = [Text("It holds 10"), Text("6", x=72 + 46.3, y=704.5, size=6), Text("litres of water.", x=72 + 53)]
    assert "10⁶ litres" in _read(folder, pdf(page)).text


def test_raised_digits_after_a_word_are_of_a_note(folder: Path) -> None:
    page = [Text("It was widened"), Text("12", x=72 + 66.2, y=704.5, size=6), Text("in spring.", x=72 + 77)]
    assert "widened[12] in spring" in _read(folder, pdf(page)).text


def test_a_sentence_ends_on_the_page_it_begins_on(folder: Path) -> None:
    pages = [
        [Text("A vessel that wishes to enter must"), Text("1", x=300, y=40)],
        [*lines("first ask the watch. Boats under oars", "need not ask."), Text("2", x=300, y=40)],
    ]
    document = _read(folder, pdf(*pages))
    assert document.text == (
        "A vessel that wishes to enter must first ask the watch.\n\n1\n\nBoats under oars need not ask.\n\n2"
    )
    assert [document.text[span.start : span.end] for span in document.excluded] == ["1", "2"]


def test_a_word_cut_at_a_page_s_end_is_whole(folder: Path) -> None:
    first, second = pdf([Text("It is read by the assis-")], [Text("tant keeper at noon.")]), "assistant keeper at noon."
    assert second in _read(folder, first).text


def test_a_footnote_does_not_part_a_sentence(folder: Path) -> None:
    long = "The harbour keeps three tugs for the large ships that call"
    pages = [
        [*lines(*[long] * 4), Text("1 By the firm Reed.", y=60, size=7)],
        lines("in the summer. They lie still.", *[long] * 4),
    ]
    text = _read(folder, pdf(*pages)).text
    assert "call in the summer.\n\n1 By the firm Reed.\n\nThey lie still." in text


def test_a_page_that_begins_with_a_name_goes_on_with_nothing(folder: Path) -> None:
    text = _read(folder, pdf([Text("The keeper is")], [Text("Ann. She waits.")])).text
    assert text == "The keeper is\n\nAnn. She waits."


@pytest.mark.parametrize(("state", "mark"), [("Yes", "☒"), ("Off", "☐")])
def test_boxes_of_a_form_say_whether_they_are_ticked(folder: Path, state: str, mark: str) -> None:
    stream = "<< /Type /XObject >>"
    appearance = f"/V /{state} /AS /{state} /AP << /N << /Yes {stream} >> >>"
    box = f"/Subtype /Widget /FT /Btn /T (insured) /TU (Insured) {appearance}"
    nameless = "/Subtype /Widget /FT /Btn /T (Check Box 3) /V /Off /AS /Off"
    text = _read(folder, pdf(lines(*PROSE), annotations=[box, nameless])).text
    assert text.endswith(f"\n\nInsured: {mark}")


def _row(cells: dict[float, str], y: float) -> list[Text]:
    """Place the cells of a row by the points at which they begin."""
    return [Text(cell, x, y) for x, cell in cells.items()]


def test_cells_that_stand_close_together_are_apart_where_other_rows_show_columns(tmp_path: Path) -> None:
    page = [
        *_row({72: "Berth", 145: "Length", 240: "Status"}, 700),
        # 11 points after the word before: less than the gap that parts cells by itself.
        *_row({72: "Long quay 12", 145: "15 m", 240: "free"}, 688),
        *_row({72: "North 1", 145: "12 m", 240: "let"}, 676),
    ]
    assert _read(tmp_path, pdf(page)).text == "Berth\tLength\tStatus\nLong quay 12\t15 m\tfree\nNorth 1\t12 m\tlet"


def test_a_blank_cell_within_a_row_keeps_its_column(tmp_path: Path) -> None:
    page = [
        *_row({72: "Item", 150: "Hours", 220: "Rate", 290: "Cost"}, 700),
        *_row({72: "Parts", 290: "2,100"}, 688),
        *_row({72: "Labour", 150: "2", 220: "150", 290: "300"}, 676),
        *_row({72: "Tax", 220: "10 %", 290: "240"}, 664),
    ]
    rows = ["Item\tHours\tRate\tCost", "Parts\t\t\t2,100", "Labour\t2\t150\t300", "Tax\t\t10 %\t240"]
    assert _read(tmp_path, pdf(page)).text == "\n".join(rows)


def test_wide_spaces_within_prose_part_no_cells(tmp_path: Path) -> None:
    page = [
        *_row({72: "The harbour office is open", 205: "all week, and so is the lighthouse on"}, 700),
        *_row({72: "the pier; tickets are sold there."}, 688),
    ]
    assert "\t" not in _read(tmp_path, pdf(page)).text
