import pytest

from qa.markup import describe_confidence, plain, safe_line, safe_lines, visible
from qa.types import Answer, AnswerOutcome


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("naïve 东京 שלום\u200f", "naïve 东京 שלום\u200f"),
        ("red \x1b[31m", r"red \x1b[31m"),
        ("one\r\ntwo\tthree\u2028four", r"one\r\ntwo\tthree\u2028four"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("half \ud800, C1 \x9b", r"half \ud800, C1 \x9b"),
    ],
)
def test_a_line_steers_no_terminal_and_is_one_line(text: str, line: str) -> None:
    assert safe_line(text) == line
    line.encode()


def test_a_long_line_is_cut() -> None:
    assert safe_line("abcdef", 4) == "abc…"
    assert safe_line("abcd", 4) == "abcd"


def test_lines_stay_lines() -> None:
    assert safe_lines("a\tb\nc\x1b[2J\r") == "a\tb\nc\\x1b[2J\\r"


def test_a_page_shows_what_reorders_text_by_its_name_and_a_title_leaves_it_out() -> None:
    assert visible("<\u202e\x00\n") == (
        '&lt;<bdi class="control" data-name="RLO">\u202e</bdi><bdi class="control" data-name="U+0000"></bdi>\n'
    )
    assert plain("a\u202e\x00b") == "ab"


@pytest.mark.parametrize(("outcome", "is_promised"), [("answered", True), ("unsure", False), ("not_found", False)])
def test_what_is_promised_of_answers_is_not_said_of_guesses(outcome: AnswerOutcome, is_promised: bool) -> None:
    said = describe_confidence(Answer(outcome, 0.31, promised_error=0.25))
    assert said[0] == "Confidence 31%."
    assert (
        "All answers given at this setting, taken together, are wrong at most 25% of the time." in said
    ) is is_promised
