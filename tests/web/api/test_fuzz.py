"""Whatever is sent to whatever address there is, it is never the server that fails."""

from __future__ import annotations

import inspect
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import quote

import pytest
from fastapi.routing import iter_route_contexts
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.routing import Mount
from starlette.testclient import TestClient

from qa.web.app import create_app
from qa.web.deps import Options
from tests.support.fake_evaluations import FakeEvaluations
from tests.support.fake_service import FakeMaintenance, FakeService

# Characters of every kind, lone surrogates and NUL among them.
texts = st.text(st.characters(codec=None), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
fields = st.sampled_from(["question", "top_k", "mode", "documents", "questions", "rerank", "filter"])
requests = st.dictionaries(fields, values | st.lists(texts, max_size=3), max_size=5)
bodies = (
    values | requests | st.builds(lambda items: {"questions": items}, st.lists(values | requests, max_size=5))
).map(lambda value: json.dumps(value).encode())
# What has meant something to some server, in a path or out of it.
TRICKS = (
    "", ".", "..", "../..", "../../etc/passwd", "..\\..\\x", "%2e%2e/", "a//b", "/", "//x", "\x00", "\r\nX: y", "\n",
    "?", "#", ";", "*", "verify", "report", "cancel", "a/verify", "passages.html", "C:\\x", "\u202e", "'", "<b>",
    "20260401T120000.000Z-5a7b4a42", "5a7b4a42f4a1f1bb0f3dbbcd8d4f4ff4", "notes/ferry <i>.txt", "x" * 3000, "9" * 300,
)  # fmt: skip
raw = st.binary(max_size=30) | st.sampled_from(TRICKS).map(lambda trick: trick.encode())
MEDIA_TYPES = (
    "application/json", "application/x-ndjson", "application/jsonl", "text/csv", "text/tab-separated-values",
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "multipart/form-data", "text/plain", "",
)  # fmt: skip
_FOLDER = tempfile.TemporaryDirectory()


@dataclass(frozen=True, slots=True)
class Address:
    path: str
    methods: tuple[str, ...]
    queries: tuple[str, ...]


def complete_app() -> Any:
    # Whoever adds a part to the application must give it here too: its addresses are to be fuzzed.
    # Other collections have the same addresses below their names.
    known = {"service", "evaluations", "options", "maintenance", "others"}
    assert set(inspect.signature(create_app).parameters) == known
    folder = Path(_FOLDER.name)
    options = Options(
        feedback=folder / "feedback.jsonl", originals=True, pictures=folder, unanswered=folder, unanswered_days=30
    )
    return create_app(FakeService(), FakeEvaluations(folder), options, FakeMaintenance(folder))


def addresses(app: Any) -> list[Address]:
    """Every address of the application: of the API, of the pages, and what is mounted."""
    found = []
    for route in iter_route_contexts(app.router.routes):
        if isinstance(route.route, Mount):
            found.append(Address(f"{route.path}/{{path}}", ("GET",), ()))
        else:
            methods = tuple(sorted(route.methods or ("GET", "POST", "DELETE")))
            found.append(Address(str(route.path), methods, tuple(_queries(getattr(route, "endpoint", None)))))
    return found


def _queries(endpoint: Any) -> Iterable[str]:
    """List the parameters that an address may have, each by itself or as the fields of a model."""
    if not inspect.isfunction(endpoint):
        return
    for name, hint in get_type_hints(endpoint).items():
        if inspect.isclass(hint) and issubclass(hint, BaseModel):
            yield from hint.model_fields
        elif name != "return":
            yield name


def escaped(value: bytes) -> str:
    return "".join(f"%{byte:02x}" for byte in value)


APP = complete_app()
ADDRESSES = addresses(APP)
WITH_PATH = [address for address in ADDRESSES if "{" in address.path]
TAKING_BODIES = [address for address in ADDRESSES if {"POST", "PUT", "PATCH"} & set(address.methods)]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    # On one event loop for all requests, as a server has it: what is at /mcp runs on between them.
    here = ("127.0.0.1", 5000)
    with TestClient(
        APP, "http://localhost", raise_server_exceptions=False, client=here, follow_redirects=False
    ) as client:
        yield client


def sound(response: Any) -> bool:
    """Answered, or refused: in an API by a problem detail that can be read, on a page in words; and nothing leaks."""
    assert response.status_code < 500, (response.request.method, str(response.request.url), response.text[:300])
    assert "Traceback" not in response.text
    assert not re.search(r"/(srv|tmp|work|home)/", response.text)
    media_type = response.headers.get("content-type", "")
    if response.request.url.path == "/mcp":  # Refuses in the words of its own protocol.
        return True
    if response.status_code >= 400 and media_type == "application/problem+json":
        body = response.json()
        return bool(body["status"] == response.status_code and body["detail"])
    return bool(response.status_code < 400 or media_type.startswith(("text/html", "application/json")))


def test_every_address_is_known() -> None:
    """The list is the application's own: were it empty, nothing would be fuzzed."""
    documented = set(APP.openapi()["paths"])
    known = {re.sub(r":path\}", "}", address.path) for address in ADDRESSES}
    assert documented < known
    assert {
        "/feedback",
        "/evaluate/compare",
        "/",
        "/documents",
        "/documents/{id}",
        "/evaluate",
        "/mcp",
        "/static/{path}",
        "/metrics",
    } <= known
    assert {"/v1/ask", "/v1/ask/batch", "/v1/evaluations", "/v1/index", "/evaluate"} <= {a.path for a in TAKING_BODIES}


@pytest.mark.slow
@pytest.mark.parametrize("address", WITH_PATH, ids=lambda address: f"{address.methods[0]} {address.path}")
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_path_parameters(client: TestClient, address: Address, data: st.DataObject) -> None:
    escape = data.draw(st.sampled_from([escaped, lambda value: quote(value, safe="/.:;,=+$&'()*!~@\\")]))
    path = re.sub(r"\{[^}]*\}", lambda _: escape(data.draw(raw)).replace("\\", "%5c"), address.path)
    response = client.request(data.draw(st.sampled_from(address.methods)), path)
    assert sound(response)
    if address.path.startswith("/v1/") and response.status_code >= 400 and response.request.method != "HEAD":
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.slow
@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: f"{address.methods[0]} {address.path}")
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_parameters_of_addresses(client: TestClient, address: Address, data: st.DataObject) -> None:
    names = st.sampled_from([*address.queries, "x"])
    parameters = data.draw(st.lists(st.tuples(names, raw), max_size=4))
    query = "&".join(f"{name}={escaped(value)}" for name, value in parameters)
    path = re.sub(r"\{[^}]*\}", quote("notes/ferry <i>.txt"), address.path)
    method = data.draw(st.sampled_from([name for name in address.methods if name in ("GET", "HEAD")] or ["GET"]))
    response = client.request(method, f"{path}?{query}")
    assert sound(response)
    if response.headers.get("content-type", "").startswith("text/html"):
        response.content.decode()


@pytest.mark.slow
@pytest.mark.parametrize("address", TAKING_BODIES, ids=lambda address: address.path)
@given(
    body=bodies | st.binary(max_size=60) | st.lists(bodies, max_size=3).map(b"\n".join),
    media_type=st.sampled_from(MEDIA_TYPES),
)
@settings(max_examples=150, deadline=None)
def test_bodies(client: TestClient, address: Address, body: bytes, media_type: str) -> None:
    path = re.sub(r"\{[^}]*\}", "x", address.path)
    assert sound(client.post(path, content=body, headers={"Content-Type": media_type}))


@given(
    media_type=st.binary(max_size=20),
    body=bodies,
    address=st.sampled_from(TAKING_BODIES),
)
@settings(deadline=None)
def test_content_types(client: TestClient, media_type: bytes, body: bytes, address: Address) -> None:
    path = re.sub(r"\{[^}]*\}", "x", address.path)
    assert sound(client.post(path, content=body, headers={b"Content-Type": media_type}))
