"""Values are given whole and compared by what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.answers.quantities import contradicts, parse
from qa.answers.values import whole
from qa.types import Span


def completed(text: str, found: str, question: str = "How much?") -> str:
    start = text.index(found)
    span = whole(text, Span(start, start + len(found)), question)
    return text[span.start : span.end]


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("It cost $1.5M in all.", "$1.5", "$1.5M"),
        ("It cost $3 billion in cash.", "$3", "$3 billion"),
        ("The fee is ₹1,00,000.", "1,00,000", "₹1,00,000"),
        ("It is no more than 50 meters from here.", "50 meters", "no more than 50 meters"),
        ("At least 12 members came.", "12", "At least 12"),
        ("Drivers rest 11 hours or more.", "11 hours", "11 hours or more"),
        ("It is kept at −18 °C.", "18", "−18 °C"),
        ("It is minus 18 degrees.", "18 degrees", "minus 18 degrees"),
        ("It takes between 2 and 3 hours.", "3 hours", "between 2 and 3 hours"),
        ("It is three to four miles away.", "four miles", "three to four miles"),
        ("Some 18 to 25 percent left.", "18", "18 to 25 percent"),
        ("It lasts 1 hour and 45 minutes.", "1 hour", "1 hour and 45 minutes"),
        ("It weighs 3 lb 4 oz.", "3 lb", "3 lb 4 oz"),
        ("The box is 40 × 60 × 20 cm of oak.", "40", "40 × 60 × 20 cm"),
        ("The bore is 10.0 ± 0.2 mm.", "10.0", "10.0 ± 0.2 mm"),
        ("It weighs 1.5×10^-3 kg dry.", "1.5", "1.5×10^-3 kg"),
        ("It burns 4 litres per hour.", "4 litres", "4 litres per hour"),
        ("It is 3 1/2 miles up.", "1/2 miles", "3 1/2 miles"),
        ("Each pays CHF 45.", "45", "CHF 45"),
        ("It is driven by a diesel of 900 hp.", "a diesel", "a diesel of 900 hp"),
    ],
)
def test_an_amount_comes_with_all_that_changes_its_meaning(text: str, found: str, expected: str) -> None:
    assert completed(text, found) == expected


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("On 2024-03-05 it began.", "2024-03", "2024-03-05"),
        ("It is open from 1 April to 31 October each year.", "1 April", "1 April to 31 October"),
        ("On 12 October 2015 it opened.", "12 October", "12 October 2015"),
        ("2024-05-08 03:14:15 pump 2 failed", "03:14:15", "2024-05-08 03:14:15"),
        ("Open 9:00 to 17:30 daily.", "9:00", "9:00 to 17:30"),
    ],
)
def test_a_date_or_time_comes_whole(text: str, found: str, expected: str) -> None:
    assert completed(text, found, "When?") == expected


def test_what_the_question_names_is_left_out() -> None:
    assert completed("They played 14 days in a row.", "14", "How many days did they play?") == "14"
    assert completed("It opened on 12 October 2015.", "2015", "In what year did it open?") == "2015"


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("Write to servicedesk@nordlicht.example, please.", "servicedesk@nordlicht", "servicedesk@nordlicht.example"),
        ("Petra is at petra.lindholm@nordlicht.example.", "nordlicht", "petra.lindholm@nordlicht.example"),
        ("Invoices go to billing@acme.com.", "acme.com", "billing@acme.com"),
        ("Invoices go to <billing+eu@acme.co.uk>.", "billing", "billing+eu@acme.co.uk"),
        ("See https://portal.example/help?id=a (soon).", "portal", "https://portal.example/help?id=a"),
        ("See portal.nordlicht.example/wiki first.", "portal", "portal.nordlicht.example/wiki"),
        ("Follow @nordlicht_hh on it.", "nordlicht", "@nordlicht_hh"),
        ("Log in as svc_backup first.", "backup", "svc_backup"),
        ("Edit settings.local.yaml by hand.", "settings", "settings.local.yaml"),
        ("It is in /etc/nginx/site.conf there.", "site", "/etc/nginx/site.conf"),
    ],
)
def test_an_address_or_a_file_name_comes_whole(text: str, found: str, expected: str) -> None:
    assert completed(text, found, "What is it?") == expected


@pytest.mark.parametrize("text", ["They came.The Crew left.", "He came. Then he left.", "It is open and/or free."])
def test_words_that_only_stand_close_together_are_no_name(text: str) -> None:
    found = text.split()[2 if "open" in text else 1].partition(".")[0]
    assert completed(text, found, "What?") == found


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("Item: Desk | Price EUR: 489.00 | Stock: 4", "489.00", "Price EUR: 489.00"),
        ("Item: Lamp | Price EUR: 59.90 | Stock: 9", "EUR: 59.90", "Price EUR: 59.90"),
        ("Item: Lamp | Price (€): 59.90", "59.90", "Price (€): 59.90"),
        ("Item: Lamp | Stock: 9", "9", "9"),
    ],
)
def test_a_price_comes_with_the_currency_in_the_name_before_it(text: str, found: str, expected: str) -> None:
    assert completed(text, found) == expected


@pytest.mark.parametrize(("text", "found"), [("The Iraqi-led coalition came.", "Iraqi"), ("Ada Hall spoke.", "Ada")])
def test_names_stay_as_the_reader_found_them(text: str, found: str) -> None:
    assert completed(text, found, "Who?") == found


@given(st.text(max_size=80), st.data())
def test_a_whole_value_holds_what_was_found(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    span = whole(text, Span(start, end), "How many?")
    assert 0 <= span.start <= start <= end <= span.end <= len(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("$3 billion", "$3 million"),
        ("2 million", "2 thousand"),
        ("3 miles", "3 kilometres"),
        ("5,000", "7,000"),
        ("Up to 5,000", "7,000"),
        ("5 March 2024", "6 March 2024"),
        ("−18 °C", "18 °C"),
        ("2 to 3 hours", "4 hours"),
    ],
)
def test_values_that_differ_contradict(one: str, other: str) -> None:
    assert contradicts(one, other)
    assert contradicts(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2 million", "2,000,000"),
        ("five thousand", "5,000"),
        ("twenty-one", "21"),
        ("thirty", "30"),
        ("5.000", "5,000"),
        ("two weeks", "14 days"),
        ("2 hours 30 minutes", "2.5 hours"),
        ("1.5×10^-3 kg", "1.5 g"),
        ("€12,50", "€12.50"),
        ("1,00,000", "100,000"),
        ("$1.5M", "$1.5 million"),
        ("1 1/2 miles", "1.5 miles"),
        ("5 March 2024", "March 5, 2024"),
        ("2024", "5 March 2024"),
        ("about 5,000", "4,800"),
        ("more than 5,000", "7,000"),
        ("2 to 3 hours", "150 minutes"),
        ("1200 metres", "1,200 metres"),
    ],
)
def test_one_value_written_in_two_ways_does_not_contradict(one: str, other: str) -> None:
    assert not contradicts(one, other)
    assert not contradicts(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("3 miles", "2 hours"), ("Alice", "Bob"), ("A3", "A4"), ("5 euros", "$6"), ("", "3")]
)
def test_what_cannot_be_compared_does_not_contradict(one: str, other: str) -> None:
    assert not contradicts(one, other)


@given(
    st.text(max_size=60) | st.from_regex(r"(about |up to )?[$€]?\d[\d.,/ ]{0,8}( million| km| hours)?", fullmatch=True)
)
def test_any_text_can_be_read_and_agrees_with_itself(text: str) -> None:
    parse(text)
    assert not contradicts(text, text)
