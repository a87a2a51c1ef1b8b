"""Answer readers: the span they choose stands where they say, in short and long texts, whatever the question."""

from __future__ import annotations

from pathlib import Path

import pytest

from qa.errors import ModelNotFound
from qa.models.files import locate_answer_reader
from qa.models.loading import make_answer_reader
from qa.models.span_reader import TransformersAnswerReader
from qa.settings import Settings
from tests.models.conftest import TinyModel

pytestmark = pytest.mark.slow

LONG = " ".join(f"In {year} the town counted {year * 7} people." for year in range(1900, 1960))
TEXTS = ["Apples grow on trees.", "", "   ", "Яблоки растут. 苹果 تفاح", LONG]


@pytest.fixture(scope="module")
def folder(tiny_answer_reader: TinyModel) -> Path:
    return tiny_answer_reader()


@pytest.fixture(scope="module")
def reader(folder: Path) -> TransformersAnswerReader:
    return TransformersAnswerReader(locate_answer_reader(str(folder)), threads=1)


def test_spans_are_of_their_texts(reader: TransformersAnswerReader) -> None:
    found = reader.read("Where do apples grow?", TEXTS)
    assert [reading is None for reading in found] == [False, True, True, False, False]
    for text, reading in zip(TEXTS, found, strict=True):
        if reading is not None:
            chosen = text[reading.span.start : reading.span.end]
            assert chosen
            assert chosen == chosen.strip()


def test_a_text_longer_than_the_window_is_read_to_its_end(reader: TransformersAnswerReader) -> None:
    question = "How many people in 1959?"
    (whole,) = reader.read(question, [LONG])
    parts = [reading for reading in reader.read(question, LONG.split(". ")) if reading is not None]
    assert whole is not None
    # Random weights like one place best; wherever it is, it is not only looked for in the first window.
    (beginning,) = reader.read(question, [LONG[:120]])
    assert beginning is not None
    assert whole.score >= beginning.score - 1e-3 or whole.span.start > 120
    assert len(parts) == len(LONG.split(". "))


def test_the_order_of_texts_does_not_matter(reader: TransformersAnswerReader) -> None:
    there = reader.read("Where?", TEXTS)
    back = reader.read("Where?", TEXTS[::-1])[::-1]
    assert [reading and reading.span for reading in there] == [reading and reading.span for reading in back]


def test_a_question_longer_than_the_window_leaves_room_for_the_text(reader: TransformersAnswerReader) -> None:
    (reading,) = reader.read("Where do apples grow? " * 100, ["Apples grow on trees."])
    assert reading is not None


def test_nothing_to_read(reader: TransformersAnswerReader) -> None:
    assert reader.read("Where?", []) == []


def test_none_is_used_where_none_is_named() -> None:
    assert make_answer_reader(Settings(), threads=1) is None


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_what_is_no_model_is_refused_by_name(tiny_answer_reader: TinyModel, missing: str) -> None:
    folder = tiny_answer_reader()
    (folder / missing).unlink()
    with pytest.raises(ModelNotFound, match="QA_READER"):
        make_answer_reader(Settings(reader=str(folder)), threads=1)


def test_a_model_for_something_else_is_refused(tiny_cross_encoder: TinyModel) -> None:
    with pytest.raises(ModelNotFound, match="BertForSequenceClassification, not one for question answering"):
        make_answer_reader(Settings(reader=str(tiny_cross_encoder())), threads=1)


def test_a_damaged_model_is_named(tiny_answer_reader: TinyModel) -> None:
    folder = tiny_answer_reader()
    (folder / "model.safetensors").write_bytes(b"no weights")
    reader = make_answer_reader(Settings(reader=str(folder)), threads=1)
    assert reader is not None
    with pytest.raises(ModelNotFound, match="reader"):
        reader.load()
