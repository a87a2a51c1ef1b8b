"""The default model compiles without torch, because what its reference says of the probes ships with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qa.models.files import locate
from qa.models.reference import find_reference, make_reference, write_reference
from qa.models.sentence_transformers import SentenceTransformerEncoder
from qa.settings import DEFAULT_MODEL
from tests.models.conftest import TinyModel

pytestmark = pytest.mark.slow


@pytest.mark.model
def test_the_reference_that_ships_is_what_sentence_transformers_says() -> None:
    files = locate(DEFAULT_MODEL)
    shipped = find_reference(files)
    assert shipped is not None, "run: python -m benchmarks.encoder_reference"
    made = make_reference(SentenceTransformerEncoder(files, threads=1))
    np.testing.assert_allclose(shipped.passages, made.passages, atol=1e-5)
    np.testing.assert_allclose(shipped.questions, made.questions, atol=1e-5)
    np.testing.assert_array_equal(shipped.passage_tokens, made.passage_tokens)
    np.testing.assert_array_equal(shipped.question_tokens, made.question_tokens)


def test_it_is_of_one_model_and_one_set_of_probes(
    tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = locate(str(tiny_model()))
    assert find_reference(files) is None
    path = tmp_path / "reference" / "tiny.safetensors"
    made = make_reference(SentenceTransformerEncoder(files, threads=1))
    write_reference(files, made, path)
    found = find_reference(files, path)
    assert found is not None
    np.testing.assert_array_equal(found.passages, made.passages)
    # A window of 64 tokens holds these questions, prompts included.
    assert len(found.questions) == len(found.question_tokens)
    monkeypatch.setattr("qa.models.reference.PASSAGES", ("Other probes.",))
    assert find_reference(files, path) is None
