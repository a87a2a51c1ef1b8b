"""Cross-encoders: question and passage read together, compiled or by sentence-transformers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.extras import require
from qa.machine import usable_cores
from qa.models.choice import Made, Runtime, Stage, choose, compare
from qa.models.compiled import LEAST_AGREEMENT, Compiled, CompiledManifest, agreement_of_scores
from qa.models.files import ModelFiles, OnDisk
from qa.models.openvino import Inference, Precision
from qa.models.sentence_transformers import load_model

if TYPE_CHECKING:
    from qa.protocols import Reranker
    from qa.types import Vectors


def choose_reranker(files: ModelFiles, runtime: Runtime, stage: Stage) -> Reranker:
    """Choose the runtime of a cross-encoder, by :func:`qa.models.choice.choose`."""

    def reference() -> Reranker:
        return SentenceTransformerReranker(files, threads=runtime.threads)

    def compiled(folder: Path, pad: int) -> Reranker:
        return CompiledReranker(files, folder, precision=runtime.precision, pad=pad, threads=runtime.threads)

    return choose(
        files,
        runtime,
        stage,
        compile=lambda folder: _compile_reranker(files, runtime.precision, folder),
        compiled=compiled,
        reference=reference,
    )


class CompiledReranker(Compiled[ModelFiles]):
    """See :class:`qa.protocols.Reranker`."""

    kind = "read"

    def score(self, question: str, passages: Sequence[str]) -> Vectors:
        return self._score(self._use(), [(question, passage) for passage in passages])

    def _score(self, inference: Inference, pairs: Sequence[tuple[str, str]]) -> Vectors:
        if not pairs:
            return np.empty(0, dtype=np.float32)
        return inference.run(self._tokenizer().read(pairs), 1)[:, 0]

    def _agreement(self, inference: Inference, probes: dict[str, Any]) -> tuple[float, float]:
        scores = self._score(inference, [(question, passage) for question, passage in probes["pairs"]])
        reference = np.array(probes["scores"], dtype=np.float32)
        return agreement_of_scores(reference, scores), LEAST_AGREEMENT[self._precision]


class SentenceTransformerReranker(OnDisk[ModelFiles]):
    """The reference: a cross-encoder run by torch, loaded on its first use or by :meth:`load`."""

    def __init__(self, files: ModelFiles, *, threads: int) -> None:
        super().__init__(files)
        self._threads = threads
        self._model: Any = None
        self._loading = threading.Lock()
        # Fast tokenizers refuse to change their truncation while another thread uses them.
        self._scoring = threading.Lock()

    def load(self) -> None:
        self.module()

    def module(self) -> Any:
        """Return the loaded ``CrossEncoder``, for compiling it."""
        with self._loading:
            if self._model is None:
                files = self._files
                self._model = load_model("CrossEncoder", files.folder, self._threads, max_length=files.window)
            return self._model

    def score(self, question: str, passages: Sequence[str]) -> Vectors:
        import torch

        model = self.module()
        if not passages:
            return np.empty(0, dtype=np.float32)
        with self._scoring:
            scores = model.predict(
                [(question, passage) for passage in passages],
                activation_fn=torch.nn.Identity(),
                show_progress_bar=False,
            )
        logits: Vectors = np.asarray(scores, dtype=np.float32).reshape(-1)
        return logits


def _compile_reranker(files: ModelFiles, precision: Precision, folder: Path) -> CompiledManifest:
    require("build", f"compiling the model {files.name}")
    from qa.models.compilation import TorchModel, probe_pairs, write_traced

    reference = SentenceTransformerReranker(files, threads=max(1, int(usable_cores())))
    torch_model = TorchModel(reference.module(), "scores", files.window)
    pairs = probe_pairs()
    wanted = np.concatenate([reference.score(question, [passage]) for question, passage in pairs])

    def agreement() -> float:
        reranker = CompiledReranker(files, folder, precision=precision, pad=torch_model.pad, threads=1)
        return agreement_of_scores(wanted, np.concatenate([reranker.score(q, [passage]) for q, passage in pairs]))

    write_traced(torch_model, precision, pairs, folder)
    made = Made(files, torch_model.pad, {"pairs": pairs[2:4], "scores": wanted[2:4].tolist()}, 1)
    return compare(made, precision, folder, agreement, LEAST_AGREEMENT[precision])
