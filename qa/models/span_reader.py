"""Extractive question-answering models, run by transformers: the span of a passage that answers a question."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import ModelNotFound
from qa.models.files import AnswerReaderFiles
from qa.protocols import SpanReading
from qa.types import Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What is asked for is a phrase, and hardly a longer one.
_LONGEST = 40


class TransformersAnswerReader:
    """Scores spans as Devlin et al. (2019, "BERT", section 4.3) do for SQuAD 2.0; see ``qa.protocols.SpanReader``.

    A text that does not fit into the window beside the question is read in windows that overlap by a quarter.
    """

    def __init__(self, files: AnswerReaderFiles, *, threads: int) -> None:
        self._files = files
        self._threads = threads
        self._loading = threading.Lock()
        # A fast tokenizer keeps the truncation that it was last called with, which two threads must not share.
        self._reading = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    @property
    def name(self) -> str:
        return self._files.name

    def load(self) -> None:
        self._model()

    def _model(self) -> tuple[Any, Any]:
        with self._loading:
            if self._loaded is None:
                self._loaded = _load(self._files, self._threads)
            return self._loaded

    def read(self, question: str, texts: Sequence[str]) -> list[SpanReading | None]:
        if not texts:
            return []
        import torch

        tokenizer, model = self._model()
        found: list[SpanReading | None] = [None] * len(texts)
        with self._reading, torch.inference_mode():
            asked = _fitting(tokenizer, question, self._files.window // 2)
            rows = tokenizer(
                [asked] * len(texts),
                list(texts),
                truncation="only_second",
                max_length=self._files.window,
                stride=self._files.window // 8,
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
                padding=True,
                return_tensors="pt",
            )
            offsets, owners = rows.pop("offset_mapping").numpy(), rows.pop("overflow_to_sample_mapping").tolist()
            logits = model(**rows)
            starts, ends = logits.start_logits.float().numpy(), logits.end_logits.float().numpy()
        for row, owner in enumerate(owners):
            is_text = np.array([part == 1 for part in rows.sequence_ids(row)])
            reading = _best(starts[row], ends[row], is_text, offsets[row])
            before = found[owner]
            if reading is not None and (before is None or reading.score > before.score):
                found[owner] = reading
        return found


def _best(
    starts: NDArray[np.float32], ends: NDArray[np.float32], is_text: NDArray[np.bool_], offsets: NDArray[np.int64]
) -> SpanReading | None:
    """The best span of a window: logits, which tokens are of the text, and where each stands in it."""
    is_text = is_text & (offsets[:, 1] > offsets[:, 0])
    if not is_text.any():
        return None
    sums = starts[:, None] + ends[None, :]
    allowed = np.triu(np.tril(np.ones_like(sums, dtype=bool), _LONGEST - 1)) & is_text[:, None] & is_text[None, :]
    first, last = np.unravel_index(np.argmax(np.where(allowed, sums, -np.inf)), sums.shape)
    # The first token stands for the whole, and so for "no answer".
    score = float(sums[first, last] - sums[0, 0])
    return SpanReading(Span(int(offsets[first, 0]), int(offsets[last, 1])), score)


def _fitting(tokenizer: Any, question: str, tokens: int) -> str:
    """The question, cut where it would leave a text no room."""
    offsets = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return question if len(offsets) <= tokens else question[: offsets[tokens - 1][1]]


def _load(files: AnswerReaderFiles, threads: int) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads)
    folder = str(files.folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForQuestionAnswering.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except Exception as error:  # each of the libraries below raises kinds of its own
        raise ModelNotFound(f"transformers cannot load {folder}: {' '.join(str(error).split())}") from error
    if not tokenizer.is_fast:
        raise ModelNotFound(f"{folder} has no tokenizer.json, without which no span is exact")
    model.eval()
    return tokenizer, model
