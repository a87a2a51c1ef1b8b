"""The whole OpenAPI document against a running server: what it says is what is answered, whatever is sent, one request
after the other and by its links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.transforms import resolve_pointer
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from qa.evaluation.jobs.jobs import Job
from qa.types import Answer, Citation
from qa.web.app import create_app
from qa.web.deps import Offered, Options
from tests.support import schemathesis_bodies  # noqa: F401 - question files, which it registers
from tests.support.fake_evaluations import NDJSON, QUESTION, FakeEvaluations
from tests.support.fake_service import FERRY, READY, SNAPSHOT, FakeMaintenance, FakeService
from tests.support.uvicorn_server import serving

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 30
# Of requests that lead to one another: how many such runs, and how long each may become (by default hypothesis'
# machines make fifty steps).
SCENARIOS, STEPS = 60, 8
# A right request for each operation that names links.
ASKED = {"question": "When does the ferry leave?"}
RIGHT: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/v1/ask"): {"json": ASKED},
    ("get", "/v1/ask"): {"params": {"q": ASKED["question"]}},
    ("post", "/v1/ask/batch"): {"json": {"questions": [ASKED]}},
    ("get", "/v1/documents"): {},
    ("post", "/v1/evaluations"): {"content": QUESTION, "headers": NDJSON},
    ("get", "/v1/collections"): {},
    ("get", "/v1/snapshots"): {},
    ("post", "/v1/snapshots/{id}/activate"): {},
    ("post", "/v1/index"): {},
}
SETTINGS = settings(deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


class Finished(FakeEvaluations):
    """Every evaluation is over at once, so that there is a report to be asked for."""

    def submit(self, *given: Any) -> Job:
        super().submit(*given)
        assert self.job is not None
        self.job = replace(self.job, status="done")
        return self.job


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    service = FakeService()
    service.limits = replace(service.limits, top_k=50)  # An evaluation asks for 20 where nobody says.
    service.answer = Answer(
        "answered",
        0.9,
        FERRY.text[17:26],
        Citation(FERRY.id, 17, 26, 1, None, FERRY.source_sha256, FERRY.source_sha256, "verified"),
    )
    indexes = tmp_path_factory.mktemp("indexes")
    app = create_app(
        service,
        Finished(Path(tmp_path_factory.mktemp("evaluations"))),
        Options(max_upload_bytes=100_000, pictures=indexes, unanswered=indexes, unanswered_days=30),
        FakeMaintenance(tmp_path_factory.mktemp("documents")),
    )
    with serving(app) as (host, port):
        yield schemathesis.openapi.from_url(f"http://{host}:{port}/openapi.json")


def test_every_operation_does_what_it_says(document: Any) -> None:
    # Not by schemathesis' own plugin, which pytest 9.2 has left behind.
    tried = 0
    for operation in (result.ok() for result in document.get_all_operations()):

        @given(case=operation.as_strategy())
        @settings(SETTINGS, max_examples=EXAMPLES)
        def conforms(case: Any) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(checks=CHECKS)

        conforms()
    assert tried > EXAMPLES


def test_every_operation_of_a_named_collection_does_what_it_says(tmp_path: Path) -> None:
    services = FakeService(), FakeService()
    services[1].current = replace(READY, index="market")
    first, second = (
        Offered(each, Finished(tmp_path), FakeMaintenance(tmp_path / each.current.index)) for each in services
    )
    app = create_app(first.service, first.evaluations, Options(), first.maintenance, [second])
    tried = set()
    with serving(app) as (host, port):
        document: Any = schemathesis.openapi.from_url(f"http://{host}:{port}/openapi.json")
        for operation in (result.ok() for result in document.get_all_operations()):
            if not operation.path.startswith("/v1/collections/{collection}/"):
                continue

            @given(case=operation.as_strategy())
            @settings(SETTINGS, max_examples=2)
            def conforms(case: Any) -> None:
                tried.add(case.operation.label)
                case.path_parameters = {**case.path_parameters, "collection": "market"}
                case.call_and_validate(checks=CHECKS)

            conforms()
    assert {"POST /v1/collections/{collection}/ask", "GET /v1/collections/{collection}/documents/{id}"} <= tried


def test_whatever_leads_to_whatever_is_answered_as_it_says(document: Any) -> None:
    transitions: Counter[str] = Counter()

    class Followed(document.as_state_machine()):  # type: ignore[misc]
        def validate_response(self, response: Any, case: Any, additional_checks: Any = None, **given: Any) -> None:
            case.validate_response(response, checks=CHECKS)

        def step(self, input: Any) -> Any:
            output = super().step(input)
            if input.transition is not None and input.is_applied:
                transitions[input.transition.id] += 1
            return output

    Followed.run(settings=settings(SETTINGS, max_examples=SCENARIOS, stateful_step_count=STEPS))
    assert transitions


Operation = tuple[str, str, dict[str, Any]]  # The method, the path and what the document says of it.


def operations_of(client: httpx2.Client) -> dict[str, Operation]:
    """List the operations as the server describes them: schemathesis adds links of its own to its document."""
    return {
        operation["operationId"]: (method, path, operation)
        for path, methods in client.get("/openapi.json").json()["paths"].items()
        for method, operation in methods.items()
    }


def followed(client: httpx2.Client, operation: Operation, link: dict[str, Any], answered: Any) -> httpx2.Response:
    """Send the request that a link makes of a response, and return what the server answers."""
    method, path, described = operation
    values: dict[str, Any] = {
        name: resolve_pointer(answered, expression.removeprefix("$response.body#"))
        for name, expression in link.get("parameters", {}).items()
    }
    query = {given["name"] for given in described.get("parameters", ()) if given["in"] == "query"}
    return client.request(
        method, path.format(**values), params={name: value for name, value in values.items() if name in query}
    )


def test_every_link_leads_to_what_it_names(document: Any) -> None:
    # Apart from the random requests above, whose luck would decide what is seen.
    with httpx2.Client(base_url=document.get_base_url()) as client:
        operations = operations_of(client)
        seen = []
        for method, path, operation in operations.values():
            for status, response in operation["responses"].items():
                for name, link in response.get("links", {}).items():
                    source = client.request(method, path.format(id=SNAPSHOT), **RIGHT[method, path])
                    assert source.status_code == int(status), (path, source.text)
                    led = followed(client, operations[link["operationId"]], link, source.json())
                    assert led.is_success, (path, name, led.text)
                    seen.append((path, name))
    assert len(seen) == 14
