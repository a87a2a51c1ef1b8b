"""One real Milvus server for all tests of a file, and addresses of it and of Milvus Lite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qa.types import MilvusAddress
from tests.support.milvus_server import MilvusServer, is_installed, unpack_server


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the server's programs."""
    if not is_installed():
        pytest.skip("the wheel milvus, which carries the server, cannot be installed here")
    return unpack_server(tmp_path_factory.mktemp("milvus") / "programs")


# Not for longer: it looks for work all the time, which would slow every test after these.
@pytest.fixture(scope="module")
def server(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    server = MilvusServer(programs, tmp_path_factory.mktemp("server"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def address(server: MilvusServer) -> MilvusAddress:
    return MilvusAddress(server.uri, seconds=60)
