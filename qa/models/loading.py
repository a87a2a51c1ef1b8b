"""The wiring of models: encoder, re-ranker and answer reader as the settings name them. Imports no indexing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog

from qa.errors import QAError
from qa.models.compiled import MODELS_FOLDER
from qa.models.files import locate, locate_reranker
from qa.models.scheduling import Scheduled, Slots, count_slots
from qa.protocols import AnswerReader, Encoder, Reranker
from qa.settings import Settings

if TYPE_CHECKING:
    from qa.models.choice import Runtime


log = structlog.get_logger(__name__)

_Model = TypeVar("_Model")


class EncoderFactory(Protocol):
    def __call__(self, settings: Settings, *, threads: int) -> Encoder: ...


def make_encoder(settings: Settings, *, threads: int, stage: Callable[[str], None] = lambda message: None) -> Encoder:
    """Make the encoder that the settings name, not loaded yet; its model is compiled first where it was not before.

    Raises:
        ModelNotFound, ModelCorrupt: there is no such model; the message says what to type.
        StorageError: there is no space to compile it.
    """
    from qa.models.choice import choose_encoder

    return choose_encoder(locate(settings.model, settings.indexes / MODELS_FOLDER), _runtime(settings, threads), stage)


def make_reranker(
    settings: Settings, *, threads: int, stage: Callable[[str], None] = lambda message: None
) -> Reranker | None:
    """Make the cross-encoder that the settings name, not loaded yet; ``None`` where they name none.

    Raises:
        ModelNotFound: there is no such model.
        StorageError: there is no space to compile it.
    """
    if not settings.reranker:
        return None
    from qa.models.reranker import choose_reranker

    return choose_reranker(locate_reranker(settings.reranker), _runtime(settings, threads), stage)


def make_answer_reader(settings: Settings, *, threads: int) -> AnswerReader:
    """Make the answer reader that ships with the package, not loaded yet."""
    from qa.models.answer_reader import OpenVinoReader

    return OpenVinoReader(threads=settings.threads or threads, models=settings.indexes / MODELS_FOLDER)


class Models:
    """The models of one process, each made once, at the first call; they compute in the same slots. Thread-safe.

    Args:
        forks: whether they are for processes that are forked from this one, see :meth:`load_before_fork`.
    """

    def __init__(self, settings: Settings, make: EncoderFactory = make_encoder, *, forks: bool = False) -> None:
        # One batch of questions is encoded at a time: with one, OpenVINO computes in the thread that asks for it, and
        # with more in threads of its own. A process has not the Python for as many questions as one core encodes.
        self._slots = Slots(count_slots(settings), encoding=settings.threads or 1, forks=forks)
        self._settings = settings
        self._make_encoder = make
        self._making = threading.Lock()
        self._encoder: Encoder | None = None
        # Once they were made, which may have been to nothing.
        self._reranker: tuple[()] | tuple[Reranker | None] = ()
        self._answer_reader: AnswerReader | None = None

    def load(self) -> None:
        """Load encoder and reader side by side, so that questions can be asked sooner. Raises EncoderError."""
        encoder = self.encoder()
        with ThreadPoolExecutor(1, thread_name_prefix="load-reader") as pool:
            reading = pool.submit(self.answer_reader().load)
            encoder.load()
            reading.result()

    def load_before_fork(self) -> None:
        """Load the models in a process from which others are then forked: these share what is loaded.

        An encoder or re-ranker that is still to be compiled is left to them, since that takes many seconds; so is one
        that sentence-transformers runs, whose threads they would lack. What cannot be loaded they find out as well, and
        say.
        """
        from qa.models.choice import is_compiled
        from qa.models.openvino import import_openvino

        try:
            import_openvino()
            files = locate(self._settings.model, self._settings.indexes / MODELS_FOLDER)
            runtime = _runtime(self._settings, 1)
            if is_compiled(files, runtime) and isinstance(self.encoder(), Scheduled):
                self.load()
            else:
                self.answer_reader().load()
            if (name := self._settings.reranker) and is_compiled(locate_reranker(name), runtime):
                self.reranker()
        except QAError:
            pass
        except Exception:
            # Such as OpenVINO's own errors. A server that has loaded nothing says so, and tries again.
            log.warning("models are not shared by the workers: they could not be loaded before", exc_info=True)

    def encoder(self) -> Encoder:
        """Return the encoder, not loaded: its weights are when they are needed.

        Raises:
            EncoderError: the model is not there.
        """
        with self._making:
            if self._encoder is None:
                self._encoder = self._sharing(self._make_encoder(self._settings, threads=1))
            return self._encoder

    def reranker(self) -> Reranker | None:
        """Return the re-ranker, loaded; ``None`` where the settings name none. Raises EncoderError."""
        with self._making:
            if not self._reranker:
                self._reranker = (_loaded(self._sharing(make_reranker(self._settings, threads=1))),)
            return self._reranker[0]

    def answer_reader(self) -> AnswerReader:
        """Return the reader; its weights are loaded when they are needed."""
        with self._making:
            if self._answer_reader is None:
                # Reading is nearly all of the time that an answer takes: one question is read on all slots.
                self._answer_reader = self._sharing(make_answer_reader(self._settings, threads=self._slots.count))
            return self._answer_reader

    def _sharing(self, model: _Model) -> _Model:
        if isinstance(model, Scheduled):
            model.compute_in(self._slots)
        return model


def _loaded(model: Reranker | None) -> Reranker | None:
    if model is not None:
        model.load()
    return model


def _runtime(settings: Settings, threads: int) -> Runtime:
    from qa.models.choice import Runtime

    return Runtime(settings.indexes / MODELS_FOLDER, settings.precision, settings.threads or threads)
