"""The whole OpenAPI document against a running server: what it says is what is answered, whatever is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from qa.web.app import create_app
from qa.web.options import Options
from tests.web.conftest import FakeService
from tests.web.test_access import FakeOperations
from tests.web.test_evaluations import FakeEvaluations
from tests.web.uvicorn_server import serving

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 30


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    app = create_app(
        FakeService(),
        FakeEvaluations(Path(tmp_path_factory.mktemp("evaluations"))),
        Options(max_upload_bytes=100_000),
        FakeOperations(),
    )
    with serving(app) as (host, port):
        yield schemathesis.openapi.from_url(f"http://{host}:{port}/openapi.json")


def test_every_operation_does_what_it_says(document: Any) -> None:
    # Not by schemathesis' own plugin, which pytest 9.2 has left behind.
    tried = 0
    for operation in (result.ok() for result in document.get_all_operations()):

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def conforms(case: Any) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(checks=CHECKS)

        conforms()
    assert tried > EXAMPLES
