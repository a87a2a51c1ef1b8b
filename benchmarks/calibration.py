"""Fit the calibration that ships, and judge it by leaving whole sets out: prints tables, and one JSON line last.

.venv/bin/python -m benchmarks.calibration        fit qa/answers/calibrations/default.json on the tuning halves
.venv/bin/python -m benchmarks.calibration out    leave each set out in turn, and report what was promised and held
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.asked_questions import SETS, Asked, ask_kept, held_out, open_set
from benchmarks.question_sets import QUESTION_SETS
from qa.answers.calibration import SHIPPED, FittedOn, Model
from qa.evaluation.calibrate import MODES, Example, calibrate, fit
from qa.statistics.risk import auroc, clopper_pearson

# Of each set at most so many questions, so that none outweighs the others.
MOST = 300
LEVELS = (0.1, 0.2, 0.3)


def examples(asked: Sequence[Asked]) -> list[Example]:
    return [Example(each.signals, each.right, held_out(each.id), each.relevance, each.answerable) for each in asked]


def fit_default() -> None:
    """Fit on the tuning halves of all sets together; a half of each is held out to measure and certify."""
    parts: dict[str, list[Example]] = {mode: [] for mode in MODES}
    fitted_on = []
    for name in SETS:
        for mode in MODES:
            asked = ask_kept(name, "tune", mode, MOST)
            parts[mode] += examples(asked)
            print(name, mode, len(asked), f"{np.mean([each.right for each in asked]):.3f} right", flush=True)
        fitted_on.append(FittedOn(f"{name}, tuning half", _sha256(name), len(asked)))
    calibration = calibrate(parts, fitted_on, open_set("seeds").models_key())
    SHIPPED.parent.mkdir(exist_ok=True)
    calibration.write(SHIPPED)
    for model in calibration.models:
        print(model.regime, model.measured, *model.promises, *model.features, model.relevant, sep="\n  ")


def _sha256(name: str) -> str:
    path = SHIPPED.parents[3] / "seeds/questions.jsonl" if name == "seeds" else QUESTION_SETS / name / "queries.jsonl"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def leave_out(parts: Mapping[str, Sequence[Asked]], name: str) -> Model:
    """Fit and certify a model on all sets but one."""
    return fit("hybrid", [each for other, asked in parts.items() if other != name for each in examples(asked)])


def judged(model: Model, asked: Sequence[Asked]) -> dict[str, float]:
    """Measure a model on questions that it was not fitted to: what it tells apart, and what became of its promises."""
    confidence = np.array([model.confidence(each.signals) for each in asked])
    right = np.array([each.right for each in asked])
    values = {"questions": len(asked), "right": float(right.mean()), "auroc": float(auroc(confidence, right))}
    for level in LEVELS:
        promise = model.promise(level)
        answered = confidence >= (promise.threshold if promise else 2.0)
        n, wrong = int(answered.sum()), int((answered & ~right).sum())
        values[f"{level:.0%} coverage"] = n / len(asked)
        values[f"{level:.0%} error"] = wrong / n if n else 0.0
        values[f"{level:.0%} error at least"] = clopper_pearson(wrong, n)[0] if n else 0.0
    return {key: round(value, 4) for key, value in values.items()}


def leave_each_out() -> None:
    tune = {name: ask_kept(name, "tune", "hybrid", MOST) for name in SETS}
    report = {name: ask_kept(name, "report", "hybrid", MOST) for name in SETS}
    results = {name: judged(leave_out(tune, name), report[name]) for name in SETS}
    pooled = fit("hybrid", [each for asked in tune.values() for each in examples(asked)])
    results["pooled"] = judged(pooled, [each for asked in report.values() for each in asked])
    names = list(next(iter(results.values())))
    print(f"| left out | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for name, values in results.items():
        print(f"| {name} | {' | '.join(str(values[key]) for key in names)} |")
    print(json.dumps(results))


if __name__ == "__main__":
    leave_each_out() if sys.argv[1:] == ["out"] else fit_default()
