"""Example questions for the ask page: they come with the collection, and the index answers them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import structlog

from qa.answers.citations import SourceFiles
from qa.errors import QAError, QuestionFileError
from qa.index.index import Index
from qa.questions.formats import parse_questions
from qa.types import Limits, Query, Reply

log = structlog.get_logger(__name__)

# Beside the documents, in any format of ``qa evaluate`` that is JSON lines.
QUESTIONS_FILE = "questions.jsonl"
MOST = 4
_TRIED = 16
_LARGEST_FILE = 1_000_000
_MOST_RECORDS = 20_000
_LONGEST = 120
_HEADINGS = 2_000
# Of scripts that write from right to left and in full width, too; Greek writes a semicolon.
_MARKS = ("?", "？", "؟", ";", "՞")


def example_questions(
    index: Index,
    sources: SourceFiles,
    limits: Limits,
    ask_many: Callable[[Sequence[Query]], Sequence[Reply | QAError]],
) -> tuple[str, ...]:
    """Find at most four questions that the index answers; the same ones each time for the same files.

    They are taken from ``questions.jsonl`` in a folder that was indexed, spread over that file, and from headings that
    are questions.

    Raises:
        NotReady: ``ask_many`` raised it.
    """
    longest = min(_LONGEST, limits.question_chars)
    proposed = dict.fromkeys(" ".join(question.split()) for question in _proposed(index, sources))
    tried = [question for question in proposed if 0 < len(question) <= longest][:_TRIED]
    replies = ask_many([Query(question) for question in tried])
    answered = [reply.question for reply in replies if isinstance(reply, Reply) and _has_answer(reply)]
    return tuple(answered[:MOST])


def _has_answer(reply: Reply) -> bool:
    return reply.answer is not None and reply.answer.answerable


def _proposed(index: Index, sources: SourceFiles) -> Iterator[str]:
    for content in sources.beside(QUESTIONS_FILE, _LARGEST_FILE):
        own = _parse_own(content)
        # Spread over the file: its first questions are mostly about one thing.
        step = max(len(own) // _TRIED, 1)
        yield from own[::step]
    for path in index.catalog.first_paths(_HEADINGS):
        if path and path[-1].rstrip().endswith(_MARKS):
            yield path[-1]


def _parse_own(content: bytes) -> list[str]:
    """Parse a question file and return its answerable questions; none where it cannot be parsed."""
    try:
        found = parse_questions(QUESTIONS_FILE, content, "jsonl", keep_going=True, most=_MOST_RECORDS)
    except QuestionFileError:
        return []
    answerable = [question.text for question in found.questions if question.answerable is not False]
    # Whole questions are the better examples: they show that more than keywords can be asked.
    return [text for text in answerable if text.endswith(_MARKS)] or answerable


class Examples:
    """Example questions that are found once for each revision of a service. Thread-safe."""

    def __init__(self) -> None:
        self._known: tuple[int, tuple[str, ...]] = (-1, ())
        self._finding = threading.Lock()

    def get(self, revision: int, find: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
        """Return the questions of ``revision``, calling ``find`` once; none while it runs, or where it fails."""
        known, found = self._known
        if known == revision:
            return found
        # Pages that are asked for meanwhile are shown without examples.
        if not self._finding.acquire(blocking=False):
            return ()
        try:
            self._known = revision, find()
            return self._known[1]
        except Exception as error:  # a page without examples is better than none
            log.warning("no example questions were found", exc_info=error)
            return ()
        finally:
            self._finding.release()
