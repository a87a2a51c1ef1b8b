"""Questions that lean on the one before, each with what is searched for instead."""

from __future__ import annotations

import tracemalloc

import pytest

from qa.errors import QueryError
from qa.search.follow_ups import resolve
from qa.service.service import Service
from qa.types import Query, Turn

COST = "How much does a library card cost in Bergen?"


@pytest.mark.parametrize(
    ("before", "question", "searched"),
    [
        # The same of something else.
        ("How many books did it lend in 2022?", "and in 2023?", "How many books did it lend in 2023?"),
        ("How many people live in Bergen?", "What about Oslo?", "How many people live in Oslo?"),
        ("When does the pool in Bergen open?", "And in Oslo?", "When does the pool in Oslo open?"),
        ("How much is a ticket for adults?", "and for children?", "How much is a ticket for children?"),
        ("How much is a ticket for adults?", "How about children?", "How much is a ticket for children?"),
        ("Who is the chair of the board?", "And the vice-chair?", "Who is the vice-chair of the board?"),
        ("What was the average family size?", "And household size?", "What was the average household size?"),
        ("How many passengers does it carry?", "And cars?", "How many cars does it carry?"),
        ("Which storm hit Oslo?", "And in May of 2012?", "Which storm hit Oslo in May of 2012?"),
        ("When does the library in Oslo open?", "and the one in Bergen?", "When does the library in Bergen open?"),
        # Something else of the same.
        ("When was the bridge closed?", "Why?", "Why was the bridge closed?"),
        ("In what year did Harvard end it?", "why exactly?", "Why exactly did Harvard end it?"),
        ("Is the pool closed in May?", "Since when?", "Since when is the pool closed in May?"),
        ("Where was the Lunde built?", "When was that?", "When was the Lunde built?"),
        # What points back.
        ("How long does a family ticket last?", "How much does it cost?", "How much does a family ticket cost?"),
        ("What is the capital of Norway?", "How big is it?", "How big is the capital of Norway?"),
        ("How tall is the tower?", "and who designed it?", "Who designed the tower?"),
        ("What year did Tesla die?", "Where did he live?", "Where did Tesla live?"),
        ("What year did Tesla die?", "How did Tesla's rivals see his work?", "How did Tesla's rivals see his work?"),
        ("How many times has Polonia won the cup?", "Where is its home venue?", "Where is Polonia's home venue?"),
        ("When was this edict declared?", "Who issued this declaration?", "Who issued this declaration, this edict?"),
        # German and French: the thing is said behind the question, since its form depends on its place.
        ("Wie viele Besucher kamen 2022 nach Kassel?", "Und 2023?", "Wie viele Besucher kamen 2023 nach Kassel?"),
        ("Wann wurde das Museum in Kassel gegründet?", "Und in Jena?", "Wann wurde das Museum in Jena gegründet?"),
        ("An welchem Tag ist das Museum geschlossen?", "Warum?", "Warum ist das Museum geschlossen?"),
        ("Wann wurde das Museum gegründet?", "Wer hat es entworfen?", "Wer hat es entworfen, das Museum?"),
        ("Combien coûte l'entrée pour adultes ?", "Et pour enfants ?", "Combien coûte l'entrée pour enfants?"),
        ("Quand la piscine est-elle fermée ?", "Pourquoi ?", "Pourquoi la piscine est-elle fermée?"),
        ("Combien d'étages a la tour de Lyon ?", "Et celle de Lille ?", "Combien d'étages a la tour de Lille?"),
    ],
)  # fmt: skip
def test_a_question_that_leans_on_another_is_made_to_stand_alone(before: str, question: str, searched: str) -> None:
    assert resolve(question, (Turn(before),)) == searched


@pytest.mark.parametrize(
    "question",
    [
        "How many people live in Oslo?",
        "And how many people live in Oslo?",
        "When does the library close and how much does it charge?",
        "Is it possible to pay by card?",
        "How long does it take to learn Norwegian?",
        "How many same-sex couples were there?",
        "What is the law that bans smoking?",
        "Does the board have its own rules?",
        "Which events are held this year?",
        "So, no cards from now on!",
        "opening hours library",
        "Wie lange dauert es, einen Pass zu bekommen?",
        "Quand le musée de Lille est-il ouvert ?",
        "Сколько стоит билет?",
        "那是什么时候？",
        "?",
    ],
)
def test_a_question_that_stands_alone_is_left_as_it_is(question: str) -> None:
    assert resolve(question, (Turn(COST),)) == question


@pytest.mark.parametrize("question", ["and in 2023?", "Why?", "How much does it cost?"])
def test_with_nothing_before_it_every_question_is_left_as_it_is(question: str) -> None:
    assert resolve(question, ()) == resolve(question, (Turn(" "),)) == question


def test_what_answered_the_question_before_can_be_meant() -> None:
    asked = Turn("Who designed the library?", "Olaf Nordhagen")
    assert resolve("When was he born?", (asked,)) == "When was Olaf Nordhagen born?"
    gorge = Turn("What gorge is between Bingen and Bonn?", "the Rhine Gorge")
    assert resolve("How was it formed?", (gorge,)) == "How was the Rhine Gorge formed?"
    # A number is no thing that is pointed at.
    assert resolve("Where is it?", (Turn("How tall is the tower?", "40 metres"),)) == "Where is the tower?"


def test_a_question_may_lean_on_one_that_leans_itself() -> None:
    before = (Turn("How many books did Bergen lend in 2022?"), Turn("and in 2023?"))
    assert resolve("And Oslo?", before) == "How many books did Oslo lend in 2023?"


def test_of_a_letter_before_it_the_question_counts() -> None:
    letter = "Dear library, I moved here with my two children last month and we all love to read. How much is a card?"
    assert resolve("And for students?", (Turn(f"{letter} Many thanks and kind regards, Ann"),)).endswith(
        "for students?"
    )


def test_what_would_be_too_long_to_search_for_is_not_made() -> None:
    before = Turn("Where is " + "very " * 70 + "far?")
    assert resolve("Why?", (before,)) == "Why?"


def test_few_conversations_are_kept_in_memory() -> None:
    tracemalloc.start()
    for number in range(300):
        longest = f"{number}{chr(0x1F600) * 1990}"
        resolve(longest, tuple(Turn(f"{turn}{longest}", f"{turn}{longest}") for turn in range(8)))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 16_000_000


def test_a_reply_says_what_was_searched_for_and_is_that_of_the_whole_question(service: Service) -> None:
    whole = service.ask(Query("Where do plums grow?"))
    reply = service.ask(Query("And plums?", previous=(Turn("Where do apples grow?"),)))
    assert (reply.question, reply.searched, whole.searched) == ("And plums?", "Where do plums grow?", "")
    assert reply.answer == whole.answer
    assert [hit.passage for hit in reply.hits] == [hit.passage for hit in whole.hits]


@pytest.mark.parametrize(
    ("previous", "message"),
    [
        ((Turn("a"),) * 9, "previous holds 9 questions; at most 8 are allowed; keep the last ones"),
        ((Turn("a"), Turn("x" * 2001)), "previous[1] has 2,001 characters; at most 2,000 are allowed; shorten it"),
        ((Turn("a", "x" * 2001),), "previous[0] has 2,001 characters; at most 2,000 are allowed; shorten it"),
        ((Turn("a\0"),), "previous[0] holds a NUL character; remove it"),
    ],
)
def test_what_was_asked_before_is_bounded(service: Service, previous: tuple[Turn, ...], message: str) -> None:
    with pytest.raises(QueryError, match="^" + message.replace("[", r"\[")) as raised:
        service.ask(Query("Why?", previous=previous))
    assert raised.value.field.startswith("previous")


@pytest.mark.parametrize("read_tokens", [0, 49, 1001])
def test_what_is_read_is_bounded(service: Service, read_tokens: int) -> None:
    with pytest.raises(QueryError, match=r"^read_tokens must be from 50 to 1,000$"):
        service.ask(Query("Why?", read_tokens=read_tokens))
