"""Writing a reader as the file that ships: int8 rows, a checksum, and what it answers in full precision.

The same weights give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.numpy import save

from qa.models.answer_reader import FORMAT, METADATA, join, tokenizer_definition
from training.model import Reader, load_reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.model import Arrays

# Rows of fewer outputs are kept whole: the heads decide most and weigh nothing.
_LEAST_ROWS = 16
_LARGEST = 127
_DECIMALS = 4

# What a loaded file is compared with itself on: a question with an answer, one without, and a long text.
_LIGHTHOUSE = (
    "The lighthouse was built in 1874 on a reef two miles from the shore, and for ninety years three keepers at a time "
    "lived in it. Their supplies came by boat once a fortnight, when the sea allowed it. In the winter of 1911 no boat "
    "could land for seven weeks; the keepers lived on ship's biscuit and on the fish they caught from the gallery. The "
    "lamp burned colza oil at first, then paraffin, and was lit by electricity only in 1952."
)
REFERENCE_PAIRS = (
    ("When was the lighthouse built?", "The lighthouse was built in 1874 on a reef two miles from the shore."),
    ("Who designed the harbour?", "Granite was chosen because sandstone had failed at the older tower."),
    ("what did the keepers eat in the winter of 1911", _LIGHTHOUSE),
)


def quantise(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Turn each matrix into int8 rows with a float32 scale a row; the rest becomes float16.

    The scale is the one of symmetric quantisation: a row's largest absolute value becomes 127. Position embeddings stay
    float16, since all of them are added to every text.
    """
    quantised: dict[str, NDArray[Any]] = {}
    for name in sorted(arrays):
        array = arrays[name]
        if name.endswith((".int8", ".scale")):
            # The prototypes' embeddings are rows already.
            quantised[name] = array.reshape(-1).astype(np.float32) if name.endswith(".scale") else array
        elif array.ndim == 2 and array.shape[0] >= _LEAST_ROWS and "position_embeddings" not in name:
            wide = array.astype(np.float32)
            scale = np.maximum(np.abs(wide).max(axis=1), np.finfo(np.float32).tiny) / _LARGEST
            quantised[f"{name}.int8"] = np.clip(np.rint(wide / scale[:, None]), -_LARGEST, _LARGEST).astype(np.int8)
            quantised[f"{name}.scale"] = scale.astype(np.float32)
        else:
            quantised[name] = array.astype(np.float16)
    return quantised


def write_reader(arrays: Arrays, path: Path) -> str:
    """Quantise weights and write them as the file that ``qa.models.answer_reader`` reads; return its SHA-256.

    Args:
        arrays: float weights by transformers' names, or those of a file that is quantised in part.
    """
    quantised = quantise(arrays)
    data = _data(save(quantised))
    with tempfile.TemporaryDirectory() as folder:
        # What is stored as the reference is what the very weights that ship give in full precision.
        plain = Path(folder) / "reader.safetensors"
        plain.write_bytes(save(quantised))
        reader = load_reader(plain)
    metadata = {
        "format": FORMAT,
        "attention_heads": reader.config.num_attention_heads,
        "tokenizer_sha256": hashlib.sha256(tokenizer_definition()).hexdigest(),
        "data_sha256": hashlib.sha256(data).hexdigest(),
        "references": _references(reader),
    }
    content = save(quantised, {METADATA: json.dumps(metadata)})
    staged = path.with_name(f"{path.name}.partial")
    staged.write_bytes(content)
    staged.replace(path)
    return hashlib.sha256(content).hexdigest()


def _data(content: bytes) -> bytes:
    """Return what stands behind the header of a safetensors file."""
    return content[8 + int.from_bytes(content[:8], "little") :]


def _references(reader: Reader) -> list[dict[str, Any]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokenizer_definition().decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    references = []
    # The order in which several threads add up shows in the last digits.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for question, text in REFERENCE_PAIRS:
        encoded = join(*(tokenizer.encode(part, add_special_tokens=False).ids for part in (question, text)))
        ids = torch.tensor([encoded.ids])
        with torch.inference_mode():
            spans, relevance = reader.eval()(ids, torch.tensor([encoded.types]), torch.ones_like(ids))
        logits = torch.cat([spans[0], torch.zeros(len(encoded.ids), 1)], dim=1)
        logits[0, 2] = relevance[0]
        references.append(
            {"question": question, "text": text, "logits": logits.numpy().astype(float).round(_DECIMALS).tolist()}
        )
    torch.set_num_threads(threads)
    return references
