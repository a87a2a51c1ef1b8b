"""Fit the calibration that ships, qa/answers/calibrations/default.json, on the tuning halves of all sets.

.venv/bin/python -m benchmarks.calibration

``benchmarks.answers`` reports what became of its promises on the reporting halves, whole sets left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.asked_questions import SETS, Asked, ask_kept, open_set
from benchmarks.question_sets import QUESTION_SETS
from qa.answers.calibration import SHIPPED, Calibration, FittedOn, Model
from qa.evaluation.calibrate import MODES, Example, fit_apart
from qa.statistics.risk import auroc, clopper_pearson

# Of each set at most so many questions, of the modes that are asked for less often fewer.
MOST = {"hybrid": 400, "lexical": 60, "dense": 60}
LEVELS = (0.1, 0.2, 0.3)


def examples(asked: Sequence[Asked]) -> list[Example]:
    return [Example(each.signals, each.right, False, each.relevance, each.answerable) for each in asked]


def fit_default() -> None:
    """Fit on the tuning halves of all sets, and certify on each set what the others' models say of it."""
    models = []
    for mode in MODES:
        parts = {name: examples(ask_kept(name, "tune", mode, MOST[mode])) for name in SETS}
        models.append(fit_apart(mode, parts))
    fitted_on = []
    for name in SETS:
        asked = ask_kept(name, "tune", "hybrid", MOST["hybrid"])
        fitted_on.append(FittedOn(f"{name}, tuning half", _sha256(name), len(asked)))
    calibration = Calibration(open_set("seeds").models_key(), tuple(fitted_on), tuple(models))
    SHIPPED.parent.mkdir(exist_ok=True)
    calibration.write(SHIPPED)
    for model in models:
        print(model.regime, model.measured, *model.promises, *model.features, model.relevant, sep="\n  ")


def _sha256(name: str) -> str:
    path = SHIPPED.parents[3] / "seeds/questions.jsonl" if name == "seeds" else QUESTION_SETS / name / "queries.jsonl"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def leave_out(parts: Mapping[str, Sequence[Asked]], name: str) -> Model:
    """Fit and certify a model on all sets but one."""
    return fit_apart("hybrid", {other: examples(asked) for other, asked in parts.items() if other != name})


def judged(model: Model, asked: Sequence[Asked]) -> dict[str, float]:
    """Measure a model on questions that it was not fitted to: what it tells apart, and what became of its promises."""
    confidence = np.array([model.confidence(each.signals) for each in asked])
    right = np.array([each.right for each in asked])
    values = {"questions": len(asked), "right": float(right.mean()), "AUROC": float(auroc(confidence, right))}
    for level in LEVELS:
        promise = model.promise(level)
        answered = confidence >= (promise.threshold if promise else 2.0)
        n, wrong = int(answered.sum()), int((answered & ~right).sum())
        values[f"promised {level:.0%}: answered"] = n / len(asked)
        values[f"promised {level:.0%}: wrong of them"] = wrong / n if n else 0.0
        values[f"promised {level:.0%}: at least"] = clopper_pearson(wrong, n)[0] if n else 0.0
    return {key: round(value, 4) for key, value in values.items()}


if __name__ == "__main__":
    fit_default()
