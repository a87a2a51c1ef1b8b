"""What is read, which span wins, and the form in which it is given, each without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qa.answers.excerpts import SIZE, Excerpt, plan_excerpts
from qa.answers.sentences import Candidate, units
from qa.answers.spans import Choice, fit, in_order, spans_of
from qa.answers.weekdays import ask_as_written
from qa.protocols import Reading
from qa.types import Hit, Passage, Scores, Span
from tests.support.finder import Finder

STAFF = (
    "Staff handbook. New colleagues need these documents:\n\n- a copy of the passport\n- the signed contract\n"
    "- the bank details\n\nPlease bring them to the front desk. The desk opens at 9:00."
)


def best_spans(excerpts: Sequence[Excerpt], readings: Sequence[Reading]) -> list[Choice]:
    """Find the best spans of all excerpts, best first."""
    return in_order([choice for pair in zip(excerpts, readings, strict=True) for choice in spans_of(*pair)])


def candidates(text: str, scores: dict[str, float], start: int = 100, rank: int = 1) -> list[Candidate]:
    """Make the candidates of one passage that begins at ``start``, scored by the key that they hold."""
    passage = Passage("0" * 16, "a.txt", start, start + len(text), text)
    hit = Hit(rank, passage, "a.txt", Scores())
    return [
        Candidate(
            hit,
            Span(start + span.start, start + span.end),
            text[span.start : span.end],
            kind,
            score=max((s for key, s in scores.items() if key in text[span.start : span.end]), default=0.0),
        )
        for span, kind in units(text)
    ]


def planned(
    text: str, scores: dict[str, float], budget: int, names: str = "", start: int = 100, **more: Any
) -> list[Excerpt]:
    leads, question = more.get("leads", ()), more.get("question", "?")
    found = candidates(text, scores, start)
    return plan_excerpts(question, found, Finder().count_tokens, budget, lambda row: names, lambda line: leads)


def chosen(excerpts: list[Excerpt], wanted: str) -> list[Choice]:
    return best_spans(excerpts, Finder(wanted).read([("?", each.text) for each in excerpts]))


def text_of(text: str, start: int = 100) -> str:
    """Lay a passage's text where its document has it."""
    return " " * start + text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two is here.", ["One.", "Two is here."]),
        ("Plan | Price\nPro | $25\nTeam | $60", ["Plan | Price", "Pro | $25", "Team | $60"]),
        ("2024-05-01 07:01:11 pump 1 on\n2024-05-01 07:02:11 pump 2 off", ["2024-05-01 07:01:11 pump 1 on",
                                                                         "2024-05-01 07:02:11 pump 2 off"]),
        ("• Fish soup $7\n• Herring roll $4", ["• Fish soup $7", "• Herring roll $4"]),
        ("Q: Is there a lift?\nA: No, there are stairs.", ["Q: Is there a lift?", "A: No, there are stairs."]),
        ("Crane\n  $95 per lift\nWater\n  $12 per day", ["Crane\n  $95 per lift", "Water\n  $12 per day"]),
    ],
)  # fmt: skip
def test_a_unit_is_a_sentence_or_a_line_that_can_be_read_by_itself(text: str, expected: list[str]) -> None:
    assert [text[span.start : span.end] for span, _ in units(text)] == expected


def test_reading_begins_around_the_best_sentence() -> None:
    text = " ".join(f"Sentence number {number} says a little." for number in range(40))
    (first, *_) = planned(text, {"number 20 ": 9.0}, 300)
    assert "number 20 " in first.text
    assert "number 19 " in first.text
    assert "number 21 " in first.text
    assert first.tokens <= SIZE


@pytest.mark.parametrize("budget", [50, 100, 250])
def test_the_budget_is_kept_and_nothing_is_read_twice(budget: int) -> None:
    text = " ".join(f"Sentence number {number} says a little." for number in range(40))
    excerpts = planned(text, {"number 5 ": 2.0, "number 30 ": 3.0}, budget)
    assert sum(each.tokens for each in excerpts) <= max(1.1 * budget, SIZE)
    read = [candidate.span for each in excerpts for candidate in each.candidates]
    assert len(read) == len(set(read))


def test_a_row_is_read_by_itself_behind_the_names_of_its_columns() -> None:
    (first, *_) = planned(
        "Plan | Per month | Per year\nPro | $25 | $250", {"Pro": 5.0}, 100, "Plan | Per month | Per year"
    )
    assert first.text == "Plan: Pro . Per month: $25 . Per year: $250 . "
    start = first.text.index("$250")
    assert first.place(start, start + 4) == Span(100 + 40, 100 + 44)
    assert first.place(0, 4) is None


@pytest.mark.parametrize("edge", [" | ", "\t"])
def test_a_blank_cell_leaves_the_others_in_their_columns(edge: str) -> None:
    names, row = edge.join(["Plan", "Per month", "Per year"]), edge.join(["Pro", "", "$250"])
    (first, *_) = planned(f"{names}\n{row}", {"Pro": 5.0}, 100, names)
    assert first.text == "Plan: Pro . Per year: $250 . "


def test_a_row_of_values_names_no_column() -> None:
    excerpts = planned("Monday | 9:00-17:00\nTuesday | 10:00-18:00", {"Tuesday": 5.0}, 100, "Monday | 9:00-17:00")
    assert excerpts[0].text == "Tuesday . 10:00-18:00 . "


def test_an_item_is_read_under_its_headings_and_its_lead_in() -> None:
    (first, *_) = planned("- Setup: $50\n- Monthly: $19", {"Setup": 5.0}, 10, leads=["The premium plan costs", "Setup"])
    assert first.text == "The premium plan costs. - Setup: $50\n- Monthly: $19"
    start = first.text.index("$50")
    assert first.place(start, start + 3) == Span(100 + 9, 100 + 12)
    assert first.place(0, 3) is None


def test_a_whole_sentence_is_read_by_itself() -> None:
    (first,) = planned("The desk opens at nine.", {}, 100, leads=["Opening hours"])
    assert first.text == "The desk opens at nine."


def test_only_the_innermost_headings_stand_before_an_item() -> None:
    (first,) = planned("- Setup: $50", {}, 100, leads=["x" * 150, "y" * 150])
    assert first.text == f"{'y' * 150}. - Setup: $50"


@pytest.mark.parametrize(
    ("question", "text", "asked"),
    [
        ("When is it open on Saturday?", "Sat 11:00-15:00", "When is it open on Sat?"),
        ("When is it open on Saturdays?", "Mon-Fri 9-17\nSat. 11-15", "When is it open on Sat.?"),
        ("When is it open on Wednesday?", "Mon-Fri 9-17\nSat 11-15", "When is it open on Mon-Fri?"),
        ("Is it open on wednesday?", "Monday to Friday: 9-17", "Is it open on Monday to Friday?"),
        ("Is it open on Monday?", "Sat-Tue 9-17", "Is it open on Sat-Tue?"),
        ("When is it open on Sunday?", "Sunday 9-17, Sun pm closed", "When is it open on Sunday?"),
        ("When is it open on Sunday?", "Mon-Sat 9-17", "When is it open on Sunday?"),
        ("When is it open on Sunday?", "The sun sets at 17:00. Sun Ltd closes.", "When is it open on Sunday?"),
        ("When is it open?", "Sun 9-17", "When is it open?"),
        ("Is it open on Friday?", "Monitors are sold. Wedding rings too.", "Is it open on Friday?"),
    ],
)
def test_a_question_names_days_as_the_text_does(question: str, text: str, asked: str) -> None:
    assert ask_as_written(question, text) == asked


HOURS = "Quayside\nMon 10:00-18:00\nTue-Wed 9:00-17:00\nThu 10:00-20:00\nSun closed"


def test_of_opening_hours_only_the_lines_of_the_day_asked_for_are_read() -> None:
    excerpts = planned(HOURS, {"Mon": 5.0}, 100, leads=["Hours"], question="When does it open on Thursday?")
    assert {each.text for each in excerpts} == {"Hours. Quayside", "Hours. Thu 10:00-20:00"}
    unlisted = planned(HOURS, {"Mon": 5.0}, 100, leads=["Hours"], question="When does it open on Friday?")
    assert [each.text for each in unlisted] == [f"Hours. {HOURS}"]


@pytest.mark.parametrize(
    ("question", "wanted", "answer"),
    [
        ("When is it open?", "10:00-18:00", HOURS.removeprefix("Quayside\n")),
        ("What are the opening hours?", "10:00-18:00", HOURS.removeprefix("Quayside\n")),
        ("What are the opening hours on Thursday?", "10:00-20:00", "10:00-20:00"),
    ],
)
def test_who_names_no_day_is_given_the_whole_timetable(question: str, wanted: str, answer: str) -> None:
    assert fitted_to(question, HOURS, wanted)[1] == answer


def test_of_a_timetable_of_other_things_only_what_was_asked_for_is_given() -> None:
    text = "Courses\nMon 18:00 Yoga in the hall\nTue 19:00 Pilates\nThu 18:30 Rowing on the lake"
    form, answer, sentence = fitted_to("When is the yoga course?", text, "18:00")
    assert (form, answer, sentence) == ("span", "18:00", "Mon 18:00 Yoga in the hall")


def test_no_span_runs_over_lines_that_give_names_and_values() -> None:
    text = "MAX_ATTEMPTS = 7\nBACKOFF_SECONDS = 45\nRetry delay: 45 seconds\nSecurity hotline: 0800 555 0173"
    assert {kind for _, kind in units(text)} == {"item"}
    assert [kind for _, kind in units("Mind this: the door is closed at nine.")] == ["sentence"]


def test_lines_of_opening_hours_are_items_of_their_own() -> None:
    text = "Bergen\nMon-Fri 8:30-16:30\nSat 11:00-15:00\nSunday: closed\n"
    assert [(text[span.start : span.end], kind) for span, kind in units(text)][1:] == [
        ("Mon-Fri 8:30-16:30", "item"),
        ("Sat 11:00-15:00", "item"),
        ("Sunday: closed", "item"),
    ]
    assert [
        kind
        for _, kind in units(
            "We met in the great hall of the old town, and then on\nMonday 3 May the talks began in earnest."
        )
    ] == ["sentence"]


def test_the_best_span_of_all_excerpts_wins() -> None:
    excerpts = planned("One is red. Two is blue.", {"One": 2.0}, 100) + planned("Three is green.", {}, 100, start=500)
    (best, *_) = chosen(excerpts, "green")
    assert (best.text, best.span) == ("green", Span(509, 514))
    assert best.score == pytest.approx(5.0)


def test_of_equal_spans_the_one_in_the_nearer_passage_wins() -> None:
    """The hours of the branch that was asked for, and not those of the next."""
    far, near = planned("It is green.", {}, 100, start=100) + planned("It is green.", {}, 100, start=500)
    near = replace(near, hit=replace(near.hit, rank=2, scores=Scores(dense=0.7)))
    far = replace(far, hit=replace(far.hit, scores=Scores(dense=0.5)))
    assert [choice.span.start for choice in chosen([far, near], "green")] == [506, 106]


def test_no_span_goes_from_one_item_to_the_next() -> None:
    (excerpt,) = planned("• Fish soup $7\n• Herring roll $4", {}, 100)
    offsets = np.array([(2, 6), (7, 11), (12, 14), (17, 24), (25, 29), (30, 32)])
    starts, ends = np.array([0, 0, 9, 0, 0, 0.0]), np.array([0, 0, 1, 9, 0, 0.0])
    reading = Reading(offsets, starts.astype(np.float32), ends.astype(np.float32), 0.0, 1.0)
    assert best_spans([excerpt], [reading])[0].text == "$7"


def test_a_text_of_which_nothing_was_seen_has_no_span() -> None:
    (excerpt,) = planned("One is red.", {}, 100)
    empty = np.zeros(0, dtype=np.float32)
    assert best_spans([excerpt], [Reading(np.zeros((0, 2), np.int64), empty, empty, 0.0, 0.0)]) == []


@pytest.mark.parametrize(
    ("question", "wanted", "form", "expected"),
    [
        ("When does the desk open?", "9:00", "span", "9:00"),
        ("Does the desk open at 8:00?", "9:00", "sentence", "The desk opens at 9:00."),
        ("Why should I come?", "front desk", "sentence", "Please bring them to the front desk."),
        ("What are the documents?", "signed contract", "list",
         "New colleagues need these documents:\n\n- a copy of the passport\n- the signed contract\n- the bank details"),
        ("How old is the desk?", "front desk", "sentence", "Please bring them to the front desk."),
        ("Who needs a contract?", "signed contract", "span", "signed contract"),
    ],
)  # fmt: skip
def test_the_form_fits_the_question(question: str, wanted: str, form: str, expected: str) -> None:
    document = text_of(STAFF)
    (best, *_) = chosen(planned(STAFF, {wanted: 5.0}, 100), wanted)
    fitted = fit(question, best, lambda id, start, end: document[start:end])
    assert (fitted.form, document[fitted.span.start : fitted.span.end]) == (form, expected)
    assert fitted.sentence.start <= fitted.span.start < fitted.span.end <= fitted.sentence.end


def fitted_to(question: str, text: str, wanted: str) -> tuple[str, str, str]:
    """Return the form, the answer and its sentence, with a reader that looks for some words."""
    document = text_of(text)
    (best, *_) = chosen(planned(text, {wanted: 5.0}, 100), wanted)
    fitted = fit(question, best, lambda id, start, end: document[start:end])
    span, sentence = fitted.span, fitted.sentence
    return fitted.form, document[span.start : span.end], document[sentence.start : sentence.end]


@pytest.mark.parametrize(
    ("text", "wanted", "answer"),
    [
        ("The gate is not 3 metres wide, as the old plan has it, but 2.4 metres.", "3 metres", "2.4 metres"),
        ("The fee is not 40 euros but only 1,250 euros, as of May.", "40 euros", "1,250 euros"),
        ("It is not over 3 metres, but the gate of 1990 is.", "3 metres", "over 3 metres"),
        ("The gate is 3 metres wide, but 2.4 metres of it are usable.", "3 metres", "3 metres"),
        ("It is not more than 3 metres wide, but 2 cars pass.", "3 metres", "not more than 3 metres"),
        ("It is not only 3 metres wide, but 2 metres high as well.", "3 metres", "3 metres"),
    ],
)
def test_what_is_denied_gives_way_to_what_is_said_instead(text: str, wanted: str, answer: str) -> None:
    assert fitted_to("How wide is the gate?", text, wanted)[1] == answer


LEASE = (
    "5. Deposit. The Tenant pays EUR 900.\n\n6. Subletting. The Tenant may not sublet the premises. Exceptions need "
    "consent.\n\n7. Termination. Either party may end the lease.\n\n8. Keys. Two are given."
)


@pytest.mark.parametrize(
    ("question", "wanted", "expected"),
    [
        ("May the tenant sublet the premises?", "Subletting",
         "The Tenant may not sublet the premises. Exceptions need consent."),
        ("Can the landlord terminate the lease?", "Termination", "Either party may end the lease."),
        ("How can the lease be terminated?", "Termination", "Either party may end the lease."),
        ("Is a deposit due?", "EUR 900", "The Tenant pays EUR 900."),
    ],
)  # fmt: skip
def test_the_title_of_a_clause_gives_way_to_what_it_says(question: str, wanted: str, expected: str) -> None:
    assert fitted_to(question, LEASE, wanted)[:2] == ("sentence", expected)


def test_the_title_of_a_clause_without_a_text_stays() -> None:
    assert fitted_to("Is there a deposit?", "5. Deposit.\n\n6. Keys.", "Deposit")[1] == "Deposit."


STEPS = "Toner of the printer\n\n1. Open the front door.\n2. Pull the drawer out.\n3. Put the new toner in.\n\nCall us."
CALLED_STEPS = STEPS[STEPS.index("1.") : STEPS.index("\n\nCall")]


@pytest.mark.parametrize(
    "question",
    [
        "How do I replace the toner of the printer?",
        "How can I replace the toner?",
        "How to replace the toner",
        "What are the steps for replacing the toner?",
    ],
)
def test_how_something_is_done_is_all_steps(question: str) -> None:
    assert fitted_to(question, STEPS, "front door")[:2] == ("list", CALLED_STEPS)


@pytest.mark.parametrize(
    ("question", "form"),
    [
        ("Which news agency did the porter speak to?", "span"),
        ("What virus was found?", "span"),
        ("What basis is there for it?", "span"),
        ("Which tools are in the case?", "list"),
        ("What spare parts come with it?", "list"),
    ],
)
def test_a_list_is_given_to_who_asks_for_several_things(question: str, form: str) -> None:
    assert fitted_to(question, "In the case, as Reuters was told, are:\n\n- a saw\n- a file", "Reuters")[0] == form


def test_steps_may_be_bulleted_under_what_leads_to_them() -> None:
    text = "Replacing the toner\n\n- Open the front door\n- Pull the drawer out"
    assert fitted_to("How do I replace the toner?", text, "front door")[1] == text[text.index("- Open") :]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("House rules\n\n- Parking: ask at the desk\n- Kitchen: clean up", "ask at the desk"),
        ("1. Rent. It is paid by transfer.\n2. Keys. They are given at the desk.", "transfer"),
    ],
)
def test_a_list_that_is_no_steps_is_not_how_something_is_done(text: str, wanted: str) -> None:
    assert fitted_to("How do I pay?", text, wanted)[0] == "sentence"


def test_no_span_crosses_into_another_paragraph() -> None:
    text = "We offer drinks and catering\n\nRooms of the house"
    (excerpt,) = planned(text, {}, 100)
    offsets = np.array([(20, 28), (30, 35)])
    starts, ends = np.array([9, 0.0], dtype=np.float32), np.array([1, 9.0], dtype=np.float32)
    assert best_spans([excerpt], [Reading(offsets, starts, ends, 0.0, 1.0)])[0].text == "catering"


def test_a_phrase_ends_with_its_sentence() -> None:
    text = "The car park is closed until Friday. Please use the street."
    assert fitted_to("How long is the car park closed?", text, "until Friday. Please")[1] == "until Friday."


@pytest.mark.parametrize("question", ["Why was the party moved?", "When is the party?"])
def test_a_letter_is_answered_without_its_greeting(question: str) -> None:
    text = "Dear all,\n\nthe party was moved to 5 May because of rain."
    assert fitted_to(question, text, "5 May")[2] == "the party was moved to 5 May because of rain."
