"""The wiring of models: encoder, re-ranker and answer reader as the settings name them. Imports no indexing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from qa.encoders.compiled_files import MODELS_FOLDER
from qa.encoders.model_files import locate, locate_answer_reader, locate_reranker
from qa.protocols import AnswerReader, Encoder, Reranker
from qa.settings import Settings

if TYPE_CHECKING:
    from qa.encoders.choice import Runtime


class EncoderFactory(Protocol):
    def __call__(self, settings: Settings, *, threads: int) -> Encoder: ...


def make_encoder(settings: Settings, *, threads: int, stage: Callable[[str], None] = lambda message: None) -> Encoder:
    """The encoder that the settings name, not loaded yet; its model is compiled first where that was not done before.

    Raises:
        ModelNotFound, ModelCorrupt: there is no such model.
        StorageError: there is no space to compile it.
    """
    from qa.encoders.choice import choose_encoder

    return choose_encoder(locate(settings.model), _runtime(settings, threads), stage)


def make_reranker(
    settings: Settings, *, threads: int, stage: Callable[[str], None] = lambda message: None
) -> Reranker | None:
    """The cross-encoder that the settings name, not loaded yet; ``None`` where they name none.

    Raises:
        ModelNotFound: there is no such model.
        StorageError: there is no space to compile it.
    """
    if not settings.reranker:
        return None
    from qa.encoders.cross_encoder import choose_reranker

    return choose_reranker(locate_reranker(settings.reranker), _runtime(settings, threads), stage)


def make_answer_reader(settings: Settings, *, threads: int) -> AnswerReader | None:
    """The question-answering model that the settings name, not loaded yet; ``None`` where they name none.

    Raises:
        ModelNotFound: there is no such model.
    """
    if not settings.reader:
        return None
    from qa.encoders.answer_reader import TransformersAnswerReader

    return TransformersAnswerReader(locate_answer_reader(settings.reader), threads=settings.threads or threads)


def _runtime(settings: Settings, threads: int) -> Runtime:
    from qa.encoders.choice import Runtime

    return Runtime(
        settings.indexes / MODELS_FOLDER, settings.precision, settings.threads or threads, settings.batch_size
    )
