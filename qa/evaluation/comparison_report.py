"""A comparison as numbers, and as one HTML file: for each question that changed both rankings side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qa.evaluation.comparing import Change, Comparison
from qa.evaluation.evaluation import SEEN
from qa.evaluation.report import ShownPassage, passages_of, render

# The greatest changes of each kind: a browser must take the page, and a person the list.
_MOST = 200
_CHARS = 700


@dataclass(frozen=True, slots=True)
class ShownChange:
    """``state`` is "better" or "worse"."""

    change: Change
    state: str
    before: tuple[ShownPassage, ...]
    after: tuple[ShownPassage, ...]


def comparison_page(comparison: Comparison) -> str:
    """The whole page: losses first, the greatest of them on top."""
    rows = [*_rows(comparison, comparison.worse, "worse"), *reversed(_rows(comparison, comparison.better, "better"))]
    left_out = len(comparison.worse) + len(comparison.better) - len(rows)
    return render("comparison.html", comparison=comparison, rows=rows, left_out=left_out)


def comparison_values(comparison: Comparison) -> dict[str, Any]:
    """The numbers, as JSON values."""
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
            passages_of(change.before, comparison.baseline.texts, SEEN, _CHARS),
            passages_of(change.after, comparison.candidate.texts, SEEN, _CHARS),
        )
        for change in changes[:_MOST]
    ]
