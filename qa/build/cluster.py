"""Encoding on a Ray cluster: its workers read, split and encode the files, and the vectors are kept in the cache here.

The ordinary build follows, and finds every embedding known. So the cluster decides nothing but the time that it takes:
what a worker did not do, or could not for a file that it does not see, the build does. Rows are named by what was
encoded and by which encoder, so that a share which is done twice, by a worker that was lost and by the one after it, is
kept once.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from pydantic import SecretStr

from qa.build.contents import RECOGNISED, Contents
from qa.build.embeddings import EmbeddingCache, cache_keys
from qa.build.found import FoundFiles
from qa.build.known import KnownKeys
from qa.build.reuse import Content
from qa.errors import ClusterError, QAError
from qa.extras import require
from qa.machine import usable_cores
from qa.models.compiled import MODELS_FOLDER
from qa.models.loading import EncoderFactory
from qa.protocols import Encoder
from qa.readers.isolation import IsolatedReader, ReadingLimits, Recognition, decode_source, encode_source
from qa.readers.recognition.recogniser import OFF, PageCache, recognition_version
from qa.readers.registry import ReadingOptions
from qa.settings import Settings, default_indexes
from qa.text.splitter import SplitterParameters
from qa.types import Passage, Source

if TYPE_CHECKING:
    import pyarrow

    from qa.build.builder import BuildListener

LOCAL = "local"
# How Ray Client is addressed.
_CLIENT = "ray://"
# A share is what a lost worker loses: so many files, or so many bytes of them.
_SHARE_FILES = 64
_SHARE_BYTES = 4_000_000
# Shares that Ray is given at once, and the driver holds: up to 131,072 files, of some 200 bytes each. Workers are begun
# again for the next, which takes seconds.
_SHARES_AT_ONCE = 2048
# Texts that a worker encodes together, and sends back together.
_BATCH = 512
# Bytes in which Ray gathers what workers send: of vectors of 384 dimensions, some 600.
_BLOCK_BYTES = 1 << 20
# Of shared memory, on a cluster of this process: it holds what is on its way, and no model.
_STORE_BYTES = 200_000_000
_SECONDS_TO_CONNECT = 10.0


@dataclass(frozen=True, slots=True)
class EncodingJob:
    """What workers are given: all that decides the passages and their vectors.

    ``fingerprint`` is that of :class:`~qa.build.contents.Contents` where the build runs.
    """

    settings: Settings
    make: EncoderFactory
    parameters: SplitterParameters
    options: ReadingOptions
    limits: ReadingLimits
    fingerprint: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Encoded:
    """What workers did: texts that they encoded, and files that are not where they look, which the build reads."""

    texts: int
    unseen: int


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a cluster while the context lasts; one that this process is connected to already is used.

    Args:
        address: ``local`` starts one of this machine's processes, which listen on its loopback interface alone, and
            ends it; ``auto`` finds the one that this machine belongs to, and ``HOST:PORT`` names it.

    Raises:
        ExtraMissing: Ray is not installed.
        ClusterError: there is no such cluster, or it runs other versions of Ray or Python.
    """
    if address.startswith(_CLIENT):
        raise ClusterError(
            f"{address} is for programs outside of a cluster, with which Ray Data does not work; run this on a machine "
            "that has joined it (ray start --address=HOST:PORT), with --ray auto"
        )
    require("ray", "qa index --ray")
    # Ray looks at these when it is imported. It would send statistics to its makers.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == LOCAL:
        # The name is misleading: 0 has every process listen on 127.0.0.1 and nowhere else.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # Else Ray writes a token into the user's home.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    if address != LOCAL:
        _require_listening(address)
    if ray.is_initialized():
        yield
        return
    folder: str | None = None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        folder = tempfile.mkdtemp(prefix="qa-ray-")
        options |= {
            "num_cpus": max(1, int(usable_cores())),
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
        }
        options |= {"_temp_dir": folder, "_node_ip_address": "127.0.0.1"}
    try:
        try:
            ray.init(address=address, **options)
        except (ConnectionError, OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise ClusterError(f"cannot use the Ray cluster {address!r} ({_first_line(error)})") from error
        yield
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _require_listening(address: str) -> None:
    """Raise ClusterError where nothing listens at an address, for which Ray would look for minutes."""
    parts = urlsplit(f"//{address}")
    with suppress(ValueError):
        if parts.hostname and parts.port:
            try:
                socket.create_connection((parts.hostname, parts.port), _SECONDS_TO_CONNECT).close()
            except OSError as error:
                raise ClusterError(
                    f"no Ray cluster answers at {address} ({error.strerror or error}); `ray status` on its head says "
                    "whether it runs"
                ) from error


def encode_on_cluster(job: EncodingJob, changed: FoundFiles, cache: EmbeddingCache, listener: BuildListener) -> Encoded:
    """Have the cluster that is connected read, split and encode files, and keep the vectors. Known texts are left out.

    Memory is bounded here by the shares that Ray is given at once and by some blocks of vectors, and on a worker by a
    batch of texts. A worker that is lost is replaced, and its share is done again.

    Raises:
        ClusterError: the workers have another version of this program, or another model; or the cluster is gone.
        QAError: what a worker raised.
    """
    import ray
    import ray.data

    if not len(changed):
        return Encoded(0, 0)
    workers = max(1, int(ray.cluster_resources().get("CPU", 1)) // _cpus(job))
    listener.started(changed.size, len(changed))
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = _BLOCK_BYTES
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # In shared memory once for each machine, and not with every actor.
    known = ray.put(cache.known())
    texts = unseen = 0
    shares = _shares(changed)
    try:
        while part := list(islice(shares, _SHARES_AT_ONCE)):
            encoded = ray.data.from_arrow(part).map_batches(
                Worker,
                fn_constructor_args=(_without_secrets(job), [known]),
                batch_format="pyarrow",
                batch_size=None,
                num_cpus=_cpus(job),
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
            )
            block: Any
            for block in encoded.iter_batches(batch_format="pyarrow", batch_size=None):
                rows = block.drop_null()
                if len(rows):
                    cache.put(rows["key"].to_pylist(), _vectors(rows["vector"].to_pylist()))
                texts += len(rows)
                unseen += sum(block["unseen"].to_pylist())
                listener.advanced(sum(block["bytes"].to_pylist()), sum(block["new_bytes"].to_pylist()))
    except ray.exceptions.RayError as error:
        raise _raised_there(error) from error
    return Encoded(texts, unseen)


def _cpus(job: EncodingJob) -> int:
    return job.settings.threads or 1


def _without_secrets(job: EncodingJob) -> EncodingJob:
    """Leave out the keys of clients and of services, which are nothing to workers."""
    none = {name: SecretStr("") for name, value in job.settings if isinstance(value, SecretStr)}
    given = {**none, "indexes": job.settings.indexes.absolute()}
    return replace(job, settings=job.settings.model_copy(update=given))


def _shares(changed: FoundFiles) -> Iterator[pyarrow.Table]:
    """Part the files into shares, in their order."""
    import pyarrow

    share: list[str] = []
    size = 0
    for source in changed:
        assert isinstance(source, Source)
        share.append(json.dumps(encode_source(source)))
        size += source.size
        if len(share) >= _SHARE_FILES or size >= _SHARE_BYTES:
            yield pyarrow.table({"source": share})
            share, size = [], 0
    if share:
        yield pyarrow.table({"source": share})


def _vectors(rows: Sequence[bytes]) -> Any:
    return np.frombuffer(b"".join(rows), dtype="<f4").reshape(len(rows), -1)


class Worker:
    """An actor that reads, splits and encodes shares of the files; it starts with the first, and keeps the model.

    Args:
        known: a reference to what :meth:`EmbeddingCache.known` gives. In a list, as Ray replaces a bare one by its
            value, and sends that with every actor.
    """

    def __init__(self, job: EncodingJob, known: Sequence[Any]) -> None:
        self._job = job
        self._reference = known[0]
        self._known: KnownKeys | None = None
        self._contents: Contents | None = None

    def __call__(self, share: pyarrow.Table) -> Iterator[pyarrow.Table]:
        """Encode a share, a table of a column ``source``.

        Yields:
            tables of ``key`` and ``vector``, as the cache keeps them, and of ``bytes`` of the files, ``new_bytes`` of
            them whose passages were not known, and ``unseen`` files that are done with the row. Where nothing is
            encoded, keys are null.
        """
        contents = self._contents = self._contents or self._start()
        batch = _Batch(contents.encoder)
        for text in share["source"].to_pylist():
            source = decode_source(json.loads(text))
            left = float(source.size)
            for content, size in contents.of(source):
                if not isinstance(content, Content):
                    left -= size
                    batch.pass_over(size, unseen=not source.path.exists())
                    continue
                for passage, part in content.sized(size):
                    left -= part
                    if self._add(batch, passage, part):
                        yield batch.encode()
            batch.pass_over(left)
        yield batch.encode()

    def _add(self, batch: _Batch, passage: Passage, size: float) -> bool:
        """Add what is new of a passage; returns whether the batch is full."""
        known, new = self._known, 0
        assert known is not None
        texts = [passage.encoded_text(window) for window in passage.windows]
        for key, text in zip(cache_keys(batch.encoder.fingerprint, texts), texts, strict=True):
            if key not in known:
                batch.texts[key] = text
                new += 1
        batch.pass_over(size, size * new / len(texts))
        return len(batch.texts) >= _BATCH

    def _start(self) -> Contents:
        """Make encoder and reader as the job says. Raises ClusterError where they are not those of the build."""
        import ray

        job, settings = self._job, self._job.settings
        if not settings.indexes.is_dir():  # another machine's folder
            settings = settings.model_copy(update={"indexes": default_indexes()})
        self._known = KnownKeys(ray.get(self._reference))
        options = replace(job.options, ocr=recognition_version(job.options.ocr != OFF))
        recognition = Recognition(PageCache(settings.indexes / RECOGNISED))
        reader = IsolatedReader(job.limits, options=options, recognition=recognition)
        models = settings.indexes / MODELS_FOLDER
        encoder = job.make(settings, threads=1)
        contents = Contents(encoder, job.parameters, reader.read, options=options, models=models)
        here = json.loads(json.dumps(contents.fingerprint()))
        there = json.loads(json.dumps(job.fingerprint))
        if different := sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name)):
            raise ClusterError(
                f"a worker of the cluster ({socket.gethostname()}) has another {' and '.join(different)} than this "
                "machine; install the same versions and the same model there"
            )
        return contents


class _Batch:
    """Texts that are to be encoded together, and what of the files is done with them."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.texts: dict[bytes, str] = {}
        self._bytes = self._new_bytes = 0.0
        self._unseen = 0

    def pass_over(self, size: float, new: float = 0.0, *, unseen: bool = False) -> None:
        """Note that ``size`` bytes of a file are done, of which so many are ``new`` to the cache."""
        self._bytes += size
        self._new_bytes += new
        self._unseen += unseen

    def encode(self) -> pyarrow.Table:
        """Encode the texts, and begin the next batch."""
        import pyarrow

        rows = self.encoder.encode_passages(list(self.texts.values())) if self.texts else ()
        keys: list[bytes | None] = [*self.texts, None]
        vectors: list[bytes | None] = [*(row.astype("<f4").tobytes() for row in rows), None]
        blank = len(self.texts)
        table = pyarrow.table(
            {
                "key": pyarrow.array(keys, pyarrow.binary()),
                "vector": pyarrow.array(vectors, pyarrow.binary()),
                "bytes": [*([0.0] * blank), self._bytes],
                "new_bytes": [*([0.0] * blank), self._new_bytes],
                "unseen": [*([0] * blank), self._unseen],
            }
        )
        self.texts, self._bytes, self._new_bytes, self._unseen = {}, 0.0, 0.0, 0
        return table


def _raised_there(error: BaseException) -> QAError:
    """Find what a worker raised in what Ray made of it."""
    found: BaseException | None = error
    while found is not None:
        cause = getattr(found, "cause", None)
        if isinstance(cause, QAError):
            return type(cause)(*cause.args) if len(cause.args) == 1 else ClusterError(str(cause))
        found = found.__cause__
    return ClusterError(f"encoding on the cluster failed ({_last_line(error)}); what was encoded is kept")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def unseen_warning(files: int) -> str:
    """Say that workers do not see files that are there."""
    what = (
        "1 file is not where the cluster's workers look" if files == 1 else f"{files:,} files are not where they look"
    )
    return f"{what}, and read and encoded here: each machine needs the documents at the same path"
