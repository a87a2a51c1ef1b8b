"""Unanswered questions: noted without holding anybody up, grouped by likeness, exported for evaluation."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qa.errors import NotReady, StorageError
from qa.protocols import Encoder
from qa.questions.asked import Asked, AskedFile
from qa.questions.formats import load_questions
from qa.questions.questions import Quote
from qa.service import unanswered as module
from qa.service.unanswered import Group, Unanswered, export_lines, export_table, group
from qa.types import Answer, AnswerOutcome, Query, Reply
from tests.support.hashing import HashingEncoder
from tests.support.waiting import AT_MOST, wait_for


def reply(outcome: AnswerOutcome = "not_found", confidence: float | None = 0.1) -> Reply:
    return Reply("", (), "s", answer=Answer(outcome, confidence))


class Heard:
    def __init__(self) -> None:
        self.clauses: list[str] = []

    def __call__(self, clause: str) -> None:
        self.clauses.append(clause)


@pytest.fixture
def heard() -> Heard:
    return Heard()


Make = Callable[..., Unanswered]


@pytest.fixture
def make(tmp_path: Path, heard: Heard) -> Iterator[Make]:
    made: list[Unanswered] = []

    def build(file: AskedFile | None = None, encoder: Callable[[], Encoder] = HashingEncoder) -> Unanswered:
        kept = file or AskedFile(tmp_path / "unanswered.jsonl", 30, lambda: date(2026, 4, 10))
        made.append(Unanswered(kept, encoder, heard))
        return made[-1]

    yield build
    for each in made:
        each.close()


def asked(unanswered: Unanswered) -> list[str]:
    return [each.question for each in unanswered.questions()]


def test_only_what_was_not_answered_is_noted(make: Make) -> None:
    unanswered = make()
    for outcome in ("answered", "unsure", "not_found"):
        unanswered.note(Query(outcome), reply(outcome))
    unanswered.note(Query("passages alone"), Reply("", (), "s"))
    assert asked(unanswered) == ["not_found", "unsure"]


def test_it_is_on_the_disk_without_being_asked_for(make: Make, tmp_path: Path) -> None:
    make().note(Query("When?"), reply())
    path = tmp_path / "unanswered.jsonl"
    wait_for(lambda: path.exists() and b"When?" in path.read_bytes())


def test_what_waits_when_it_ends_is_written(make: Make, tmp_path: Path) -> None:
    unanswered = make()
    unanswered.note(Query("When?"), reply())
    unanswered.close()
    assert b"When?" in (tmp_path / "unanswered.jsonl").read_bytes()


class FullDisk(AskedFile):
    full = True

    def append(self, lines: object) -> None:
        if self.full:
            raise StorageError("the disk is full")
        super().append(lines)  # type: ignore[arg-type]


def test_a_full_disk_costs_no_answer_and_is_said_once(make: Make, tmp_path: Path, heard: Heard) -> None:
    file = FullDisk(tmp_path / "unanswered.jsonl", 30, lambda: date(2026, 4, 10))
    unanswered = make(file)
    for number in range(3):
        unanswered.note(Query(f"question {number}"), reply())
        unanswered.questions()
    wait_for(lambda: len(heard.clauses) == 1)
    assert "cannot be kept" in heard.clauses[0]
    file.full = False
    unanswered.note(Query("another"), reply())
    assert asked(unanswered) == ["another"]
    wait_for(lambda: heard.clauses[-1] == "")


class Stuck(AskedFile):
    def __init__(self, path: Path) -> None:
        super().__init__(path, 30, lambda: date(2026, 4, 10))
        self.go = threading.Event()

    def append(self, lines: object) -> None:
        assert self.go.wait(AT_MOST)
        super().append(lines)  # type: ignore[arg-type]


def test_a_disk_that_hangs_holds_up_nobody_and_costs_bounded_memory(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 5)
    file = Stuck(tmp_path / "unanswered.jsonl")
    unanswered = make(file)
    for number in range(100):
        unanswered.note(Query(f"question {number}"), reply())
    file.go.set()
    kept = asked(unanswered)
    assert kept[0] == "question 99"
    assert len(kept) < 100


def vectors(*rows: Sequence[float]) -> NDArray[np.float32]:
    made = np.array(rows, np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True))


def names(groups: Sequence[Group]) -> list[list[str]]:
    return [[each.question for each in one.questions] for one in groups]


def test_questions_that_are_alike_are_one_group() -> None:
    questions = [Asked("a", 5), Asked("b", 3), Asked("c", 2), Asked("d", 1)]
    found = group(questions, vectors((1, 0), (0, 1), (1, 0.1), (1, 1)))
    assert names(found) == [["a", "c"], ["b"], ["d"]]
    assert found[0].times == 7
    assert names(group(questions, None)) == [["a"], ["b"], ["c"], ["d"]]
    assert group([], None) == []


def test_the_groups_do_not_depend_on_the_order_in_which_was_asked(make: Make) -> None:
    texts = ["when does the ferry leave", "when does the ferry go", "what does a ticket cost", "ticket cost"]
    first = make()
    for text in texts:
        first.note(Query(text), reply())
    before = names(first.groups())
    for text in reversed(texts):
        first.note(Query(text), reply())
    assert names(first.groups()) == before
    assert sum(map(len, before)) == 4


def test_without_an_encoder_each_question_is_a_group(make: Make) -> None:
    def none() -> Encoder:
        raise NotReady("it is loading", "loading")

    unanswered = make(encoder=none)
    unanswered.note(Query("When?"), reply())
    unanswered.note(Query("Where?"), reply())
    assert names(unanswered.groups()) == [["When?"], ["Where?"]]


def exported(make: Make) -> list[Group]:
    unanswered = make()
    unanswered.note(Query("=cmd|' /C calc'!A0"), reply())
    unanswered.note(Query("When does the ferry, the old one, leave?"), reply("unsure", 0.3))
    unanswered.judge("When does the ferry, the old one, leave?", Quote("a.txt", "It leaves\nat noon.", (10, 17)))
    unanswered.judge("What does it cost?", Quote("a.txt", "three crowns", relevant=False))
    return unanswered.groups()


def test_the_export_is_a_question_file(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "unanswered-export.jsonl"
    path.write_text("".join(export_lines(exported(make))), "utf-8")
    loaded = load_questions(path)
    assert loaded.left_out == ()
    by_text = {each.text: each for each in loaded.questions}
    ferry = by_text["When does the ferry, the old one, leave?"]
    assert (ferry.answerable, ferry.evidence[0].text, ferry.evidence[0].part) == (True, "It leaves\nat noon.", (10, 17))
    assert ferry.tags[:2] == ("asked", "unsure")
    assert not by_text["What does it cost?"].is_judged
    assert not by_text["=cmd|' /C calc'!A0"].is_judged


def test_the_table_is_a_question_file_without_formulas(make: Make, tmp_path: Path) -> None:
    table = "".join(export_table(exported(make)))
    for row in csv.reader(io.StringIO(table)):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    path = tmp_path / "unanswered-export.csv"
    path.write_text(table, "utf-8", newline="")
    loaded = load_questions(path)
    assert loaded.left_out == ()
    assert sorted(each.text for each in loaded.questions if each.is_judged) == [
        "When does the ferry, the old one, leave?"
    ]


def test_evidence_is_json_in_both(make: Make) -> None:
    groups = exported(make)
    lines = [json.loads(line) for line in export_lines(groups)]
    rows = list(csv.DictReader(io.StringIO("".join(export_table(groups)))))
    assert [json.loads(row["evidence"] or "[]") for row in rows] == [line.get("evidence", []) for line in lines]
    assert [row["id"] for row in rows] == [line["id"] for line in lines]
