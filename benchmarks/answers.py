"""How good answers and refusals are, with documents left out: prints tables, and one JSON line last.

.venv/bin/python -m benchmarks.answers             report on the other half, and on the seed questions
.venv/bin/python -m benchmarks.answers calibrate   fit qa/calibrations/default.json on the tuning halves
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.question_sets import QUESTION_SETS, Part
from benchmarks.withheld import document_id, index_withheld, load_withheld
from qa.answers.calibration import SHIPPED, FittedOn, Model, Signals, load_calibrations
from qa.errors import QueryError
from qa.evaluation.calibrate import MODES, Example, calibrate, fit
from qa.evaluation.measures import exact_match, f1, holds, is_right
from qa.questions.questions import JudgedQuestion
from qa.service.service import Service
from qa.settings import load_settings
from qa.statistics.risk import auroc, calibration_error, clopper_pearson, risk_coverage
from qa.types import Mode, Query, Span

SETS = ("xquad-en", "nq_open_oracle")
LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4)
PLOT = Path(__file__).parent.parent / "docs" / "risk-coverage.png"
SEEDS = Path(__file__).parent.parent / "seeds" / "questions.jsonl"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, the best guess for it, and what that is worth. ``holds`` is of the guess's whole sentence."""

    id: str
    answerable: bool
    signals: Signals
    right: bool
    em: float
    f1: float
    holds: bool


def held_out(id: str) -> bool:
    """A bit of the id's hash that the split into halves does not use."""
    return hashlib.md5(id.encode(), usedforsecurity=False).digest()[-2] % 2 == 1


def ask(service: Service, name: str, part: Part, mode: Mode) -> list[Asked]:
    asked = []
    for each in load_withheld(name, part):
        documents = {document_id(id): 1 for id in each.judged.relevant}
        golds = each.judged.answers
        question = JudgedQuestion(
            each.judged.id, each.judged.text, documents=documents, answers=golds, answerable=each.answerable
        )
        (guess,) = service.guess_many([Query(question.text, mode=mode)])
        if isinstance(guess, QueryError) or guess.signals is None or guess.reply.answer is None:
            continue
        answer, cited = guess.reply.answer, guess.reply.answer.citation
        if cited is None or answer.text is None or answer.sentence is None:
            continue
        right = bool(is_right(question, answer.text, cited.document, Span(cited.start, cited.end)))
        sentence = service.document(cited.document).document.text[answer.sentence.start : answer.sentence.end]
        has = cited.document in documents and holds(sentence, golds)
        asked.append(
            Asked(
                question.id,
                each.answerable,
                guess.signals,
                right,
                exact_match(answer.text, golds),
                f1(answer.text, golds),
                has,
            )
        )
    return asked


def open_set(name: str, *, is_calibrated: bool = True) -> Service:
    service = Service(index_withheld(name), is_calibrated=is_calibrated)
    service.reload()
    return service


def fit_default() -> None:
    """On the tuning halves of all sets together; a half of each is held out to measure and certify."""
    parts: dict[str, list[Example]] = {mode: [] for mode in MODES}
    fitted_on = []
    encoder = None
    for name in SETS:
        service = open_set(name, is_calibrated=False)
        encoder = service.encoder().fingerprint
        for mode in MODES:
            asked = ask(service, name, "tune", mode)
            parts[mode] += [Example(each.signals, each.right, held_out(each.id)) for each in asked]
            print(name, mode, len(asked), f"{np.mean([each.right for each in asked]):.3f} right", flush=True)
        queries = (QUESTION_SETS / name / "queries.jsonl").read_bytes()
        fitted_on.append(FittedOn(f"{name}, tuning half", hashlib.sha256(queries).hexdigest(), len(asked)))
    assert encoder is not None
    calibration = calibrate(parts, fitted_on, encoder)
    SHIPPED.parent.mkdir(exist_ok=True)
    calibration.write(SHIPPED)
    for model in calibration.models:
        print(model.regime, model.measured, *model.promises, sep="\n  ")


def measures(asked: Sequence[Asked], model: Model) -> dict[str, float]:
    """Of one set; coverage and error at the thresholds that the model promises."""
    sure = [each for each in asked if each.answerable]
    confidence = np.array([model.confidence(each.signals) for each in asked])
    right = np.array([each.right for each in asked])
    values = {
        "questions": len(asked),
        "answerable": len(sure),
        "em": float(np.mean([each.em for each in sure])),
        "f1": float(np.mean([each.f1 for each in sure])),
        "sentence": float(np.mean([each.holds for each in sure])),
        "right": float(np.mean([each.right for each in sure])),
        "auroc_answerable": float(auroc(confidence, [each.answerable for each in asked])),
        "auroc_right": float(auroc(confidence, right)),
        "ece": float(calibration_error(confidence, right)),
    }
    for level in LEVELS:
        promise = model.promise(level)
        if promise is None:
            values[f"at_{level:.0%}_coverage"] = 0.0
            continue
        answered = confidence >= promise.threshold
        n, wrong = int(answered.sum()), int((answered & ~right).sum())
        low, high = clopper_pearson(wrong, n) if n else (0.0, 1.0)
        name = f"at_{level:.0%}"
        values |= {
            f"{name}_promised": promise.error,
            f"{name}_coverage": n / len(asked),
            f"{name}_coverage_low": clopper_pearson(n, len(asked))[0],
            f"{name}_coverage_high": clopper_pearson(n, len(asked))[1],
            f"{name}_error": wrong / n if n else 0.0,
            f"{name}_error_low": low,
            f"{name}_error_high": high,
        }
    return {key: round(value, 4) for key, value in values.items()}


def crossed(parts: dict[str, list[Asked]], tune: dict[str, list[Asked]]) -> dict[str, dict[str, float]]:
    """Each set by a model that was fitted to the other one alone."""
    found = {}
    for name, other in zip(SETS, reversed(SETS), strict=True):
        model = fit("hybrid", [Example(each.signals, each.right, held_out(each.id)) for each in tune[other]])
        found[f"{name} by {other}"] = measures(parts[name], model)
    return found


def seeds() -> dict[str, int]:
    """The seed questions as they are served: how many are refused, rightly and wrongly."""
    service = Service(load_settings(name="seeds"))
    service.reload()
    counts = {"answerable": 0, "wrongly_refused": 0, "unanswerable": 0, "refused": 0}
    for line in SEEDS.read_text(encoding="utf-8").splitlines():
        question = json.loads(line)
        answer = service.ask(Query(question["question"])).answer
        refused = answer is None or not answer.answerable
        counts["answerable" if question["answerable"] else "unanswerable"] += 1
        counts["wrongly_refused" if question["answerable"] else "refused"] += refused
    return counts


def plot(parts: dict[str, list[Asked]], model: Model) -> None:
    import matplotlib.pyplot as plt

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


def main() -> None:
    parts, tune, model = {}, {}, None
    for name in SETS:
        service = open_set(name)
        model = load_calibrations(None, service.encoder().fingerprint).model("hybrid")
        tune[name], parts[name] = (ask(service, name, part, "hybrid") for part in ("tune", "report"))
    assert model is not None
    results = {name: measures(asked, model) for name, asked in parts.items()} | crossed(parts, tune)
    names = list(dict.fromkeys(key for values in results.values() for key in values))
    print(f"| measure | {' | '.join(results)} |\n|---|{'---|' * len(results)}")
    for key in names:
        print(f"| {key} | {' | '.join(str(values.get(key, '')) for values in results.values())} |")
    plot(parts, model)
    print(json.dumps({**results, "seeds": seeds()}))


if __name__ == "__main__":
    fit_default() if sys.argv[1:] == ["calibrate"] else main()
