"""A compiled model, run by OpenVINO: token ids in, rows of numbers out."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from qa.models.bucketing import Batch, batches
from qa.models.tokens import Encoded, padded

if TYPE_CHECKING:
    from qa.types import Vectors

Precision = Literal["fp32", "bf16", "int8", "int8-static"]

# What matrices are multiplied in where their weights are not integers. Named outright: the runtime's own choice depends
# on the machine.
_HINTS: dict[str, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32", "int8-static": "f32"}


_importing = threading.Lock()


def import_openvino() -> Any:
    """OpenVINO, ready for several threads, without the package that reports its use to its makers over the network."""
    # Importing it would start the sending; None makes the import fail, and OpenVINO has a stub for that.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    with _importing:
        import openvino

        # Its first look at an array sets something up that two threads at once wait for each other in, for ever: one
        # holds the lock of it and waits for the interpreter's, the other the reverse (seen in 2026.4).
        openvino.Tensor(np.zeros(1, dtype=np.float32)).data  # noqa: B018
    return openvino


class Inference:
    """Thread-safe; a call waits for at most one batch of another one.

    Args:
        model: ``model.xml``, its weights beside it.
        threads: each runs a batch of its own, so that none waits for another within one.
        pad: the id that fills a batch's shorter rows.
    """

    def __init__(self, model: Path, *, precision: Precision, threads: int, window: int, pad: int) -> None:
        openvino = import_openvino()
        options = {
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
        }
        compiled = openvino.Core().compile_model(str(model), "CPU", options)
        self._inputs = [port.any_name for port in compiled.inputs]
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(threads):
            self._requests.put(compiled.create_infer_request())
        self._threads = threads
        self._window = window
        self._pad = pad

    def run(self, encoded: Sequence[Encoded], width: int) -> Vectors:
        """``(n,)`` tokenised texts to ``(n, width)`` float32, in their order."""
        rows = np.empty((len(encoded), width), dtype=np.float32)

        def fill(batch: Batch) -> None:
            rows[list(batch.rows)] = self._infer([encoded[at] for at in batch.rows], batch.length)

        todo = batches([len(text.ids) for text in encoded], self._window)
        if self._threads == 1 or len(todo) == 1:
            for batch in todo:
                fill(batch)
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                list(pool.map(fill, todo))
        return rows

    def _infer(self, rows: Sequence[Encoded], length: int) -> Vectors:
        arrays = padded(rows, length, self._pad)
        with self._request() as request:
            request.infer({name: arrays[name] for name in self._inputs})
            # A copy: the tensor belongs to the request.
            result: Vectors = np.array(request.get_output_tensor(0).data, dtype=np.float32)
        return result

    @contextmanager
    def _request(self) -> Iterator[Any]:
        request = self._requests.get()
        try:
            yield request
        finally:
            self._requests.put(request)
