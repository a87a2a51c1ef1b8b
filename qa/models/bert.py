"""BERT (Devlin et al. 2019) as an OpenVINO graph, built from arrays of weights: no torch and no file in between.

Matrices may come as int8 rows with a scale for each row; they stay int8 in memory, and the CPU plugin multiplies them
as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

INPUTS = ("input_ids", "token_type_ids", "attention_mask")
_EPSILON = 1e-12
# Added to the scores of padding before the softmax. Finite, so that a row of nothing else is no NaN.
_MASKED = 1e4


def count_layers(weights: Arrays) -> int:
    """Count the encoder layers that the names speak of."""
    return len({name.split(".")[3] for name in weights if name.startswith("bert.encoder.layer.")})


def dequantise(weights: Arrays, name: str) -> NDArray[np.float32]:
    """Return a weight in full precision. Raises KeyError."""
    if f"{name}.int8" in weights:
        scale = np.asarray(weights[f"{name}.scale"], dtype=np.float32).reshape(-1, 1)
        return np.asarray(weights[f"{name}.int8"], dtype=np.float32) * scale
    return np.asarray(weights[name], dtype=np.float32)


def build_reader(openvino: Any, weights: Arrays, attention_heads: int, outputs: Sequence[str]) -> Any:
    """Build a model with heads over every position, as a function of :data:`INPUTS`, each int64 ``(batch, length)``.

    Args:
        openvino: the package, imported by :func:`qa.models.openvino.import_openvino`.
        weights: by the names that transformers gives them (``bert.encoder.layer.0.attention.self.query.weight``),
            with ``.int8`` and ``.scale`` behind the name of a matrix that is quantised.
        outputs: names of linear layers over the last hidden states; their columns stand side by side.

    Returns:
        an ``openvino.Model`` whose one output is float32 ``(batch, length, columns)``.

    Raises:
        KeyError: a weight is missing.
    """
    return _Builder(openvino, weights, attention_heads).reader(outputs)


def build_encoder(openvino: Any, weights: Arrays, attention_heads: int) -> Any:
    """Build an encoder: the mean of the last hidden states of every token that is no padding, of unit length.

    Args:
        openvino, weights: as for :func:`build_reader`.

    Returns:
        an ``openvino.Model`` of the same inputs, whose one output is float32 ``(batch, hidden)``.

    Raises:
        KeyError: a weight is missing.
    """
    return _Builder(openvino, weights, attention_heads).encoder()


class _Builder:
    """The parts of the graph, each made of the nodes of the one before it."""

    def __init__(self, openvino: Any, weights: Arrays, attention_heads: int) -> None:
        self._openvino = openvino
        self._ops = openvino.opset13
        self._weights = weights
        self._hidden = int(weights["bert.embeddings.LayerNorm.weight"].shape[0])
        self._heads = attention_heads

    def reader(self, outputs: Sequence[str]) -> Any:
        hidden, _, inputs = self._last_hidden()
        return self._model(self._linear(hidden, outputs), inputs)

    def encoder(self) -> Any:
        ops, tokens = self._ops, self._vector(1)
        hidden, mask, inputs = self._last_hidden()
        counted = ops.convert(ops.unsqueeze(mask, self._vector(2)), "f32")
        total = ops.reduce_sum(ops.multiply(hidden, counted), tokens)
        # Never 0: a text has its special tokens, and this is how sentence-transformers pools.
        mean = ops.divide(total, ops.maximum(ops.reduce_sum(counted, tokens), self._floats(1e-9)))
        return self._model(ops.normalize_l2(mean, tokens, _EPSILON, "max"), inputs)

    def _last_hidden(self) -> tuple[Any, Any, list[Any]]:
        """Build all but the head: the last hidden states ``(batch, length, hidden)``, the mask and the inputs."""
        ops = self._ops
        inputs = [ops.parameter([-1, -1], np.int64, name=name) for name in INPUTS]
        for parameter in inputs:
            parameter.output(0).get_tensor().set_names({parameter.friendly_name})
        ids, types, mask = inputs
        hidden = self._embed(ids, types)
        visible = ops.convert(ops.unsqueeze(mask, self._vector(1, 2)), "f32")
        bias = ops.multiply(ops.subtract(visible, self._floats(1.0)), self._floats(_MASKED))
        for layer in range(count_layers(self._weights)):
            hidden = self._layer(f"bert.encoder.layer.{layer}", hidden, bias)
        return hidden, mask, inputs

    def _model(self, output: Any, inputs: list[Any]) -> Any:
        return self._openvino.Model([self._ops.result(output)], inputs, "bert")

    def _embed(self, ids: Any, types: Any) -> Any:
        ops, name = self._ops, "bert.embeddings"
        length = ops.gather(ops.shape_of(ids, "i64"), self._vector(1), self._scalar(0))
        positions = self._floats(dequantise(self._weights, f"{name}.position_embeddings.weight"))
        total = ops.add(
            ops.add(
                self._rows(f"{name}.word_embeddings.weight", ids),
                self._rows(f"{name}.token_type_embeddings.weight", types),
            ),
            ops.slice(positions, self._vector(0), length, self._vector(1), self._vector(0)),
        )
        return self._normalise(total, f"{name}.LayerNorm")

    def _rows(self, name: str, ids: Any) -> Any:
        """Look up rows of an embedding. A quantised one is only dequantised where it is looked at."""
        ops, axis = self._ops, self._scalar(0)
        if f"{name}.int8" not in self._weights:
            return ops.gather(self._floats(self._weights[name]), ids, axis)
        rows = ops.convert(ops.gather(self._constant(self._weights[f"{name}.int8"]), ids, axis), "f32")
        scales = self._floats(np.reshape(self._weights[f"{name}.scale"], (-1, 1)))
        column = ops.gather(scales, ids, axis)
        return ops.multiply(rows, column)

    def _layer(self, name: str, hidden: Any, bias: Any) -> Any:
        ops = self._ops
        joined = self._linear(hidden, [f"{name}.attention.self.{part}" for part in ("query", "key", "value")])
        # (batch, length, 3 * hidden) to three of (batch, heads, length, width of a head).
        shape, order = self._vector(0, 0, self._heads, self._hidden // self._heads), self._vector(0, 2, 1, 3)
        parts = ops.split(joined, self._scalar(-1), 3)
        query, key, value = (ops.transpose(ops.reshape(parts.output(at), shape, True), order) for at in range(3))
        seen = ops.transpose(ops.scaled_dot_product_attention(query, key, value, bias), self._vector(0, 2, 1, 3))
        seen = ops.reshape(seen, self._vector(0, 0, self._hidden), True)
        output = f"{name}.attention.output"
        hidden = self._normalise(ops.add(hidden, self._linear(seen, [f"{output}.dense"])), f"{output}.LayerNorm")
        inner = ops.gelu(self._linear(hidden, [f"{name}.intermediate.dense"]), "ERF")
        outer = self._linear(inner, [f"{name}.output.dense"])
        return self._normalise(ops.add(hidden, outer), f"{name}.output.LayerNorm")

    def _linear(self, inputs: Any, names: Sequence[str]) -> Any:
        """Apply linear layers of the same inputs as one, their outputs side by side."""
        ops, weights = self._ops, self._weights
        if all(f"{name}.weight.int8" in weights for name in names):
            rows = np.concatenate([weights[f"{name}.weight.int8"] for name in names])
            scales = np.concatenate([np.asarray(weights[f"{name}.weight.scale"]).reshape(-1, 1) for name in names])
            matrix = ops.multiply(ops.convert(self._constant(rows), "f32"), self._floats(scales))
        else:
            matrix = self._floats(np.concatenate([dequantise(weights, f"{name}.weight") for name in names]))
        bias = np.concatenate([weights[f"{name}.bias"] for name in names])
        return ops.add(ops.matmul(inputs, matrix, False, True), self._floats(bias))

    def _normalise(self, inputs: Any, name: str) -> Any:
        ops = self._ops
        unit = ops.mvn(inputs, self._vector(-1), True, _EPSILON, "inside_sqrt")
        scaled = ops.multiply(unit, self._floats(self._weights[f"{name}.weight"]))
        return ops.add(scaled, self._floats(self._weights[f"{name}.bias"]))

    def _constant(self, array: NDArray[Any]) -> Any:
        return self._ops.constant(np.ascontiguousarray(array))

    def _floats(self, values: Any) -> Any:
        return self._constant(np.asarray(values, dtype=np.float32))

    def _vector(self, *values: int) -> Any:
        return self._ops.constant(np.array(values, dtype=np.int64))

    def _scalar(self, value: int) -> Any:
        return self._ops.constant(np.array(value, dtype=np.int64))
