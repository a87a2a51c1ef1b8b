"""The server of the soak: ``python -m tests.support.soaked_server INDEXES FEEDBACK`` prints its port, and serves.

Each client has a key of its own, ``hostile-0`` to ``hostile-19`` and ``ordinary-0`` to ``ordinary-19``, so that the
server can tell them apart.
"""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
from pathlib import Path

import uvicorn

from qa.evaluation.jobs.queue import EvaluationQueue
from qa.service.service import Service
from qa.settings import Settings
from qa.web.app import create_app
from qa.web.deps import Options
from qa.web.middleware.access import Key
from qa.web.middleware.overload import BoundedProtocol
from qa.web.server import _configure_logging
from tests.conftest import hashing_encoder
from tests.support.gated_worker import MODULE


def main() -> None:
    """Serve an index that is built, as ``qa serve`` does but for the encoder."""
    _configure_logging("json")
    sys.setswitchinterval(0.0005)
    settings = Settings(indexes=Path(sys.argv[1]), name="test")
    service = Service(settings, make=hashing_encoder)
    service.reload()
    evaluations = EvaluationQueue(
        settings.indexes / settings.name, service.state, settings.model_dump(mode="json"), module=MODULE
    )
    threading.Thread(target=evaluations.run, daemon=True).start()
    names = [f"{kind}-{number}" for kind in ("hostile", "ordinary") for number in range(20)]
    keys = tuple(Key(name, "admin", hashlib.sha256(name.encode()).hexdigest()) for name in names)
    options = Options(cache_bytes=32 * 10**6, feedback=Path(sys.argv[2]), keys=keys)
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listening.getsockname()[1], flush=True)  # noqa: T201 - the test reads it
    config = uvicorn.Config(
        create_app(service, evaluations, options), http=BoundedProtocol, log_config=None, access_log=False
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
