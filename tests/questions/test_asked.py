"""What was asked and not answered: kept for so many days, bounded, and with nothing that tells who asked."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from qa.errors import StorageError
from qa.questions import asked
from qa.questions.asked import AskedFile, judged_line, unanswered_line
from qa.questions.questions import Quote

DAY = date(2026, 4, 10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "unanswered.jsonl"


def file_of(path: Path, *, days: int = 30, day: date = DAY) -> AskedFile:
    return AskedFile(path, days, lambda: day)


def unanswered(question: str, ago: int = 0, outcome: str = "not_found", confidence: float | None = 0.1) -> bytes:
    return unanswered_line(question, outcome, confidence, DAY - timedelta(days=ago))


def test_a_question_is_one_however_it_is_spaced_and_written(path: Path) -> None:
    file = file_of(path)
    file.append([unanswered("When?", 3), unanswered("Where?", 2), unanswered("when? ", 1, "unsure", 0.4123)])
    when, where = file.questions()
    assert (when.question, when.times, when.last, when.outcome, when.confidence) == (
        "when? ",
        2,
        "2026-04-09",
        "unsure",
        0.412,
    )
    assert (where.question, where.times) == ("Where?", 1)


def test_nothing_tells_who_asked_or_at_what_time(path: Path) -> None:
    file_of(path).append([unanswered("When?")])
    assert json.loads(path.read_bytes()) == {
        "day": "2026-04-10",
        "question": "When?",
        "outcome": "not_found",
        "confidence": 0.1,
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_of_judgments_the_later_of_a_quote_counts(path: Path) -> None:
    quotes = [Quote("a.txt", "at noon", relevant=False), Quote("a.txt", "at noon"), Quote("b.txt", "x", (0, 1))]
    file_of(path).append([judged_line("When?", quote, DAY) for quote in quotes])
    (found,) = file_of(path).questions()
    assert (found.times, found.outcome, found.helpful, found.unhelpful) == (0, None, 2, 0)


def test_what_is_too_old_is_not_shown_and_is_removed(path: Path) -> None:
    file_of(path).append([unanswered("old", 40), unanswered("last day", 29), unanswered("first day gone", 30)])
    assert [each.question for each in file_of(path).questions()] == ["last day"]
    file_of(path).purge()
    assert path.read_bytes().count(b"\n") == 1
    assert path.stat().st_mode & 0o777 == 0o600
    file_of(path, day=DAY + timedelta(days=30)).purge()
    assert path.read_bytes() == b""


def test_with_one_day_only_today_is_kept(path: Path) -> None:
    file = file_of(path, days=1)
    file.append([unanswered("yesterday", 1), unanswered("today")])
    assert [each.question for each in file.questions()] == ["today"]


def test_a_file_that_is_full_forgets_its_older_half(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "_LARGEST", 4_000)
    monkeypatch.setattr(asked, "_LEFT", 2_000)
    file = file_of(path)
    for number in range(200):
        file.append([unanswered(f"question {number}")])
        assert path.stat().st_size <= 4_000
    kept = [each.question for each in file.questions()]
    assert kept[0] == "question 199"
    assert 15 < len(kept) < 60


def test_what_a_crash_left_half_written_is_dropped(path: Path) -> None:
    file = file_of(path)
    file.append([unanswered("one")])
    path.write_bytes(path.read_bytes() + unanswered("two")[:30])
    file.append([unanswered("three")])
    assert [each.question for each in file.questions()] == ["three", "one"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no json",
        b"[]",
        b'{"day": "2026-04-10"}',
        b'{"day": "2026-04-10", "question": 5, "outcome": "unsure", "confidence": 1}',
        b'{"day": "2026-04-10", "question": "q", "outcome": "right", "confidence": 1}',
        b'{"day": "2026-04-10", "question": "q", "judged": {"quote": "x"}}',
        b'{"day": "2026-04-10", "question": "q", "judged": []}',
    ],
)
def test_a_line_that_is_wrong_spoils_no_other(path: Path, line: bytes) -> None:
    path.write_bytes(line + b"\n" + unanswered("When?"))
    assert [each.question for each in file_of(path).questions()] == ["When?"]


def test_halves_of_surrogate_pairs_are_kept(path: Path) -> None:
    file_of(path).append([unanswered("When \udc80?")])
    assert file_of(path).questions()[0].question == "When \udc80?"


def test_a_judgment_that_is_very_long_is_left_out() -> None:
    assert judged_line("When?", Quote("a.txt", "x" * 100_000), DAY) == b""


def test_no_file_is_no_question(path: Path) -> None:
    file_of(path).purge()
    assert file_of(path).questions() == []
    assert not path.exists()


def test_what_cannot_be_written_or_read_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "no folder" / "file", tmp_path):
        with pytest.raises(StorageError):
            file_of(path).append([unanswered("When?")])
    with pytest.raises(StorageError):
        file_of(tmp_path).questions()


def test_two_may_write_while_a_third_forgets(path: Path) -> None:
    first, second = file_of(path), file_of(path)
    first.append([unanswered("old", 40)])
    for number in range(10):
        first.append([unanswered(f"a {number}")])
        second.purge()
        second.append([unanswered(f"b {number}")])
    assert len(file_of(path).questions()) == 20
