from __future__ import annotations

from pathlib import Path

import pytest

from qa.readers.registry import read_source
from qa.types import Document, FileReport, Source


def _read(folder: Path, name: str, data: bytes | str) -> tuple[Document | None, FileReport]:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_source(Source(name, path, path.stat().st_size))


def _text(folder: Path, name: str, data: bytes | str) -> str:
    document, report = _read(folder, name, data)
    assert document is not None, report
    return document.text


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        (
            "a.jsonl",
            '{"a": 1, "b": {"c": "x", "d": [1, 2]}}\n\n{"a": true, "b": null}\n',
            "a: 1 | b.c: x | b.d: 1, 2\na: true",
        ),
        ("a.json", '[{"a": 1}, {"a": 2}]', "a: 1\na: 2"),
        ("a.json", '{"port": "Hull", "berths": [{"no": 1}, {"no": 2}]}', "port: Hull\n\nberths\n\nno: 1\nno: 2"),
        ("a.json", '[{"a": [{"b": 1}, {"b": 2}]}]', "a.b: 1 | a.b: 2"),
        ("a.json", '"words"', "words"),
        (
            "corpus.jsonl",
            '{"_id": "7", "title": "Tides", "text": "The tide at the outer mole is read at noon by the keeper."}',
            "Tides\n\nThe tide at the outer mole is read at noon by the keeper.\n\n_id: 7",
        ),
    ],
)
def test_records_name_their_values_by_path(tmp_path: Path, name: str, data: str, text: str) -> None:
    assert _text(tmp_path, name, data) == text


def test_lines_that_are_no_json_are_reported(tmp_path: Path) -> None:
    document, report = _read(tmp_path, "a.jsonl", '{"a": 1}\n{"a": \n')
    assert document is not None
    assert (document.text, report.reason) == ("a: 1", "1 lines are no JSON")


@pytest.mark.parametrize("data", ["not json", "[" * 100_000, "{" * 10 + "]"])
def test_what_is_no_json_is_refused(tmp_path: Path, data: str) -> None:
    document, report = _read(tmp_path, "a.json", data)
    assert document is None
    assert report.status == "failed"
    assert "Error" not in report.reason


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("questions.jsonl", '{"question": "Why?", "document": "a.txt", "quote": "so"}'),
        ("queries.jsonl", '{"_id": "1", "text": "When is it open?"}'),
        ("qrels.tsv", "query-id\tcorpus-id\tscore\n1\t2\t1\n"),
    ],
)
def test_a_question_file_is_no_document(tmp_path: Path, name: str, data: str) -> None:
    document, report = _read(tmp_path, name, data)
    assert document is None
    assert (report.status, report.reason) == ("skipped", "a question file, not a document")


def test_a_notebook_is_prose_code_and_results(tmp_path: Path) -> None:
    cells = (
        '{"cells": [{"cell_type": "markdown", "source": ["# Tides\\n", "*High* water."]}, {"cell_type": "code", '
        '"source": "x = 1\\nx", "outputs": [{"data": {"text/plain": "1", "image/png": "AAAA"}}]}, 7]}'
    )
    document, _ = _read(tmp_path, "a.ipynb", cells)
    assert document is not None
    assert document.text == "Tides\n\nHigh water.\n\nx = 1\nx\n\n1"
    assert [section.title for section in document.sections] == ["Tides"]


@pytest.mark.parametrize("data", ["{}", "[]", "words", '{"cells": 7}'])
def test_what_is_no_notebook_is_refused(tmp_path: Path, data: str) -> None:
    assert "not a Jupyter notebook" in _read(tmp_path, "a.ipynb", data)[1].reason


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (
            "a.srt",
            "1\n00:01:02,000 --> 00:01:04,000\n<i>The tide</i> is\n\n2\n00:01:05,000 --> 00:01:06,000\nhigh. {\\an8}\n",
        ),
        (
            "a.vtt",
            "WEBVTT\n\n01:02.000 --> 01:04.000 align:start\nThe tide is\n\n01:05.000 --> 01:06.000\nhigh.\n",
        ),
    ],
)
def test_subtitles_are_sentences_with_their_times(tmp_path: Path, name: str, data: str) -> None:
    assert _text(tmp_path, name, data) == "[00:01:02] The tide is high."


def test_who_speaks_is_said_and_what_rolls_up_is_not_repeated(tmp_path: Path) -> None:
    cues = ["<v Ann>Where is it?", "It is", "It is", "here."]
    data = "WEBVTT\n\n" + "\n\n".join(f"00:0{n}.000 --> 00:0{n}.500\n{cue}" for n, cue in enumerate(cues))
    assert _text(tmp_path, "a.vtt", data) == "[00:00:00] Ann: Where is it?\n\n[00:00:01] It is here."
