"""The questions about the seed documents: every judgment must hold in the text it is anchored to."""

import json
from functools import cache
from pathlib import Path
from typing import Any

SEEDS = Path(__file__).parent.parent / "seeds"
KEYS = ["id", "question", "evidence", "answers", "answerable", "tags"]
KINDS = {"who", "how-many", "where", "when", "why", "what", "yes-no"}
LONGER_THAN_A_HEADING = 60

Question = dict[str, Any]


@cache
def questions() -> tuple[Question, ...]:
    lines = (SEEDS / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(json.loads(line) for line in lines)


@cache
def document(name: str) -> str:
    return (SEEDS / name).read_bytes().decode("utf-8")


def answerable() -> list[Question]:
    return [question for question in questions() if question["answerable"]]


def unanswerable() -> list[Question]:
    return [question for question in questions() if not question["answerable"]]


def test_there_are_enough_of_both_kinds() -> None:
    assert len(answerable()) >= 40
    assert len(unanswerable()) >= 12
    assert sum("near" in question["tags"] for question in unanswerable()) >= 8
    assert sum("far" in question["tags"] for question in unanswerable()) >= 5


def test_every_line_has_the_same_keys_in_the_same_order() -> None:
    for question in questions():
        assert list(question) == KEYS, question["id"]
        assert isinstance(question["answerable"], bool), question["id"]


def test_ids_and_questions_are_unique() -> None:
    assert [question["id"] for question in questions()] == [f"seed-{n:03}" for n in range(1, len(questions()) + 1)]
    wordings = ["".join(filter(str.isalnum, question["question"].casefold())) for question in questions()]
    assert len(set(wordings)) == len(wordings)


def test_every_quote_occurs_exactly_once_in_its_document() -> None:
    for question in answerable():
        for evidence in question["evidence"]:
            assert list(evidence) == ["document", "quote"], question["id"]
            assert document(evidence["document"]).count(evidence["quote"]) == 1, (question["id"], evidence["quote"])


def test_an_answerable_question_has_evidence_and_distinct_answers() -> None:
    for question in answerable():
        assert question["evidence"], question["id"]
        assert question["answers"], question["id"]
        assert len(set(question["answers"])) == len(question["answers"]), question["id"]
        assert all(answer and answer == answer.strip() for answer in question["answers"]), question["id"]


def test_the_first_answer_stands_in_a_quote() -> None:
    for question in answerable():
        first = question["answers"][0]
        if "yes-no" in question["tags"]:
            assert first in {"yes", "no"}, question["id"]
        else:
            assert any(first in evidence["quote"] for evidence in question["evidence"]), question["id"]


def test_an_unanswerable_question_has_neither() -> None:
    for question in unanswerable():
        assert question["evidence"] == [], question["id"]
        assert question["answers"] == [], question["id"]


def test_tags_say_kind_and_wording_or_distance() -> None:
    for question in questions():
        tags = set(question["tags"])
        assert len(tags & KINDS) == 1, question["id"]
        assert ("unanswerable" in tags) is not question["answerable"], question["id"]
        either = {"paraphrase", "lexical"} if question["answerable"] else {"near", "far"}
        assert len(tags & either) == 1, question["id"]
    assert any("disagreement" in question["tags"] for question in questions())


def test_every_paragraph_of_every_document_is_asked_about() -> None:
    for path in SEEDS.glob("*.txt"):
        text = document(path.name)
        quotes = [
            item["quote"] for question in answerable() for item in question["evidence"] if item["document"] == path.name
        ]
        spans = [(text.index(quote), text.index(quote) + len(quote)) for quote in quotes]
        start = 0
        for paragraph in text.split("\n\n"):
            end = start + len(paragraph)
            if len(paragraph) > LONGER_THAN_A_HEADING:
                assert any(first < end and last > start for first, last in spans), paragraph
            start = end + len("\n\n")
