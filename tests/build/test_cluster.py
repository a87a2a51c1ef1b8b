"""Encoding on a Ray cluster of several processes comes to what a plain build comes to, also where a worker is lost."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import SecretStr

from qa.build import cluster as cluster_module
from qa.build.cluster import EncodingJob, _without_secrets, connected
from qa.build.update import Update, update
from qa.errors import ClusterError
from qa.extras import is_installed
from qa.index.index import Index
from qa.index.snapshots import Snapshots
from qa.models.loading import EncoderFactory
from qa.readers.isolation import ReadingLimits
from qa.readers.registry import ReadingOptions
from qa.settings import Settings
from qa.text.splitter import SplitterParameters
from tests.conftest import Recorder, hashing_encoder
from tests.support.on_a_cluster import DRIVER, KILLED, make_dying_once, make_not_here, make_other_on_workers

if TYPE_CHECKING:
    from qa.types import Ids, Vectors

needs_ray = pytest.mark.skipif(not is_installed("ray"), reason="Ray is not installed (qa[ray])")
pytestmark = [needs_ray, pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One cluster of this machine for all tests: to start it takes longer than they do."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            patched.setenv(name, "")  # so that they are as they were afterwards
        with connected("local"):
            yield


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "fruit"
    folder.mkdir()
    for number in range(200):
        sort = "nightshade" if number == 70 else "apple"
        (folder / f"{number:03}.txt").write_text(f"Sort {number} of the {sort} ripens after {number} days.\n" * 8)
    (folder / "mail.eml").write_bytes(
        b"From: a@example.org\nTo: b@example.org\nSubject: Plums\nMIME-Version: 1.0\n"
        b'Content-Type: multipart/mixed; boundary="x"\n\n--x\nContent-Type: text/plain\n\nThe plums are attached.\n'
        b'--x\nContent-Type: text/plain\nContent-Disposition: attachment; filename="plums.txt"\n\n'
        b"Plums are blue.\n--x--\n"
    )
    (folder / "photo.xyz").write_bytes(b"\x00\x01")
    return folder


@pytest.fixture
def indexes(tmp_path: Path) -> Path:
    folder = tmp_path / "indexes"
    folder.mkdir()
    (folder / DRIVER).write_text(str(os.getpid()))
    return folder


def build(
    indexes: Path,
    name: str,
    documents: Path,
    make: EncoderFactory,
    ray: str | None = "local",
    listener: Recorder | None = None,
) -> Update:
    return update(Settings(indexes=indexes, name=name), [documents], listener or Recorder(), make=make, ray=ray)


def content(indexes: Path, name: str) -> tuple[Mapping[str, Any], list[Any], Ids, Vectors]:
    """Return the fingerprint, the passages and the vectors of the active snapshot."""
    index: Index = Snapshots(indexes, name).open()
    try:
        ids = np.sort(index.vectors.ids())
        return index.manifest.fingerprint, list(index.store.all_passages()), ids, index.vectors.rows(ids)
    finally:
        index.close()


def assert_the_same(indexes: Path, names: tuple[str, str]) -> None:
    ours, plain = (content(indexes, name) for name in names)
    assert ours[:2] == plain[:2]
    assert np.array_equal(ours[2], plain[2])
    assert np.array_equal(ours[3], plain[3])


@pytest.mark.usefixtures("cluster")
def test_a_cluster_encodes_all_and_the_snapshot_is_that_of_a_plain_build(
    indexes: Path, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So the files are given to the cluster in two parts.
    monkeypatch.setattr(cluster_module, "_SHARES_AT_ONCE", 2)
    plain = build(indexes, "plain", documents, hashing_encoder, ray=None)
    on_ray = build(indexes, "ray", documents, make_not_here)
    assert on_ray.counts == plain.counts
    assert list(indexes.glob("worker-*"))
    assert_the_same(indexes, ("ray", "plain"))

    # Only what changed, and only text that is new, goes there.
    (documents / "new.txt").write_text("Quinces are sour.\n")
    (documents / "copy.txt").write_text((documents / "001.txt").read_text())
    listener = Recorder()
    again = build(indexes, "ray", documents, make_not_here, listener=listener)
    # Of the two files, the vectors of one were known, which is no speed of encoding.
    assert listener.encoded == pytest.approx((documents / "new.txt").stat().st_size, abs=1)
    assert (again.counts.encoded, again.counts.documents) == (1, plain.counts.documents + 2)
    nothing = build(indexes, "ray", documents, make_not_here)
    assert not nothing.counts.changed


@pytest.mark.usefixtures("cluster")
def test_a_lost_worker_s_share_is_done_again(indexes: Path, documents: Path) -> None:
    plain = build(indexes, "plain", documents, hashing_encoder, ray=None)
    on_ray = build(indexes, "ray", documents, make_dying_once)
    assert (indexes / KILLED).exists()
    assert len(list(indexes.glob("worker-*"))) >= 2
    assert on_ray.counts == plain.counts
    assert_the_same(indexes, ("ray", "plain"))


@pytest.mark.usefixtures("cluster")
def test_a_local_cluster_listens_on_this_machine_alone_and_sends_no_statistics() -> None:
    import ray
    from ray._common.usage import usage_lib

    assert not usage_lib.usage_stats_enabled()
    assert ray.is_initialized()
    listening = listening_addresses([os.getpid(), *descendants(os.getpid())])
    assert listening
    assert all(address.is_loopback for address in listening)


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    children = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            children += [int(child) for child in task.read_text().split()]
    return [*children, *(each for child in children for each in descendants(child))]


def listening_addresses(pids: list[int]) -> list[IPv4Address | IPv6Address]:
    """Return the addresses on which processes accept connections."""
    inodes = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):  # it has been closed
                inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and columns[9] in inodes:
                # Four bytes at a time in the order of the machine (proc(5)).
                raw = bytes.fromhex(columns[1].split(":")[0])
                address = ip_address(b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4)))
                found.append(getattr(address, "ipv4_mapped", None) or address)
    return found


@pytest.mark.usefixtures("cluster")
def test_workers_with_another_model_are_refused(indexes: Path, documents: Path) -> None:
    with pytest.raises(ClusterError, match="another encoder than this machine; install the same versions"):
        build(indexes, "ray", documents, make_other_on_workers)


def test_a_cluster_that_is_not_there_is_said_at_once(indexes: Path, documents: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nothing listens
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"no Ray cluster answers at {address}"):
            build(indexes, "ray", documents, hashing_encoder, ray=address)
    with pytest.raises(ClusterError, match="run this on a machine that has joined it"):
        build(indexes, "ray", documents, hashing_encoder, ray="ray://127.0.0.1:10001")


def test_workers_get_no_secrets(indexes: Path) -> None:
    secret = SecretStr("of this machine alone")
    settings = Settings(indexes=indexes, api_keys=secret, key=secret, milvus_token=secret)
    options, limits = ReadingOptions(), ReadingLimits()
    job = EncodingJob(settings, hashing_encoder, SplitterParameters(), options, limits, {})
    given = _without_secrets(job).settings
    assert {value.get_secret_value() for _, value in given if isinstance(value, SecretStr)} == {""}
