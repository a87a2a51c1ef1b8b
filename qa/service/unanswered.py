"""What was asked and not answered: noted behind the answers, grouped by likeness, and exported as a question file."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import structlog

from qa.errors import QAError, StorageError
from qa.markup import safe_cell
from qa.protocols import Encoder
from qa.questions.asked import Asked, AskedFile, judged_line, unanswered_line
from qa.questions.questions import Quote
from qa.types import Query, Reply

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = structlog.get_logger(__name__)

# Lines that wait to be written; where more come in than the disk takes, the oldest are lost.
_MOST_WAITING = 4096
# Seconds between two looks at what has become too old.
_PURGE_EVERY = 3600.0
# How alike two questions of one group are, as the cosine of their embeddings, and how many are compared: those asked
# last.
ALIKE = 0.8
MOST_GROUPED = 1000
_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class Group:
    """Questions that are alike, the one asked most often first."""

    questions: tuple[Asked, ...]

    @property
    def times(self) -> int:
        """How often all of them were asked together."""
        return sum(each.times for each in self.questions)

    @property
    def last(self) -> str:
        """The day when one of them was last asked."""
        return max(each.last for each in self.questions)


class Unanswered:
    """What was asked of one collection and not answered. Thread-safe.

    Noting costs an answer nothing: a thread writes, and what cannot be written is lost, which the log says.

    Args:
        encoder: returns the encoder that is loaded, by which questions are alike.
        trouble: is given a clause when nothing can be written, and an empty text when it can again.
    """

    def __init__(self, file: AskedFile, encoder: Callable[[], Encoder], trouble: Callable[[str], None]) -> None:
        self.days = file.days
        self._file = file
        self._encoder = encoder
        self._trouble = trouble
        self._failed = ""
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._of: Encoder | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="unanswered")
        self._thread.start()

    def note(self, query: Query, reply: Reply) -> None:
        """Note a question, if it was not answered; without blocking."""
        answer = reply.answer
        if answer is not None and answer.outcome != "answered":
            day = self._file.now()
            self._put(unanswered_line(query.question, answer.outcome, answer.confidence, day))

    def judge(self, question: str, quote: Quote) -> None:
        """Note what somebody judged about an answer or a passage; without blocking."""
        self._put(judged_line(question, quote, self._file.now()))

    def _put(self, line: bytes) -> None:
        if line:
            self._waiting.append(line)
            self._wake.set()

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._stopped = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        self._purge()
        while not self._stopped:
            if not self._wake.wait(_PURGE_EVERY):
                self._purge()
            self._wake.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        """Write what waits."""
        with self._writing:
            lines = []
            while self._waiting:
                lines.append(self._waiting.popleft())
            if lines:
                self._append(lines)

    def _append(self, lines: Sequence[bytes]) -> None:
        failed = ""
        try:
            self._file.append(lines)
        except StorageError as error:
            failed = str(error)
        if failed != self._failed:
            self._failed = failed
            self._trouble("what is not answered cannot be kept; the server's log says why" if failed else "")
            if failed:
                log.error("unanswered questions cannot be kept", reason=failed)

    def _purge(self) -> None:
        try:
            self._file.purge()
        except StorageError as error:
            log.error("old unanswered questions cannot be removed", reason=str(error))

    def questions(self) -> list[Asked]:
        """Return the questions, the last asked first, with what was noted just now. Raises StorageError."""
        self._write()
        return self._file.questions()

    def groups(self) -> list[Group]:
        """Group the questions by likeness, those that were asked most often first. Raises StorageError."""
        questions = self.questions()[:MOST_GROUPED]
        # The same questions are the same groups, in whatever order they were asked.
        questions.sort(key=lambda each: (-each.times, each.question))
        found = group(questions, self._encode([each.question for each in questions]))
        return sorted(found, key=lambda each: (-each.times, each.questions[0].question))

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Return a row for each text; ``None`` where there is no encoder, or it cannot encode one of them."""
        try:
            encoder = self._encoder()
            with self._writing:
                if encoder is not self._of:
                    self._of = encoder
                    self._vectors.clear()
                known = dict(self._vectors)
            missing = [text for text in dict.fromkeys(texts) if text not in known]
            for start in range(0, len(missing), _AT_A_TIME):
                part = missing[start : start + _AT_A_TIME]
                known |= zip(part, encoder.encode_questions(part), strict=True)
        except QAError:
            return None
        with self._writing:
            self._vectors = OrderedDict((text, known[text]) for text in texts)
        return np.stack([known[text] for text in texts]) if texts else None


def group(questions: Sequence[Asked], vectors: NDArray[np.float32] | None, alike: float = ALIKE) -> list[Group]:
    """Put each question to the group whose first question it is most like, or into one of its own.

    Args:
        vectors: a row of unit length for each question; without them each is a group.
        alike: the least cosine of two questions of one group.
    """
    if vectors is None:
        return [Group((each,)) for each in questions]
    groups: list[list[Asked]] = []
    leaders = np.empty_like(vectors)
    for question, vector in zip(questions, vectors, strict=True):
        cosines = leaders[: len(groups)] @ vector
        nearest = int(cosines.argmax()) if groups else -1
        if nearest >= 0 and cosines[nearest] >= alike:
            groups[nearest].append(question)
        else:
            leaders[len(groups)] = vector
            groups.append([question])
    return [Group(tuple(each)) for each in groups]


def export_lines(groups: Sequence[Group]) -> Iterator[str]:
    """Yield the questions as lines of a question file, those of a group one after the other.

    What was judged is their evidence. The others have none yet: they are asked and not scored, until somebody adds
    ``answers``, or ``"answerable": false``.
    """
    for number, asked in _numbered(groups):
        record: dict[str, object] = {"id": _id(asked), "question": asked.question, "tags": _tags(number, asked)}
        if asked.evidence:
            record |= {"evidence": list(asked.evidence.values()), "judged": asked.last}
        yield json.dumps(record, ensure_ascii=False) + "\n"


def export_table(groups: Sequence[Group]) -> Iterator[str]:
    """Yield the same as lines of a CSV file, with columns for what somebody adds; no cell is a formula."""
    yield "id,question,tags,answers,answerable,evidence\r\n"
    for number, asked in _numbered(groups):
        evidence = json.dumps(list(asked.evidence.values())) if asked.evidence else ""
        line = io.StringIO()
        tags = "|".join(_tags(number, asked))
        csv.writer(line).writerow([_id(asked), safe_cell(asked.question), tags, "", "", evidence])
        yield line.getvalue()


def _numbered(groups: Sequence[Group]) -> Iterator[tuple[int, Asked]]:
    return ((number, asked) for number, each in enumerate(groups, 1) for asked in each.questions)


def _id(asked: Asked) -> str:
    return "asked-" + hashlib.sha256(asked.question.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _tags(number: int, asked: Asked) -> list[str]:
    return ["asked", asked.outcome or "answered", f"group {number}"]
