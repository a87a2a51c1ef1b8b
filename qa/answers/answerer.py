"""Passages to an answer: what is read of them, the span that wins, its form, its citation, and how sure it is.

What was read also says in which order the passages are shown.

``answer.text`` is what its citation's span holds, character for character; so is every alternative.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import regex

from qa.answers.calibration import Calibrations, Signals, measure_signals, regime_of
from qa.answers.excerpts import Excerpt, plan_excerpts
from qa.answers.quantities import contradicts, parse
from qa.answers.sentences import DEPTH, Candidate, best_sentences, candidates, weigh_question
from qa.answers.spans import Choice, Fitted, fit, fit_sentence, in_order, spans_of
from qa.answers.weekdays import ask_as_written
from qa.index.index import Index
from qa.protocols import AnswerReader, Cite, Reading
from qa.search.retriever import Found
from qa.text.lead_ins import lead_ins, say
from qa.types import Alternative, Answer, Hit, Passage, Query, Reply, Span

# A first excerpt with a span of this score decides: on the tuning questions reading on mended no answer.
CONFIDENT = 7.0
_MOST_ALTERNATIVES = 3
# What one logit of relevance adds to the fused score of a passage that was read, and the relevance of one that was not.
# Tuned on the tuning halves of eight question sets (docs/decisions/0021).
RELEVANCE_WEIGHT = 0.07
UNREAD_RELEVANCE = -4.0
# Characters above a line in which the names of a table's columns are looked for, and what leads in to it.
_ABOVE = 4000
_ROW = regex.compile(r".*[|\t].*")
_ENGLISH = frozenset(
    "the of and to in is a for on are with by at it be as this that from or an was were has have not what who when "
    "where which how do does did can".split()
)
_LETTER = regex.compile(r"\p{L}")
_LATIN_WORD = regex.compile(r"\p{Latin}+")
# What a question is about: a word, a number, or a character of a script in which one may be a word.
_WORD = regex.compile(r"[\p{L}\p{M}]{2,}|\p{Nd}{2,}|[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]")
_WORDLESS_NOTE = "the question has no word to look for an answer by"
# Words from which a language can be told, and the least share of English ones among them.
_LEAST_WORDS = 8
_LEAST_ENGLISH = 0.08
_FOREIGN_NOTE = (
    "the reader that finds answers knows English alone; this is the sentence that is nearest to the question, and less "
    "sure than an answer in English"
)


@dataclass(frozen=True, slots=True)
class Guess:
    """A reply with its best guess, its signals and the highest relevance of all that was read.

    ``signals`` are ``None`` where no passage was found, or none that the reader can read.
    """

    reply: Reply
    signals: Signals | None
    relevance: float = -float("inf")


@dataclass(slots=True)
class _Plan:
    """What is to be read for one question, and what was; ``choices`` are the best spans of each reading."""

    found: Found
    every: list[Candidate]
    excerpts: list[Excerpt]
    readings: list[Reading] = field(default_factory=list)
    choices: list[list[Choice]] = field(default_factory=list)

    def add(self, reading: Reading) -> None:
        """Add the reading of the next excerpt."""
        self.choices.append(spans_of(self.excerpts[len(self.readings)], reading))
        self.readings.append(reading)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        rest = self.excerpts[len(self.readings) :]
        return [(ask_as_written(self.found.question, excerpt.text), excerpt.text) for excerpt in rest]


class Answerer:
    """Answers from one open index. Thread-safe.

    Args:
        calibrations: what turns signals into a confidence; without one that fits an answer has none.
        max_error: how often what is answered may be wrong, where a query does not say.
        reader: chooses the spans that answer.
        read_tokens: how many tokens of passages are read for one question, where its query does not say.
    """

    def __init__(
        self,
        index: Index,
        cite: Cite,
        calibrations: Calibrations,
        reader: AnswerReader,
        *,
        max_error: float,
        read_tokens: int,
    ) -> None:
        self._index = index
        self._cite = cite
        self._calibrations = calibrations
        self._reader = reader
        self._max_error = max_error
        self._read_tokens = read_tokens

    def answer_many(self, queries: Sequence[Query], found: Sequence[Found]) -> list[Reply]:
        """Answer questions together; replies in their order. Those that want no answer cost no reading."""
        started = time.perf_counter()
        wanted = [each for query, each in zip(queries, found, strict=True) if query.answer]
        guesses = iter(self.guess_many(wanted))
        spent = 1000 * (time.perf_counter() - started)
        return [
            self._judged(query, next(guesses), spent) if query.answer else self._highlighted(each)
            for query, each in zip(queries, found, strict=True)
        ]

    def guess_many(self, found: Sequence[Found]) -> list[Guess]:
        """Find the best guesses, however much they are worth."""
        if not found:
            return []
        plans = [self._plan(each) for each in found]
        started = time.perf_counter()
        self._read(plans)
        spent = 1000 * (time.perf_counter() - started)
        return [self._guess(plan, spent) for plan in plans]

    def _plan(self, found: Found) -> _Plan:
        words = weigh_question(self._index, found.terms)
        every = candidates(self._index, found, words)
        read = [each for each in every if each.hit.rank <= DEPTH]
        if is_foreign(found.question, [hit.passage for hit in found.hits[:2]]):
            return _Plan(found, every, [])
        budget = found.read_tokens or self._read_tokens
        excerpts = plan_excerpts(
            found.question, read, self._reader.count_tokens, budget, self._names_above, self._leads_above
        )
        return _Plan(found, every, excerpts)

    def _read(self, plans: Sequence[_Plan]) -> None:
        """Read the first excerpt of each question together, then the rest of those that it does not settle."""
        first = [plan for plan in plans if plan.excerpts]
        for plan, reading in zip(first, self._reader.read([plan.pairs[0] for plan in first]), strict=True):
            plan.add(reading)
        open_ = [plan for plan in first if not _is_settled(plan)]
        readings = iter(self._reader.read([pair for plan in open_ for pair in plan.pairs]))
        for plan in open_:
            for _ in plan.pairs:
                plan.add(next(readings))

    def _guess(self, plan: _Plan, spent: float) -> Guess:
        timings = {**plan.found.reply.timings_ms, "read": spent} if plan.readings else plan.found.reply.timings_ms
        shown = _by_relevance(plan)[: len(plan.found.reply.hits)]
        marked = _best_by_rank(plan.every)
        ranked = tuple(
            replace(hit, rank=rank, highlights=(Span(mark.span.start, mark.span.end),))
            if (mark := marked.get(hit.rank)) is not None
            else replace(hit, rank=rank)
            for rank, hit in enumerate(shown, start=1)
        )
        reply = replace(plan.found.reply, hits=ranked, timings_ms=timings)
        choices = in_order([choice for choices in plan.choices for choice in choices])
        if not choices:
            return Guess(replace(reply, answer=self._nearest_sentence(plan)), None)
        best = choices[0]
        fitted = fit(plan.found.question, best, self._index.store.text)
        alternatives = self._alternatives(plan.found.question, choices, fitted)
        answer = replace(self._answer(best.excerpt.hit, fitted), alternatives=alternatives)
        signals = measure_signals(choices)
        relevance = max(reading.relevance for reading in plan.readings)
        return Guess(replace(reply, answer=answer), signals, relevance)

    def _nearest_sentence(self, plan: _Plan) -> Answer:
        """Choose the best sentence by words and meaning, for languages that the reader does not know."""
        read = [each for each in plan.every if each.hit.rank <= DEPTH]
        if not read:
            return Answer("not_found", None)
        best = max(read, key=lambda each: each.score)
        return replace(self._answer(best.hit, fit_sentence(best)), note=_FOREIGN_NOTE)

    def _answer(self, hit: Hit, fitted: Fitted) -> Answer:
        document = hit.passage.document
        return Answer(
            outcome="unsure",
            confidence=None,
            text=self._index.store.text(document, fitted.span.start, fitted.span.end),
            citation=self._cite(document, fitted.span.start, fitted.span.end),
            sentence=fitted.sentence,
            sentence_text=self._index.store.text(document, fitted.sentence.start, fitted.sentence.end),
            form=fitted.form,
        )

    def _alternatives(self, question: str, choices: Sequence[Choice], fitted: Fitted) -> tuple[Alternative, ...]:
        """Find the other values that the reader takes for answers, best first; none where no value was asked for."""
        if fitted.form != "span":
            return ()
        document = choices[0].excerpt.hit.passage.document
        said = [self._index.store.text(document, fitted.span.start, fitted.span.end)]
        found: list[Alternative] = []
        for choice in choices[1:]:
            if choice.score <= 0 or choice.relevance <= 0 or len(found) == _MOST_ALTERNATIVES:
                continue
            is_same = choice.excerpt.hit.passage.document == choices[0].excerpt.hit.passage.document
            if is_same and choices[0].sentence.kind == choice.sentence.kind == "row":
                # Rows of one table are of different things.
                continue
            document = choice.excerpt.hit.passage.document
            other = fit(question, choice, self._index.store.text)
            if other.form != "span":
                continue
            span = other.span
            text = self._index.store.text(document, span.start, span.end)
            if all(contradicts(text, one) for one in said):
                said.append(text)
                found.append(Alternative(text, self._cite(document, span.start, span.end)))
        return tuple(found)

    def _judged(self, query: Query, guess: Guess, spent: float) -> Reply:
        answer = guess.reply.answer
        if answer is not None and not _WORD.search(query.question):
            answer = replace(answer, outcome="not_found", alternatives=(), note=_WORDLESS_NOTE)
        elif answer is not None and guess.signals is not None:
            regime = regime_of(query, guess.reply.legs)
            max_error = query.max_error or self._max_error
            verdict = self._calibrations.judge(regime, guess.signals, guess.relevance, max_error)
            answer = replace(
                answer,
                outcome=verdict.outcome,
                confidence=verdict.confidence,
                promised_error=verdict.promised_error,
                note=verdict.note,
                basis=verdict.basis,
                score=guess.signals.score,
            )
        timings = {**guess.reply.timings_ms, "answer": spent}
        timings["total"] = timings.get("total", 0.0) + spent
        return replace(guess.reply, answer=answer, timings_ms=timings)

    def _highlighted(self, found: Found) -> Reply:
        """Give the passages alone, each with the sentence that matches best."""
        best = best_sentences(self._index, found, weigh_question(self._index, found.terms))
        hits = (
            hit if span is None else replace(hit, highlights=(span,))
            for hit, span in zip(found.reply.hits, best, strict=False)
        )
        return replace(found.reply, hits=tuple(hits))

    def _leads_above(self, line: Candidate) -> list[str]:
        """Find what leads in to an item or a line, the outermost first."""
        passage = line.hit.passage
        start = max(line.span.start - _ABOVE, 0)
        text = self._index.store.text(passage.document, start, line.span.end)
        return [say(text, lead) for lead in lead_ins(text, line.span.start - start, passage.language)]

    def _names_above(self, row: Candidate) -> str:
        """Find the first line of the table that a row is in, looking upwards; empty where there is none."""
        document = row.hit.passage.document
        above = self._index.store.text(document, max(row.span.start - _ABOVE, 0), row.span.start)
        names = ""
        for line in reversed(above.splitlines()):
            if not _ROW.match(line):
                break
            names = line if _LETTER.search(line) else names
        return names.strip()


def is_foreign(question: str, passages: Sequence[Passage]) -> bool:
    """Tell whether a question or its passages are surely in another language than English."""
    counts = [_count_words(passage.text) for passage in passages]
    words, english, latin, letters = (sum(each) for each in zip(*counts, strict=True)) if counts else (0, 0, 0, 0)
    if 2 * latin < letters or (_LETTER.search(question) and not _LATIN_WORD.search(question)):
        return True
    if words < _LEAST_WORDS or english >= _LEAST_ENGLISH * words:
        return False
    return all(passage.language not in ("en", "") for passage in passages)


@lru_cache(maxsize=4096)
def _count_words(text: str) -> tuple[int, int, int, int]:
    """Count the words in Latin letters, the commonest English ones of them, the letters of both, and all letters."""
    words = [word.casefold() for word in _LATIN_WORD.findall(text)]
    english = sum(word in _ENGLISH for word in words)
    return len(words), english, sum(map(len, words)), len(_LETTER.findall(text))


def _is_settled(plan: _Plan) -> bool:
    """Tell whether the first excerpt ends the reading: of a value it does not, since another document may differ."""
    choices = in_order(plan.choices[0])
    return bool(choices) and choices[0].score >= CONFIDENT and not parse(choices[0].text)


def _by_relevance(plan: _Plan) -> list[Hit]:
    """Order the hits of a hybrid search by what was read of them too; each keeps the rank that the search gave it.

    A reply by one leg alone, or by the cross-encoder, keeps its order: it is what was asked for. So does one of which a
    single passage was read, as there is nothing to compare it with.
    """
    found: dict[int, float] = {}
    for excerpt, reading in zip(plan.excerpts, plan.readings, strict=False):
        found[excerpt.hit.rank] = max(reading.relevance, found.get(excerpt.hit.rank, -float("inf")))
    hits = [
        replace(hit, scores=replace(hit.scores, relevance=found[hit.rank])) if hit.rank in found else hit
        for hit in plan.found.hits
    ]
    read, rest = hits[:DEPTH], hits[DEPTH:]
    if len(found) < 2 or any(hit.scores.fused is None or hit.scores.rerank is not None for hit in read):
        return hits

    def blended(hit: Hit) -> float:
        relevance = UNREAD_RELEVANCE if hit.scores.relevance is None else hit.scores.relevance
        return (hit.scores.fused or 0.0) + RELEVANCE_WEIGHT * relevance

    return sorted(read, key=lambda hit: (-blended(hit), hit.rank)) + rest


def _best_by_rank(every: Sequence[Candidate]) -> dict[int, Candidate]:
    """Find the sentence of each passage that matches the question best; the first of equals."""
    best: dict[int, Candidate] = {}
    for candidate in every:
        known = best.get(candidate.hit.rank)
        if known is None or candidate.score > known.score:
            best[candidate.hit.rank] = candidate
    return best
