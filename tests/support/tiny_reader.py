"""An answer reader of two layers with weights drawn at random: quick to make, and to compute with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def draw_tiny_reader(seed: int) -> dict[str, NDArray[Any]]:
    """Draw the weights, by their names, as ``training.export`` and ``training.train`` take them."""
    import torch
    from transformers import BertConfig

    from training.model import Reader, state_arrays

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=64,
        initializer_range=0.2,
    )
    return {name: np.asarray(array) for name, array in state_arrays(Reader(config)).items()}


def write_tiny_reader(folder: Path, seed: int = 3) -> Path:
    """Draw weights and write them by the export of ``training``, into a folder that is made."""
    from training.export import write_reader

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.safetensors"
    write_reader(draw_tiny_reader(seed), path)
    return path
