"""Cross-encoders: question and passage read together, compiled or by sentence-transformers, and within a budget."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import ModelDisagrees, ModelNotFound
from qa.models.choice import Runtime, Stage, compiled_model, log
from qa.models.compiled import (
    PROBES_FILE,
    CompiledManifest,
    CompiledModel,
    compiled_fingerprint,
    compiler_versions,
    key_of,
    sums,
)
from qa.models.openvino import Inference, Precision, Tokens
from qa.models.sentence_transformers import load_model

if TYPE_CHECKING:
    from qa.models.files import RerankerFiles
    from qa.protocols import Reranker
    from qa.types import Vectors

# One less the largest difference to the reference over all probes, in spreads of its logits, that is let through.
LEAST_AGREEMENT: Mapping[Precision, float] = {"fp32": 0.999, "bf16": 0.95, "int8": 0.9, "int8-static": 0.8}


def choose_reranker(files: RerankerFiles, runtime: Runtime, stage: Stage) -> Reranker:
    """The cross-encoder, not loaded yet; compiled first where that was not done before.

    Raises:
        StorageError: a compiled model cannot be kept, not even as a temporary one.
    """
    from qa.models.compilation import NotCompilable

    def compile(folder: Path) -> CompiledManifest:
        return _compile(files, runtime.precision, folder)

    key = key_of(files.fingerprint, runtime.precision)
    try:
        folder, manifest = compiled_model(runtime, files.name, key, compile, stage)
    except (NotCompilable, ModelNotFound) as error:
        log.warning("re-ranker not compiled; sentence-transformers runs it", model=files.name, reason=str(error))
        return SentenceTransformerReranker(files, threads=runtime.threads)
    return CompiledReranker(files, folder, precision=runtime.precision, pad=manifest.pad, threads=runtime.threads)


def score_within(
    reranker: Reranker, question: str, passages: Sequence[str], budget_ms: float, batch: int = 4
) -> Vectors:
    """Logits ``(m,)`` of the first ``m <= n`` passages: as many as the budget allows.

    A batch is begun only where the slowest so far would end in time; the first one is scored in any case.

    Args:
        passages: ``n`` of them in the order of their rank, the best first.
        budget_ms: milliseconds of wall clock.
    """
    started = time.perf_counter()
    scores = [np.empty(0, dtype=np.float32)]
    slowest = 0.0
    for at in range(0, len(passages), batch):
        begun = time.perf_counter()
        if at and 1000 * (begun - started + slowest) > budget_ms:
            break
        scores.append(reranker.score(question, passages[at : at + batch]))
        slowest = max(slowest, time.perf_counter() - begun)
    return np.concatenate(scores)


class CompiledReranker:
    """A cross-encoder that was compiled into ``folder``; see :class:`qa.models.compiled.CompiledEncoder`."""

    def __init__(self, files: RerankerFiles, folder: Path, *, precision: Precision, pad: int, threads: int) -> None:
        self._files = files
        self._model = CompiledModel(folder, precision, pad, threads, files.window)
        self._loaded: tuple[Tokens, Inference] | None = None
        self._loading = threading.Lock()

    @property
    def name(self) -> str:
        return self._files.name

    @property
    def fingerprint(self) -> Mapping[str, object]:
        return compiled_fingerprint(self._files.fingerprint, self._model.precision)

    @property
    def window(self) -> int:
        return self._files.window

    def load(self) -> None:
        """Raises ModelDisagrees where this machine's arithmetic is not that of the machine it was compiled on."""
        self._use()

    def score(self, question: str, passages: Sequence[str]) -> Vectors:
        return self._score(self._use(), [(question, passage) for passage in passages])

    def _score(self, loaded: tuple[Tokens, Inference], pairs: Sequence[tuple[str, str]]) -> Vectors:
        tokens, inference = loaded
        if not pairs:
            return np.empty(0, dtype=np.float32)
        return inference.run(tokens.read(pairs), 1)[:, 0]

    def _use(self) -> tuple[Tokens, Inference]:
        with self._loading:
            if self._loaded is None:
                loaded = self._model.tokens(), self._model.inference()
                self._check(loaded)
                self._loaded = loaded
            return self._loaded

    def _check(self, loaded: tuple[Tokens, Inference]) -> None:
        from qa.models.compilation import agreement_of_scores

        probes, precision = self._model.probes(), self._model.precision
        scores = self._score(loaded, [(question, passage) for question, passage in probes["pairs"]])
        agreement = agreement_of_scores(np.array(probes["scores"], dtype=np.float32), scores)
        if agreement < LEAST_AGREEMENT[precision]:
            raise ModelDisagrees(
                f"{self.name}, compiled to {precision}, scores otherwise on this machine than its reference "
                f"(agreement {agreement:.4f}); set QA_PRECISION to fp32"
            )


class SentenceTransformerReranker:
    """The reference: a cross-encoder run by torch, loaded on its first use or by :meth:`load`."""

    def __init__(self, files: RerankerFiles, *, threads: int) -> None:
        self._files = files
        self._threads = threads
        self._model: Any = None
        self._loading = threading.Lock()
        # Fast tokenizers refuse to change their truncation while another thread uses them.
        self._scoring = threading.Lock()

    @property
    def name(self) -> str:
        return self._files.name

    @property
    def fingerprint(self) -> Mapping[str, object]:
        return self._files.fingerprint

    @property
    def window(self) -> int:
        return self._files.window

    def load(self) -> None:
        self.module()

    def module(self) -> Any:
        """The loaded ``CrossEncoder``, for compiling it."""
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


def _compile(files: RerankerFiles, precision: Precision, folder: Path) -> CompiledManifest:
    from qa.models.compilation import NotCompilable, TorchModel, agreement_of_scores, probe_pairs, write_model

    reference = SentenceTransformerReranker(files, threads=os.cpu_count() or 1)
    torch_model = TorchModel(reference.module(), "scores", files.window)
    pairs = probe_pairs()
    write_model(torch_model, precision, pairs, folder)
    wanted = np.concatenate([reference.score(question, [passage]) for question, passage in pairs])
    probes = {"pairs": pairs[2:4], "scores": wanted[2:4].tolist()}
    (folder / PROBES_FILE).write_text(json.dumps(probes), encoding="utf-8")
    reranker = CompiledReranker(files, folder, precision=precision, pad=torch_model.pad, threads=1)
    try:
        scores = np.concatenate([reranker.score(question, [passage]) for question, passage in pairs])
    except (ModelDisagrees, RuntimeError) as error:
        raise NotCompilable(f"compiled to {precision}: {' '.join(str(error).split())}") from error
    agreement = agreement_of_scores(wanted, scores)
    if agreement < LEAST_AGREEMENT[precision]:
        raise NotCompilable(
            f"compiled to {precision} it scores otherwise than its reference (agreement {agreement:.4f})"
        )
    return CompiledManifest(
        name=files.name,
        precision=precision,
        window=files.window,
        pad=torch_model.pad,
        width=1,
        agreement=agreement,
        versions=compiler_versions(),
        files=sums(folder),
    )
