"""An index made, kept current and kept small: readers, encoder, cache and snapshots wired as the settings say."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

from qa.build.builder import BuildCounts, Builder, BuildListener
from qa.build.contents import RECOGNISED, Contents
from qa.build.embeddings import CACHE_FILE, EmbeddingCache, cache_keys
from qa.build.found import FoundFiles, require_sources
from qa.build.reuse import Previous
from qa.build.uploads import DOCUMENTS, is_made_of
from qa.errors import CollectionFixed, IndexNotFound, NothingToIndex, SnapshotError, SnapshotIncompatible, StorageError
from qa.files import printable
from qa.index.index import Index
from qa.index.manifest import Manifest
from qa.index.schema import DOCUMENTS_FILE
from qa.index.snapshots import Provenance, Snapshots, SnapshotWriter
from qa.index.store import Store
from qa.index.vectors.engines import is_in_milvus
from qa.machine import release_free_memory, usable_cores
from qa.models.compiled import MODELS_FOLDER
from qa.models.loading import EncoderFactory, make_encoder
from qa.protocols import Encoder
from qa.readers.discovery import discover
from qa.readers.isolation import IsolatedReader, ReadingLimits, ReadSource, Recognition
from qa.readers.recognition.recogniser import OFF, PageCache, recognition_version
from qa.readers.registry import ReadingOptions
from qa.settings import Settings
from qa.text.splitter import SplitterParameters
from qa.types import FileReport, Source

# Folders of which is kept whether they are of an index.
_FOLDERS_KEPT = 4096


class UpdateGate(Protocol):
    def __call__(self, candidate: str, encoder: Encoder) -> None:
        """Raise an error of the qa tree where the snapshot ``candidate`` must not become the active one."""


class SilentListener:
    """A listener that shows nothing, for servers: what could not be read is in the snapshot's report."""

    def stage(self, message: str) -> None:
        pass

    def started(self, total_bytes: int, files: int) -> None:
        pass

    def advanced(self, size: float, encoded: float | None = None) -> None:
        pass

    def recognising(self, id: str, page: int, pages: int) -> None:
        pass

    def finished_file(self, report: FileReport) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Update:
    """The result of an update: ``manifest`` is of the active snapshot, the old one where ``counts`` say no change.

    ``seconds`` of wall clock, the loading of the model included.
    """

    manifest: Manifest
    counts: BuildCounts
    seconds: float


def update(  # noqa: PLR0913 - the last five are what a build may do without
    settings: Settings,
    paths: Sequence[Path],
    listener: BuildListener,
    *,
    make: EncoderFactory | None = None,
    read: ReadSource | None = None,
    rebuild: bool = False,
    gate: UpdateGate | None = None,
    ray: str | None = None,
) -> Update:
    """Make an index what its paths hold now, and the new snapshot the active one.

    Files that have not changed since the active snapshot are taken over from it, if it was made of the same paths in
    the same way; where nothing has changed there is no new snapshot. A file that cannot be read keeps its last good
    version, whatever has changed. The model is loaded where there is new text to encode.

    Args:
        make: gives the encoder; by default the one that the settings name.
        read: reads one file; by default in a process of its own, within the limits of the settings.
        rebuild: read and split every file again, and publish in any case.
        gate: is asked whether the new snapshot may become the active one; where it may not, it stays beside it.
        ray: the address of a Ray cluster that encodes what is new first, see :func:`qa.build.cluster.connected`.

    Raises:
        SourceError: the paths are wrong, or nothing in them could be read.
        EncoderError: the model cannot be used.
        WriterBusy: another build of this index is running.
        StorageError: the disk is full, or cannot be written.
        ExtraMissing, ClusterError: the Ray cluster cannot be used.
        QAError: what ``gate`` raises; the new snapshot is there, and the old one is active.
    """
    started = time.perf_counter()
    paths = list(dict.fromkeys(path.absolute() for path in paths))
    found = _found(settings, paths)
    snapshots = Snapshots.of(settings)
    with snapshots.writing() as writer:
        threads = max(1, int(usable_cores()))
        encoder = (
            make(settings, threads=threads) if make else make_encoder(settings, threads=threads, stage=listener.stage)
        )
        parameters = SplitterParameters(settings.passage_tokens, settings.overlap_tokens)
        sources = tuple(printable(str(path)) for path in paths)
        options = ReadingOptions(settings.hidden, recognition_version(settings.ocr))
        cluster = None if ray is None else _Cluster(ray, make or make_encoder)
        inputs = _Inputs(settings, listener, sources, found, encoder, parameters, options, gate, cluster)
        manifest, counts = _update(snapshots, writer, inputs, read, rebuild)
    return Update(manifest, counts, time.perf_counter() - started)


def follow(settings: Settings, listener: BuildListener, encoder: Encoder) -> Update:
    """Do what :func:`update` does, with the paths, reading options and splitter's parameters of the active snapshot.

    Raises:
        SnapshotError: there is no active snapshot, or it was made with another model.
        SourceError, EncoderError, WriterBusy, StorageError: as :func:`update`.
    """
    started = time.perf_counter()
    snapshots = Snapshots.of(settings)
    with snapshots.writing() as writer:
        manifest = snapshots.manifest()
        parameters = _parameters_of(manifest, encoder)
        found = _found(settings, [Path(source) for source in manifest.sources])
        options = _options_of(manifest)
        inputs = _Inputs(settings, listener, manifest.sources, found, encoder, parameters, options)
        manifest, counts = _update(snapshots, writer, inputs)
    return Update(manifest, counts, time.perf_counter() - started)


def update_own(settings: Settings, listener: BuildListener, encoder: Encoder) -> Update | None:
    """Do what :func:`update` does with the documents that the collection keeps itself, as they are now.

    They are read and split as those of the active snapshot were, or as the settings say where there is none.

    Returns:
        ``None`` where nothing that can be read is left: then no snapshot is active any more.

    Raises:
        CollectionFixed: the active snapshot was made of other folders.
        SnapshotError: the active snapshot was made with another model, or cannot be read.
        SourceError, EncoderError, WriterBusy, StorageError: as :func:`update`.
    """
    started = time.perf_counter()
    snapshots = Snapshots.of(settings)
    folder = (snapshots.folder / DOCUMENTS).absolute()
    with snapshots.writing() as writer:
        try:
            active = snapshots.manifest()
        except IndexNotFound:
            parameters = SplitterParameters(settings.passage_tokens, settings.overlap_tokens)
            options = ReadingOptions(settings.hidden, recognition_version(settings.ocr))
        else:
            if not is_made_of(folder, active.sources):
                raise CollectionFixed("the index was made of other folders than its own")
            parameters, options = _parameters_of(active, encoder), _options_of(active)
        try:
            found = _found(settings, [folder])
            sources = (printable(str(folder)),)
            inputs = _Inputs(settings, listener, sources, found, encoder, parameters, options)
            manifest, counts = _update(snapshots, writer, inputs)
        except NothingToIndex:
            writer.deactivate()
            return None
    return Update(manifest, counts, time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What an update is made of; ``sources`` are the paths in which ``found`` was found."""

    settings: Settings
    listener: BuildListener
    sources: tuple[str, ...]
    found: FoundFiles
    encoder: Encoder
    parameters: SplitterParameters
    options: ReadingOptions
    gate: UpdateGate | None = None
    cluster: _Cluster | None = None


@dataclass(frozen=True, slots=True)
class _Cluster:
    """A Ray cluster that encodes first, by its address, and what makes the encoder there."""

    address: str
    make: EncoderFactory


def _update(
    snapshots: Snapshots,
    writer: SnapshotWriter,
    inputs: _Inputs,
    read: ReadSource | None = None,
    rebuild: bool = False,
) -> tuple[Manifest, BuildCounts]:
    """Index what changed. Only one writer may run this at a time. Returns what :class:`Update` holds."""
    encoder, found, listener = inputs.encoder, inputs.found, inputs.listener
    with ExitStack() as stack:
        # A server goes on, and its next update begins with as little as this one did.
        stack.callback(release_free_memory)
        cache = stack.enter_context(closing(EmbeddingCache(snapshots.folder / CACHE_FILE)))
        stack.push(partial(_forget, cache))
        staged = stack.enter_context(writer.staging())
        if read is None:
            recognition = Recognition(PageCache(inputs.settings.indexes / RECOGNISED), listener.recognising)
            reader = IsolatedReader(limits_of(inputs.settings), options=inputs.options, recognition=recognition)
            read = stack.enter_context(reader).read

        def load() -> None:
            listener.stage(f"Loading the model {encoder.name}")
            encoder.load()

        models = inputs.settings.indexes / MODELS_FOLDER
        contents = Contents(encoder, inputs.parameters, read, options=inputs.options, models=models)
        builder = Builder(contents, cache, listener, load, milvus=snapshots.milvus)
        fingerprint = builder.fingerprint()
        active = _active(snapshots, inputs.sources)
        if active is not None:
            stack.callback(active.close)
            wanted, made = json.loads(json.dumps(fingerprint)), active.manifest.fingerprint
            # Where the vectors are to move, everything is written anew, and nothing encoded.
            moves = is_in_milvus(active.manifest.vectors) != (snapshots.milvus is not None)
            is_followed = not rebuild and made == wanted and not moves
            previous = Previous(active.store, active.manifest.created, is_followed=is_followed)
            if previous.is_as_found(found):
                kept = active.manifest
                return kept, BuildCounts(kept.documents, kept.passages, 0, kept.vectors, changed=False)
            before = active.vectors if not rebuild and made["encoder"] == wanted["encoder"] else None
            builder = replace(builder, contents=replace(contents, previous=previous), before=before)
        ahead = 0 if inputs.cluster is None else _encode_ahead(inputs.cluster, inputs, builder)
        counts = builder.build(staged, found)
        counts = replace(counts, encoded=ahead + counts.encoded)
        if active is not None and not counts.changed:
            return active.manifest, counts
        listener.stage("Verifying and publishing")
        provenance = Provenance(encoder.name, fingerprint, inputs.sources, counts.vectors)
        if inputs.gate is None:
            manifest = writer.publish(staged, provenance, counts.documents, counts.passages)
            cache.finish(used=True)
            return manifest, counts
        manifest = writer.add(staged, provenance, counts.documents, counts.passages)
        cache.finish(used=True)
        inputs.gate(manifest.id, encoder)
        return writer.activate(manifest.id), counts


def _encode_ahead(cluster: _Cluster, inputs: _Inputs, builder: Builder) -> int:
    """Have a cluster encode what the files that changed hold; returns how many texts. Raises ClusterError."""
    from qa.build.cluster import EncodingJob, connected, encode_on_cluster, unseen_warning

    contents, previous = builder.contents, builder.contents.previous
    changed = FoundFiles(
        item
        for item in inputs.found
        if isinstance(item, Source) and (previous is None or previous.report_of(item) is None)
    )
    job = EncodingJob(
        inputs.settings,
        cluster.make,
        inputs.parameters,
        inputs.options,
        limits_of(inputs.settings),
        contents.fingerprint(),
    )
    inputs.listener.stage(f"Encoding on the Ray cluster {cluster.address}")
    with connected(cluster.address):
        encoded = encode_on_cluster(job, changed, builder.cache, inputs.listener)
    if encoded.unseen:
        inputs.listener.stage(unseen_warning(encoded.unseen))
    return encoded.texts


def _forget(cache: EmbeddingCache, kind: type[BaseException] | None, *_: object) -> None:
    """Forget, where a build failed, what failed builds before it have left in the cache and it did not need."""
    if kind is not None and issubclass(kind, Exception):
        with suppress(StorageError):  # what failed first is what is said
            cache.finish(used=False)


def _found(settings: Settings, paths: Sequence[Path]) -> FoundFiles:
    """Find the files to read. Raises SourceError where a path is wrong, or there is no file to read."""
    # What an index keeps itself lies in its folder, and makes up that index alone.
    own = (settings.indexes / settings.name / DOCUMENTS).resolve()
    is_own = len(paths) == 1 and paths[0].resolve() == own
    found = FoundFiles(discover(paths) if is_own else _without_indexes(discover(paths), settings.indexes))
    require_sources(found)
    return found


def limits_of(settings: Settings) -> ReadingLimits:
    """Return what reading one file may cost."""
    return ReadingLimits(
        max_bytes=settings.max_file_mb * 10**6,
        seconds=settings.max_file_seconds,
        memory_bytes=settings.reader_memory_mb * 10**6,
    )


def _parameters_of(manifest: Manifest, encoder: Encoder) -> SplitterParameters:
    """Read how a snapshot was split. Raises SnapshotIncompatible where that is not known, or by another model."""
    manifest.require_encoder(encoder.name, encoder.fingerprint)
    try:
        known = {field.name: manifest.fingerprint["splitter"][field.name] for field in fields(SplitterParameters)}
    except (KeyError, TypeError) as error:
        raise SnapshotIncompatible(
            f"snapshot {manifest.id} does not say how its documents were split ({error}); build the index again"
        ) from error
    if not all(isinstance(value, int) for value in known.values()):
        raise SnapshotIncompatible(
            f"snapshot {manifest.id} does not say in numbers how its documents were split; build the index again"
        )
    return SplitterParameters(**known)


def _options_of(manifest: Manifest) -> ReadingOptions:
    """Read what of its files a snapshot holds. Raises SnapshotIncompatible where that is not known.

    Its pages were recognised unless that was off; what recognises them now may be newer.
    """
    try:
        options = ReadingOptions(**manifest.fingerprint["reading"])
        return replace(options, ocr=recognition_version(options.ocr != OFF))
    except (KeyError, TypeError) as error:
        raise SnapshotIncompatible(
            f"snapshot {manifest.id} does not say what of its files was read ({error}); build the index again"
        ) from error


def _active(snapshots: Snapshots, sources: tuple[str, ...]) -> Index | None:
    """Open the active snapshot, if an id means the same file in it as now."""
    try:
        index = snapshots.open()
    except SnapshotError:
        return None
    if index.manifest.sources == sources:
        return index
    index.close()
    return None


def _without_indexes(found: Iterable[Source | FileReport], indexes: Path) -> Iterator[Source | FileReport]:
    """Skip files of the indexes: ``qa index .`` would find its own, and others at every run."""
    root = indexes.resolve()

    # Files come folder by folder.
    @lru_cache(maxsize=_FOLDERS_KEPT)
    def is_within(folder: str) -> bool:
        return Path(folder).resolve().is_relative_to(root)

    def belongs(source: Source) -> bool:
        return is_within(os.path.dirname(source.path)) or (  # noqa: PTH120 - half the time, and there may be a million
            # What was found in a folder is no link.
            source.root is None and source.path.resolve().is_relative_to(root)
        )

    for item in found:
        if isinstance(item, Source) and belongs(item):
            yield FileReport(item.id, "skipped", "it belongs to an index", size=item.size)
        else:
            yield item


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was pruned: ``forgotten`` is ``None`` where a snapshot that stays cannot be read: then no embedding is."""

    removed: tuple[str, ...]
    forgotten: int | None


def prune(settings: Settings) -> Pruned:
    """Remove old snapshots, and the embeddings that no remaining one uses.

    Raises:
        IndexNotFound, WriterBusy: nothing was removed.
    """
    snapshots = Snapshots.of(settings)
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
