"""The report: complete without a script or a network, and no text of a document can break out of its place."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.evaluation import plots
from qa.evaluation.comparison import compare_runs
from qa.evaluation.outcomes import Evaluation, PassageText, QuestionOutcome, ask_all
from qa.evaluation.report import comparison_page, moment, report_page
from qa.evaluation.summary import summarise
from qa.markup import Mark, pieces
from qa.questions.anchoring import anchor
from qa.questions.questions import JudgedQuestion
from qa.statistics.risk import Bin
from tests.evaluation.test_outcomes import FILE
from tests.support.evaluation_samples import Folder, WordSearch, inputs

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}]]>"


def evaluated(*, answers: bool = True, worse: bool = False) -> Evaluation:
    search = WordSearch(Folder(), answers=answers, worse=worse)
    steps = list(ask_all(anchor(FILE, search.folder).questions, search.ask_many, inputs()))
    texts = {id: text for _, found in steps for id, text in found.items()}
    return Evaluation(inputs(), tuple(each for each, _ in steps), texts, created="2026-04-01T12:00:00+00:00")


def page(evaluation: Evaluation) -> str:
    return report_page(evaluation, summarise(evaluation))


def test_everything_is_in_the_page_without_a_script() -> None:
    html = re.sub(r"<script>.*?</script>", "", page(evaluated()), flags=re.DOTALL)
    for said in (
        "passages.nDCG@10",
        "Risk and coverage",
        "Calibration",
        "Latency",
        "Ranking quality by depth",
        "By tag",
    ):
        assert said in html
    assert html.count("<details>") == 4
    assert '<mark class="evidence answer">' in html
    assert "No reply had an answer" not in html
    assert "No reply had an answer" in page(evaluated(answers=False))


def test_nothing_outside_of_the_page_is_named_but_by_namespace() -> None:
    html = page(evaluated())
    assert re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]*)""", html) == ["#questions"]
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_allows_what_is_in_the_page_and_nothing_else() -> None:
    html = page(evaluated())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    allowed = policy[1].replace("&#39;", "'")
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in allowed
    assert "default-src 'none'" in allowed
    assert "unsafe" not in allowed
    assert " style=" not in html
    assert not re.search(r"\son\w+=", re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL))


def evil(evaluation: Evaluation) -> Evaluation:
    """Return the same with hostile text wherever text comes from outside."""

    def of(outcome: QuestionOutcome) -> QuestionOutcome:
        asked = replace(outcome.question, id=f"{outcome.question.id} {EVIL}", text=EVIL, tags=(EVIL,), answers=(EVIL,))
        answer = outcome.answer and replace(outcome.answer, text=EVIL)
        found = tuple(replace(one, document=EVIL) for one in outcome.found)
        return replace(outcome, question=asked, answer=answer, found=found, error=EVIL)

    return replace(
        evaluation,
        inputs=replace(evaluation.inputs, index=EVIL, questions=EVIL),
        outcomes=tuple(map(of, evaluation.outcomes)),
        texts={id: PassageText(EVIL, EVIL, 1, EVIL) for id in evaluation.texts},
        left_out=(EVIL,),
    )


def test_hostile_text_stays_text() -> None:
    for html in (
        page(evil(evaluated())),
        comparison_page(compare_runs(evil(evaluated()), evil(evaluated(worse=True)))),
    ):
        assert html.count("<script") == 1
        assert "<img" not in html
        assert "{{ 7*7 }}" in html
        assert "&lt;/script&gt;&lt;script&gt;alert(1)" in html


def test_what_turns_text_about_is_told_by_its_name() -> None:
    turning = "a\u202egnp.exe"

    def turned(evaluation: Evaluation) -> Evaluation:
        outcomes = tuple(
            replace(
                outcome,
                question=replace(outcome.question, text=turning, answers=(turning,)),
                answer=outcome.answer and replace(outcome.answer, text=turning),
            )
            for outcome in evaluation.outcomes
        )
        return replace(
            evaluation,
            outcomes=outcomes,
            texts={id: PassageText(turning, turning, 1, turning) for id in evaluation.texts},
        )

    for html in (
        page(turned(evaluated())),
        comparison_page(compare_runs(turned(evaluated()), turned(evaluated(worse=True)))),
    ):
        assert html.count("\u202e") == html.count('<bdi class="control" data-name="RLO">\u202e</bdi>') > 10


def test_both_rankings_of_a_question_that_changed() -> None:
    html = comparison_page(compare_runs(evaluated(), evaluated(worse=True)))
    assert "Too few questions to tell" in html
    assert html.count("<h3>Baseline</h3>") == html.count("<h3>Candidate</h3>") > 0
    assert 'data-state="worse"' in html


def test_a_run_without_questions_that_are_scored_has_a_report_too() -> None:
    bare = Evaluation(inputs(), (QuestionOutcome(JudgedQuestion("q", "?"), error="too long"),), {})
    assert "too long" in page(bare)


def test_many_questions_are_shown_in_short() -> None:
    one = evaluated().outcomes[0]
    many = tuple(replace(one, question=replace(one.question, id=f"q{n}")) for n in range(301))
    html = page(replace(evaluated(), outcomes=many))
    assert html.count('class="passage relevant"') + html.count('class="passage"') == 3 * 301


@settings(deadline=None)
@given(
    st.text(max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.sampled_from(["evidence", "answer"])), max_size=4),
    st.integers(10, 80),
)
def test_pieces_are_the_text_in_order_with_every_character_marked_as_it_is(
    text: str, spans: list[tuple[int, int, str]], most: int
) -> None:
    marks = [Mark(start, end, name) for start, end, name in spans if start < end <= len(text)]
    cut = pieces(text, marks, most)
    body = [piece for piece in cut if piece.marks or piece.text != "…"]
    joined = "".join(piece.text for piece in cut)
    if len(text) <= most:
        assert joined == text
        at = 0
        for piece in cut:
            for place in range(at, at + len(piece.text)):
                assert set(piece.marks) == {m.name for m in marks if m.start <= place < m.end}
            at += len(piece.text)
    else:
        assert len(joined) <= most + 2
        if marks:
            assert any(piece.marks for piece in body)


SHARE = st.floats(0, 1)


@settings(deadline=None)
@given(
    st.lists(SHARE, min_size=1, max_size=30),
    st.lists(st.tuples(SHARE, SHARE), min_size=1, max_size=400),
    st.lists(st.floats(0, 1e5), min_size=1, max_size=20),
)
def test_plots_stay_within_their_frames(
    recall: list[float], curve: list[tuple[float, float]], times: list[float]
) -> None:
    drawn = [
        plots.depth_plot(recall),
        plots.risk_plot(curve, curve[0]),
        plots.calibration_plot([Bin(0.0, 0.1, x, y, 3) for x, y in curve[:5]]),
        plots.latency_plot(times, [("p50", 1.0), ("p99", max(times))]),
    ]
    for svg in drawn:
        assert "nan" not in svg
        assert "inf" not in svg.replace("info", "")
        for points in re.findall(r'points="([^"]*)"', svg):
            for pair in points.split():
                x, y = map(float, pair.split(","))
                assert -0.1 <= x <= 400.1
                assert -0.1 <= y <= 270.1


@pytest.mark.parametrize("name", ["report.css", "report.js"])
def test_style_and_script_cannot_end_their_element(name: str) -> None:
    from qa.evaluation.report import _content

    assert "</" not in _content(name)


def test_when_it_was_made_is_told_to_people_and_to_programs() -> None:
    html = page(evaluated())
    assert '<time datetime="2026-04-01T12:00:00+00:00">2026-04-01 12:00 UTC</time>' in html
    assert moment("2026-04-01T12:00:00+02:00") == "2026-04-01 12:00 +0200"
    assert moment("") == ""


def test_what_a_person_gets_comes_before_the_ranking() -> None:
    with_answers = page(evaluated())
    assert "Answered right, or rightly refused" in with_answers
    assert with_answers.index("What a person gets") < with_answers.index("Ranking: passages.nDCG@10")
    assert with_answers.index("Answers by kind of question") < with_answers.index("Ranking quality by depth")
    without = page(evaluated(answers=False))
    assert "What a person gets" not in without
    assert "Answers by kind of question" not in without
