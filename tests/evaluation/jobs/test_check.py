"""A large question file is checked in a process of its own, with the same outcome as a small one."""

from __future__ import annotations

import json

import pytest

from qa.errors import QuestionFileError
from qa.evaluation.jobs import check
from qa.evaluation.jobs.check import check_file

SOUND = b'{"question": "Where are the apples?", "answers": ["in the cellar"]}\n'
FAULTY = b'{"question": ""}\n'


@pytest.fixture
def in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_SMALL", 0)


def faults_of(data: bytes, *, keep_going: bool = False) -> tuple[list[str], int]:
    """Return the faults that a check finds, and how many there are."""
    with pytest.raises(QuestionFileError) as found:
        check_file("file.jsonl", data, "jsonl", keep_going=keep_going)
    return [str(fault) for fault in found.value.faults], found.value.count


@pytest.mark.usefixtures("in_a_process")
def test_a_sound_file_passes() -> None:
    check_file("file.jsonl", SOUND * 10, "jsonl")
    check_file("file.jsonl", SOUND + FAULTY, "jsonl", keep_going=True)


@pytest.mark.parametrize("data", [FAULTY * 3 + SOUND, b"\xff", b"", FAULTY * 250, "{}\nÄpfel\n".encode()])
def test_the_same_faults_are_found_in_a_process(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, count = faults_of(data)
    monkeypatch.setattr(check, "_SMALL", -1)
    assert faults_of(data) == (at_once[:100], count)


@pytest.mark.usefixtures("in_a_process")
def test_who_goes_away_ends_the_check() -> None:
    class Gone(Exception):
        pass

    def gone() -> None:
        raise Gone

    # It takes seconds: the first look comes before its end.
    data = b"".join(b'{"question": "q%d"}\n' % number for number in range(check.MOST_QUESTIONS))
    with pytest.raises(Gone):
        check_file("file.jsonl", data * 20, "jsonl", check=gone)


@pytest.mark.usefixtures("in_a_process")
def test_a_file_that_takes_too_much_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_MODULE", "tests.support.dying")
    found, count = faults_of(json.dumps({"question": "a?"}).encode())
    assert (found, count) == (["file.jsonl: takes too much time or memory to read; send it in parts"], 1)
