"""The compiled encoder: a sentence-transformers model in OpenVINO, with ``tokenizers`` and without torch."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qa.errors import ModelDisagrees, QuestionTooLong
from qa.models.compiled_model import CompiledModel
from qa.models.inference import Inference, Precision
from qa.models.tokens import Tokens

if TYPE_CHECKING:
    from qa.models.model_files import ModelFiles
    from qa.types import Vectors

# The least cosine to the reference, over all probes, that is let through. Measured: docs/decisions/0005.
LEAST_COSINE: Mapping[Precision, float] = {"fp32": 0.9999, "bf16": 0.999, "int8": 0.99, "int8-static": 0.97}


def compiled_fingerprint(fingerprint: Mapping[str, object], precision: Precision) -> Mapping[str, object]:
    """Of the same model, compiled.

    In full precision it is that of the reference: the two agree to a cosine of 0.9999 at the least, so that a snapshot
    of the one can be searched with the other.
    """
    return fingerprint if precision == "fp32" else {**fingerprint, "precision": precision, "runtime": "openvino"}


class CompiledEncoder:
    """A model that was compiled into ``folder`` and is loaded on its first use, or by :meth:`load`.

    Args:
        folder, pad, threads: see :class:`CompiledModel`. One thread is right for serving, all cores for building.
    """

    def __init__(self, files: ModelFiles, folder: Path, *, precision: Precision, pad: int, threads: int) -> None:
        self._files = files
        self._model = CompiledModel(folder, precision, pad, threads, files.window)
        self._fingerprint = compiled_fingerprint(files.fingerprint, precision)
        self._tokens: Tokens | None = None
        self._inference: Inference | None = None
        self._loading = threading.Lock()

    @property
    def name(self) -> str:
        return self._files.name

    @property
    def fingerprint(self) -> Mapping[str, object]:
        return self._fingerprint

    @property
    def dimension(self) -> int:
        return self._files.dimension

    @property
    def window(self) -> int:
        return self._files.window

    def load(self) -> None:
        """Raises ModelDisagrees where this machine's arithmetic is not that of the machine it was compiled on."""
        self._use()

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._tokenizer().count([self._files.passage_prompt + text for text in texts])

    def count_question_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._tokenizer().count([self._files.question_prompt + text for text in texts])

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return self._encode(self._use(), self._files.passage_prompt, texts)

    def encode_questions(self, texts: Sequence[str]) -> Vectors:
        for tokens in self.count_question_tokens(texts):
            if tokens > self.window:
                raise QuestionTooLong(tokens, self.window)
        return self._encode(self._use(), self._files.question_prompt, texts)

    def _encode(self, inference: Inference, prompt: str, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        rows = inference.run(self._tokenizer().read([prompt + text for text in texts]), self.dimension)
        # Of unit length whatever the precision, and also where the model itself has no such module.
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Vectors = rows / np.maximum(norms, np.finfo(np.float32).tiny)
        return unit

    def _tokenizer(self) -> Tokens:
        # Made twice by two threads at once, at worst: both are the same.
        if self._tokens is None:
            self._tokens = self._model.tokens()
        return self._tokens

    def _use(self) -> Inference:
        with self._loading:
            if self._inference is None:
                inference = self._model.inference()
                self._check(inference)
                self._inference = inference
            return self._inference

    def _check(self, inference: Inference) -> None:
        """A few probes, at every start: integers are multiplied differently where the processor lacks VNNI."""
        probes, precision = self._model.probes(), self._model.precision
        reference = np.array(probes["vectors"], dtype=np.float32)
        rows = self._encode(inference, self._files.passage_prompt, probes["texts"])
        cosine = float(np.nan_to_num(np.sum(reference * rows, axis=1), nan=-1.0).min())
        if cosine < LEAST_COSINE[precision]:
            raise ModelDisagrees(
                f"{self.name}, compiled to {precision}, gives other vectors on this machine than its reference "
                f"(cosine {cosine:.4f}); set QA_PRECISION to fp32 and build the index again"
            )
