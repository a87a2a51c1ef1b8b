"""Real Milvus servers for tests, in a temporary folder, on free ports, killed and started at will: one that stands
alone, and a cluster of several processes on this machine.

The wheel ``milvus`` carries the server's programs, packed. It talks to itself over this machine's loopback, and so does
whoever tests it; of its ports only etcd's can be bound to loopback alone.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

from tests.support.waiting import AT_MOST, wait_for

_PLACEHOLDER = re.compile(r"\{\{\s*(?P<name>\w+)(?:\(\w+\))?\s*(?::(?P<default>[^}]*))?\}\}")
_LOOPBACK = "127.0.0.1"
_PORTS = "root_coord proxy internal query_coord query_node index_node data_coord data_node etcd peers health".split()
# A test waits for a load, a flush or an index until the next look at what is to be done.
_QUICK = {
    "queryCoord.checkInterval": "50",
    "queryCoord.checkChannelInterval": "50",
    "queryCoord.checkSegmentInterval": "50",
    "queryCoord.distPullInterval": "50",
    "queryCoord.leaderViewUpdateInterval": "1",
    "queryCoord.updateNextTargetInterval": "1",
    "indexCoord.scheduler.interval": "50",
    "proxy.timeTickInterval": "20",
    # Seconds until one that was killed is forgotten, for which one that starts waits.
    "common.session.ttl": "3",
}


def is_installed() -> bool:
    """Tell whether the wheel that carries the server is installed."""
    return find_spec("milvus") is not None


def unpack_server(folder: Path) -> Path:
    """Unpack the server's programs into ``folder``, which takes ten seconds of a processor; return it."""
    folder.mkdir(parents=True)

    def unpack(packed: Path) -> None:
        program = folder / packed.stem
        program.write_bytes(lzma.decompress(packed.read_bytes()))
        program.chmod(0o755)

    with ThreadPoolExecutor() as threads:
        list(threads.map(unpack, sorted((_packed_in() / "bin").glob("*.lzma"))))
    return folder


class MilvusServer:
    """One server, with its data in ``folder``, which a restart finds again.

    Args:
        programs: what :func:`unpack_server` made.
        settings: keys of Milvus's configuration whose values are to be other ones.
        log: the file that it writes its log into; by default one of ``folder``.
        role: what it is, as the program's arguments say it.
        beside: the server whose data and etcd it shares; by default it has its own.
    """

    def __init__(
        self,
        programs: Path,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        log: Path | None = None,
        role: Sequence[str] = ("standalone",),
        beside: MilvusServer | None = None,
    ) -> None:
        self._programs = programs
        self._folder = folder
        self._log = log or folder / "milvus.log"
        self._settings = {**_QUICK, **(settings or {})}
        self._role = role
        self._data = (beside or self)._folder / "data"
        self._ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        if beside is not None:
            self._ports["etcd"] = beside._ports["etcd"]
            self._settings["etcd.use.embed"] = "false"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://{_LOOPBACK}:{self._ports['proxy']}"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server, and return when it is ready."""
        self.begin()
        self.wait_until_ready()

    def begin(self) -> None:
        """Start the server."""
        self._configure()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("QA_")},
            # Milvus compares names of variables with its keys in lower case, without points and underscores.
            **{key.replace(".", "_").upper(): value for key, value in self._settings.items()},
            "PROXY_INTERNALPORT": str(self._ports["internal"]),
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._ports["health"]),
            "MILVUSCONF": str(self._folder),
            "ETCD_CONFIG_PATH": str(self._folder / "etcd.json"),
            "LD_LIBRARY_PATH": str(self._programs),
        }
        command = [str(self._programs / "milvus"), "run", *self._role]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, env=environment, stdout=log, stderr=log)

    def wait_until_ready(self) -> None:
        """Return when it is ready."""
        wait_for(self._is_ready)

    def kill(self) -> None:
        """End the server as the failure of its machine would, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _configure(self) -> None:
        template = (_packed_in() / "config.yaml.template").read_text(encoding="utf-8")
        values = {f"{name}_port": str(port) for name, port in self._ports.items()}
        values |= {"etcd_log_path": str(self._folder / "etcd.log"), "system_log_path": ""}
        values |= {
            "etcd_data_dir": str(self._folder / "etcd"),
            "local_storage_dir": str(self._data),
            "rocksmq_data_dir": str(self._folder / "rocksmq"),
        }

        def fill(match: re.Match[str]) -> str:
            return values.get(match["name"], (match["default"] or "").strip())

        (self._folder / "milvus.yaml").write_text(_PLACEHOLDER.sub(fill, template), encoding="utf-8")
        (self._folder / "glog.conf").write_bytes((_packed_in() / "glog.conf").read_bytes())
        clients, peers = (f"http://{_LOOPBACK}:{self._ports[name]}" for name in ("etcd", "peers"))
        etcd = {
            "data-dir": str(self._folder / "etcd"),
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
            "log-level": "error",
        }
        (self._folder / "etcd.json").write_text(json.dumps(etcd), encoding="utf-8")

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(errors="replace")[-2000:]
        try:
            with urlopen(f"http://{_LOOPBACK}:{self._ports['health']}/healthz", timeout=5) as answer:
                return b"OK" in answer.read()
        except OSError:
            return False


@contextmanager
def run_cluster(programs: Path, folder: Path, more_nodes: int) -> Iterator[tuple[MilvusServer, list[MilvusServer]]]:
    """Run a cluster; give the process that has one of each part, etcd too, and those that are further query nodes.

    Between processes Milvus wants another message queue than its own: Kafka, of which librdkafka has a broker for tests
    that keeps messages in memory. It is a thread of this process.
    """
    from confluent_kafka import Producer

    broker = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (listening,) = broker.list_topics(timeout=AT_MOST).brokers.values()
    settings = {
        "mq.type": "kafka",
        "kafka.brokerList": f"{listening.host}:{listening.port}",
        "kafka.securityProtocol": "PLAINTEXT",
    }
    servers: list[MilvusServer] = []
    try:
        for number in range(more_nodes + 1):
            own = folder / str(number)
            own.mkdir()
            role, beside = (("querynode",), servers[0]) if number else (("standalone",), None)
            servers.append(MilvusServer(programs, own, settings, role=role, beside=beside))
            servers[-1].begin()
        for server in servers:
            server.wait_until_ready()
        yield servers[0], servers[1:]
    finally:
        for server in servers:
            server.kill()


def _packed_in() -> Path:
    spec = find_spec("milvus")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data"


def free_ports(number: int) -> list[int]:
    """Find ports that nobody listens at now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind((_LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
