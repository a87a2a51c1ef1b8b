"""How good answers and refusals are, as a person gets them: prints tables, and one JSON line last.

.venv/bin/python -m benchmarks.answers         on the reporting halves of all sets, with documents left out
.venv/bin/python -m benchmarks.answers curve   right answers and milliseconds by how many tokens are read

``benchmarks.calibration`` fits what is measured here, and leaves whole sets out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.asked_questions import SETS, WITH_GOLDS, Asked, ask, ask_kept, open_set, questions
from benchmarks.calibration import MOST, judged, leave_out
from qa.answers.calibration import Calibrations, load_calibrations
from qa.settings import load_settings
from qa.statistics.risk import auroc, calibration_error, clopper_pearson, risk_coverage

BUDGETS = (100, 200, 300, 500, 1000)
CURVE_MOST = 80
PLOT = Path(__file__).parent.parent / "docs" / "risk-coverage.png"


def measures(name: str, asked: Sequence[Asked], calibrations: Calibrations) -> dict[str, float]:
    """Measure the answers of one set: guesses as they are, then what a person gets at the default setting."""
    model = calibrations.model("hybrid")
    assert model is not None
    sure = [each for each in asked if each.answerable]
    confidence = np.array([model.confidence(each.signals) for each in asked])
    values: dict[str, float] = {"questions": len(asked), "answerable": len(sure)}
    if name in WITH_GOLDS:
        values |= {
            "exact match": _mean(each.em for each in sure),
            "F1": _mean(each.f1 for each in sure),
            "sentence holds a gold answer": _mean(each.holds for each in sure),
        }
    right = np.array([each.right for each in asked])
    values |= {
        "guess is right": _mean(each.right for each in sure),
        "AUROC, right or wrong": float(auroc(confidence, right)),
        "calibration error": float(calibration_error(confidence, right)),
    }
    if len(sure) < len(asked):
        values["AUROC, answerable or not"] = float(auroc(confidence, [each.answerable for each in asked]))
    return values | _served(asked, calibrations)


def _served(asked: Sequence[Asked], calibrations: Calibrations) -> dict[str, float]:
    """Count what a person gets at the default setting; a question that is refused is not answered right."""
    max_error = load_settings().max_error
    outcomes = [calibrations.judge("hybrid", each.signals, each.relevance, max_error).outcome for each in asked]
    pairs = list(zip(asked, outcomes, strict=True))
    of_sure = [(each.right, outcome) for each, outcome in pairs if each.answerable]
    of_others = [outcome for each, outcome in pairs if not each.answerable]
    answered = [right for right, outcome in of_sure if outcome == "answered"]
    wrong = answered.count(False) + of_others.count("answered")
    n = len(answered) + of_others.count("answered")
    return {
        "answered right": len([right for right in answered if right]),
        "answered wrong": answered.count(False),
        "unsure": [outcome for _, outcome in of_sure].count("unsure"),
        "unsure, the guess right": of_sure.count((True, "unsure")),
        "not found": [outcome for _, outcome in of_sure].count("not_found"),
        "without answer": len(of_others),
        "without answer, refused": len(of_others) - of_others.count("answered"),
        "without answer, not found": of_others.count("not_found"),
        "error of answered": wrong / n if n else 0.0,
        "error at least": clopper_pearson(wrong, n)[0] if n else 0.0,
        "error at most": clopper_pearson(wrong, n)[1] if n else 1.0,
    }


def curve() -> dict[str, dict[str, float]]:
    """Measure what reading more tokens brings and costs, on a few questions of each set with gold answers."""
    found = {}
    for name in WITH_GOLDS:
        judged_ones = questions(name, "report", CURVE_MOST)
        for budget in BUDGETS:
            asked = ask(open_set(name, read_tokens=budget), judged_ones)
            sure = [each for each in asked if each.answerable]
            found[f"{name}, {budget}"] = {
                "right": _mean(each.right for each in sure),
                "exact match": _mean(each.em for each in sure),
                "F1": _mean(each.f1 for each in sure),
                "sentence holds a gold answer": _mean(each.holds for each in sure),
                "processor milliseconds, median": float(np.median([each.milliseconds for each in asked])),
                "processor milliseconds, 95 %": float(np.quantile([each.milliseconds for each in asked], 0.95)),
            }
    return found


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else 0.0


def plot(parts: Mapping[str, Sequence[Asked]], calibrations: Calibrations) -> None:
    import matplotlib.pyplot as plt

    model = calibrations.model("hybrid")
    assert model is not None
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, asked in parts.items():
        confidence = [model.confidence(each.signals) for each in asked]
        coverage, risk = risk_coverage(confidence, [each.right for each in asked])
        axes.plot(coverage, risk, label=f"{name} ({len(asked):,} questions)")
    axes.set_xlabel("share of questions answered, the surest first")
    axes.set_ylabel("share of wrong answers among them")
    axes.set_ylim(0, None)
    axes.set_xlim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(PLOT, dpi=110)


def print_table(results: Mapping[str, Mapping[str, float]]) -> None:
    """Print a row for each measure and a column for each set."""
    names = list(dict.fromkeys(key for values in results.values() for key in values))
    print(f"| measure | {' | '.join(results)} |\n|---|{'---|' * len(results)}")
    for key in names:
        cells = [str(round(values[key], 3)) if key in values else "" for values in results.values()]
        print(f"| {key} | {' | '.join(cells)} |")
    print()


def main() -> None:
    calibrations = load_calibrations(None, open_set("seeds").models_key())
    parts = {name: ask_kept(name, "report", "hybrid", MOST["hybrid"]) for name in SETS}
    tune = {name: ask_kept(name, "tune", "hybrid", MOST["hybrid"]) for name in SETS}
    results = {name: measures(name, asked, calibrations) for name, asked in parts.items()}
    whole_seeds = [*tune["seeds"], *parts["seeds"]]
    results["seeds, both halves"] = measures("seeds", whole_seeds, calibrations)
    print_table(results)
    out = {name: judged(leave_out(tune, name), asked) for name, asked in parts.items()}
    model = calibrations.model("hybrid")
    assert model is not None
    out["none, pooled"] = judged(model, [each for asked in parts.values() for each in asked])
    print_table(out)
    plot(parts, calibrations)
    print(json.dumps({"sets": results, "left out": out}))


if __name__ == "__main__":
    if sys.argv[1:] == ["curve"]:
        found = curve()
        print_table(found)
        print(json.dumps(found))
    else:
        main()
