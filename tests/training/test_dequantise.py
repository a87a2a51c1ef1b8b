"""Base weights out of a quantised model: the very numbers, under transformers' names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qa.models.openvino import import_openvino
from training.__main__ import main
from training.data import DataError
from training.dequantise import load_onnx

WORDS = np.array([[0, 10], [20, 30], [255, 128]], dtype=np.uint8)
MATRIX = np.array([[1, -2, 3], [4, 5, -6]], dtype=np.int8)
QUERY = "/bert/encoder/layer.0/attention/self/query"


@pytest.fixture
def quantised(tmp_path: Path) -> Path:
    """Write a graph as OpenVINO reads ONNX Runtime's dynamic quantisation: a look-up and a product."""
    openvino = import_openvino()
    ops = openvino.opset13

    def constant(value: object, name: str) -> object:
        node = ops.constant(value)
        node.set_friendly_name(name)
        return node

    def difference(name: str, integers: object, zero: object) -> object:
        return ops.subtract(ops.convert(integers, "f32"), ops.convert(constant(zero, f"{name}_zero_point"), "f32"))

    ids = ops.parameter([-1], np.int64, name="input_ids")
    words = "bert.embeddings.word_embeddings.weight"
    rows = ops.gather(constant(WORDS, f"{words}_quantized"), ids, ops.constant(np.int64(0)))
    hidden = ops.multiply(difference(words, rows, np.uint8(128)), constant(np.float32(0.5), f"{words}_scale"))
    weights = difference("onnx::MatMul_1", constant(MATRIX, "onnx::MatMul_1_quantized"), np.int8(1))
    product = ops.matmul(hidden, weights, False, False)
    product.set_friendly_name(f"{QUERY}/MatMul_quant")
    scaled = ops.multiply(product, constant(np.float32(0.25), "onnx::MatMul_1_scale"))
    biased = ops.add(
        scaled, constant(np.array([7, 8, 9], np.float32), "bert.encoder.layer.0.attention.self.query.bias")
    )
    path = tmp_path / "model.xml"
    openvino.save_model(openvino.Model([ops.result(biased)], [ids], "quantised"), str(path), compress_to_fp16=False)
    return path


def test_integers_become_the_numbers_that_they_stand_for(quantised: Path) -> None:
    weights = load_onnx(quantised)
    query = "bert.encoder.layer.0.attention.self.query"
    assert set(weights) == {"bert.embeddings.word_embeddings.weight", f"{query}.weight", f"{query}.bias"}
    np.testing.assert_array_equal(
        weights["bert.embeddings.word_embeddings.weight"], [[-64, -59], [-54, -49], [63.5, 0]]
    )
    # Transposed: torch keeps the outputs first.
    np.testing.assert_array_equal(weights[f"{query}.weight"], [[0, 0.75], [-0.75, 1], [0.5, -1.75]])
    np.testing.assert_array_equal(weights[f"{query}.bias"], [7, 8, 9])


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"model\.onnx cannot be read as a model"):
        load_onnx(tmp_path / "model.onnx")


def test_the_command_writes_what_training_starts_from(quantised: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    file = tmp_path / "base.safetensors"
    assert main(["dequantise", str(quantised), str(file)]) == 0
    assert set(load_file(file)) == set(load_onnx(quantised))
