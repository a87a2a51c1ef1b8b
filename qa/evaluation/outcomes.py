"""What came back for each question of an evaluation, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from qa.errors import QAError, RunError
from qa.evaluation.measures import exact_match, f1, first_ranks, is_right
from qa.questions.questions import JudgedQuestion
from qa.types import AnswerOutcome, Mode, Query, Reply, Scores, Span

# A person sees this many passages: evidence below them was found and is not seen.
SEEN = 5

Failure = Literal["not asked", "not retrieved", "wrongly refused", "wrongly answered", "ranked low"]
FAILURES: Mapping[Failure, str] = {
    "not asked": "The question could not be asked.",
    "not retrieved": "No passage that was returned holds the evidence.",
    "wrongly refused": "The documents hold the answer, and none was given, or only a guess.",
    "wrongly answered": "The given text is not the answer, or the documents hold none.",
    "ranked low": f"The evidence was found, but not among the first {SEEN}.",
}

AskMany = Callable[[Sequence[Query]], Sequence[Reply | QAError]]


@dataclass(frozen=True, slots=True)
class AskingOptions:
    """The way in which the questions are asked: by default as the page asks, with more passages to measure.

    ``answer`` is false if passages alone are wanted; ``max_error`` is how often answers may be wrong, by default as the
    settings say.
    """

    mode: Mode = "hybrid"
    top_k: int = 20
    rerank: bool = False
    answer: bool = True
    max_error: float | None = None

    def make_query(self, question: JudgedQuestion) -> Query:
        return Query(
            question.text,
            self.top_k,
            mode=self.mode,
            rerank=self.rerank,
            answer=self.answer,
            max_error=self.max_error,
        )


@dataclass(frozen=True, slots=True)
class RankedPassage:
    """A passage of a ranking. Its text is kept elsewhere, once for all rankings."""

    passage: str
    document: str
    start: int
    end: int
    scores: Scores


@dataclass(frozen=True, slots=True)
class PassageText:
    """A passage as the report shows it."""

    title: str
    section: str | None
    page: int | None
    text: str


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """The answer of a reply. Unless the question is answered, ``text`` is the best guess."""

    outcome: AnswerOutcome
    confidence: float | None
    text: str | None = None
    document: str | None = None
    span: Span | None = None

    @property
    def answerable(self) -> bool:
        """Whether the answer is given as one, and not as a guess."""
        return self.outcome == "answered"


@dataclass(frozen=True, slots=True)
class QuestionOutcome:
    """One question and what came back. ``error`` says why nothing did; ``timings_ms`` are those of the reply."""

    question: JudgedQuestion
    found: tuple[RankedPassage, ...] = ()
    answer: GivenAnswer | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def passages(self) -> list[tuple[str, str]]:
        return [(found.passage, found.document) for found in self.found]

    @property
    def is_right(self) -> bool | None:
        """Whether the answer's text, shown or not, is right; ``None`` without an answer or judgments to decide it."""
        if self.answer is None:
            return None
        return is_right(self.question, self.answer.text, self.answer.document, self.answer.span)

    @property
    def is_served_right(self) -> bool | None:
        """Whether what a person gets is right: a right answer, or the refusal of a question that has none."""
        if self.answer is None or (self.question.answerable is None and self.is_right is None):
            return None
        if not self.answer.answerable:
            return self.question.answerable is False
        return self.is_right

    def compute_answer_values(self) -> dict[str, float]:
        """Compute the measures of the answer as it is shown. A refusal shows none, so it shares no word with any.

        Of ``answers.right``, ``.wrong`` and ``.refused`` one is 1: a refusal is right if the question has no answer.
        """
        if self.answer is None:
            return {}
        values = {}
        if golds := self.question.answers:
            shown = (self.answer.text or "") if self.answer.answerable else ""
            values = {"answers.EM": exact_match(shown, golds), "answers.F1": f1(shown, golds)}
        if self.is_served_right is not None:
            is_wrong = self.answer.answerable and not self.is_served_right
            values["answers.right"] = float(self.is_served_right)
            values["answers.wrong"] = float(is_wrong)
            values["answers.refused"] = float(not self.is_served_right and not is_wrong)
        return values

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What went wrong, the earliest cause first; empty if all went well or nothing was judged."""
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
    """Everything but the machine that decides an evaluation's outcomes: equal inputs mean the same evaluation.

    ``calibration`` is a hash of the calibrations in use; empty if no answers are asked for, or in a run of an earlier
    version.
    """

    index: str
    snapshot: str
    questions: str
    questions_sha256: str
    options: AskingOptions
    calibration: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcomes of all questions, in the order of the file.

    ``texts`` are by passage id; ``left_out`` says in words which records were left out, and why. ``created`` is in
    ISO 8601; ``seconds`` is the time that asking took, summed over the questions.
    """

    inputs: Inputs
    outcomes: tuple[QuestionOutcome, ...]
    texts: Mapping[str, PassageText]
    left_out: tuple[str, ...] = ()
    created: str = ""
    seconds: float = 0.0


class EvaluationListener:
    """Something that hears how far an evaluation is. This one does nothing with it."""

    def stage(self, message: str) -> None:
        """Hear that a step begins that may take seconds."""

    def started(self, questions: int, done: int) -> None:
        """Hear how many questions there are, and how many of them an earlier process has asked."""

    def asked(self) -> None:
        """Hear that one more question was asked."""

    def measuring(self) -> None:
        """Hear that all questions were asked."""
        self.stage("Measuring")


def ask_all(
    questions: Sequence[JudgedQuestion], ask_many: AskMany, inputs: Inputs
) -> Iterator[tuple[QuestionOutcome, dict[str, PassageText]]]:
    """Ask one question after the other, so that each takes only its own time.

    Yields:
        The outcome, and the texts of those of its passages that the report may show.

    Raises:
        RunError: a reply came from another snapshot than the one in ``inputs``.
    """
    for question in questions:
        (reply,) = ask_many([inputs.options.make_query(question)])
        if isinstance(reply, QAError):
            yield QuestionOutcome(question, error=str(reply)), {}
            continue
        if reply.snapshot != inputs.snapshot:
            raise RunError(f"the index changed while it was measured: {reply.snapshot} answered, not {inputs.snapshot}")
        yield _make_outcome(question, reply), _collect_texts(reply)


def _make_outcome(question: JudgedQuestion, reply: Reply) -> QuestionOutcome:
    found = {
        hit.passage.id: RankedPassage(
            hit.passage.id, hit.passage.document, hit.passage.start, hit.passage.end, hit.scores
        )
        for hit in reversed(reply.hits)
    }
    # A passage counts at its first place only, even if it was returned twice.
    ids = dict.fromkeys(hit.passage.id for hit in reply.hits)
    answer = reply.answer
    given = None
    if answer is not None:
        cited = answer.citation
        given = GivenAnswer(
            outcome=answer.outcome,
            confidence=answer.confidence,
            text=answer.text,
            document=cited.document if cited else None,
            span=Span(cited.start, cited.end) if cited else None,
        )
    return QuestionOutcome(question, tuple(found[id] for id in ids), given, dict(reply.timings_ms))


def _collect_texts(reply: Reply) -> dict[str, PassageText]:
    passages = [(hit.passage, hit.title) for hit in reply.hits[: 2 * SEEN]]
    return {p.id: PassageText(title, p.section, p.page, p.text) for p, title in passages}
