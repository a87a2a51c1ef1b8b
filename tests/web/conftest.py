"""The application over a fake service, asked in this process."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from qa.web.app import create_app
from qa.web.deps import Options
from tests.support.fake_service import FakeService


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def client(service: FakeService) -> TestClient:
    # Without re-raising: what a client sees of a failure is what is tested.
    return TestClient(create_app(service, options=Options(max_body_bytes=20_000)), raise_server_exceptions=False)
