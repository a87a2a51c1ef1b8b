"""A compiled model run by OpenVINO: tokens in, batches of few shapes, and rows of numbers out. No torch.

Texts of like length go together, in few shapes: a runtime keeps memory for every shape that it has met.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from qa.models.blobs import Place, open_graph
from qa.models.scheduling import Kind, Slots
from qa.models.tokens import Encoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qa.types import Vectors


def padded(rows: Sequence[Encoded], length: int, pad: int) -> Mapping[str, NDArray[np.int64]]:
    """Make arrays ``(rows, length)`` by the names that transformers gives them, padded on the right."""
    ids = np.full((len(rows), length), pad, dtype=np.int64)
    mask = np.zeros((len(rows), length), dtype=np.int64)
    types = np.zeros((len(rows), length), dtype=np.int64)
    for at, row in enumerate(rows):
        count = len(row.ids)
        ids[at, :count] = row.ids
        mask[at, :count] = 1
        types[at, :count] = row.types
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


# Lengths are rounded up to a multiple of this many tokens: the floats in the widest vector of a processor. Sums over a
# row then add up in the same order however long it is padded, so that a text's result is the same to the bit in every
# batch (docs/decisions/0042); with a multiple of 8 or 4 it is not.
STEP = 16
# Tokens in one batch, padding included: more is no faster on two cores and takes memory (docs/decisions/0005).
TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts by their place in the input, and the ``length`` in tokens that each of them is padded to."""

    rows: tuple[int, ...]
    length: int


def batches(lengths: Sequence[int], window: int, tokens: int = TOKENS) -> list[Batch]:
    """Put every text in exactly one batch, the longest first.

    Args:
        lengths: tokens of each text, at most ``window``.
        tokens: the most in one batch, unless one text alone has more.

    Returns:
        batches whose length is a multiple of :data:`STEP` or the window. How many rows one has is decided by its
        length, unless fewer are left that are at least about half as long, and then it is a power of two: the shapes
        are few, whatever the texts.
    """
    order = sorted(range(len(lengths)), key=lambda at: (-lengths[at], at))
    made = []
    start = 0
    while start < len(order):
        length = min(-(-max(lengths[order[start]], 1) // STEP) * STEP, max(window, 1))
        count = max(tokens // length, 1)
        alike = 0
        while alike < count and start + alike < len(order) and 2 * lengths[order[start + alike]] >= length - STEP:
            alike += 1
        if alike < count:
            count = 1 << (alike.bit_length() - 1)
        made.append(Batch(tuple(order[start : start + count]), length))
        start += count
    return made


Precision = Literal["fp32", "bf16", "int8", "int8-static"]

# What matrices are multiplied in where their weights are not integers. Named outright: the runtime's own choice depends
# on the machine.
_HINTS: dict[str, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32", "int8-static": "f32"}


_importing = threading.Lock()


def import_openvino() -> Any:
    """Import OpenVINO, ready for several threads, without the package that reports its use over the network."""
    # Importing it would start the sending; None makes the import fail, and OpenVINO has a stub for that.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    with _importing:
        import openvino

        # Its first look at an array sets something up that two threads at once wait for each other in, for ever: one
        # holds the lock of it and waits for the interpreter's, the other the reverse (seen in 2026.4).
        openvino.Tensor(np.zeros(1, dtype=np.float32)).data  # noqa: B018
    return openvino


def streams(count: int) -> dict[str, object]:
    """Make the options of a graph of which ``count`` batches run at once, each on a thread of OpenVINO's.

    With 0 one runs at a time, on the thread that asks for it.

    By itself OpenVINO binds the threads to cores, counted from the first one, in each process by itself: all workers
    would compute on the same core, while the others have nothing to do.
    """
    return {"NUM_STREAMS": count, "INFERENCE_NUM_THREADS": max(count, 1), "ENABLE_CPU_PINNING": False}


class Requests:
    """What runs a compiled graph, a batch in each slot. Thread-safe.

    Args:
        open: makes the ``openvino.CompiledModel``, given the options of :func:`streams`.
    """

    def __init__(self, open: Callable[[Mapping[str, object]], Any], slots: Slots, kind: Kind) -> None:
        self._slots = slots
        self._kind = kind
        count = slots.limit(kind)
        # A process that is forked from this one has none of OpenVINO's threads: each slot then has a graph of its own,
        # whose weights all such processes share.
        graphs = [open(streams(0)) for _ in range(count)] if slots.forks else [open(streams(count))] * count
        self._inputs = [port.any_name for port in graphs[0].inputs]
        # As many as slots: whoever has one never waits for a request. The one used last is the first to be used again,
        # as it has the memory for what it meets already.
        self._free = [graph.create_infer_request() for graph in graphs]
        if slots.forks:
            # The first batch of a graph puts its weights into the order that the kernels want, and what a model is
            # compared with its reference by runs on one of the graphs alone.
            arrays = padded([Encoded([0] * STEP, [0] * STEP)], STEP, 0)
            for request in self._free:
                request.infer({name: arrays[name] for name in self._inputs})

    def infer(self, arrays: Mapping[str, NDArray[np.int64]]) -> Vectors:
        """Return the first output, float32, of a batch that :func:`padded` made."""
        inputs = {name: arrays[name] for name in self._inputs}
        with self._slots.taken(self._kind, arrays["input_ids"].size):
            request = self._free.pop()
            try:
                request.infer(inputs)
                # A copy: the tensor belongs to the request.
                result: Vectors = np.array(request.get_output_tensor(0).data, dtype=np.float32)
            finally:
                self._free.append(request)
        return result


def open_requests(model: Path, precision: Precision, slots: Slots, kind: Kind, place: Place | None) -> Requests:
    """Open a model.

    Args:
        model: ``model.xml``, its weights beside it.
        slots: each batch runs in one of them, as ``kind``.
        place: where what is compiled of it for this machine is kept.
    """
    openvino = import_openvino()
    hint = {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
    return Requests(lambda streams: open_graph(openvino, {**streams, **hint}, lambda: str(model), place), slots, kind)


class Inference:
    """A model in memory, texts to rows. Thread-safe.

    Args:
        threads: those of one call, each of which runs a batch of its own.
        pad: the id that fills a batch's shorter rows.
    """

    def __init__(self, requests: Requests, *, threads: int, window: int, pad: int) -> None:
        self._requests = requests
        self._threads = threads
        self._window = window
        self._pad = pad

    def run(self, encoded: Sequence[Encoded], width: int) -> Vectors:
        """Run ``(n,)`` tokenised texts to ``(n, width)`` float32, in their order."""
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
        return self._requests.infer(padded(rows, length, self._pad))
