"""Cross-encoders: compiled they score as sentence-transformers does, and a budget is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from qa.errors import ModelNotFound
from qa.models.choice import Runtime
from qa.models.files import locate_reranker
from qa.models.loading import make_reranker
from qa.models.reranker import CompiledReranker, SentenceTransformerReranker, choose_reranker
from qa.settings import Settings
from tests.models.conftest import TinyModel

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.slow

PASSAGES = ["Apples grow on trees.", "", "The city. " * 100, "Яблоки 苹果 تفاح", *("word " * n for n in range(30))]


@pytest.fixture(scope="module")
def model(tiny_cross_encoder: TinyModel) -> Path:
    folder = tiny_cross_encoder()
    # As published ones do: padded to a fixed length, and cut at another one than the window.
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["truncation"] = {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 48},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_compiled_it_scores_as_the_reference_does(model: Path, tmp_path: Path) -> None:
    stages: list[str] = []
    reranker = choose_reranker(locate_reranker(str(model)), Runtime(tmp_path, "fp32", 2), stages.append)
    assert isinstance(reranker, CompiledReranker)
    reference = SentenceTransformerReranker(locate_reranker(str(model)), threads=1)
    scores = reranker.score("Where do apples grow?", PASSAGES)
    assert scores.shape == (len(PASSAGES),)
    assert np.allclose(scores, reference.score("Where do apples grow?", PASSAGES), atol=1e-3)
    assert scores.std() > 0.01
    assert reranker.score("Where?", []).shape == reference.score("Where?", []).shape == (0,)
    assert len(stages) == 1
    choose_reranker(locate_reranker(str(model)), Runtime(tmp_path, "fp32", 2), stages.append)
    assert len(stages) == 1


def test_what_does_not_agree_runs_in_sentence_transformers(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.models.reranker.LEAST_AGREEMENT", {"fp32": 1.1})
    reranker = choose_reranker(locate_reranker(str(model)), Runtime(tmp_path, "fp32", 1), lambda message: None)
    assert isinstance(reranker, SentenceTransformerReranker)
    assert reranker.score("Where?", ["here"]).shape == (1,)


def test_a_model_of_several_scores_is_refused(tiny_cross_encoder: TinyModel) -> None:
    with pytest.raises(ModelNotFound, match="more than one score a pair"):
        locate_reranker(str(tiny_cross_encoder(labels=3)))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"is not a cross-encoder .* QA_RERANKER"):
        locate_reranker(str(tmp_path))


def test_the_setting_makes_one_and_is_off_by_default(model: Path, tmp_path: Path) -> None:
    assert make_reranker(Settings(indexes=tmp_path), threads=1) is None
    made = make_reranker(Settings(indexes=tmp_path, reranker=str(model), precision="fp32"), threads=1)
    assert made is not None
    assert (made.name, made.window) == ("cross", 64)
