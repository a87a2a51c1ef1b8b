"""The server of the soak: ``python -m tests.support.soaked_server INDEXES FEEDBACK`` prints its port, and serves."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import uvicorn
from limits import parse

from qa.evaluation.jobs.queue import EvaluationQueue
from qa.service.service import Service
from qa.settings import Settings
from qa.web.app import create_app
from qa.web.deps import Options
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
    options = Options(cache_bytes=32 * 10**6, feedback=Path(sys.argv[2]), local_rate=parse("60000/minute"))
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listening.getsockname()[1], flush=True)  # noqa: T201 - the test reads it
    config = uvicorn.Config(
        create_app(service, evaluations, options), http=BoundedProtocol, log_config=None, access_log=False
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
