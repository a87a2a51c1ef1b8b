"""Wiring: makes the objects from the settings, and holds the snapshot and model that are in use."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from qa.builder import BuildCounts, Builder, BuildListener, require_sources
from qa.embedding_cache import CACHE_FILE, EmbeddingCache, cache_keys
from qa.encoders.model_files import locate
from qa.errors import EncoderError, NotReady, QAError, QueryError, SnapshotError, SnapshotIncompatible
from qa.manifest import Manifest
from qa.readers.discovery import discover
from qa.retriever import Retriever
from qa.settings import Settings
from qa.snapshots import Provenance, Snapshots
from qa.splitter import SplitterParameters
from qa.types import Collection, Document, Encoder, Limits, Query, Reply, State

log = structlog.get_logger(__name__)

# Seconds between two looks at which snapshot is current.
_FOLLOW_EVERY = 1.0


def make_encoder(settings: Settings, *, threads: int) -> Encoder:
    """The encoder that the settings name, not loaded yet. Raises ModelNotFound or ModelCorrupt."""
    from qa.encoders.sentence_transformer import SentenceTransformerEncoder

    files = locate(settings.model)
    return SentenceTransformerEncoder(files, threads=settings.threads or threads, batch_size=settings.batch_size)


class EncoderFactory(Protocol):
    def __call__(self, settings: Settings, *, threads: int) -> Encoder: ...


class UpdateListener(BuildListener, Protocol):
    def stage(self, message: str) -> None:
        """A step that may take seconds begins."""


@dataclass(frozen=True, slots=True)
class Update:
    """A build that was published. ``seconds`` of wall clock, the loading of the model included."""

    manifest: Manifest
    counts: BuildCounts
    seconds: float


def update(
    settings: Settings, paths: Sequence[Path], listener: UpdateListener, make: EncoderFactory = make_encoder
) -> Update:
    """Build a snapshot of ``paths`` and make it the active one.

    Raises:
        SourceError: the paths are wrong, or nothing in them could be read.
        EncoderError: the model cannot be used.
        WriterBusy: another build of this index is running.
    """
    started = time.perf_counter()
    parameters = SplitterParameters(size=settings.passage_tokens, overlap=settings.overlap_tokens)
    found = list(discover(paths))
    require_sources(found)
    snapshots = Snapshots(settings.indexes, settings.name)
    with snapshots.writing() as writer:
        encoder = make(settings, threads=os.cpu_count() or 1)
        listener.stage(f"Loading the model {encoder.name}")
        encoder.load()
        cache = EmbeddingCache(snapshots.folder / CACHE_FILE)
        try:
            with writer.staging() as staged:
                builder = Builder(encoder, parameters, cache, listener)
                counts = builder.build(staged, found)
                provenance = Provenance(
                    encoder=encoder.name,
                    fingerprint=builder.fingerprint(),
                    sources=tuple(str(path.absolute()) for path in paths),
                )
                listener.stage("Verifying and publishing")
                manifest = writer.publish(staged, provenance, counts.documents, counts.passages)
        finally:
            cache.close()
    return Update(manifest, counts, time.perf_counter() - started)


def prune(settings: Settings) -> tuple[list[str], int]:
    """Remove old snapshots, and the embeddings that no remaining one uses; returns the ids and how many embeddings.

    Raises:
        IndexNotFound, WriterBusy, SettingsError: nothing was removed.
    """
    snapshots = Snapshots(settings.indexes, settings.name)
    snapshots.current()
    with snapshots.writing() as writer:
        removed = writer.prune(settings.keep_snapshots)
        used: set[bytes] = set()
        for id in snapshots.ids():
            index = snapshots.open(id)
            texts = (passage.encoded_text for passage in index.store.all_passages())
            used.update(cache_keys(index.manifest.fingerprint["encoder"], texts))
            index.close()
        cache = EmbeddingCache(snapshots.folder / CACHE_FILE)
        forgotten = cache.keep_only(used)
        cache.close()
    return removed, forgotten


class Service:
    """One index, served. Thread-safe: a request works on the snapshot that was active when it came in.

    Constructing it costs nothing; :meth:`reload` makes it ready.
    """

    def __init__(self, settings: Settings, make: EncoderFactory = make_encoder) -> None:
        self.limits = Limits(settings.max_question_chars, settings.max_top_k, settings.max_batch)
        self._settings = settings
        self._snapshots = Snapshots(settings.indexes, settings.name)
        self._make_encoder = make
        self._reloading = threading.Lock()
        self._encoder: Encoder | None = None
        self._retriever: Retriever | None = None
        self._problem: tuple[str, str] | None = ("loading", "the snapshot and its model are being loaded")

    def reload(self) -> bool:
        """Serve the snapshot that is current; returns whether that changed what is served.

        Raises:
            QAError: the snapshot or the model cannot be used. What was served before is served on.
        """
        with self._reloading:
            current = self._snapshots.current()
            if self._retriever is not None and self._retriever.index.manifest.id == current:
                return False
            encoder = self._encoder or self._make_encoder(self._settings, threads=1)
            # Refuses a snapshot of another model before seconds are spent on loading this one.
            retriever = Retriever(self._snapshots.open(current), encoder, self.limits)
            encoder.load()
            self._encoder, self._retriever = encoder, retriever
            self._problem = None
            return True

    def follow(self, stopped: threading.Event, on_ready: Callable[[State], None]) -> None:
        """Load what is current, now and whenever it changes, until ``stopped``. Runs in a thread of its own."""
        tried: str | None = None
        while not stopped.is_set():
            current = self._current()
            if current != tried:
                tried = current
                if self._try_reload():
                    on_ready(self.state())
            stopped.wait(_FOLLOW_EVERY)

    def _current(self) -> str | None:
        try:
            return self._snapshots.current()
        except (QAError, OSError):
            return None

    def _try_reload(self) -> bool:
        try:
            return self.reload()
        except Exception as error:  # whatever it is, what was served before is served on, and /readyz says why
            self._problem = _public_reason(error)
            unforeseen = None if isinstance(error, QAError) else error
            log.error("snapshot not loaded", index=self._settings.name, reason=str(error), exc_info=unforeseen)
            return False

    def state(self) -> State:
        retriever, problem = self._retriever, self._problem
        if retriever is None:
            status, detail = problem or ("loading", "")
            return State(False, status, detail, index=self._settings.name)
        manifest = retriever.index.manifest
        detail = f"serving snapshot {manifest.id}"
        return State(
            ready=True,
            status="ready",
            detail=f"{detail}; the current one is {problem[0]}: {problem[1]}" if problem else detail,
            index=self._settings.name,
            snapshot=manifest.id,
            documents=manifest.documents,
            passages=manifest.passages,
            created=manifest.created,
        )

    def ask(self, query: Query) -> Reply:
        """Raises QueryError, or NotReady."""
        (reply,) = self.ask_many([query])
        if isinstance(reply, QueryError):
            raise reply
        return reply

    def ask_many(self, queries: Sequence[Query]) -> list[Reply | QueryError]:
        """In the order given; each query succeeds or fails by itself. Raises NotReady."""
        return self._ready().retrieve(queries)

    def collection(self) -> Collection:
        """Raises NotReady."""
        index = self._ready().index
        return Collection(index.manifest.id, tuple(index.store.summaries()), tuple(index.store.report()))

    def document(self, id: str) -> Document:
        """Raises DocumentNotFound, or NotReady."""
        return self._ready().index.store.document(id)

    def _ready(self) -> Retriever:
        retriever = self._retriever
        if retriever is None:
            raise NotReady(self.state().detail)
        return retriever


def _public_reason(error: Exception) -> tuple[str, str]:
    """A word and a clause for clients, who learn no path of this machine; the log has the message itself."""
    match error:
        case SnapshotIncompatible():
            return "refused", str(error)
        case SnapshotError():
            return "damaged", "the current snapshot cannot be used; the server's log says why and what to do"
        case EncoderError():
            return "no-model", "the model cannot be loaded; the server's log says why and what to do"
        case _:
            return "failed", "the snapshot could not be loaded; the server's log says why"
