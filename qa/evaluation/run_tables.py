"""A run for other tools: TREC files for trec_eval and its kin, and a table of questions for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from qa.evaluation.evaluation import Evaluation, Outcome
from qa.evaluation.measures import LEVELS, Level, Qrels, first_ranks, qrels_of, quote_topics, run_of

# A spreadsheet takes a cell that begins so for a formula, whoever wrote the document that it comes from.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SUFFIX: Mapping[Level, str] = {"passages": "", "documents": "-documents"}


def tables(evaluation: Evaluation, values: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """Contents by file name.

    ``run.trec`` ranks passages and ``run-documents.trec`` documents, each with its qrels; ``qrels-quotes.trec`` has a
    topic for each quote. Scores are places counted from the end, for trec_eval orders by them alone.
    """
    files = {"questions.csv": _questions(evaluation, values)}
    for level in LEVELS:
        run = run_of(evaluation.outcomes, level)
        files[f"run{_SUFFIX[level]}.trec"] = "".join(
            f"{_token(question)} Q0 {_token(id)} {rank} {score:.0f} qa\n"
            for question, ranked in run.items()
            for rank, (id, score) in enumerate(ranked.items(), start=1)
        )
        files[f"qrels{_SUFFIX[level]}.trec"] = _qrels(qrels_of(evaluation.outcomes, level))
    files["qrels-quotes.trec"] = _qrels(quote_topics(evaluation.outcomes)[0])
    return files


def _qrels(qrels: Qrels) -> str:
    return "".join(
        f"{_token(question)} 0 {_token(id)} {grade}\n"
        for question, grades in qrels.items()
        for id, grade in sorted(grades.items())
    )


def _token(id: str) -> str:
    """White space separates the columns: it is written as in an address, and so is the sign that marks it."""
    return "".join(quote(c, errors="replace") if c.isspace() or c == "%" else c for c in id)


def _questions(evaluation: Evaluation, values: Sequence[Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for each in values for name in each))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        [
            "id",
            "question",
            "tags",
            "answerable",
            "failures",
            "first_rank",
            "answered",
            "confidence",
            "answer",
            "ms",
            *names,
        ]
    )
    for outcome, each in zip(evaluation.outcomes, values, strict=True):
        writer.writerow([*_cells(outcome), *(f"{each[name]:.6g}" if name in each else "" for name in names)])
    return out.getvalue()


def _cells(outcome: Outcome) -> Iterator[str]:
    question, answer = outcome.question, outcome.answer
    ranks = [rank for rank in first_ranks(outcome) if rank is not None]
    yield from map(_safe, (question.id, question.text, " ".join(question.tags)))
    yield "" if question.answerable is None else str(question.answerable).lower()
    yield "; ".join(outcome.failures)
    yield str(min(ranks)) if ranks else ""
    yield "" if answer is None else str(answer.answerable).lower()
    yield "" if answer is None or answer.confidence is None else f"{answer.confidence:.4f}"
    yield "" if answer is None else _safe(answer.text or "")
    yield f"{outcome.timings_ms['total']:.2f}" if "total" in outcome.timings_ms else ""


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
