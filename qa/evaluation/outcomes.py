"""Questions and something to ask: what came back for each, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from qa.errors import QAError, RunError
from qa.evaluation.measures import exact_match, f1, first_ranks, is_right
from qa.questions.questions import JudgedQuestion
from qa.types import Mode, Query, Reply, Scores, Span

# A person sees so many passages: evidence below was found and is not seen.
SEEN = 5

Failure = Literal["not asked", "not retrieved", "wrongly refused", "wrongly answered", "ranked low"]
FAILURES: Mapping[Failure, str] = {
    "not asked": "The question could not be asked.",
    "not retrieved": "No passage that was returned holds the evidence.",
    "wrongly refused": "The documents hold the answer; the reply said that they do not.",
    "wrongly answered": "The text that was given is not the answer, or the documents hold none.",
    "ranked low": f"The evidence was found, but not among the first {SEEN}.",
}

AskMany = Callable[[Sequence[Query]], Sequence[Reply | QAError]]


@dataclass(frozen=True, slots=True)
class Options:
    """How the questions are asked."""

    mode: Mode = "hybrid"
    top_k: int = 20
    rerank: bool = False

    def query(self, question: JudgedQuestion) -> Query:
        return Query(question.text, self.top_k, mode=self.mode, rerank=self.rerank)


@dataclass(frozen=True, slots=True)
class Found:
    """A passage of a ranking; its text is kept apart, once for all rankings."""

    passage: str
    document: str
    start: int
    end: int
    scores: Scores


@dataclass(frozen=True, slots=True)
class Text:
    """What a passage is to somebody who reads a report."""

    title: str
    section: str | None
    page: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Given:
    """The answer of a reply. ``text`` is the best guess where ``answerable`` is false."""

    answerable: bool
    confidence: float | None
    text: str | None = None
    document: str | None = None
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question and what came back. ``error`` is why nothing did; ``timings_ms`` are those of the reply."""

    question: JudgedQuestion
    found: tuple[Found, ...] = ()
    answer: Given | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def passages(self) -> list[tuple[str, str]]:
        return [(found.passage, found.document) for found in self.found]

    @property
    def is_right(self) -> bool | None:
        """Whether the answer's text, shown or not, is right; ``None`` where there is no answer or nobody can tell."""
        if self.answer is None:
            return None
        return is_right(self.question, self.answer.text, self.answer.document, self.answer.span)

    @property
    def is_served_right(self) -> bool | None:
        """Whether what is shown is right: a right answer, or the refusal of a question that has none."""
        if self.answer is None or (self.question.answerable is None and self.is_right is None):
            return None
        if not self.answer.answerable:
            return self.question.answerable is False
        return self.is_right

    def answer_values(self) -> dict[str, float]:
        """Measures of the answer as it is shown: a refusal shows none, and shares no word with any."""
        if self.answer is None:
            return {}
        values = {}
        if golds := self.question.answers:
            shown = (self.answer.text or "") if self.answer.answerable else ""
            values = {"answers.EM": exact_match(shown, golds), "answers.F1": f1(shown, golds)}
        if self.is_served_right is not None:
            values["answers.accuracy"] = float(self.is_served_right)
        return values

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What went wrong, the earliest cause first; nothing where all went well or nothing was judged."""
        if self.error:
            return ("not asked",)
        found: list[Failure] = []
        ranks = [rank for rank in first_ranks(self) if rank is not None]
        is_retrievable = bool(self.question.evidence) or self.question.has_relevant_documents
        if is_retrievable and not ranks:
            found.append("not retrieved")
        if self.answer is not None:
            if self.question.answerable and not self.answer.answerable:
                found.append("wrongly refused")
            if self.answer.answerable and self.is_right is False:
                found.append("wrongly answered")
        if ranks and min(ranks) > SEEN:
            found.append("ranked low")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that decides an evaluation's outcomes, but for the machine: two with equal inputs are one."""

    index: str
    snapshot: str
    questions: str
    questions_sha256: str
    options: Options


@dataclass(frozen=True, slots=True)
class Evaluation:
    """``outcomes`` are in the order of the file; ``texts`` are by passage id; ``left_out`` says why, in words.

    ``created`` is in ISO 8601, ``seconds`` of wall clock over all questions.
    """

    inputs: Inputs
    outcomes: tuple[Outcome, ...]
    texts: Mapping[str, Text]
    left_out: tuple[str, ...] = ()
    created: str = ""
    seconds: float = 0.0


def ask_all(
    questions: Sequence[JudgedQuestion], ask_many: AskMany, inputs: Inputs
) -> Iterator[tuple[Outcome, dict[str, Text]]]:
    """Ask one question after the other, so that the time that each takes is its own.

    Yields:
        the outcome, and the texts of its passages that a reader may want to see.

    Raises:
        RunError: a reply came from another snapshot than ``inputs`` name.
    """
    for question in questions:
        (reply,) = ask_many([inputs.options.query(question)])
        if isinstance(reply, QAError):
            yield Outcome(question, error=str(reply)), {}
            continue
        if reply.snapshot != inputs.snapshot:
            raise RunError(f"the index changed while it was measured: {reply.snapshot} answered, not {inputs.snapshot}")
        yield _outcome(question, reply), _texts(reply)


def _outcome(question: JudgedQuestion, reply: Reply) -> Outcome:
    found = {
        hit.passage.id: Found(hit.passage.id, hit.passage.document, hit.passage.start, hit.passage.end, hit.scores)
        for hit in reversed(reply.hits)
    }
    # A passage counts at its first place only, wherever else it was returned.
    ids = dict.fromkeys(hit.passage.id for hit in reply.hits)
    answer = reply.answer
    given = None
    if answer is not None:
        cited = answer.citation
        given = Given(
            answerable=answer.answerable,
            confidence=answer.confidence,
            text=answer.text,
            document=cited.document if cited else None,
            span=Span(cited.start, cited.end) if cited else None,
        )
    return Outcome(question, tuple(found[id] for id in ids), given, dict(reply.timings_ms))


def _texts(reply: Reply) -> dict[str, Text]:
    passages = [(hit.passage, hit.title) for hit in reply.hits[: 2 * SEEN]]
    return {p.id: Text(title, p.section, p.page, p.text) for p, title in passages}
