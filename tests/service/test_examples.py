"""What a page may offer to ask: the collection's own questions, and only what is answered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from qa.answers.citations import FileSums, SourceFiles
from qa.errors import QueryError
from qa.index.index import Index
from qa.index.snapshots import Snapshots
from qa.service.examples import example_questions
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Answer, Limits, Query, Reply
from tests.conftest import Build

LIMITS = Limits(question_chars=200, top_k=10, batch=50)


@pytest.fixture
def index(build: Build, folder: Path, settings: Settings) -> Index:
    sections = ("# How do I prune?\n\nIn winter.", "## هل الكمثرى حلوة؟\n\nYes.", "## Statement\n\nNo.")
    (folder / "faq.md").write_text("\n\n".join(sections), encoding="utf-8")
    build()
    return Snapshots(settings.indexes, settings.name).open()


class Answers:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self, *unanswered: str) -> None:
        self.asked: list[str] = []
        self.unanswered = unanswered

    def __call__(self, queries: Sequence[Query]) -> list[Reply | QueryError]:
        self.asked = [query.question for query in queries]
        return [self._reply(question) for question in self.asked]

    def _reply(self, question: str) -> Reply | QueryError:
        if question == "broken?":
            return QueryError("question", "no")
        answer = Answer("unsure" if question in self.unanswered else "answered", confidence=None)
        return Reply(question, (), "s", answer=answer)


def offered(index: Index, limits: Limits, answers: Answers) -> tuple[str, ...]:
    return example_questions(index, SourceFiles(index.manifest.sources, FileSums()), limits, answers)


def test_headings_that_are_questions(index: Index) -> None:
    assert set(offered(index, LIMITS, Answers())) == {"How do I prune?", "هل الكمثرى حلوة؟"}


def test_what_is_not_answered_is_not_offered(index: Index) -> None:
    assert offered(index, LIMITS, Answers("How do I prune?")) == ("هل الكمثرى حلوة؟",)


def test_a_question_file_beside_the_documents_comes_first_and_is_spread_over(index: Index, folder: Path) -> None:
    lines = [f'{{"question": "Number {n}?", "answerable": {"true" if n % 2 else "false"}}}' for n in range(100)]
    (folder / "questions.jsonl").write_text("\n".join([*lines, '{"question": "broken?"}', "{"]), encoding="utf-8")
    answers = Answers()
    found = offered(index, LIMITS, answers)
    assert found == ("Number 1?", "Number 7?", "Number 13?", "Number 19?")
    assert len(answers.asked) == 16
    assert found == offered(index, LIMITS, Answers())


def test_whole_questions_are_preferred_to_keywords(index: Index, folder: Path) -> None:
    questions = folder / "questions.jsonl"
    questions.write_text('{"question": "ripe pears"}\n{"question": "Are pears ripe?"}\n')
    assert offered(index, LIMITS, Answers())[0] == "Are pears ripe?"
    questions.write_text('{"question": "ripe pears"}\n')
    assert offered(index, LIMITS, Answers())[0] == "ripe pears"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"[]", b'{"question": 3}', b" " * 1_000_001])
def test_a_file_that_is_none_is_passed_over(index: Index, folder: Path, content: bytes) -> None:
    (folder / "questions.jsonl").write_bytes(content)
    assert len(offered(index, LIMITS, Answers())) == 2


def test_what_is_too_long_to_read_at_a_glance_is_left_out(index: Index, folder: Path) -> None:
    (folder / "questions.jsonl").write_text(f'{{"question": "{"why " * 40}?"}}')
    assert len(offered(index, LIMITS, Answers())) == 2
    assert offered(index, Limits(10, 10, 10), Answers()) == ()


def test_a_pipe_and_a_link_out_of_the_folder_are_no_question_file(
    index: Index, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    os.mkfifo(folder / "questions.jsonl")
    assert len(offered(index, LIMITS, Answers())) == 2
    (folder / "questions.jsonl").unlink()
    outside = tmp_path_factory.mktemp("outside") / "questions.jsonl"
    outside.write_text('{"question": "Whose is this?"}')
    (folder / "questions.jsonl").symlink_to(outside)
    assert "Whose is this?" not in offered(index, LIMITS, Answers())


def test_a_service_finds_them_once_and_fails_no_page(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def failing(*arguments: object) -> tuple[str, ...]:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("broken")
        return ("Why?",)

    monkeypatch.setattr("qa.service.service.example_questions", failing)
    assert [service.examples() for _ in range(3)] == [(), ("Why?",), ("Why?",)]
    assert len(calls) == 2
