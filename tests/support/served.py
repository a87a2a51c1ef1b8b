"""Any service behind a real uvicorn, at an address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qa.service.service import Service
from qa.web.app import create_app
from qa.web.deps import Options
from tests.support import uvicorn_server

_OPTIONS = Options()


@contextmanager
def serving(service: Service, options: Options = _OPTIONS) -> Iterator[str]:
    with uvicorn_server.serving(create_app(service, options=options)) as (host, port):
        yield f"http://{host}:{port}"
