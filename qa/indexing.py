"""Making and keeping an index: wires readers, encoder, cache and snapshots as the settings say."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from qa.builder import BuildCounts, Builder, BuildListener, require_sources
from qa.embedding_cache import CACHE_FILE, EmbeddingCache, cache_keys
from qa.encoders.model_files import locate
from qa.errors import SnapshotError
from qa.index import Index
from qa.manifest import Manifest
from qa.previous import Previous
from qa.readers.discovery import discover
from qa.readers.isolation import IsolatedReader, ReadingLimits, ReadSource
from qa.readers.names import printable
from qa.settings import Settings
from qa.snapshots import Provenance, Snapshots
from qa.splitter import SplitterParameters
from qa.store import Store
from qa.store_schema import DOCUMENTS_FILE
from qa.types import Encoder, FileReport, Source


class EncoderFactory(Protocol):
    def __call__(self, settings: Settings, *, threads: int) -> Encoder: ...


def make_encoder(settings: Settings, *, threads: int) -> Encoder:
    """The encoder that the settings name, not loaded yet. Raises ModelNotFound or ModelCorrupt."""
    from qa.encoders.sentence_transformer import SentenceTransformerEncoder

    files = locate(settings.model)
    return SentenceTransformerEncoder(files, threads=settings.threads or threads, batch_size=settings.batch_size)


class UpdateGate(Protocol):
    def __call__(self, candidate: str, encoder: Encoder) -> None:
        """Raises an error of the qa tree where the snapshot ``candidate`` must not become the active one."""


class UpdateListener(BuildListener, Protocol):
    def stage(self, message: str) -> None:
        """A step that may take seconds begins."""


class SilentListener:
    """For where nobody looks on, such as behind a server: what could not be read is in the snapshot's report."""

    def stage(self, message: str) -> None:
        pass

    def started(self, total_bytes: int, files: int) -> None:
        pass

    def advanced(self, size: float) -> None:
        pass

    def finished_file(self, report: FileReport) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Update:
    """``manifest`` is of the snapshot that is active now: the old one where ``counts`` say that nothing changed.

    ``seconds`` of wall clock, the loading of the model included.
    """

    manifest: Manifest
    counts: BuildCounts
    seconds: float


def update(  # noqa: PLR0913 - the last four are what a build may do without
    settings: Settings,
    paths: Sequence[Path],
    listener: UpdateListener,
    *,
    make: EncoderFactory = make_encoder,
    read: ReadSource | None = None,
    rebuild: bool = False,
    gate: UpdateGate | None = None,
) -> Update:
    """Make an index what its paths hold now, and the new snapshot the active one.

    Files that have not changed since the active snapshot are taken over from it, if it was made of the same paths in
    the same way; where nothing has changed there is no new snapshot.

    Args:
        read: reads one file; by default in a process of its own, within the limits of the settings.
        rebuild: read and split every file again, and publish in any case.
        gate: is asked whether the new snapshot may become the active one; where it may not, it stays beside it.

    Raises:
        SourceError: the paths are wrong, or nothing in them could be read.
        EncoderError: the model cannot be used.
        WriterBusy: another build of this index is running.
        StorageError: the disk is full, or cannot be written.
        QAError: what ``gate`` raises; the new snapshot is there, and the old one is active.
    """
    started = time.perf_counter()
    paths = list(dict.fromkeys(path.absolute() for path in paths))
    parameters = SplitterParameters(settings.passage_tokens, settings.overlap_tokens, settings.window_tokens)
    found = _without_indexes(list(discover(paths)), settings.indexes)
    require_sources(found)
    snapshots = Snapshots(settings.indexes, settings.name)
    sources = tuple(printable(str(path)) for path in paths)
    with snapshots.writing() as writer, ExitStack() as stack:
        encoder = make(settings, threads=os.cpu_count() or 1)
        cache = stack.enter_context(closing(EmbeddingCache(snapshots.folder / CACHE_FILE)))
        staged = stack.enter_context(writer.staging())
        if read is None:
            read = stack.enter_context(IsolatedReader(_limits(settings))).read
        builder = Builder(encoder, parameters, cache, listener, read)
        fingerprint = builder.fingerprint()
        active = None if rebuild else _active(snapshots, sources, fingerprint)
        if active is not None:
            stack.callback(active.close)
            previous = Previous(active.store, active.manifest.created)
            if previous.is_as_found(found):
                same = BuildCounts(active.manifest.documents, active.manifest.passages, encoded=0, changed=False)
                return Update(active.manifest, same, time.perf_counter() - started)
            builder = replace(builder, previous=previous)
        if builder.must_read(found):
            listener.stage(f"Loading the model {encoder.name}")
            encoder.load()
        counts = builder.build(staged, found)
        if active is not None and not counts.changed:
            return Update(active.manifest, counts, time.perf_counter() - started)
        listener.stage("Verifying and publishing")
        provenance = Provenance(encoder.name, fingerprint, sources)
        if gate is None:
            manifest = writer.publish(staged, provenance, counts.documents, counts.passages)
        else:
            manifest = writer.add(staged, provenance, counts.documents, counts.passages)
            gate(manifest.id, encoder)
            writer.activate(manifest.id)
    return Update(manifest, counts, time.perf_counter() - started)


def _limits(settings: Settings) -> ReadingLimits:
    return ReadingLimits(
        max_bytes=settings.max_file_mb * 10**6,
        seconds=settings.max_file_seconds,
        memory_bytes=settings.reader_memory_mb * 10**6,
    )


def _active(snapshots: Snapshots, sources: tuple[str, ...], fingerprint: Mapping[str, object]) -> Index | None:
    """The active snapshot, if what it holds of an unchanged file is what would be made of that file now."""
    try:
        index = snapshots.open()
    except SnapshotError:
        return None
    if index.manifest.sources == sources and index.manifest.fingerprint == json.loads(json.dumps(fingerprint)):
        return index
    index.close()
    return None


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
            texts = (p.encoded_text(window) for p in store.all_passages() for window in p.windows)
            yield from cache_keys(encoder, texts)
        finally:
            store.close()
