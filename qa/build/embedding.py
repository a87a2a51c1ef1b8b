"""Vectors of texts: known ones from the cache, new ones from the encoder, which works while the next are prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from qa.build.embedding_cache import EmbeddingCache, cache_keys
from qa.protocols import Encoder

if TYPE_CHECKING:
    from qa.types import Vectors


class Embedding:
    """Encodes in one thread beside the caller's, and keeps what it encoded. For one caller.

    A runtime leaves the interpreter's lock alone while it computes, so that reading and splitting cost a build nothing.

    Args:
        load: loads the encoder; called before the first text that is new.
    """

    def __init__(self, encoder: Encoder, cache: EmbeddingCache, load: Callable[[], None]) -> None:
        self._encoder = encoder
        self._cache = cache
        self._load = load
        self._is_loaded = False
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._in_flight: set[bytes] = set()
        self.encoded = 0

    def begin(self, texts: Sequence[str]) -> Callable[[], Vectors]:
        """Begin to encode what is not known; what is returned waits for it and gives the rows ``(n, d)``.

        They are to be asked for in the order in which they were begun.
        """
        keys = list(cache_keys(self._encoder.fingerprint, texts))
        known = self._cache.get(keys, self._encoder.dimension)
        coming_or_known = self._in_flight | known.keys()
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in coming_or_known}
        self._in_flight |= new.keys()
        coming: Future[Vectors] | None = None
        if new:
            if not self._is_loaded:
                self._load()
                self._is_loaded = True
            coming = self._beside.submit(self._encoder.encode_passages, list(new.values()))

        def rows() -> Vectors:
            if coming is not None:
                encoded = coming.result()
                self._cache.put(list(new), encoded)
                known.update(zip(new, encoded, strict=True))
                self._in_flight -= new.keys()
                self.encoded += len(new)
            # What another call encoded meanwhile.
            known.update(self._cache.get([key for key in keys if key not in known], self._encoder.dimension))
            return np.stack([known[key] for key in keys])

        return rows

    def close(self) -> None:
        """What was begun and not waited for is given up."""
        self._beside.shutdown(cancel_futures=True)
