"""The report of an evaluation and that of a comparison, each one HTML file that needs no server and no network.

Everything is in the page without a script; the one small script filters and sorts. No text of a document can break
out of its place.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from qa.evaluation import plots
from qa.evaluation.comparison import Change, Comparison
from qa.evaluation.measures import first_ranks
from qa.evaluation.outcomes import FAILURES, SEEN, Evaluation, PassageText, QuestionOutcome, RankedPassage
from qa.evaluation.summary import GOT, Answering, Summary
from qa.markup import Mark, Piece, pieces, visible
from qa.statistics.significance import Estimate

_FOLDER = Path(__file__).parent / "report_files"
# Up to this many questions every ranking is shown at length; of more, only as much as a browser can show.
_FEW = 300
_SHOWN_FEW, _CHARS_FEW = 2 * SEEN, 4000
_SHOWN_MANY, _CHARS_MANY = 3, 360


@dataclass(frozen=True, slots=True)
class ShownPassage:
    rank: int
    title: str
    place: str
    score: str
    pieces: tuple[Piece, ...]
    is_relevant: bool


@dataclass(frozen=True, slots=True)
class ShownQuestion:
    """A row of the table of questions, with the ranking that it opens to."""

    number: int
    outcome: QuestionOutcome
    state: str
    reasons: tuple[str, ...]
    rank: int | None
    value: float | None
    ms: float | None
    passages: tuple[ShownPassage, ...]
    missed: tuple[str, ...]


def find_marks(outcome: QuestionOutcome, found: RankedPassage) -> list[Mark]:
    """Return evidence and answer as spans of the passage's text."""
    spans = [(e.start, e.end, "evidence") for e in outcome.question.evidence if e.document == found.document]
    answer = outcome.answer
    if answer is not None and answer.span is not None and answer.document == found.document:
        spans.append((answer.span.start, answer.span.end, "answer"))
    cut = [Mark(max(s, found.start) - found.start, min(e, found.end) - found.start, name) for s, e, name in spans]
    return [mark for mark in cut if mark.start < mark.end]


def report_page(evaluation: Evaluation, summary: Summary) -> str:
    """Render the report of an evaluation."""
    many = len(evaluation.outcomes) > _FEW
    shown, chars = (_SHOWN_MANY, _CHARS_MANY) if many else (_SHOWN_FEW, _CHARS_FEW)
    questions = [
        _question(number, outcome, values, summary.headline, show_passages(outcome, evaluation.texts, shown, chars))
        for number, (outcome, values) in enumerate(zip(evaluation.outcomes, summary.values, strict=True), start=1)
    ]
    return render(
        "report.html",
        evaluation=evaluation,
        summary=summary,
        questions=questions,
        headline=summary.headline,
        best=None if summary.headline is None else summary.measures[summary.headline],
        failures=[(name, summary.failures[name], FAILURES[name]) for name in FAILURES],
        states=[name for name in (*FAILURES, "right", "not judged") if any(q.state == name for q in questions)],
        figures=_figures(evaluation, summary),
        answering=_answering(summary.answering),
        answers=summary.answers,
        got=GOT,
        shown=shown,
    )


def render(template: str, **values: object) -> str:
    """Render a template, with style and script inlined and allowed by their hashes in the Content-Security-Policy."""
    css, js = _content("report.css"), _content("report.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(css)}'; script-src '{_hash(js)}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    return _environment().get_template(template).render(css=Markup(css), js=Markup(js), policy=policy, **values)


def show_passages(
    outcome: QuestionOutcome, texts: Mapping[str, PassageText], count: int, chars: int
) -> tuple[ShownPassage, ...]:
    """Return the first passages of a ranking, with evidence and answer marked."""
    relevant, documents = outcome.question.relevant, outcome.question.documents
    return tuple(
        _passage(
            rank,
            outcome,
            found,
            texts[found.passage],
            chars,
            found.passage in relevant or (not outcome.question.evidence and documents.get(found.document, 0) > 0),
        )
        for rank, found in enumerate(outcome.found[:count], start=1)
        if found.passage in texts
    )


def _passage(
    rank: int, outcome: QuestionOutcome, found: RankedPassage, text: PassageText, chars: int, is_relevant: bool
) -> ShownPassage:
    place = [] if text.title == found.document else [found.document]
    place += [text.section] if text.section else []
    place += [f"page {text.page}"] if text.page else []
    legs = ("dense", "lexical", "fused", "rerank", "relevance")
    scores = [(leg, getattr(found.scores, leg)) for leg in legs]
    return ShownPassage(
        rank=rank,
        title=text.title,
        place=" · ".join([*place, f"characters {found.start:,} to {found.end:,}"]),
        score=", ".join(f"{leg} {score:.3f}" for leg, score in scores if score is not None),
        pieces=tuple(pieces(text.text, find_marks(outcome, found), chars)),
        is_relevant=is_relevant,
    )


def _question(
    number: int,
    outcome: QuestionOutcome,
    values: Mapping[str, float],
    headline: str | None,
    passages: tuple[ShownPassage, ...],
) -> ShownQuestion:
    failures = outcome.failures
    is_judged = bool(values) or (outcome.question.answerable is False and outcome.answer is not None)
    state = failures[0] if failures else "right" if is_judged else "not judged"
    ranks = first_ranks(outcome)
    found = [rank for rank in ranks if rank is not None]
    return ShownQuestion(
        number=number,
        outcome=outcome,
        state=state,
        reasons=tuple(FAILURES[failure] for failure in failures),
        rank=min(found, default=None),
        value=values.get(headline) if headline else None,
        ms=outcome.timings_ms.get("total"),
        passages=passages,
        missed=tuple(e.text for e, rank in zip(outcome.question.evidence, ranks, strict=False) if rank is None),
    )


def _figures(evaluation: Evaluation, summary: Summary) -> list[tuple[str, Markup, str]]:
    """Return title, drawing and caption of each plot that has data."""
    found = []
    if summary.depths:
        caption = "The share of the evidence that stands among the first passages, by how many of them are looked at."
        found.append(("Ranking quality by depth", plots.depth_plot(summary.depths), caption))
    answering = summary.answering
    if answering is not None and answering.curve:
        point = (answering.coverage.value, answering.risk.value) if answering.risk else None
        caption = (
            "If only the surest questions were answered: how many would be, and how many of the answers are wrong."
        )
        found.append(("Risk and coverage", plots.risk_plot(answering.curve, point), caption))
    if answering is not None and answering.bins:
        caption = "How often answers were right, by how sure they were; on the diagonal, confidence means what it says."
        found.append(("Calibration", plots.calibration_plot(answering.bins), caption))
    if (latency := summary.latency) is not None:
        times = [o.timings_ms["total"] for o in evaluation.outcomes if "total" in o.timings_ms]
        marks = [("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99)]
        caption = "The share of questions that were answered within a time, each asked by itself."
        found.append(("Latency", plots.latency_plot(times, marks), caption))
    return [(title, Markup(drawing), caption) for title, drawing, caption in found]


def _answering(answering: Answering | None) -> list[tuple[str, Estimate, str]]:
    if answering is None:
        return []
    rows = [
        ("coverage", answering.coverage, "questions that were answered"),
        ("risk", answering.risk, "answers given that are wrong; lower is better"),
        ("AUROC", answering.auroc, "confidence tells questions with an answer from those without; 0.5 is chance"),
        ("AURC", answering.aurc, "mean risk over all coverages; lower is better"),
        ("calibration error", answering.calibration_error, "distance of confidence from truth; lower is better"),
        ("Brier", answering.brier, "mean squared error of the confidence; lower is better"),
    ]
    return [(name, estimate, said) for name, estimate, said in rows if estimate is not None]


def bar(estimate: Estimate) -> Markup:
    return Markup(plots.interval_bar(estimate.value, estimate.low, estimate.high))


def moment(created: str) -> str:
    """Write a time in ISO 8601 for a person; anything else stays as it is."""
    try:
        at = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{at:%Y-%m-%d %H:%M} UTC" if at.utcoffset() == timedelta(0) else f"{at:%Y-%m-%d %H:%M %z}".strip()


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


@cache
def _content(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8").strip()


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(bar=bar, moment=moment, visible=visible)
    return environment


# How many of the greatest changes of each kind are shown: more would be too much for a browser and a person.
_MOST = 200
_CHARS = 700


@dataclass(frozen=True, slots=True)
class ShownChange:
    """A question that changed. ``state`` is "better" or "worse"."""

    change: Change
    state: str
    before: tuple[ShownPassage, ...]
    after: tuple[ShownPassage, ...]


def comparison_page(comparison: Comparison) -> str:
    """Render the report of a comparison: losses first, the greatest on top."""
    rows = [*_rows(comparison, comparison.worse, "worse"), *reversed(_rows(comparison, comparison.better, "better"))]
    left_out = len(comparison.worse) + len(comparison.better) - len(rows)
    return render("comparison.html", comparison=comparison, rows=rows, left_out=left_out)


def comparison_values(comparison: Comparison) -> dict[str, Any]:
    """Return the numbers of a comparison as JSON values."""
    return {
        "verdict": comparison.verdict,
        "better": len(comparison.better),
        "worse": len(comparison.worse),
        "detectable": comparison.headline.difference.detectable,
        "notes": list(comparison.notes),
        "measures": [
            {
                "name": measure.name,
                "baseline": measure.baseline,
                "candidate": measure.candidate,
                "difference": measure.difference.estimate.value,
                "low": measure.difference.estimate.low,
                "high": measure.difference.estimate.high,
                "n": measure.difference.estimate.n,
                "p": measure.p,
                "verdict": measure.verdict,
            }
            for measure in comparison.measures
        ],
    }


def _rows(comparison: Comparison, changes: Sequence[Change], state: str) -> list[ShownChange]:
    return [
        ShownChange(
            change,
            state,
            show_passages(change.before, comparison.baseline.texts, SEEN, _CHARS),
            show_passages(change.after, comparison.candidate.texts, SEEN, _CHARS),
        )
        for change in changes[:_MOST]
    ]
