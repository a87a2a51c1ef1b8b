"""Questions that a page may offer: the collection's own, and only such as are answered from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from qa.errors import NotReady, QAError, QuestionFileError
from qa.index import Index
from qa.question_files import parse_questions
from qa.types import Limits, Query, Reply

# Beside the documents, in any format of ``qa evaluate`` that is JSON lines.
QUESTIONS_FILE = "questions.jsonl"
MOST = 4
_TRIED = 16
_LARGEST_FILE = 1_000_000
_LONGEST = 120
_HEADINGS = 2_000
# Of scripts that write from right to left and in full width, too.
_MARKS = ("?", "？", "؟", ";", "՞")


def example_questions(
    index: Index, limits: Limits, ask_many: Callable[[Sequence[Query]], Sequence[Reply | QAError]]
) -> tuple[str, ...]:
    """At most four, the same for a snapshot and what lies beside its documents.

    They come from ``questions.jsonl`` in a folder that was indexed, spread over it, and from headings that are
    questions; what the index does not answer is left out.
    """
    longest = min(_LONGEST, limits.question_chars)
    proposed = dict.fromkeys(" ".join(question.split()) for question in _proposed(index))
    tried = [question for question in proposed if 0 < len(question) <= longest][:_TRIED]
    with suppress(NotReady):
        replies = ask_many([Query(question) for question in tried])
        return tuple(islice(map(_question, filter(_is_answered, replies)), MOST))
    return ()


def _question(reply: Reply | QAError) -> str:
    return reply.question if isinstance(reply, Reply) else ""


def _is_answered(reply: Reply | QAError) -> bool:
    return isinstance(reply, Reply) and reply.answer is not None and reply.answer.answerable


def _proposed(index: Index) -> Iterator[str]:
    for source in index.manifest.sources:
        own = _own(Path(source) / QUESTIONS_FILE)
        # Spread over the file: its first questions are mostly about one thing.
        step = max(len(own) // _TRIED, 1)
        yield from own[::step]
    for path in index.store.paths[:_HEADINGS]:
        if path and path[-1].rstrip().endswith(_MARKS):
            yield path[-1]


def _own(path: Path) -> list[str]:
    """The questions of a file that are said to have an answer; none where it is no such file."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return []
        found = parse_questions(path.name, path.read_bytes(), "jsonl", keep_going=True)
    except (OSError, QuestionFileError):
        return []
    answerable = [question.text for question in found.questions if question.answerable is not False]
    # What is written as a question shows best that whole ones can be asked.
    return [text for text in answerable if text.endswith(_MARKS)] or answerable
