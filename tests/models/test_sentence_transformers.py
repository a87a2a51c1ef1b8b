"""The real weights: what comes out is what sentence-transformers says, and nothing is cut in silence."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from qa.errors import ModelNotFound, QuestionTooLong
from qa.models.files import locate
from qa.models.sentence_transformers import SentenceTransformerEncoder
from qa.settings import DEFAULT_MODEL

pytestmark = pytest.mark.model

TEXTS = ["Apples grow on trees.", "", "The army is three to four miles from the city. " * 18, "Яблоки 苹果 تفاح"]


@pytest.fixture(scope="module")
def encoder() -> SentenceTransformerEncoder:
    return SentenceTransformerEncoder(locate(DEFAULT_MODEL), threads=1)


def test_shape_order_and_length(encoder: SentenceTransformerEncoder) -> None:
    rows = encoder.encode_passages(TEXTS)
    assert rows.shape == (4, 384)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    for text, row in zip(TEXTS, rows, strict=True):
        assert encoder.encode_passages([text])[0] @ row == pytest.approx(1.0, abs=1e-5)
    assert encoder.encode_passages([]).shape == (0, 384)


def test_a_paraphrase_is_nearer_than_another_subject(encoder: SentenceTransformerEncoder) -> None:
    question = encoder.encode_questions(["How far away is the army?"])[0]
    near, far = encoder.encode_passages([TEXTS[2], TEXTS[0]]) @ question
    assert near > far + 0.3


def test_the_whole_window_is_read_though_the_tokenizer_file_says_128(encoder: SentenceTransformerEncoder) -> None:
    filler = "word " * 240
    assert 128 < encoder.count_tokens([filler + "apples"])[0] <= encoder.window
    first, second = encoder.encode_passages([filler + "apples", filler + "submarines"])
    assert first @ second < 0.999


def test_tokens_are_counted_uncut_with_the_special_ones(encoder: SentenceTransformerEncoder) -> None:
    assert encoder.count_tokens(["", "apples", "apples " * 1000]) == [2, 3, 1002]


def test_a_question_beyond_the_window_is_refused(encoder: SentenceTransformerEncoder) -> None:
    assert encoder.encode_questions(["apples " * 254]).shape == (1, 384)
    with pytest.raises(QuestionTooLong, match="has 257 tokens and the model reads 256"):
        encoder.encode_questions(["apples " * 255])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the default model in a folder whose files can be replaced."""
    shutil.copytree(locate(DEFAULT_MODEL).folder, tmp_path / "model", copy_function=os.symlink)
    return tmp_path / "model"


def test_the_prompts_that_are_fingerprinted_are_used(encoder: SentenceTransformerEncoder, folder: Path) -> None:
    config = folder / "config_sentence_transformers.json"
    config.unlink()
    config.write_text(json.dumps({"prompts": {"query": "query: ", "passage": "passage: "}}))
    prompted = SentenceTransformerEncoder(locate(str(folder)), threads=1)
    passage, question = prompted.encode_passages(["apples"])[0], prompted.encode_questions(["apples"])[0]
    plain = encoder.encode_passages(["passage: apples", "query: apples", "apples"])
    assert plain @ passage == pytest.approx([1.0, plain[0] @ plain[1], plain[0] @ plain[2]], abs=1e-4)
    assert plain[1] @ question == pytest.approx(1.0, abs=1e-4)
    assert prompted.count_tokens(["apples"]) == encoder.count_tokens(["passage: apples"])


def test_weights_that_cannot_be_loaded_are_an_error_of_one_line(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelNotFound, match="sentence-transformers cannot load") as caught:
        SentenceTransformerEncoder(locate(str(folder)), threads=1).load()
    assert "\n" not in str(caught.value)


def test_threads_get_what_one_caller_gets(encoder: SentenceTransformerEncoder) -> None:
    texts = [f"question number {number} {'word ' * (number % 7)}" for number in range(64)]
    alone = [encoder.encode_questions([text])[0] for text in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: encoder.encode_questions([text])[0], texts))
    assert np.allclose(alone, together, atol=1e-6)
