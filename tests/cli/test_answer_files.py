"""Files of questions, answered: what is read, what is written, and that nothing half done is left."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qa.cli.answer_files import COLUMNS, answer_file, check_questions
from qa.cli.main import app
from qa.errors import QAError, QueryError, QuestionFileError, SettingsError
from qa.types import Query
from qa.web.api.responses import AskResponse
from tests.support.fake_service import ANSWER, FERRY, NOON, FakeService
from tests.support.served import serving

QUESTION = "When does the ferry leave?"
TABLES = {
    "comma.csv": f"question,answer\n{QUESTION},noon\n\nWhy?,\n".encode(),
    "semicolon.csv": f"id;question\r\n1;{QUESTION}\r\n2;Why?\r\n".encode("utf-8-sig"),
    "index.csv": f",question\n0,{QUESTION}\n1,Why?\n".encode(),
    "unicode.csv": f"question\tanswer\r\n{QUESTION}\tnoon\r\nWhy?\t\r\n".encode("utf-16"),
    "lines.txt": f"{QUESTION}\n\nWhy?\n".encode(),
    "lines.jsonl": f'{{"question": "{QUESTION}"}}\r\n{{"question": "Why?", "answer": "tides"}}\r\n'.encode(),
    "list.json": json.dumps([{"question": QUESTION}, "Why?"], indent=1).encode(),
}


@pytest.fixture
def service() -> FakeService:
    service = FakeService()
    service.answer = ANSWER
    return service


@pytest.fixture
def address(service: FakeService) -> Iterator[str]:
    with serving(service) as address:
        yield address


def qa(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["ask", *map(str, arguments)])


@pytest.mark.server
@pytest.mark.parametrize("name", TABLES)
def test_questions_of_every_kind_of_file_are_answered_with_their_citation(
    tmp_path: Path, service: FakeService, address: str, name: str
) -> None:
    file, output = tmp_path / name, tmp_path / "answers.csv"
    file.write_bytes(TABLES[name])
    assert qa("--file", file, "-o", output, "--url", address).exit_code == 0
    first, second = csv.DictReader(io.StringIO(output.read_text(encoding="utf-8")))
    assert tuple(first) == COLUMNS
    assert [first["question"], second["question"]] == [QUESTION, "Why?"]
    assert (first["outcome"], first["answer"], first["confidence"]) == ("answered", "noon", "0.8")
    cited = [first[each] for each in ("document", "page", "section", "start", "end", "sha256", "status")]
    assert cited == [FERRY.id, "1", "Crossing the bay", str(NOON), str(NOON + 4), "0" * 64, "verified"]
    assert {query.top_k for query in service.asked} == {1}


@pytest.mark.server
def test_lines_of_json_have_the_same_and_guesses_and_errors_are_called_so(
    tmp_path: Path, service: FakeService, address: str
) -> None:
    service.answer = replace(ANSWER, outcome="unsure", confidence=0.4)
    file, output = tmp_path / "questions.txt", tmp_path / "answers.jsonl"
    file.write_text(f"{QUESTION}\nIs it impossible?\n{'x' * 201}\n", encoding="utf-8")
    done = qa("--file", file, "-o", output, "--url", address, "--max-error", "0.1")
    assert "3 questions asked; the answers are in" in done.stderr
    assert "qa: error: 2 of 3 questions failed; their outcome is error, and the column error says why" in done.stderr
    assert done.exit_code == 1
    guess, impossible, long = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    assert (guess["outcome"], guess["answer"], guess["start"], guess["error"]) == ("unsure", "noon", NOON, None)
    assert (impossible["outcome"], impossible["answer"]) == ("error", None)
    assert impossible["error"] == "the question is impossible; ask another."
    assert long["error"].startswith("the question has 201 characters")
    assert {query.max_error for query in service.asked} == {0.1}


@pytest.mark.server
def test_a_table_as_excel_saves_it_with_columns_of_ones_own_is_answered(
    tmp_path: Path, service: FakeService, address: str
) -> None:
    file, output = tmp_path / "questions.csv", tmp_path / "answers.csv"
    table = "question;Department;tags;Größe\r\nWann fährt die Fähre?;Häfen;[1;5\r\nWhy – and “when”?;;;\r\n"
    file.write_bytes(table.replace("[1", "a|b").encode("cp1252"))
    done = qa("--file", file, "-o", output, "--url", address)
    assert (done.exit_code, [query.question for query in service.asked]) == (
        0,
        ["Wann fährt die Fähre?", "Why – and “when”?"],
    )
    assert (
        "note: questions.csv is not UTF-8, and is read as Windows-1252; if letters are wrong, save it as UTF-8"
        in done.stderr
    )
    assert done.stderr.count("note: these fields are passed over: department, größe") == 1


def test_a_file_in_no_known_encoding_says_what_to_do(tmp_path: Path) -> None:
    for name, said in (
        ("q.csv", "is neither UTF-8 nor Windows-1252; save it as UTF-8"),
        ("q.jsonl", "is not UTF-8; save it"),
    ):
        file = tmp_path / name
        file.write_bytes(b"question\nWhy \x81?\n")
        with pytest.raises(QuestionFileError, match=said):
            check_questions(file, keep_going=False)


@pytest.mark.server
def test_a_dash_shows_the_answers(tmp_path: Path, address: str) -> None:
    file = tmp_path / "questions.txt"
    file.write_text(QUESTION, encoding="utf-8")
    done = qa("--file", file, "--url", address)
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert (row["answer"], done.exit_code) == ("noon", 0)
    file.write_text("Is it impossible?", encoding="utf-8")
    done = qa("--file", file, "--url", address)
    assert (next(csv.DictReader(io.StringIO(done.stdout)))["outcome"], done.exit_code) == ("error", 1)
    assert "qa: error: 1 of 1 question failed;" in done.stderr


@pytest.mark.parametrize("kind", ["same", "other path", "symbolic link", "hard link"])
def test_answers_do_not_replace_their_own_questions(tmp_path: Path, kind: str) -> None:
    file, output = tmp_path / "self.csv", tmp_path / "other.csv"
    file.write_text(f"question\n{QUESTION}\n", encoding="utf-8")
    match kind:
        case "same":
            output = file
        case "other path":
            (tmp_path / "below").mkdir()
            output = tmp_path / "below" / ".." / "self.csv"
        case "symbolic link":
            output.symlink_to(file)
        case _:
            output.hardlink_to(file)
    # Nothing answers at this address: it is refused before anything is asked.
    done = qa("--file", file, "-o", output, "--url", "http://127.0.0.1:1")
    assert isinstance(done.exception, SettingsError)
    assert str(done.exception) == f"--output {output} is the question file itself; give the answers another name"
    assert file.read_text(encoding="utf-8") == f"question\n{QUESTION}\n"


def replies(questions: Sequence[str]) -> list[AskResponse | QAError]:
    service = FakeService()
    service.limits = replace(service.limits, question_chars=2000)
    return [AskResponse.from_reply(service.ask(Query(question))) for question in questions]


def test_a_wrong_line_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "Why?"}\n{"questoin": "What?"}\n{"question"\n', encoding="utf-8")
    with pytest.raises(QuestionFileError) as raised:
        check_questions(file, keep_going=False)
    assert [fault.line for fault in raised.value.faults] == [2, 3]
    assert "did you mean question?" in str(raised.value)
    checked = check_questions(file, keep_going=True)
    assert (checked.count, len(checked.faults), checked.notes) == (1, 2, ())
    answer_file(file, str(tmp_path / "out.csv"), "csv", replies, lambda done: None)
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").count("\n") == 2


def test_a_list_of_json_names_the_line_where_a_wrong_question_begins(tmp_path: Path) -> None:
    file = tmp_path / "questions.json"
    file.write_text('[\n {"question": "Why?"},\n {"question": 5},\n 7\n]', encoding="utf-8")
    with pytest.raises(QuestionFileError) as raised:
        check_questions(file, keep_going=False)
    assert [fault.line for fault in raised.value.faults] == [3, 4]


def test_what_fails_on_the_way_leaves_the_answers_from_before(tmp_path: Path) -> None:
    file, output = tmp_path / "questions.txt", tmp_path / "answers.csv"
    file.write_text("Why?\n" * 40, encoding="utf-8")
    output.write_text("from before", encoding="utf-8")
    asked: list[int] = []

    def fail_later(questions: Sequence[str]) -> list[AskResponse | QAError]:
        if asked:
            raise QueryError("question", "the service is gone")
        return replies(questions)

    with pytest.raises(QueryError):
        answer_file(file, str(output), "csv", fail_later, asked.append)
    assert (asked, output.read_text(encoding="utf-8")) == ([16], "from before")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "questions.txt"]


@pytest.mark.parametrize(
    ("question", "cell"),
    [
        *[
            ("=1+1?", "'=1+1?"),
            ("@cmd?", "'@cmd?"),
            ("-1+cmd|x?", "'-1+cmd|x?"),
            ("-18 °C", "-18 °C"),
            ("Why?", "Why?"),
        ],
        ("Why\x1b[2J?", "Why\\x1b[2J?"),
    ],
)
def test_a_table_acts_on_no_spreadsheet_and_no_terminal(tmp_path: Path, question: str, cell: str) -> None:
    file, output = tmp_path / "questions.jsonl", tmp_path / "answers.csv"
    file.write_text(json.dumps({"question": question}), encoding="utf-8")
    answer_file(file, str(output), "csv", replies, lambda done: None)
    (row,) = csv.DictReader(io.StringIO(output.read_text(encoding="utf-8")))
    assert row["question"] == cell


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("--file", "q.txt", "-o", "a.xlsx", "--url", "http://127.0.0.1:1"), SettingsError),
        (("--file", "no.txt", "-o", "a.csv", "--url", "http://127.0.0.1:1"), QuestionFileError),
        (("--file", "no.trec", "--url", "http://127.0.0.1:1"), QuestionFileError),
        (("--file", "q.txt", "--after", "Why?", "--url", "http://127.0.0.1:1"), SettingsError),
    ],
)
def test_what_cannot_be_done_with_a_file_is_said(arguments: tuple[str, ...], kind: type[Exception]) -> None:
    assert isinstance(qa(*arguments).exception, kind)


def test_either_a_question_or_a_file_is_given() -> None:
    for arguments in ((), ("Why?", "--file", "q.txt")):
        done = qa(*arguments)
        assert done.exit_code == 2
        assert "give either a question, or a file of them with --file" in done.stderr
