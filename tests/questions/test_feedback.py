"""Judgments of people: quoted so that they are found again, kept complete, and taken by an evaluation."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.errors import QueryError, QuestionFileError, StorageError
from qa.questions.anchoring import anchor
from qa.questions.feedback import FeedbackFile, make_quote
from qa.questions.formats import load_questions
from qa.questions.questions import Question, QuestionSet, Quote

TEXT = "Noon. The ferry leaves at noon.\n\nThe last one leaves at midnight, never at noon."


class OneDocument:
    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def ids(self) -> Sequence[str]:
        return ["a.txt"]

    def text(self, id: str) -> str:
        return self._text

    def passages(self, id: str) -> Sequence[tuple[str, int, int]]:
        return [("p", 0, len(self._text))]


def anchored(text: str, quote: Quote) -> tuple[int, int]:
    question = Question("1", "When?", (quote,))
    found = anchor(QuestionSet("f", "", (question,)), OneDocument(text))
    assert found.faults == ()
    (evidence,) = found.questions[0].evidence
    return evidence.start, evidence.end


@given(st.text("ab \n", min_size=1, max_size=80) | st.text("aeé\u0301\u0323 ", min_size=1, max_size=20), st.data())
def test_a_judged_span_is_found_again(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    # What a passage or an answer is: text without white space at its ends.
    start += len(text[start:end]) - len(text[start:end].lstrip())
    end -= len(text[start:end]) - len(text[start:end].rstrip())
    if start >= end:
        return
    assert anchored(text, make_quote("a.txt", text, start, end, relevant=True)) == (start, end)


def test_a_judged_word_that_is_there_in_both_unicode_forms_is_found_again() -> None:
    text = "Das Bu\u0308ro. Im Büro ist Ruhe."
    assert anchored(text, make_quote("a.txt", text, 14, 18, relevant=True)) == (14, 18)


@pytest.mark.parametrize(("start", "end"), [(3, 3), (-1, 4), (0, len(TEXT) + 1), (31, 33)])
def test_a_span_without_text_is_refused(start: int, end: int) -> None:
    with pytest.raises(QueryError, match="holds no text"):
        make_quote("a.txt", TEXT, start, end, relevant=True)


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(QueryError, match="more than once"):
        make_quote("a.txt", "same again " * 5000, 25_300, 25_304, relevant=True)


def test_an_evaluation_takes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "feedback.jsonl"
    file = FeedbackFile(path)
    at = TEXT.rindex("noon")
    file.append("When is noon?", make_quote("a.txt", TEXT, at, at + 4, relevant=True))
    file.append("When is noon?", make_quote("a.txt", TEXT, 0, 5, relevant=False))
    file.append("Who sails? \u2028 مرحبا", make_quote("a.txt", TEXT, 6, 31, relevant=False))
    found = load_questions(path)
    assert [question.text for question in found.questions] == ["When is noon?", "Who sails? \u2028 مرحبا"]
    assert [question.is_judged for question in found.questions] == [True, False]
    judged = anchor(found, OneDocument(TEXT)).questions[0]
    assert [(evidence.start, evidence.end) for evidence in judged.evidence] == [(at, at + 4)]
    assert oct(path.stat().st_mode)[-3:] == "600"


def test_text_that_is_no_valid_unicode_leaves_the_file_readable(tmp_path: Path) -> None:
    path, text = tmp_path / "feedback.jsonl", "Noon, says \ud83d the sundial. مرحبا"
    FeedbackFile(path).append("When \udc80?", make_quote("a.txt", text, 0, 30, relevant=True))
    (question,) = load_questions(path).questions
    assert (question.text, question.evidence[0].text) == ("When \udc80?", text[:30])
    assert anchored(text, question.evidence[0]) == (0, 30)


def test_the_last_word_on_a_quote_holds(tmp_path: Path) -> None:
    file = FeedbackFile(tmp_path / "feedback.jsonl")
    for relevant in (True, False, True, False):
        file.append("When?", make_quote("a.txt", TEXT, 6, 31, relevant=relevant))
    (question,) = load_questions(tmp_path / "feedback.jsonl").questions
    assert [quote.relevant for quote in question.evidence] == [False]
    assert question.answerable is None


def test_the_later_judgment_holds_wherever_its_line_stands(tmp_path: Path) -> None:
    def line(judged: str, relevant: str, tag: str) -> str:
        evidence = f'[{{"document": "a", "quote": "b", "relevant": {relevant}}}]'
        return f'{{"id": "1", "question": "a", "judged": "{judged}", "evidence": {evidence}, "tags": ["{tag}"]}}'

    lines = [line("2026-05-02", "false", "x"), line("2026-04-01", "true", "y")]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    (question,) = load_questions(tmp_path / "a.jsonl").questions
    assert [quote.relevant for quote in question.evidence] == [False]
    assert question.tags == ("x", "y")


@pytest.mark.parametrize("field", ["answers", "documents"])
def test_nothing_of_a_judgment_is_dropped(tmp_path: Path, field: str) -> None:
    first = '{"id": "1", "question": "a", "judged": "2026-04-01"}'
    second = f'{{"id": "1", "question": "a", "judged": "2026-04-02", "{field}": ["b"]}}'
    for lines in ([first, second], [second, first]):
        (tmp_path / "a.jsonl").write_text("\n".join(lines))
        with pytest.raises(QuestionFileError, match=f"line 2, {field}: judgments of one question"):
            load_questions(tmp_path / "a.jsonl")


def test_two_questions_of_one_id_are_still_a_fault(tmp_path: Path) -> None:
    lines = ['{"id": "1", "question": "a", "judged": "2026-04-01"}', '{"id": "1", "question": "a"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(QuestionFileError, match="used before, on line 1"):
        load_questions(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("evidence", "field"),
    [
        ({"part": [0]}, "part"),
        ({"part": [3, 99]}, "part"),
        ({"part": [True, 2]}, "part"),
        ({"part": "0-2"}, "part"),
        ({"relevant": "no"}, "relevant"),
    ],
)
def test_a_judgment_that_is_wrong_names_its_field(tmp_path: Path, evidence: dict[str, object], field: str) -> None:
    line = {"question": "a", "evidence": [{"document": "a.txt", "quote": "at noon", **evidence}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    with pytest.raises(QuestionFileError, match=rf"line 1, evidence\[0\]\.{field}"):
        load_questions(tmp_path / "a.jsonl")


QUOTE = Quote("a.txt", "at noon")


@pytest.mark.parametrize("torn", ['{"id": "feedback-1", "questi', '{"id": "feedback-', "\x00" * 40])
def test_what_a_crash_left_half_written_goes(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "f.jsonl"
    file = FeedbackFile(path)
    file.append("First?", QUOTE)
    with path.open("a") as broken:
        broken.write(torn)
    file.append("Second?", QUOTE)
    assert [question.text for question in load_questions(path).questions] == ["First?", "Second?"]


@pytest.mark.parametrize("last", ['{"question": "Mine?"}', "b,2", '{"id": "mine', "x" * 600_000])
def test_what_somebody_else_left_without_its_end_stays(tmp_path: Path, last: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(f"first\n{last}")
    FeedbackFile(path).append("Second?", QUOTE)
    lines = path.read_text().split("\n")
    assert lines[:2] == ["first", last]
    assert json.loads(lines[2])["question"] == "Second?"


def test_a_file_that_is_full_is_added_to_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.questions.feedback._LARGEST", 300)
    file = FeedbackFile(tmp_path / "f.jsonl")
    file.append("First?", QUOTE)
    before = (tmp_path / "f.jsonl").read_bytes()
    with pytest.raises(StorageError, match="has reached"):
        file.append("Second?", QUOTE)
    assert (tmp_path / "f.jsonl").read_bytes() == before


def test_text_that_repeats_itself_is_told_apart_without_being_searched_for_every_place(tmp_path: Path) -> None:
    """A pattern would try each of a hundred thousand places, from each of a hundred thousand."""
    text = "0 " * 100_000 + "1 " + "0 " * 100_000
    at = text.index("1")
    assert make_quote("a.txt", text, at, at + 1, relevant=True).text == "1"
    with pytest.raises(QueryError, match="more than once"):
        make_quote("a.txt", text, 0, 4001, relevant=True)


@pytest.mark.parametrize("fault", ["short", "full", "fsync"])
def test_a_full_disk_loses_nothing_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    path = tmp_path / "f.jsonl"
    file = FeedbackFile(path)
    file.append("First?", QUOTE)
    before, write = path.read_bytes(), os.write

    def full(descriptor: int, data: bytes) -> int:
        if fault == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:10] if fault == "short" else data)

    def unsynced(descriptor: int) -> None:
        if fault == "fsync":
            raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        patched.setattr(os, "fsync", unsynced)
        with pytest.raises(StorageError, match=r"cannot write .*f\.jsonl"):
            file.append("Second?", QUOTE)
    assert path.read_bytes() == before
    file.append("Third?", QUOTE)
    assert len(load_questions(path).questions) == 2


WRITER = """
import sys
from pathlib import Path
from qa.questions.feedback import FeedbackFile
from qa.questions.questions import Quote
file = FeedbackFile(Path(sys.argv[1]))
for number in range(40):
    file.append(f"{sys.argv[2]} {number}?", Quote("a.txt", "at noon" * 300))
"""


def test_processes_and_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "ab"]
    file = FeedbackFile(path)

    def write(name: str) -> None:
        for number in range(20):
            file.append(f"{name} {number}?", QUOTE)

    threads = [threading.Thread(target=write, args=[name]) for name in "cd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(load_questions(path).questions) == 120
