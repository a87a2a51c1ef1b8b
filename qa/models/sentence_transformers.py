"""The reference encoder: any sentence-transformers model, run by torch; both are imported here alone, and late."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from qa.errors import ModelNotFound, QuestionTooLong
from qa.extras import require
from qa.models.files import EncoderFiles, OnDisk

if TYPE_CHECKING:
    from qa.types import Vectors


# Passages in one forward pass.
_BATCH = 32


def load_model(kind: Literal["SentenceTransformer", "CrossEncoder"], folder: Path, threads: int, **options: Any) -> Any:
    """Load the model of a folder, to be used and not trained, in the precision that its fingerprint names.

    Args:
        threads: of torch, for the whole process.
        options: of sentence-transformers' own class.

    Raises:
        ModelNotFound: it cannot be loaded.
        ExtraMissing: ``qa[build]`` is not installed.
    """
    require("build", f"running the model {folder.name} as it is")
    import sentence_transformers
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads)
    try:
        model = getattr(sentence_transformers, kind)(
            str(folder),
            device="cpu",
            local_files_only=True,
            # Also where the checkpoint is saved in another one.
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            **options,
        )
    except Exception as error:  # each of the libraries below raises kinds of its own
        raise ModelNotFound(f"sentence-transformers cannot load {folder}: {' '.join(str(error).split())}") from error
    model.eval()
    return model


class SentenceTransformerEncoder(OnDisk[EncoderFiles]):
    """An encoder that is loaded on its first use, or by :meth:`load`.

    Args:
        files: the model, see :func:`qa.models.files.locate`.
        threads: of torch, for the whole process. One is right for serving: two threads on one short question were
            measured forty times slower when the machine is busy. All cores are right for building an index.
    """

    def __init__(self, files: EncoderFiles, *, threads: int) -> None:
        super().__init__(files)
        self._threads = threads
        self._loaded: _Loaded | None = None
        self._loading = threading.Lock()
        # torch runs one forward pass on all its threads, and fast tokenizers refuse to change their truncation while
        # another thread uses them: one call at a time.
        self._encoding = threading.Lock()

    def load(self) -> None:
        self._use()

    def module(self) -> Any:
        """Return the loaded ``SentenceTransformer``, for compiling it."""
        return self._use().model

    def _use(self) -> _Loaded:
        with self._loading:
            if self._loaded is None:
                self._loaded = _load(self._files, self._threads)
            return self._loaded

    @property
    def dimension(self) -> int:
        return self._files.dimension

    @property
    def languages(self) -> tuple[str, ...]:
        return self._files.languages

    @cached_property
    def spread(self) -> float:
        from qa.models.compilation import PASSAGES, QUESTIONS
        from qa.models.compiled import spread_of

        # Not by encode_questions, which refuses what is longer than the window.
        questions = self._encode("encode_query", self._files.question_prompt, QUESTIONS)
        return spread_of(questions, self.encode_passages(PASSAGES))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._count(self._files.passage_prompt, texts)

    def count_question_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._count(self._files.question_prompt, texts)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return self._encode("encode_document", self._files.passage_prompt, texts)

    def encode_questions(self, texts: Sequence[str]) -> Vectors:
        for tokens in self.count_question_tokens(texts):
            if tokens > self.window:
                raise QuestionTooLong(tokens, self.window)
        return self._encode("encode_query", self._files.question_prompt, texts)

    def _count(self, prompt: str, texts: Sequence[str]) -> list[int]:
        encodings = self._use().counter.encode_batch_fast([prompt + text for text in texts])
        return [len(encoding.ids) for encoding in encodings]

    def _encode(self, method: str, prompt: str, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        encode = getattr(self._use().model, method)
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        # Texts of like length together, so that little is padded; one batch at a time, so that a question waits for one
        # batch and not for a whole build.
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            rows[batch] = self._encode_batch(encode, prompt, [texts[at] for at in batch])
        return rows

    def _encode_batch(self, encode: Any, prompt: str, texts: list[str]) -> Any:
        with self._encoding:
            return encode(
                texts,
                # Given outright: what is counted and fingerprinted is what is used, whatever the library would choose.
                prompt=prompt,
                batch_size=len(texts),
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )


@dataclass(frozen=True, slots=True)
class _Loaded:
    model: Any
    counter: Any


def _load(files: EncoderFiles, threads: int) -> _Loaded:
    model = load_model("SentenceTransformer", files.folder, threads)
    # One truth: what the splitter counted against is what the model reads.
    model.max_seq_length = files.window
    return _Loaded(model, _counting_tokenizer(model, files))


def _counting_tokenizer(model: Any, files: EncoderFiles) -> Any:
    """Copy the model's tokenizer, without its cuts: published ones carry a truncation of their own."""
    from tokenizers import Tokenizer

    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelNotFound(f"{files.folder} has no fast tokenizer (tokenizer.json), so its tokens cannot be counted")
    counter = Tokenizer.from_str(backend.to_str())
    counter.no_truncation()
    counter.no_padding()
    return counter
