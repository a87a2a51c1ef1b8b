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
        ("a.jsonl", '{"a": 312.00, "b": 1E5, "c": -0, "d": [1.50, 2]}\n', "a: 312.00 | b: 1E5 | c: -0 | d: 1.50, 2"),
        ("a.json", f'{{"a": {"7" * 5_000}}}', f"a: {'7' * 5_000}"),
        (
            "articles.json",
            '{"no": "7", "title": "Tides", "text": "The tide at the outer mole is read at noon by the keeper."}',
            "Tides\n\nThe tide at the outer mole is read at noon by the keeper.\n\nno: 7",
        ),
    ],
)
def test_records_name_their_values_by_path(tmp_path: Path, name: str, data: str, text: str) -> None:
    assert _text(tmp_path, name, data) == text


def test_lines_that_are_no_json_are_reported(tmp_path: Path) -> None:
    document, report = _read(tmp_path, "a.jsonl", '{"a": 1}\n{"a": \n')
    assert document is not None
    assert (document.text, report.reason) == ("a: 1", "1 lines are no JSON")


def test_lists_within_objects_are_records_under_their_path(tmp_path: Path) -> None:
    data = '{"page": 1, "data": {"town": "Ashby", "boats": [{"name": "Gull", "oars": 4}, {"name": "Tern", "oars": 2}]}}'
    document, _ = _read(tmp_path, "a.json", data)
    assert document is not None
    assert document.text == "page: 1\ndata.town: Ashby\n\ndata.boats\n\nname: Gull | oars: 4\nname: Tern | oars: 2"
    assert [section.title for section in document.sections] == ["data.boats"]


_FEED = """<?xml version="1.0"?>
<!DOCTYPE rss SYSTEM "http://x.org/rss.dtd">
<rss><channel><title>Harbour</title><!-- unseen -->
<item id="1"><title>Ferry</title><description>&lt;p&gt;It leaves from pier &lt;b&gt;nine&lt;/b&gt;.</description></item>
<item id="2"><title>Gate</title><fee currency="EUR">4</fee><who><name>Ann</name></who></item></channel></rss>"""


def test_elements_of_xml_are_records_with_paths_as_names(tmp_path: Path) -> None:
    for data in (_FEED, _FEED.encode("utf-16")):
        document, report = _read(tmp_path, "a.xml", data)
        assert document is not None
        assert document.text == (
            "channel.title: Harbour\n\nchannel.item\n\nid: 1 | title: Ferry | description: It leaves from pier nine.\n"
            "id: 2 | title: Gate | fee: 4 | fee.currency: EUR | who.name: Ann"
        )
        assert (report.status, document.media_type) == ("read", "application/xml")


def test_paragraphs_of_xml_are_lines_and_long_records_sections(tmp_path: Path) -> None:
    sentence = "The tide is <em>high</em> at noon, and the ferry goes from the outer pier to the island.".replace(
        "em", "i"
    )
    data = f"<a><sec><title>Tides</title>{f'<p>{sentence}</p>' * 6}</sec><sec><title>Boats</title><p>Two.</p></sec></a>"
    document, _ = _read(tmp_path, "a.xml", data)
    assert document is not None
    plain = sentence.replace("<i>", "").replace("</i>", "")
    assert document.text.startswith(f"sec\n\nTides\n\np: {plain}\np: {plain}\n")
    assert [section.title for section in document.sections] == ["sec", "Tides"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('<!DOCTYPE a [<!ENTITY b "x">]><a>&b;</a>', "declares entities"),
        ('<!DOCTYPE a [<!ENTITY % b SYSTEM "file:///etc/passwd">%b;]><a/>', "declares entities"),
        ("words and no elements", "not XML"),
        ("<" * 100_000, "not XML"),
    ],
)
def test_xml_that_is_none_or_an_attack_is_refused(tmp_path: Path, data: str, reason: str) -> None:
    document, report = _read(tmp_path, "a.xml", data)
    assert document is None
    assert reason in report.reason
    assert "root" not in report.reason


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-7"])
def test_entities_are_seen_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    data = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY b "xxxx">]><a><c>&b;</c></a>'
    document, _ = _read(tmp_path, "a.xml", data.encode(encoding))
    assert document is None or "xxxx" not in document.text


def test_damaged_xml_is_read_as_far_as_it_goes_and_reported(tmp_path: Path) -> None:
    document, report = _read(tmp_path, "a.xml", "<a><b>One &nbsp; two</b><b>Three</a>")
    assert document is not None
    assert "Three" in document.text
    assert report.reason == "its XML is damaged and read in part"


def test_elements_nested_without_end_are_bounded(tmp_path: Path) -> None:
    _, report = _read(tmp_path, "a.xml", "<a>" * 50_000 + "x")
    assert "Error" not in report.reason


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
        (
            "topics.jsonl",
            '{"_id": "1", "text": "When is it open?", "paraphrase_of": "Opening hours?"}\n{"_id": "2", "te',
        ),
        ("queries.jsonl", '{"_id": "1", "text": "Tides are read at noon.", "label": "SUPPORTED"}\n'),
        ("qrels.tsv", "query-id\tcorpus-id\tscore\n1\t2\t1\n"),
    ],
)
def test_a_question_file_is_no_document(tmp_path: Path, name: str, data: str) -> None:
    document, report = _read(tmp_path, name, data)
    assert document is None
    assert (report.status, report.reason) == ("skipped", "a question file, not a document")


@pytest.mark.parametrize(
    "data",
    [
        '{"_id": "1", "text": "When is it open?", "answer": "At nine."}\n',
        '{"_id": "1", "text": "It is open at nine."}\n',
        '{"_id": "1", "text": "When is it open?"}\n{\n',
    ],
)
def test_records_that_only_look_like_queries_are_read(tmp_path: Path, data: str) -> None:
    assert _read(tmp_path, "faq.jsonl", data)[0] is not None


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
