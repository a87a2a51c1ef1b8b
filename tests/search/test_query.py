"""The question in a long text: found where it stands alone, and kept with what it points to."""

from __future__ import annotations

import pytest

from qa.search.query import find_question
from qa.service.service import Service
from qa.types import Query

MAIL = """Dear team,

I hope this finds you well. My name is Ann, and I write for our walking club, which comes to the island every summer.
{question}

Many thanks in advance for your help.
Best regards,
Ann Smith"""
QUESTION = "Could you tell me where apples grow on trees?"


@pytest.mark.parametrize(
    "question",
    [QUESTION, "I would like to know when the northern gate is locked.", "Wann wird das nördliche Tor geschlossen?"],
)
def test_the_question_of_a_polite_letter_is_found(question: str) -> None:
    assert find_question(MAIL.format(question=question)) == question


def test_a_question_that_points_back_keeps_what_it_points_to() -> None:
    found = find_question(
        "Hello! We came from Canada last year and have a visa for two years, and the licence expired in May. "
        "What do we need to renew it? Thank you very much for your time."
    )
    assert found.startswith("We came from Canada")
    assert found.endswith("What do we need to renew it?")


@pytest.mark.parametrize(
    "text",
    [
        "WHEN IS THE NORTH GATE LOCKED",
        "gate",
        "Hello! When is the north gate locked? Thanks.",
        "one word " * 40,
        "The gate is locked at ten. " * 10,
        "",
    ],
    ids=["capitals", "one word", "short", "no sentence", "no question", "empty"],
)
def test_what_is_short_or_asks_nothing_is_left_as_it_is(text: str) -> None:
    assert find_question(text) == text


def test_a_letter_is_answered_as_its_question_is(service: Service) -> None:
    alone, letter = service.ask(Query(QUESTION)), service.ask(Query(MAIL.format(question=QUESTION)))
    assert [hit.passage for hit in letter.hits] == [hit.passage for hit in alone.hits]
    assert alone.answer is not None
    assert letter.answer is not None
    assert (letter.answer.text, letter.answer.confidence) == (alone.answer.text, alone.answer.confidence)
    assert letter.question == MAIL.format(question=QUESTION)
    assert (letter.searched, alone.searched) == (QUESTION, "")


def test_a_letter_longer_than_the_model_reads_is_answered_if_its_question_is_not(service: Service) -> None:
    letter = MAIL.format(question=f"{'We walked up hill and down dale. ' * 45}\n{QUESTION}")
    assert service.ask(Query(letter)).hits == service.ask(Query(QUESTION)).hits
