"""Whatever is sent, it is never the server that fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from qa.web.app import create_app
from tests.web.conftest import FakeService

# Characters of every kind, lone surrogates and NUL among them.
texts = st.text(st.characters(codec=None), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
fields = st.sampled_from(["question", "top_k", "mode", "documents", "questions", "rerank"])
requests = st.dictionaries(fields, values | st.lists(texts, max_size=3), max_size=5)
bodies = (
    values | requests | st.builds(lambda items: {"questions": items}, st.lists(values | requests, max_size=5))
).map(lambda value: json.dumps(value).encode())
queries = st.lists(st.tuples(st.sampled_from(["q", "top_k", "documents", "mode", "x"]), st.binary(max_size=20)))

client = TestClient(create_app(FakeService()), raise_server_exceptions=False)


def sound(response: Any) -> bool:
    """Answered, or refused with a problem detail that can be read."""
    if response.status_code == 200:
        return True
    body = response.json()
    return 400 <= response.status_code < 500 and body["status"] == response.status_code and bool(body["detail"])


@pytest.mark.slow
@given(path=st.sampled_from(["/v1/ask", "/v1/ask/batch"]), body=bodies | st.binary(max_size=60))
@settings(max_examples=400, deadline=None)
def test_bodies(path: str, body: bytes) -> None:
    assert sound(client.post(path, content=body, headers={"Content-Type": "application/json"}))


@given(media_type=st.binary(max_size=20), body=bodies)
@settings(deadline=None)
def test_content_types(media_type: bytes, body: bytes) -> None:
    assert sound(client.post("/v1/ask", content=body, headers={b"Content-Type": media_type}))


@given(parameters=queries)
@settings(max_examples=200, deadline=None)
def test_queries(parameters: list[tuple[str, bytes]]) -> None:
    query = "&".join(f"{name}={''.join(f'%{byte:02x}' for byte in value)}" for name, value in parameters)
    assert sound(client.get(f"/v1/ask?{query}"))
    page = client.get(f"/?{query}")
    assert page.status_code in (200, 422)
    page.content.decode()


@given(id=st.binary(max_size=30))
@settings(max_examples=200, deadline=None)
def test_document_ids(id: bytes) -> None:
    assert sound(client.get("/v1/documents/" + "".join(f"%{byte:02x}" for byte in id)))
