"""Two runs: verdicts, and gates that pass, fail and cannot tell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.errors import RunError
from qa.evaluation.comparison import check_gate, compare_runs
from qa.evaluation.outcomes import Evaluation, GivenAnswer
from qa.questions.questions import JudgedQuestion
from qa.types import AnswerOutcome
from tests.support.evaluation_samples import inputs, outcome, question


def run(*ranks: int | None, top_k: int = 20, **fields: str) -> Evaluation:
    """Make a run with one question for each rank of its evidence; ``None`` if it was not found."""
    made = [
        outcome(question(f"q{n}", ["a"]), *(f"x{k}" for k in range((rank or 20) - 1)), *(["a"] if rank else []))
        for n, rank in enumerate(ranks)
    ]
    return Evaluation(inputs(top_k=top_k, **fields), tuple(made), {})


def test_a_run_that_is_better_in_every_question() -> None:
    found = compare_runs(run(*[2] * 20), run(*[1] * 20))
    assert found.headline.name == "passages.nDCG@10"
    assert found.verdict == "better"
    assert found.headline.p <= 0.01
    assert (len(found.better), len(found.worse)) == (20, 0)
    assert compare_runs(run(*[1] * 20), run(*[2] * 20)).verdict == "worse"


def test_equal_runs_do_not_differ() -> None:
    found = compare_runs(run(*[1, 2, 3] * 10), run(*[1, 2, 3] * 10))
    assert found.verdict == "no difference found"
    assert (found.better, found.worse) == ((), ())
    assert all(each.p == 1.0 for each in found.measures)


def test_too_few_questions_to_tell() -> None:
    assert compare_runs(run(2, 2, 2), run(1, 1, 1)).verdict == "too few questions to tell"
    noisy = compare_runs(run(*[1, None] * 10), run(*[None, 1] * 8, 1, 1, 1, 1))
    assert noisy.verdict == "too few questions to tell"
    assert noisy.headline.difference.detectable is not None
    assert noisy.headline.difference.detectable > 0.05


def test_p_values_are_adjusted_for_all_measures() -> None:
    found = compare_runs(run(*[1, 2] * 10), run(*[1] * 18, 3, 3))
    assert len(found.measures) > 5
    assert all(each.p >= each.difference.p for each in found.measures)


def test_measures_of_which_nothing_changed_cost_the_others_nothing() -> None:
    """Ranks 1 and 2 differ in nDCG, RR, AP, R@1 and of no other measure."""
    found = {each.name: each for each in compare_runs(run(*[1, 2] * 10), run(*[1] * 20)).measures}
    assert found["passages.P@5"].p == found["passages.R@5"].p == 1.0
    tested = [each for each in found.values() if each.difference.is_any]
    assert len(tested) == 4
    assert min(each.p for each in tested) == pytest.approx(4 * min(each.difference.p for each in tested))


def test_changes_come_with_the_greatest_first() -> None:
    found = compare_runs(run(5, 1, 2, 1), run(1, 3, 1, None))
    assert [change.before.question.id for change in found.better] == ["q0", "q2"]
    assert [change.before.question.id for change in found.worse] == ["q3", "q1"]


def test_different_questions_snapshots_and_depths_are_said() -> None:
    found = compare_runs(run(1, 2, 3), run(1, 2, top_k=5, snapshot="20270101T000000.000Z-00000000", sha256="1" * 64))
    assert found.headline.difference.estimate.n == 2
    notes = " ".join(found.notes)
    for said in ("question files differ", "snapshots differ", "of different depth", "only the baseline has: 1"):
        assert said in notes
    assert "passages.nDCG@10" not in [each.name for each in found.measures]


def test_runs_that_cannot_be_compared() -> None:
    other = replace(run(1), outcomes=(outcome(question("z", ["a"]), "a"),))
    with pytest.raises(RunError, match="no question in common"):
        compare_runs(run(1), other)
    bare = Evaluation(inputs(), (outcome(JudgedQuestion("q", "?"), "a"),), {})
    with pytest.raises(RunError, match="no question is scored in both"):
        compare_runs(bare, bare)
    with pytest.raises(RunError, match=r"'passages\.MRR' is not measured in both runs; there are: passages\.nDCG@10"):
        compare_runs(run(1), run(1), "passages.MRR")


def test_a_gate_that_passes() -> None:
    equal = check_gate(run(*[1, 2] * 20), run(*[1, 2] * 20), margin=0.02)
    better = check_gate(run(*[2] * 40), run(*[1] * 40), margin=0.02)
    assert equal.outcome == better.outcome == "passed"


def test_a_little_worse_within_the_margin_passes() -> None:
    before = run(*[1] * 400)
    after = run(*[1] * 396, *[2] * 4)
    assert check_gate(before, after, margin=0.02).outcome == "passed"
    assert check_gate(before, after, margin=0.001).outcome != "passed"


def test_a_gate_that_fails() -> None:
    found = check_gate(run(*[1] * 40), run(*[1] * 20, *[None] * 20), margin=0.02)
    assert found.outcome == "worse"
    assert "all of it is a loss" in found.checks[0].reason


@pytest.mark.parametrize(("before", "after"), [([1, 2], [1, 2]), ([1, None] * 10, [None, 1] * 8 + [1, 1, 1, 1])])
def test_a_gate_that_cannot_tell(before: list[int | None], after: list[int | None]) -> None:
    found = check_gate(run(*before), run(*after), margin=0.02)
    assert found.outcome == "cannot tell"


ALL_RIGHT: list[AnswerOutcome] = ["answered"] * 20
HALF_UNSURE: list[AnswerOutcome] = ["answered", "unsure"] * 10


def answered(*outcomes: AnswerOutcome) -> Evaluation:
    """Make a run with one question for each outcome; an answer is right unless its outcome is ``unsure``."""
    made = [
        outcome(
            replace(question(f"q{n}", ["a"]), answers=("noon",)),
            "a",
            answer=GivenAnswer(state, 0.5, "never" if state == "unsure" else "noon"),
        )
        for n, state in enumerate(outcomes)
    ]
    return Evaluation(inputs(), tuple(made), {})


def wrong(evaluation: Evaluation) -> Evaluation:
    """Give the guesses of a run as answers."""
    made = [
        replace(each, answer=each.answer and replace(each.answer, outcome="answered")) for each in evaluation.outcomes
    ]
    return replace(evaluation, outcomes=tuple(made))


def test_answers_decide_before_rankings() -> None:
    before, after = answered(*HALF_UNSURE), answered(*ALL_RIGHT)
    found = compare_runs(before, after)
    assert (found.headline.name, found.verdict) == ("answers.right", "better")
    assert (len(found.better), len(found.worse)) == (10, 0)
    assert compare_runs(before, after, "passages.nDCG@10").verdict == "no difference found"


def test_of_wrong_answers_and_refusals_less_is_better() -> None:
    before = answered(*HALF_UNSURE)
    after = wrong(before)
    found = {each.name: each.verdict for each in compare_runs(before, after).measures}
    assert (found["answers.wrong"], found["answers.refused"]) == ("worse", "better")
    assert [len(compare_runs(before, after, name).worse) for name in ("answers.wrong", "answers.refused")] == [10, 0]
    assert check_gate(before, after, margin=0.02, measures=["answers.wrong"]).outcome == "worse"
    assert check_gate(before, after, margin=0.02, measures=["answers.refused"]).outcome == "passed"
    assert check_gate(after, before, margin=0.02, measures=["answers.wrong"]).outcome == "passed"


def test_a_gate_looks_at_answers_and_rankings() -> None:
    before, after = answered(*ALL_RIGHT, *ALL_RIGHT), answered(*HALF_UNSURE, *HALF_UNSURE)
    found = check_gate(before, after, margin=0.02)
    assert [(each.name, each.outcome) for each in found.checks] == [
        ("answers.right", "worse"),
        ("passages.nDCG@10", "passed"),
    ]
    assert found.outcome == "worse"


def test_runs_that_were_asked_otherwise_say_so() -> None:
    strict = replace(inputs(), options=replace(inputs().options, max_error=0.05))
    found = compare_runs(run(1, 2), replace(run(1, 2), inputs=strict))
    assert "They differ in max error: as the settings say and 0.05." in found.notes
    ranked = replace(inputs(), options=replace(inputs().options, rerank=True))
    assert "They differ in rerank: no and yes." in compare_runs(run(1, 2), replace(run(1, 2), inputs=ranked)).notes


def test_runs_of_different_calibrations_say_so() -> None:
    before, after = (replace(run(1, 2), inputs=replace(inputs(), calibration=each)) for each in ("a", "b"))
    assert any(note.startswith("They differ in calibration") for note in compare_runs(before, after).notes)
    assert not any("calibration" in note for note in compare_runs(before, before).notes)
    # A run of an earlier version does not say which it was.
    assert not any("calibration" in note for note in compare_runs(run(1, 2), after).notes)


def test_a_gate_of_several_measures_is_as_good_as_the_worst() -> None:
    before, after = run(*[1] * 40), run(*[2] * 40)
    assert check_gate(before, after, measures=["passages.R@5"], margin=0.02).outcome == "passed"
    assert check_gate(before, after, measures=["passages.R@5", "passages.R@1"], margin=0.02).outcome == "worse"


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.0, float("nan")])
def test_a_margin_that_is_none(margin: float) -> None:
    with pytest.raises(RunError, match="it must be between 0 and 1"):
        check_gate(run(1), run(1), margin=margin)


RANKS = st.lists(st.sampled_from([1, 2, 5, 12, None]), min_size=10, max_size=14)


@settings(deadline=None)
@given(st.tuples(RANKS, RANKS))
def test_a_comparison_turned_round_has_the_same_p_and_the_other_sign(
    both: tuple[list[int | None], list[int | None]],
) -> None:
    size = min(map(len, both))
    one, two = (run(*ranks[:size]) for ranks in both)
    there, back = compare_runs(one, two), compare_runs(two, one)
    assert there.headline.difference.p == pytest.approx(back.headline.difference.p)
    assert there.headline.difference.estimate.value == pytest.approx(-back.headline.difference.estimate.value)
    assert {there.verdict, back.verdict} in (
        {"better", "worse"},
        {"no difference found"},
        {"too few questions to tell"},
    )
