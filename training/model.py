"""The reader as a torch module: BERT, a start and an end logit at every token, and one logit of relevance at [CLS]."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from torch import nn
from transformers import BertConfig, BertModel

from qa.models.answer_reader import METADATA
from qa.models.bert import count_layers, dequantise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

# Width of an attention head in MiniLM, where a file does not say how many there are.
_HEAD_WIDTH = 32


class Reader(nn.Module):
    """Scores each token as the first and as the last of the answer, and the whole text as one that holds it."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.relevance = nn.Linear(config.hidden_size, 1)
        for head in (self.qa_outputs, self.relevance):
            nn.init.normal_(head.weight, std=config.initializer_range)
            nn.init.zeros_(head.bias)

    def forward(self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits ``(batch, length, 2)`` of start and end, and ``(batch,)`` of relevance."""
        hidden = self.hidden(ids, types, mask)
        return self.qa_outputs(hidden).float(), self.relevance(hidden[:, 0]).float().squeeze(-1)

    def hidden(self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states ``(batch, length, width)``."""
        states: torch.Tensor = self.bert(
            input_ids=ids, token_type_ids=types, attention_mask=mask.long()
        ).last_hidden_state
        return states


def load_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read the tensors and the metadata of a safetensors file."""
    with safe_open(str(path), framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def make_config(arrays: Arrays, attention_heads: int | None = None) -> BertConfig:
    """Derive the architecture from the shapes of the weights."""
    width = int(arrays["bert.embeddings.LayerNorm.weight"].shape[0])
    vocabulary = arrays.get("bert.embeddings.word_embeddings.weight.int8")
    if vocabulary is None:
        vocabulary = arrays["bert.embeddings.word_embeddings.weight"]
    return BertConfig(
        vocab_size=int(vocabulary.shape[0]),
        hidden_size=width,
        num_hidden_layers=count_layers(arrays),
        num_attention_heads=attention_heads or max(width // _HEAD_WIDTH, 1),
        intermediate_size=int(arrays["bert.encoder.layer.0.intermediate.dense.bias"].shape[0]),
        max_position_embeddings=int(arrays["bert.embeddings.position_embeddings.weight"].shape[0]),
    )


def load_reader(path: Path) -> Reader:
    """Load a reader, or an encoder whose heads are drawn at random, quantised or not.

    Raises:
        KeyError: it holds something else.
    """
    arrays, metadata = load_arrays(path)
    if not any(name.startswith("bert.") for name in arrays):
        # An encoder as sentence-transformers publishes one.
        arrays = {f"bert.{name}": array for name, array in arrays.items()}
    heads = json.loads(metadata.get(METADATA, "{}")).get("attention_heads")
    reader = Reader(make_config(arrays, heads))
    state = reader.state_dict()
    missing = [name for name in state if name not in arrays and f"{name}.int8" not in arrays]
    if unknown := [name for name in missing if not name.startswith(("qa_outputs.", "relevance."))]:
        raise KeyError(f"{path.name} lacks {unknown[0]}")
    for name in state:
        if name not in missing:
            state[name] = torch.from_numpy(np.ascontiguousarray(dequantise(arrays, name)))
    reader.load_state_dict(state)
    return reader


def take_layers(reader: Reader, layers: int) -> Reader:
    """Make a smaller reader of evenly spaced layers of another, the last among them, and of all its other weights."""
    deep = reader.config.num_hidden_layers
    chosen = [(at + 1) * deep // layers - 1 for at in range(layers)]
    config = BertConfig(**{**reader.config.to_dict(), "num_hidden_layers": layers})
    smaller = Reader(config)
    state = reader.state_dict()
    for name in smaller.state_dict():
        part = name.split(".")
        if name.startswith("bert.encoder.layer."):
            part[3] = str(chosen[int(part[3])])
        smaller.state_dict()[name].copy_(state[".".join(part)])
    return smaller


def state_arrays(reader: Reader) -> dict[str, NDArray[np.float32]]:
    """Return the weights as float32 arrays by their names."""
    return {name: tensor.detach().float().cpu().numpy() for name, tensor in reader.state_dict().items()}
