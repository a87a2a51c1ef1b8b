"""Question files of every format, and the errors of faulty records."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.errors import QuestionFileError
from qa.questions.formats import Format, load_questions, parse_questions
from qa.questions.questions import Question, Quote, _made_id
from tests.conftest import REPOSITORY

FULL = {
    "id": "one",
    "question": "When does the ferry leave?",
    "evidence": [{"document": "ferry.txt", "quote": "leaves at noon"}],
    "answers": ["noon", "at noon"],
    "documents": ["ferry.txt"],
    "answerable": True,
    "tags": ["when"],
}
PARSED = Question(
    "one",
    "When does the ferry leave?",
    (Quote("ferry.txt", "leaves at noon"),),
    ("noon", "at noon"),
    {"ferry.txt": 1},
    answerable=True,
    tags=("when",),
    line=1,
)


def jsonl(*records: Any) -> bytes:
    return "\n".join(json.dumps(record) for record in records).encode()


def fault(data: bytes, name: str = "q.jsonl") -> str:
    with pytest.raises(QuestionFileError) as raised:
        parse_questions(name, data)
    return str(raised.value)


def test_the_seed_questions() -> None:
    questions = load_questions(REPOSITORY / "seeds" / "questions.jsonl").questions
    assert len(questions) == 96
    assert questions[0].evidence[0].text.startswith("the Iraqi-led coalition")
    assert {question.answerable for question in questions} == {True, False}


def test_a_full_record_of_jsonl() -> None:
    assert parse_questions("q.jsonl", jsonl(FULL)).questions == (PARSED,)


@pytest.mark.parametrize(("name", "delimiter"), [("q.csv", ","), ("q.tsv", "\t")])
def test_the_same_record_in_a_table(name: str, delimiter: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(FULL)
    writer.writerow([v if isinstance(v, str) else json.dumps(v) for v in FULL.values()])
    (question,) = parse_questions(name, out.getvalue().encode()).questions
    assert question == Question(**{**_fields(PARSED), "line": 2})


def test_a_table_for_people() -> None:
    data = "question,document,quote,answers,tags\nWhen?,ferry.txt,leaves at noon,noon|12,a|b\nWhere?,ferry.txt,,,\n"
    when, where = parse_questions("q.csv", data.encode()).questions
    assert when.evidence == (Quote("ferry.txt", "leaves at noon"),)
    assert (when.answers, when.tags) == (("noon", "12"), ("a", "b"))
    assert (where.evidence, where.documents) == ((), {"ferry.txt": 1})


def test_a_file_with_questions_alone_is_not_judged() -> None:
    (question,) = parse_questions("q.jsonl", jsonl({"question": "When?"})).questions
    assert not question.is_judged
    assert question.answerable is None


def test_an_id_is_made_of_the_words_and_stays_when_lines_are_added() -> None:
    before = parse_questions("q.jsonl", jsonl({"question": "When?"})).questions
    after = parse_questions(
        "q.jsonl", jsonl({"question": "Where?"}, {"question": "When?"}, {"question": "When?"})
    ).questions
    assert after[1].id == before[0].id
    assert len({question.id for question in after}) == 3


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"question": " "}, "line 1, question: the question is missing or blank"),
        ({}, "line 1, question: the question is missing"),
        ({"question": "x", "answer": ["y"]}, "line 1, answer: 'answer' is not a known field; did you mean answers?"),
        ({"question": "x", "answers": [1]}, "answers must be a list of texts"),
        ({"question": "x", "evidence": "y"}, "evidence must be a list of objects"),
        ({"question": "x", "evidence": [{"document": "a"}]}, "line 1, evidence[0].quote: evidence[0] has no quote"),
        ({"question": "x", "evidence": [{"doc": "a"}]}, "evidence[0].doc: 'doc' is not a known field"),
        ({"question": "x", "evidence": ["y"]}, "evidence[0] must be an object"),
        ({"question": "x", "documents": {"a": 1.5}}, "grade must be a whole number"),
        ({"question": "x", "documents": {"a": True}}, "grade must be a whole number"),
        ({"question": "x", "answerable": "perhaps"}, "answerable is 'perhaps'"),
        ({"question": "x", "answerable": False, "answers": ["y"]}, "is said to have no answer, and has"),
        ({"question": "x", "id": "a\nb"}, "at most 200 printable characters"),
        ([1], "line 1: must be a JSON object"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_record_that_is_wrong_names_line_and_field(record: Any, message: str) -> None:
    assert message in fault(jsonl(record))


def test_what_is_no_json_no_utf8_or_no_table() -> None:
    assert "q.jsonl, line 2: is not JSON" in fault(b'{"question": "a"}\n{"question')
    assert "q.jsonl, line 2: is not UTF-8" in fault(b'{"question": "a"}\n\xff')
    assert "first line must name the columns" in fault(b"a,b\n1,2\n", "q.csv")
    assert "line 3: has 3 cells" in fault(b"question,id\nx,1\ny,2,z\n", "q.csv")
    assert "line 2, evidence: is not JSON" in fault(b"question,evidence\nx,leaves\n", "q.csv")
    assert "there is no question in it" in fault(b"", "q.jsonl")
    assert "its name does not say its format" in fault(b"", "q.doc")


def test_a_line_of_a_table_is_where_its_row_begins() -> None:
    assert "q.csv, line 4, answerable" in fault(b'question,answerable\n"one\ntwo",true\nthree,perhaps\n', "q.csv")


def test_an_id_that_is_used_twice() -> None:
    assert "line 2, id: the id 'a' was used before, on line 1" in fault(
        jsonl({"id": "a", "question": "x"}, {"id": "a", "question": "y"})
    )


def test_all_faults_are_kept_and_going_on_scores_the_rest() -> None:
    data = jsonl({"question": "x"}, {"question": ""}, {"question": "y", "tag": ["z"]})
    with pytest.raises(QuestionFileError, match="and 1 more; --keep-going") as raised:
        parse_questions("q.jsonl", data)
    assert [fault.line for fault in raised.value.faults] == [2, 3]
    kept = parse_questions("q.jsonl", data, keep_going=True)
    assert [question.text for question in kept.questions] == ["x"]
    assert kept.left_out == raised.value.faults


def test_a_beir_folder(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "queries.jsonl").write_bytes(
        jsonl({"_id": "1", "text": "When?", "metadata": {}}, {"_id": "2", "text": "Of another split?"})
    )
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n2\tb\t1\n")
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta\t2\n1\tb\t0\n")
    (question,) = load_questions(tmp_path).questions
    assert (question.id, question.text, question.documents) == ("1", "When?", {"a": 2, "b": 0})


def test_trec_topics_with_qrels(tmp_path: Path) -> None:
    (tmp_path / "topics.301.txt").write_text(
        "<top>\n<num> Number: 301\n<title> Organized crime\n<desc> Description:\nAll of it.\n</top>\n"
        '<topic number="302">\n<query>Tea &amp; polio</query>\n</topic>\n'
    )
    (tmp_path / "qrels.txt").write_text("301 0 FT911-1 1\n301 0 FT911-2 0\n302 0 FT911-3 -1\n")
    first, second = load_questions(tmp_path).questions
    assert (first.id, first.text, first.documents) == ("301", "Organized crime", {"FT911-1": 1, "FT911-2": 0})
    assert (second.id, second.text, second.documents, second.answerable) == ("302", "Tea & polio", {"FT911-3": 0}, None)
    assert load_questions(tmp_path / "topics.301.txt", qrels=tmp_path / "qrels.txt").questions == (first, second)


def test_squad_of_both_versions() -> None:
    context = "The ferry leaves at noon."
    answers = [
        {"text": "noon", "answer_start": 20},
        {"text": "at noon", "answer_start": 17},
        {"text": "noon", "answer_start": 20},
    ]
    qas = [
        {"id": "a", "question": "When?", "answers": answers},
        {"id": "b", "question": "Why?", "answers": [], "is_impossible": True},
    ]
    data = json.dumps({"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": qas}]}]})
    when, why = parse_questions("squad.json", data.encode()).questions
    assert when.evidence == (Quote(None, context, (20, 24)),)
    assert when.answers == ("noon", "at noon")
    assert (why.answerable, why.evidence) == (False, ())
    assert "its answer is not in the context" in fault(
        data.replace('"answer_start": 20', '"answer_start": 3').encode(), "s.json"
    )
    assert "is no SQuAD file" in fault(b'{"data": [1]}', "s.json")


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["q.jsonl", "q.csv", "q.tsv", "q.json", "q.txt"]))
def test_any_bytes_are_questions_or_a_question_file_error(data: bytes, name: str) -> None:
    try:
        questions = parse_questions(name, data).questions
    except QuestionFileError:
        return
    assert all(question.text.strip() for question in questions)


TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: bool(text.strip()))


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=3)), min_size=1, max_size=5))
def test_what_is_written_is_read(rows: list[tuple[str, list[str]]]) -> None:
    records = [{"question": text, "answers": answers} for text, answers in rows]
    questions = parse_questions("q.jsonl", jsonl(*records)).questions
    assert [q.text for q in questions] == [text.strip() for text, _ in rows]
    assert [set(q.answers) for q in questions] == [{answer.strip() for answer in answers} for _, answers in rows]


def _fields(question: Question) -> dict[str, Any]:
    return {name: getattr(question, name) for name in Question.__slots__}


def test_the_same_question_without_an_id_is_given_an_id_at_the_first_try() -> None:
    class Ids(dict[str, int]):
        """Ids that count how often it is asked whether one of them is taken."""

        looks = 0

        def __contains__(self, id: object) -> bool:
            Ids.looks += 1
            return super().__contains__(id)

    seen, made = Ids(), dict[str, int]()
    for _ in range(3000):
        seen[_made_id("Why?", seen, made)] = 1
    assert (len(seen), Ids.looks) == (3000, 3000)


def test_an_id_that_the_file_itself_uses_is_not_made() -> None:
    (first,) = parse_questions("q.jsonl", b'{"question": "Why?"}', "jsonl").questions
    lines = [
        {"question": "Why?"},
        {"question": "How?", "id": f"{first.id}-2"},
        {"question": "Why?"},
        {"question": "Why?"},
    ]
    questions = parse_questions("q.jsonl", jsonl(*lines), "jsonl").questions
    assert [question.id for question in questions] == [first.id, f"{first.id}-2", f"{first.id}-3", f"{first.id}-4"]


@pytest.mark.parametrize("keep_going", [True, False])
@pytest.mark.parametrize(
    ("data", "format", "said"),
    [
        (b"{}\n" * 100_000, "jsonl", "the file holds more than 1,000 questions"),
        (b'{"question": "a?"}\n' * 1_001, "jsonl", "the file holds more than 1,000 questions"),
        (b"question\n" + b"a?\n" * 1_001, "csv", "the file holds more than 1,000 questions"),
        (b'{"question": "a?"}\n[' + b"[]," * 400_000 + b"[]]", "jsonl", "line 2: is longer than 1,000,000 bytes"),
        (b'{"data": [' + b"{}," * 1_000_001 + b"{}]}", "squad", "values; at most 2,000,000 are allowed"),
    ],
    ids=["faults", "questions", "rows", "line", "values"],
)
def test_a_client_s_file_is_read_as_far_as_it_may_be_long(
    data: bytes, format: Format, said: str, keep_going: bool
) -> None:
    with pytest.raises(QuestionFileError, match=said) as refused:
        parse_questions("q", data, format, keep_going=keep_going, most=1000)
    assert len(refused.value.faults) == 1
    assert len(parse_questions("q", b'{"question": "a?"}\n' * 1_000, "jsonl", most=1000).questions) == 1000


def test_a_fault_repeats_no_more_than_a_line_of_the_file() -> None:
    data = (
        b'{"question": "a?", "' + b"x" * 900_000 + b'": 1}\n{"question": "a?", "answerable": "' + b"y" * 900_000 + b'"}'
    )
    with pytest.raises(QuestionFileError) as refused:
        parse_questions("q.jsonl", data, "jsonl")
    assert len(refused.value.faults) == 2
    assert all(len(str(fault)) < 1200 for fault in refused.value.faults)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("q.csv", "id;question;answers\n1;When does it leave?;noon\n".encode("utf-8-sig")),
        ("q.csv", "id\tquestion\tanswer\r\n1\tWhen does it leave?\tnoon\r\n".encode("utf-16")),
        ("q.csv", b",id,question,answer\n0,1,When does it leave?,noon\n"),
        ("q.csv", b"Unnamed: 0,id,question,answer\n0,1,When does it leave?,noon\n"),
        ("q.json", b'[{"id": 1, "question": "When does it leave?", "answer": "noon"}]'),
        ("q.jsonl", b'{"id": 1, "question": "When does it leave?", "answer": "noon"}\r\n\r\n'),
    ],
)
def test_what_spreadsheets_and_libraries_write_is_read(name: str, data: bytes) -> None:
    (question,) = parse_questions(name, data).questions
    assert (question.id, question.text, question.answers) == ("1", "When does it leave?", ("noon",))


def test_an_answer_that_is_blank_is_none() -> None:
    (question,) = parse_questions("q.jsonl", b'{"question": "Why?", "answer": " "}').questions
    assert (question.answers, question.answerable) == ((), None)


@pytest.mark.parametrize("text", ["[", "[1,", '[{"question": "Why?"} x]', "[nope]"])
def test_a_list_that_is_no_json_names_the_line(text: str) -> None:
    assert fault(f"\n{text}".encode(), "q.json").startswith("q.json, line 2")
