"""The whole OpenAPI document against a running server: what it says is what is answered, whatever is sent, one request
after the other and by its links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
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

from qa.evaluation_jobs import Job
from qa.types import Answer, Citation
from qa.web.app import create_app
from qa.web.options import Options
from tests.web import schemathesis_bodies  # noqa: F401 - question files, which it registers
from tests.web.conftest import FERRY, FakeService
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
# Of requests that lead to one another: how many to a round, how long each may become (by default hypothesis' machines
# make fifty steps), and how many rounds at most.
SCENARIOS, STEPS, ROUNDS = 60, 8, 10
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
        True,
        0.9,
        FERRY.text[17:26],
        Citation(FERRY.id, 17, 26, 1, None, FERRY.source_sha256, FERRY.source_sha256, "verified"),
    )
    app = create_app(
        service,
        Finished(Path(tmp_path_factory.mktemp("evaluations"))),
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
        @settings(SETTINGS, max_examples=EXAMPLES)
        def conforms(case: Any) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(checks=CHECKS)

        conforms()
    assert tried > EXAMPLES


def links_of(document: Any) -> set[str]:
    """Every link of the document, as schemathesis names it."""
    return {
        f"{method.upper()} {path} -> [{status}] {name} -> {leads_to(document, link['operationId'])}"
        for path, methods in document.raw_schema["paths"].items()
        for method, operation in methods.items()
        for status, response in operation["responses"].items()
        for name, link in response.get("links", {}).items()
    }


def leads_to(document: Any, operation_id: str) -> str:
    (found,) = [
        f"{method.upper()} {path}"
        for path, methods in document.raw_schema["paths"].items()
        for method, operation in methods.items()
        if operation["operationId"] == operation_id
    ]
    return found


def test_what_an_operation_leads_to_is_there(document: Any) -> None:
    # Taken before schemathesis adds those that it guesses.
    links = links_of(document)
    followed: Counter[str] = Counter()

    class Followed(document.as_state_machine()):  # type: ignore[misc]
        def validate_response(self, response: Any, case: Any, additional_checks: Any = None, **given: Any) -> None:
            case.validate_response(response, checks=CHECKS)

        def step(self, input: Any) -> Any:
            output = super().step(input)
            if input.transition is not None and input.is_applied and output.response.status_code < 300:
                followed[input.transition.id] += 1
            return output

    for _ in range(ROUNDS):
        Followed.run(settings=settings(SETTINGS, max_examples=SCENARIOS, stateful_step_count=STEPS))
        if set(followed) >= links:
            break
    # A link that was never followed to what it names would be one that leads nowhere.
    assert set(followed) >= links
    assert len(links) == 13
