"""Tiny models with random weights, saved as sentence-transformers saves them: real ones, in a second."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qa.models.files import locate
from qa.settings import DEFAULT_MODEL

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
TinyModel = Callable[..., Path]


def _bert(folder: Path, window: int, **options: Any) -> Any:
    import torch
    from transformers import BertConfig

    torch.manual_seed(7)
    folder.mkdir(parents=True)
    for name in _TOKENIZER:
        if (locate(DEFAULT_MODEL).folder / name).is_file():
            shutil.copy(locate(DEFAULT_MODEL).folder / name, folder)
    return BertConfig(
        vocab_size=30522,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=window,
        # Wide enough that random weights tell texts apart.
        initializer_range=0.5,
        **options,
    )


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Make a bi-encoder of 32 dimensions (16 with ``dense``)."""

    def make(pooling: str = "mean", *, dense: bool = False, normalize: bool = True, window: int = 64) -> Path:
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Dense, Normalize, Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling
        from transformers import BertModel

        bert, folder = (tmp_path_factory.mktemp("bert") / name for name in ("bert", "model"))
        BertModel(_bert(bert, window)).save_pretrained(bert)
        modules: list[Any] = [Transformer(str(bert), max_seq_length=window), Pooling(32, pooling_mode=pooling)]
        modules += [Dense(32, 16, activation_function=torch.nn.Tanh())] if dense else []
        modules += [Normalize()] if normalize else []
        SentenceTransformer(
            modules=modules, device="cpu", prompts={"query": "query: ", "document": "passage: "}
        ).save_pretrained(str(folder), create_model_card=False)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Make a cross-encoder, laid out as on a hub: transformers' files alone."""

    def make(labels: int = 1, window: int = 64) -> Path:
        from transformers import BertForSequenceClassification

        folder = tmp_path_factory.mktemp("bert") / "cross"
        BertForSequenceClassification(_bert(folder, window, num_labels=labels)).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_answer_reader(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Make an extractive question-answering model, laid out as on a hub."""

    def make(window: int = 64) -> Path:
        from transformers import BertForQuestionAnswering

        folder = tmp_path_factory.mktemp("bert") / "reader"
        BertForQuestionAnswering(_bert(folder, window)).save_pretrained(folder)
        return folder

    return make
