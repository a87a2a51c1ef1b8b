"""What was asked and not answered, day by day: a file of JSON lines that forgets after so many days.

A line holds a question, the day, the outcome and its confidence; or what somebody judged about an answer to it. Nothing
in it tells who asked: no address, no key, no time of day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from qa.errors import StorageError
from qa.questions.feedback import encode_quote
from qa.questions.json_lines import JsonLines
from qa.questions.questions import Quote

FILE = "unanswered.jsonl"
# Bytes of the whole file, what is left of it where it has reached them, and of a line.
_LARGEST = 1 << 24
_LEFT = _LARGEST // 2
_LONGEST_LINE = 1 << 16
_BEGINS = b'{"day": "'
_OUTCOMES = ("unsure", "not_found")


@dataclass(slots=True)
class Asked:
    """A question with all that is known of it. ``evidence`` are judgments, of which a later one of a quote counts.

    ``outcome`` and ``confidence`` are of the last time; they are ``None`` where it was answered, and judged.
    """

    question: str
    times: int = 0
    last: str = ""
    outcome: str | None = None
    confidence: float | None = None
    evidence: dict[tuple[object, ...], dict[str, Any]] = field(default_factory=dict)

    @property
    def helpful(self) -> int:
        """How many quotes were judged to answer it."""
        return sum(bool(quote["relevant"]) for quote in self.evidence.values())

    @property
    def unhelpful(self) -> int:
        """How many quotes were judged not to answer it."""
        return len(self.evidence) - self.helpful


def today() -> date:
    """Return the day in UTC."""
    return datetime.now(UTC).date()


def unanswered_line(question: str, outcome: str, confidence: float | None, day: date) -> bytes:
    """Write down that a question was not answered."""
    shown = None if confidence is None else round(confidence, 3)
    return _line({"day": day.isoformat(), "question": question, "outcome": outcome, "confidence": shown})


def judged_line(question: str, quote: Quote, day: date) -> bytes:
    """Write down what was judged about an answer; a quote that is too long is left out, and its question too."""
    line = _line({"day": day.isoformat(), "question": question, "judged": encode_quote(quote)})
    return line if len(line) <= _LONGEST_LINE else b""


def _line(values: dict[str, object]) -> bytes:
    return (json.dumps(values, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


class AskedFile:
    """The file of one collection. Several threads and processes may write.

    Args:
        days: how long a line is kept, today included.
        now: returns the day.
    """

    def __init__(self, path: Path, days: int, now: Callable[[], date] = today) -> None:
        self.days = days
        self.now = now
        self._lines = JsonLines(path, _BEGINS)

    def append(self, lines: Iterable[bytes]) -> None:
        """Append lines; where there is no more room the older half is forgotten first.

        Raises:
            StorageError: they cannot be written; the file is as it was.
        """
        data = b"".join(lines)
        try:
            if self._size() + len(data) > _LARGEST:
                self._lines.rewrite(lambda before: self._kept(before)[-_LEFT:].partition(b"\n")[2])
            self._lines.append(data, _LARGEST)
        except OSError as error:
            raise StorageError(f"cannot write {self._lines.path} ({error}); free space") from error

    def purge(self) -> None:
        """Forget what is older than it may be. Raises StorageError."""
        try:
            if self._size():
                self._lines.rewrite(self._kept)
        except OSError as error:
            raise StorageError(f"cannot write {self._lines.path} ({error}); free space") from error

    def questions(self) -> list[Asked]:
        """Return what is kept of each question, the last asked first. Raises StorageError."""
        found: dict[str, Asked] = {}
        try:
            data = self._lines.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"cannot read {self._lines.path} ({error}); check permissions") from error
        for values in _records(self._kept(data)):
            key = _normal(values["question"])
            asked = found.pop(key, None) or Asked(values["question"])
            asked.last = values["day"]
            if "outcome" in values:
                asked.question, asked.times = values["question"], asked.times + 1
                asked.outcome, asked.confidence = values["outcome"], values["confidence"]
            else:
                quote = values["judged"]
                asked.evidence[quote["document"], quote["quote"], *quote.get("part", ())] = quote
            found[key] = asked
        return list(reversed(found.values()))

    def _size(self) -> int:
        try:
            return self._lines.path.stat().st_size
        except FileNotFoundError:
            return 0

    def _kept(self, data: bytes) -> bytes:
        """Return the lines of days that are kept, and none that are not of this file."""
        first = (self.now() - timedelta(days=self.days - 1)).isoformat().encode()
        start = len(_BEGINS)
        return b"".join(
            line for line in data.splitlines(keepends=True) if line.startswith(_BEGINS) and line[start:] >= first
        )


def _normal(question: str) -> str:
    return " ".join(question.split()).casefold()


def _records(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the records of lines that are whole and right."""
    for line in data.split(b"\n"):
        try:
            values = json.loads(line)
            is_right = isinstance(values["question"], str) and isinstance(values["day"], str)
            if "outcome" in values:
                confidence = values["confidence"]
                is_right &= values["outcome"] in _OUTCOMES
                is_right &= confidence is None or isinstance(confidence, float | int)
            else:
                quote = values["judged"]
                is_right &= isinstance(quote["quote"], str) and isinstance(quote["relevant"], bool)
                is_right &= isinstance(quote["document"], str) and isinstance(quote.get("part", []), list)
        except (ValueError, KeyError, TypeError):
            continue
        if is_right:
            yield values
