"""A run on disk: what is written is read, what was cut off continues, and no other run is overwritten."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.errors import RunError
from qa.evaluation.outcomes import Evaluation, GivenAnswer, Inputs, PassageText, QuestionOutcome, RankedPassage, ask_all
from qa.evaluation.runs import WRITTEN, RunFolder, dump_run, dump_tables, load_run
from qa.evaluation.summary import compute_values
from qa.questions.questions import Evidence, JudgedQuestion
from qa.types import Scores, Span
from tests.support.evaluation_samples import Folder, WordSearch, inputs, outcome, question

QUESTIONS = [
    JudgedQuestion(f"q{n}", f"{word}?") for n, word in enumerate(["ferry", "tickets", "children", "quay", "slow"])
]
WORDS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)


@st.composite
def outcomes(draw: st.DrawFn) -> QuestionOutcome:
    spans = st.tuples(st.integers(0, 50), st.integers(51, 99))
    quotes = tuple(
        Evidence(draw(WORDS), *draw(spans), draw(WORDS), tuple(draw(st.lists(WORDS, max_size=2))))
        for _ in range(draw(st.integers(0, 2)))
    )
    asked = JudgedQuestion(
        draw(WORDS), draw(WORDS), quotes, draw(st.dictionaries(WORDS, st.integers(0, 3), max_size=2)),
        tuple(draw(st.lists(WORDS, max_size=2))), draw(st.none() | st.booleans()),
        tuple(draw(st.lists(WORDS, max_size=2))),
    )  # fmt: skip
    score = st.none() | st.floats(-5, 5)
    found = [RankedPassage(draw(WORDS), draw(WORDS), *draw(spans), Scores(draw(score), draw(score))) for _ in range(2)]
    answer = GivenAnswer(
        draw(st.sampled_from(["answered", "unsure", "not_found"])),
        draw(score),
        draw(st.none() | WORDS),
        draw(WORDS),
        Span(1, 2),
    )
    return QuestionOutcome(
        asked, tuple(found), draw(st.none() | st.just(answer)), {"total": draw(st.floats(0, 9))}, draw(WORDS)
    )


@settings(deadline=None)
@given(
    st.lists(outcomes(), max_size=3),
    st.dictionaries(WORDS, st.builds(PassageText, WORDS, WORDS, st.integers(1, 9), WORDS), max_size=2),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, made: list[QuestionOutcome], texts: dict[str, PassageText]
) -> None:
    evaluation = Evaluation(inputs(), tuple(made), texts, ("left out",), "2026-04-01T12:00:00+00:00", 1.5)
    path = tmp_path_factory.getbasetemp() / "round-trip.json"
    path.write_text(dump_run(evaluation), encoding="utf-8")
    assert load_run(path) == evaluation


def ask(
    folder: Path, search: WordSearch, *, stop_after: int | None = None, given_inputs: Inputs | None = None
) -> list[QuestionOutcome]:
    """Ask what is not asked yet, as ``qa.evaluation.evaluate`` does; stop after ``stop_after``, as if killed."""
    run = RunFolder(folder, given_inputs or inputs())
    steps = run.done()
    done = {each.question.id for each, _ in steps}
    pending = [question for question in QUESTIONS if question.id not in done]
    for number, step in enumerate(ask_all(pending, search.ask_many, inputs()), start=1):
        run.append(step)
        steps.append(step)
        if number == stop_after:
            break
    run.close()
    return [each for each, _ in steps]


def test_what_was_asked_is_not_asked_again(tmp_path: Path) -> None:
    search = WordSearch(Folder())
    whole = ask(tmp_path / "whole", search)
    ask(tmp_path / "cut", search, stop_after=2)
    search.asked = 0
    assert ask(tmp_path / "cut", search) == whole
    assert search.asked == 3


@pytest.mark.parametrize("lost", [1, 30, 200])
def test_a_line_that_was_cut_off_is_asked_again(tmp_path: Path, lost: int) -> None:
    search = WordSearch(Folder())
    whole = ask(tmp_path / "whole", search)
    ask(tmp_path / "cut", search, stop_after=3)
    progress = tmp_path / "cut" / "progress.jsonl"
    progress.write_bytes(progress.read_bytes()[:-lost])
    assert ask(tmp_path / "cut", search) == whole


def finish(folder: Path, evaluation: Evaluation) -> None:
    RunFolder(folder, evaluation.inputs, force=True).finish(evaluation, {"report.html": "<p>"})


@pytest.mark.parametrize("is_finished", [True, False])
def test_another_run_is_not_overwritten_unless_forced(tmp_path: Path, is_finished: bool) -> None:
    if is_finished:
        finish(tmp_path, Evaluation(inputs(), (), {}))
    else:
        ask(tmp_path, WordSearch(Folder()), stop_after=1)
    other = inputs(sha256="1" * 64)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RunError, match="another calibration or other options; take another folder"):
        RunFolder(tmp_path, other).done()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    forced = RunFolder(tmp_path, other, force=True)
    assert (forced.is_finished, forced.done()) == (False, [])


def test_a_finished_run_leaves_no_progress(tmp_path: Path) -> None:
    ask(tmp_path, WordSearch(Folder()))
    run = RunFolder(tmp_path, inputs())
    run.finish(Evaluation(inputs(), (), {}), {"report.html": "<p>"})
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "report.html"}
    assert RunFolder(tmp_path, inputs()).is_finished


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no run in"),
        ("{", "is damaged"),
        ("[]", "holds no JSON object"),
        ('{"format": 99}', "another version"),
        ('{"format": 2}', "is damaged ('inputs')"),
    ],
)
def test_what_is_no_run(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError) as raised:
        load_run(tmp_path)
    assert message in str(raised.value)


def spaced() -> Evaluation:
    made = [
        outcome(question("a b", ["x"], ["y z"], documents=["d"]), "w", "y z", "x"),
        outcome(question("c", ["v"], documents=["e"]), "x", "v", "e/w"),
    ]
    return Evaluation(inputs(), tuple(made), {})


@pytest.mark.parametrize("level", ["", "-documents"])
def test_the_trec_files_give_the_same_measures_to_ir_measures(level: str) -> None:
    evaluation = spaced()
    values = compute_values(evaluation)
    files = dump_tables(evaluation, values)
    assert {*files, "run.json", "summary.json", "report.html", "progress.jsonl"} == WRITTEN
    qrels = list(ir_measures.read_trec_qrels(files[f"qrels{level}.trec"]))
    run = list(ir_measures.read_trec_run(files[f"run{level}.trec"]))
    for name in ("nDCG@10", "AP", "RR@10", "P@5"):
        found = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.parse_measure(name)], qrels, run)}
        mine = [each[f"{'documents' if level else 'passages'}.{name}"] for each in values]
        assert [found["a%20b"], found["c"]] == pytest.approx(mine)


def test_recall_of_quotes_from_the_trec_files() -> None:
    evaluation = spaced()
    values = compute_values(evaluation)
    files = dump_tables(evaluation, values)
    qrels = list(ir_measures.read_trec_qrels(files["qrels-quotes.trec"]))
    run = [
        ir_measures.ScoredDoc(f"{ranked.query_id}#{number}", ranked.doc_id, ranked.score)
        for ranked in ir_measures.read_trec_run(files["run.trec"])
        for number in (1, 2)
    ]
    found = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.Success @ 1], qrels, run)}
    assert (found["a%20b#1"] + found["a%20b#2"]) / 2 == values[0]["passages.R@1"]


def test_the_table_of_questions_holds_no_formula() -> None:
    evil = JudgedQuestion("=1+1", '=HYPERLINK("http://x")', answers=("x",), answerable=True)
    answered = QuestionOutcome(evil, answer=GivenAnswer("answered", 0.5, "@SUM(A1)"), timings_ms={"total": 3.0})
    evaluation = Evaluation(inputs(), (answered,), {})
    (row,) = csv.DictReader(io.StringIO(dump_tables(evaluation, compute_values(evaluation))["questions.csv"]))
    assert (row["id"], row["question"], row["answer"]) == ("'=1+1", '\'=HYPERLINK("http://x")', "'@SUM(A1)")
    assert (row["confidence"], row["answers.F1"], row["failures"]) == ("0.5000", "0", "wrongly answered")


def test_the_table_of_questions_holds_nothing_that_a_terminal_acts_on() -> None:
    evil = JudgedQuestion("a\x1b[2J", "b\u202ec\nd", answers=("x",), answerable=True)
    answered = QuestionOutcome(evil, answer=GivenAnswer("answered", 0.5, "\x9b31m"), timings_ms={"total": 3.0})
    evaluation = Evaluation(inputs(), (answered,), {})
    table = dump_tables(evaluation, compute_values(evaluation))["questions.csv"]
    (row,) = csv.DictReader(io.StringIO(table, newline=""))
    assert (row["id"], row["question"], row["answer"]) == (r"a\x1b[2J", "b\\u202ec\nd", r"\x9b31m")


def test_progress_begins_with_what_was_asked_of_what(tmp_path: Path) -> None:
    ask(tmp_path, WordSearch(Folder()), stop_after=1)
    first: Sequence[str] = (tmp_path / "progress.jsonl").read_text().splitlines()
    assert json.loads(first[0])["snapshot"] == inputs().snapshot
