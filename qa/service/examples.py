"""Questions that a page may offer: the collection's own, and only such as are answered from it."""

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
    """At most four, the same for a snapshot and what lies beside its documents.

    They come from ``questions.jsonl`` in a folder that was indexed, spread over it, and from headings that are
    questions; what the index does not answer is left out.

    Raises:
        NotReady: as ``ask_many`` does.
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
        own = _own(content)
        # Spread over the file: its first questions are mostly about one thing.
        step = max(len(own) // _TRIED, 1)
        yield from own[::step]
    for path in index.store.paths[:_HEADINGS]:
        if path and path[-1].rstrip().endswith(_MARKS):
            yield path[-1]


def _own(content: bytes) -> list[str]:
    """The questions of a file that are not said to have no answer; none where it is no such file."""
    try:
        found = parse_questions(QUESTIONS_FILE, content, "jsonl", keep_going=True)
    except QuestionFileError:
        return []
    answerable = [question.text for question in found.questions if question.answerable is not False]
    # What is written as a question shows best that whole ones can be asked.
    return [text for text in answerable if text.endswith(_MARKS)] or answerable


class Examples:
    """Questions found once for whatever is served. Thread-safe."""

    def __init__(self) -> None:
        self._known: tuple[int, tuple[str, ...]] = (-1, ())
        self._finding = threading.Lock()

    def of(self, revision: int, find: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
        """What ``find`` gives for what is served as ``revision``; nothing while it looks, or where it fails."""
        known, found = self._known
        if known == revision:
            return found
        # Whoever comes meanwhile gets the page without them.
        if not self._finding.acquire(blocking=False):
            return ()
        try:
            self._known = revision, find()
            return self._known[1]
        except Exception as error:  # an ornament: no page fails for it
            log.warning("no example questions were found", exc_info=error)
            return ()
        finally:
            self._finding.release()
