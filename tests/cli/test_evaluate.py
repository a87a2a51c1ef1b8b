"""`qa evaluate`, `qa compare`, `qa gate` and `qa index --gate` as a shell sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from qa.evaluation.runs import dump_run
from tests.cli.test_main import run
from tests.conftest import REPOSITORY
from tests.evaluation.test_comparison import run as run_of


def write(folder: Path, *ranks: int | None) -> str:
    folder.mkdir()
    (folder / "run.json").write_text(dump_run(run_of(*ranks)), encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("command", ["evaluate", "compare", "gate"])
def test_every_command_has_help(command: str) -> None:
    shown = run(command, "--help")
    assert shown.returncode == 0
    assert f"Usage: qa {command}" in shown.stdout


@pytest.mark.parametrize(
    ("before", "after", "code", "said"),
    [
        ([1, 2] * 20, [1, 2] * 20, 0, "Gate: passed."),
        ([1] * 40, [1] * 20 + [None] * 20, 1, "Gate: worse."),
        ([1, 2], [1, 2], 2, "Gate: cannot tell."),
    ],
    ids=["passes", "fails", "cannot tell"],
)
def test_exit_codes_of_the_gate(
    tmp_path: Path, before: list[int | None], after: list[int | None], code: int, said: str
) -> None:
    ended = run("gate", write(tmp_path / "a", *before), write(tmp_path / "b", *after), "--margin", "0.02")
    assert (ended.returncode, ended.stderr) == (code, "")
    assert ended.stdout.splitlines()[-1] == said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a"], "Missing argument"),
        (["a", "b", "--margin", "much"], "Invalid value for '--margin'"),
        (["a", "b", "--nope"], "No such option"),
        (["a", "nowhere"], "there is no run in nowhere"),
        (["a", "a", "--margin", "2"], "the margin is 2.0"),
        (["a", "a", "--measure", "nDCG"], "'nDCG' is not measured in both runs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_gate_that_could_not_be_tried_has_an_exit_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    write(tmp_path / "a", *[1] * 12)
    monkeypatch.chdir(tmp_path)
    ended = run("gate", *arguments)
    assert ended.returncode == 3
    assert said in ended.stderr


def test_a_run_steers_no_terminal(tmp_path: Path) -> None:
    before = write(tmp_path / "a", *[2] * 20)
    (tmp_path / "b").mkdir()
    evil = run_of(*[2] * 20, snapshot="\x1b[31mred\x1b]0;title\x07", sha256="1" * 64)
    (tmp_path / "b" / "run.json").write_text(dump_run(evil), encoding="utf-8")
    for command in ("gate", "compare"):
        ended = run(command, before, str(tmp_path / "b"))
        assert ended.returncode == 0, ended.stderr
        assert "The snapshots differ" in ended.stdout
        assert "\x1b" not in ended.stdout
        assert "\x07" not in ended.stdout
    refused = run("gate", before, str(tmp_path / "\x1b[31mnowhere"))
    assert refused.returncode == 3
    assert "\x1b" not in refused.stderr


def test_comparing_prints_a_verdict_and_writes_a_page(tmp_path: Path) -> None:
    before, after = write(tmp_path / "a", *[2] * 20), write(tmp_path / "b", *[1] * 20)
    ended = run("compare", before, after)
    assert ended.returncode == 0, ended.stderr
    # In 80 columns nothing is cut.
    assert "passages.nDCG@10" in ended.stdout.splitlines()[3]
    assert not any(line.rstrip().endswith("…") for line in ended.stdout.splitlines())
    assert "passages.nDCG@10 of 20 questions: 20 better, 0 worse. Verdict: better." in ended.stdout
    assert "<h1>Better</h1>" in (tmp_path / "b" / "compared.html").read_text(encoding="utf-8")
    elsewhere = run("compare", before, after, "-o", str(tmp_path / "c.html"), "--measure", "passages.R@5")
    assert "Verdict: no difference found." in elsewhere.stdout
    assert (tmp_path / "c.html").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"question": ""}', "q.jsonl, line 1, question: the question is missing or blank"),
        ("", "there is no question in it"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_question_file_that_is_wrong_is_one_line(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "q.jsonl"
    if content is not None:
        file.write_text(content)
    ended = run("evaluate", str(file), "-o", str(tmp_path / "run"))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert said in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["questions.csv", "progress.jsonl", "qrels-quotes.trec"])
def test_a_run_does_not_replace_its_own_questions(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("question\nWhy?\n")
    ended = run("evaluate", str(file), "-o", str(tmp_path))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line == f"qa: error: the run in {tmp_path} would replace {file}; give --output another folder"
    assert file.read_text() == "question\nWhy?\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_comparison_does_not_replace_a_run(tmp_path: Path) -> None:
    before, after = write(tmp_path / "a", 1), write(tmp_path / "b", 1)
    kept = (tmp_path / "a" / "run.json").read_bytes()
    ended = run("compare", before, after, "-o", str(tmp_path / "b" / ".." / "a" / "run.json"))
    assert ended.returncode == 1
    assert "is one of the runs; give the page another name" in ended.stderr
    assert (tmp_path / "a" / "run.json").read_bytes() == kept


def test_every_fault_of_a_question_file_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('{"question": ""}\n' * 8)
    ended = run("evaluate", str(file), "-o", str(tmp_path / "run"))
    *lines, last = ended.stderr.splitlines()
    assert len(lines) == 8
    assert last == "8 faults; --keep-going leaves such records out"
    assert all(f"line {number}, question" in line for number, line in enumerate(lines, start=1))
    file.write_text('{"question": ""}\n' * 25)
    (last,) = run("evaluate", str(file), "-o", str(tmp_path / "run")).stderr.splitlines()[20:]
    assert last.startswith("25 faults, of which the first 20 are listed;")


def test_one_question_is_one_question(tmp_path: Path) -> None:
    ended = run("gate", write(tmp_path / "a", 1), write(tmp_path / "b", 1))
    assert "of 1 question: 1 question is scored; at least" in ended.stdout
    assert "passages.nDCG@10 of 1 question: " in run("compare", str(tmp_path / "a"), str(tmp_path / "b")).stdout


@pytest.mark.model
def test_the_seed_questions_from_index_to_gate(tmp_path: Path) -> None:
    indexes = {"QA_INDEXES": str(tmp_path / "indexes")}
    questions = REPOSITORY / "seeds" / "questions.jsonl"
    built = run("index", str(REPOSITORY / "seeds"), "--gate", str(questions), **indexes)
    assert built.returncode == 0, built.stderr
    made = run("evaluate", str(questions), "-o", str(tmp_path / "a"), "--mode", "dense", **indexes)
    assert made.returncode == 0, made.stderr
    assert "passages.nDCG@10" in made.stdout
    assert "96 questions in" in made.stdout
    assert run("gate", str(tmp_path / "a"), str(tmp_path / "a")).returncode == 0
    again = run("evaluate", str(questions), "-o", str(tmp_path / "a"), "--mode", "dense", "--top-k", "7", **indexes)
    assert again.returncode == 1
    assert "holds a run of other questions, another snapshot, another calibration or other options" in again.stderr
