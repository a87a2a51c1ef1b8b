"""Keeping an index small: old snapshots go, and the embeddings that no other uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qa.build.embedding_cache import CACHE_FILE, EmbeddingCache, cache_keys
from qa.errors import SnapshotError
from qa.index.manifest import Manifest
from qa.index.snapshots import Snapshots
from qa.index.store import Store
from qa.index.store_schema import DOCUMENTS_FILE
from qa.settings import Settings


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
