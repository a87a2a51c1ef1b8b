"""Making and keeping an index: wires readers, encoder, cache and snapshots as the settings say."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qa.builder import BuildCounts, Builder, BuildListener, require_sources
from qa.embedding_cache import CACHE_FILE, EmbeddingCache, cache_keys
from qa.encoders.model_files import locate
from qa.errors import SnapshotError
from qa.manifest import Manifest
from qa.readers.discovery import discover, printable
from qa.settings import Settings
from qa.snapshots import Provenance, Snapshots
from qa.splitter import SplitterParameters
from qa.store import DOCUMENTS_FILE, Store
from qa.types import Encoder, FileReport, Source


class EncoderFactory(Protocol):
    def __call__(self, settings: Settings, *, threads: int) -> Encoder: ...


def make_encoder(settings: Settings, *, threads: int) -> Encoder:
    """The encoder that the settings name, not loaded yet. Raises ModelNotFound or ModelCorrupt."""
    from qa.encoders.sentence_transformer import SentenceTransformerEncoder

    files = locate(settings.model)
    return SentenceTransformerEncoder(files, threads=settings.threads or threads, batch_size=settings.batch_size)


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
        StorageError: the disk is full, or cannot be written.
    """
    started = time.perf_counter()
    parameters = SplitterParameters(size=settings.passage_tokens, overlap=settings.overlap_tokens)
    found = _without_indexes(list(discover(paths)), settings.indexes)
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
                    sources=tuple(printable(str(path.absolute())) for path in paths),
                )
                listener.stage("Verifying and publishing")
                manifest = writer.publish(staged, provenance, counts.documents, counts.passages)
        finally:
            cache.close()
    return Update(manifest, counts, time.perf_counter() - started)


def _without_indexes(found: list[Source | FileReport], indexes: Path) -> list[Source | FileReport]:
    """An index is no document of itself: ``qa index .`` would find its own files, and others at every run."""
    root = indexes.resolve()
    kept: list[Source | FileReport] = []
    for item in found:
        if isinstance(item, Source) and item.path.resolve().is_relative_to(root):
            kept.append(FileReport(item.id, "skipped", "it belongs to an index", size=item.size))
        else:
            kept.append(item)
    return kept


@dataclass(frozen=True, slots=True)
class Pruned:
    """``forgotten`` is ``None`` where a snapshot that stays cannot be read, and so no embedding was given up."""

    removed: tuple[str, ...]
    forgotten: int | None


def prune(settings: Settings) -> Pruned:
    """Remove old snapshots, and the embeddings that no remaining one uses.

    Raises:
        IndexNotFound, WriterBusy: nothing was removed.
    """
    snapshots = Snapshots(settings.indexes, settings.name)
    snapshots.current()
    with snapshots.writing() as writer:
        removed = tuple(writer.prune(settings.keep_snapshots))
        cache = EmbeddingCache(snapshots.folder / CACHE_FILE)
        try:
            return Pruned(removed, cache.keep_only(_keys_in_use(snapshots)))
        except SnapshotError:
            return Pruned(removed, None)
        finally:
            cache.close()


def _keys_in_use(snapshots: Snapshots) -> Iterator[bytes]:
    for id in snapshots.ids():
        folder = snapshots.path(id)
        encoder = Manifest.read(folder).fingerprint["encoder"]
        store = Store(folder / DOCUMENTS_FILE)
        try:
            yield from cache_keys(encoder, (passage.encoded_text for passage in store.all_passages()))
        finally:
            store.close()
