"""The measures of rankings and of answers.

Rankings are measured by ir-measures (MacAvaney et al. 2022).

There are two levels. *Passages*: every passage of the snapshot that overlaps a quote is relevant, so that precision,
nDCG, RR and AP are the ordinary ones. Recall counts quotes, not passages: it is the mean over a question's quotes of
Success@k with that quote's passages. So several passages over one quote count once, and splitting a document more
finely, or with overlap, neither lowers nor raises what can be reached. *Documents*: a document stands where its first
passage does.

A question takes part in a level's measures if something is relevant on that level.

Answers are measured by exact match and F1 as in SQuAD (Rajpurkar et al. 2016), and whether an answer is right.

White space separates words, as in the official script, which is made for English. In a language that is written
without spaces, F1 is exact match.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from qa.questions.questions import JudgedQuestion
from qa.types import Span

Level = Literal["passages", "documents"]
LEVELS: tuple[Level, ...] = ("passages", "documents")

# By the names of ir-measures. AP is of the ranking as deep as it was asked for.
RANKING = (
    "nDCG@10", "RR@10", "AP", "R@1", "R@5", "R@10", "R@20", "P@1", "P@5", "P@10", "Success@5", "Success@10",
)  # fmt: skip

Qrels = dict[str, dict[str, int]]
RunScores = dict[str, dict[str, float]]


class Ranking(Protocol):
    """A question with the passages that were found for it, best first."""

    @property
    def question(self) -> JudgedQuestion: ...

    @property
    def passages(self) -> Sequence[tuple[str, str]]:
        """The id and document of each passage."""


def ranking_measures(rankings: Sequence[Ranking], depth: int) -> list[dict[str, float]]:
    """Compute each ranking's values by level and measure, such as ``passages.nDCG@10``; none for what is unjudged.

    Args:
        depth: how many passages were asked for; measures that look deeper are left out.
    """
    values: list[dict[str, float]] = [{} for _ in rankings]
    for level in LEVELS:
        qrels, run = make_qrels(rankings, level), make_run(rankings, level)
        names = [name for name in RANKING if _cutoff(name) <= depth and not (level == "passages" and name[:2] == "R@")]
        found = calculate(names, qrels, run)
        for number, ranking in enumerate(rankings):
            for name, per_question in found.items():
                if ranking.question.id in qrels:
                    values[number][f"{level}.{name}"] = per_question[ranking.question.id]
    _add_recall_of_quotes(values, rankings, depth)
    return [_in_order(each) for each in values]


def calculate(names: Sequence[str], qrels: Qrels, run: RunScores) -> dict[str, dict[str, float]]:
    """Compute values by measure and question; 0 for a question that has judgments and found nothing."""
    import ir_measures

    measures = {ir_measures.parse_measure(name): name for name in names}
    values = {name: dict.fromkeys(qrels, 0.0) for name in names}
    judged = {id: grades for id, grades in qrels.items() if any(grades.values())}
    if judged and measures:
        for metric in ir_measures.iter_calc(list(measures), judged, {id: run[id] for id in judged if run[id]}):
            values[measures[metric.measure]][metric.query_id] = float(metric.value)
    return values


def make_qrels(rankings: Sequence[Ranking], level: Level) -> Qrels:
    """Return the grades of passages or documents by question, for the questions that this level judges."""
    if level == "documents":
        judged = [ranking.question for ranking in rankings if ranking.question.has_relevant_documents]
        return {question.id: dict(question.documents) for question in judged}
    return {r.question.id: dict.fromkeys(r.question.relevant, 1) for r in rankings if r.question.evidence}


def make_run(rankings: Sequence[Ranking], level: Level) -> RunScores:
    """Return ranks as scores that fall by one from rank to rank, because trec_eval sorts by score."""
    return {ranking.question.id: _falling(unique(ranking, level)) for ranking in rankings}


def unique(ranking: Ranking, level: Level) -> list[str]:
    """Return the ranking's ids, each at its first place."""
    return list(dict.fromkeys(pair[level == "documents"] for pair in ranking.passages))


def first_ranks(ranking: Ranking) -> list[int | None]:
    """Return for each quote the rank of the first passage that overlaps it. Without quotes, use relevant documents."""
    question = ranking.question
    wanted = [set(evidence.passages) for evidence in question.evidence]
    level: Level = "passages"
    if not wanted:
        wanted, level = [{id} for id, grade in question.documents.items() if grade], "documents"
    ids = unique(ranking, level)
    return [next((rank for rank, id in enumerate(ids, start=1) if id in one), None) for one in wanted]


def recall_at(ranks: Sequence[int | None], k: int) -> float:
    """Return the share of quotes that are found among the first ``k``."""
    return sum(rank is not None and rank <= k for rank in ranks) / len(ranks)


def make_quote_topics(rankings: Sequence[Ranking]) -> tuple[Qrels, RunScores]:
    """Return a topic for each quote, ``question#number``. The mean of their Success@k is the question's recall."""
    qrels: Qrels = {}
    run: RunScores = {}
    for ranking in rankings:
        for number, evidence in enumerate(ranking.question.evidence, start=1):
            topic = f"{ranking.question.id}#{number}"
            qrels[topic] = dict.fromkeys(evidence.passages, 1)
            run[topic] = _falling(unique(ranking, "passages"))
    return qrels, run


def _add_recall_of_quotes(values: Sequence[dict[str, float]], rankings: Sequence[Ranking], depth: int) -> None:
    cutoffs = [_cutoff(name) for name in RANKING if name.startswith("R@") and _cutoff(name) <= depth]
    found = calculate([f"Success@{k}" for k in cutoffs], *make_quote_topics(rankings))
    for number, ranking in enumerate(rankings):
        quotes = range(1, len(ranking.question.evidence) + 1)
        for k in cutoffs if quotes else ():
            hits = [found[f"Success@{k}"][f"{ranking.question.id}#{quote}"] for quote in quotes]
            values[number][f"passages.R@{k}"] = sum(hits) / len(hits)


def _falling(ids: Sequence[str]) -> dict[str, float]:
    return {id: float(len(ids) - place) for place, id in enumerate(ids)}


def _cutoff(name: str) -> int:
    match = re.search(r"@(\d+)$", name)
    return int(match[1]) if match else 0


def _in_order(values: dict[str, float]) -> dict[str, float]:
    order = [f"{level}.{name}" for level in LEVELS for name in RANKING]
    return {name: values[name] for name in order if name in values}


# An answer with at least this F1 is right: "three to four miles" and "three to four miles away" are one answer.
RIGHT_F1 = 0.5

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower the case and drop ASCII punctuation, English articles and surplus white space, as SQuAD's script does."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, golds: Sequence[str]) -> float:
    """Return 1 if the answer is one of ``golds`` once both are normalised, else 0."""
    return _best(answer, golds, lambda mine, gold: float(mine == gold))


def f1(answer: str, golds: Sequence[str]) -> float:
    """Compute the F1 of the words that the answer shares with one of the gold answers; the best counts."""
    return _best(answer, golds, _f1)


def _best(answer: str, golds: Sequence[str], score: Callable[[str, str], float]) -> float:
    mine = normalise(answer)
    return max((score(mine, normalise(gold)) for gold in golds), default=0.0)


def _f1(mine: str, gold: str) -> float:
    words, wanted = mine.split(), gold.split()
    if not words or not wanted:
        # Nothing but articles and punctuation: equal or not, as in SQuAD 2.0.
        return float(words == wanted)
    shared = (Counter(words) & Counter(wanted)).total()
    return 2 * shared / (len(words) + len(wanted))


def holds(text: str, golds: Sequence[str]) -> bool:
    """Return whether the text holds the words of one of ``golds``, together and in order, once both are normalised."""
    mine = f" {normalise(text)} "
    return any(f" {gold} " in mine for gold in map(normalise, golds) if gold)


def is_right(question: JudgedQuestion, text: str | None, document: str | None, span: Span | None) -> bool | None:
    """Return whether a text answers the question; ``None`` if nothing decides it (docs/decisions/0009).

    If there are gold answers, a text is right if its F1 with one of them suffices, or if it holds one and is cited
    from a relevant document (or none is known). If there are only quotes, its citation must overlap one of them. No
    text is right for a question that has no answer.
    """
    if question.answerable is False:
        return False
    if question.answers:
        if text is None:
            return False
        is_relevant = not question.has_relevant_documents or question.documents.get(document or "", 0) > 0
        return f1(text, question.answers) >= RIGHT_F1 or (is_relevant and holds(text, question.answers))
    if question.evidence:
        if span is None:
            return False
        return any(e.document == document and e.start < span.end and e.end > span.start for e in question.evidence)
    return None
