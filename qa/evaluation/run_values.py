"""What a run is made of, as values of JSON and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from qa.evaluation.evaluation import Found, Given, Inputs, Options, Outcome, Text
from qa.questions.judgments import Evidence, JudgedQuestion
from qa.types import Scores, Span

Step = tuple[Outcome, Mapping[str, Text]]


def inputs_values(inputs: Inputs) -> dict[str, Any]:
    return asdict(inputs)


def outcome_values(outcome: Outcome) -> dict[str, Any]:
    values = asdict(outcome)
    for found in values["found"]:
        found["scores"] = {leg: score for leg, score in found["scores"].items() if score is not None}
    return values


def inputs_of(values: dict[str, Any]) -> Inputs:
    return Inputs(**{**values, "options": options_of(values["options"])})


def options_of(values: Mapping[str, Any]) -> Options:
    """Options as they were written."""
    return Options(**values)


def step_of(values: dict[str, Any]) -> Step:
    return outcome_of(values["outcome"]), {id: Text(**text) for id, text in values["texts"].items()}


def outcome_of(values: dict[str, Any]) -> Outcome:
    answer = values["answer"]
    return Outcome(
        question=judged_question(values["question"]),
        found=tuple(Found(**{**found, "scores": Scores(**found["scores"])}) for found in values["found"]),
        answer=None if answer is None else Given(**{**answer, "span": answer["span"] and Span(**answer["span"])}),
        timings_ms=values["timings_ms"],
        error=values["error"],
    )


def judged_question(values: dict[str, Any]) -> JudgedQuestion:
    """A question as it was written."""
    evidence: Sequence[dict[str, Any]] = values["evidence"]
    return JudgedQuestion(
        **{
            **values,
            "evidence": tuple(Evidence(**{**one, "passages": tuple(one["passages"])}) for one in evidence),
            "answers": tuple(values["answers"]),
            "tags": tuple(values["tags"]),
        }
    )
