"""The retrievers against a real server, sync and async: passages with their spans, and the answer beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from llama_index.core.schema import MetadataMode, TextNode

from qa.errors import RequestRefused, ServerUnreachable
from qa.integrations import langchain, llama_index
from qa.integrations.metadata import describe_reply
from qa.types import Answer
from qa.web.api.responses import AnswerBody, AskResponse
from qa.web.app import create_app
from qa.web.deps import Offered
from tests.support import installed, uvicorn_server
from tests.support.fake_service import ANSWER, FERRY, NOON, SCRIPT, SNAPSHOT, FakeService
from tests.support.served import serving

pytestmark = [pytest.mark.server, pytest.mark.slow]

QUESTION = "When does the ferry leave?"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    service = FakeService()
    service.answer = ANSWER
    with serving(service) as address:
        yield address


def test_langchain_gets_passages_with_their_spans_and_the_answer(address: str) -> None:
    retriever = langchain.retriever(address, top_k=1)
    (found,) = retriever.invoke(QUESTION)
    assert asyncio.run(retriever.ainvoke(QUESTION)) == [found]
    metadata = found.metadata
    assert SCRIPT[metadata["start"] : metadata["end"]] == found.page_content
    assert (metadata["source"], metadata["title"], metadata["snapshot"]) == (FERRY.id, FERRY.title, SNAPSHOT)
    assert metadata["scores"]["dense"] > 0
    assert_has_the_answer(metadata)


def test_llama_index_gets_nodes_with_their_spans_and_the_answer(address: str) -> None:
    retriever = llama_index.retriever(address, top_k=1)
    (found,) = retriever.retrieve(QUESTION)
    (again,) = asyncio.run(retriever.aretrieve(QUESTION))
    node = found.node
    assert isinstance(node, TextNode)
    assert (again.node.node_id, again.score) == (node.node_id, found.score)
    assert SCRIPT[node.start_char_idx : node.end_char_idx] == node.text
    assert node.ref_doc_id == FERRY.id
    assert_has_the_answer(node.metadata)
    # Only what is of the passage is read with it.
    assert "confidence" not in node.get_content(MetadataMode.LLM)
    assert FERRY.title in node.get_content(MetadataMode.LLM)


def assert_has_the_answer(metadata: dict[str, Any]) -> None:
    assert (metadata["outcome"], metadata["answer"], metadata["guess"]) == ("answered", "noon", None)
    assert metadata["confidence"] == ANSWER.confidence
    citation = metadata["citation"]
    assert (citation["document"], citation["status"]) == (FERRY.id, "verified")
    assert SCRIPT[citation["start"] : citation["end"]] == "noon"


@pytest.mark.parametrize(
    ("answer", "described"),
    [
        (None, (None, None, None, None, None)),
        (replace(ANSWER, outcome="unsure", confidence=0.4), ("unsure", None, "noon", 0.4, NOON)),
        (replace(ANSWER, outcome="not_found", confidence=0.1), ("not_found", None, None, 0.1, None)),
    ],
    ids=["not asked for", "unsure", "not found"],
)
def test_what_is_no_answer_is_not_called_one(answer: Answer | None, described: tuple[object, ...]) -> None:
    reply = AskResponse(
        question=QUESTION,
        answer=AnswerBody.from_answer(answer) if answer else None,
        passages=[],
        legs=[],
        snapshot=SNAPSHOT,
        timings_ms={},
    )
    found = describe_reply(reply)
    found["citation"] = found["citation"] and found["citation"]["start"]
    assert tuple(found.values()) == described
    assert list(found) == ["outcome", "answer", "guess", "confidence", "citation"]


@pytest.mark.parametrize("module", [langchain, llama_index])
def test_what_to_search_in_is_handed_on(address: str, module: Any) -> None:
    retriever = module.retriever(address, documents=["absent/*"], max_error=0.3)
    assert len(_find(retriever, QUESTION)) == 0


@pytest.mark.parametrize("module", [langchain, llama_index])
def test_a_question_that_is_refused_and_a_service_that_is_not_there_are_errors(address: str, module: Any) -> None:
    with pytest.raises(RequestRefused, match="blank"):
        _find(module.retriever(address), " ")
    with pytest.raises(ServerUnreachable):
        _find(module.retriever("http://127.0.0.1:1"), QUESTION)


def _find(retriever: Any, question: str) -> list[Any]:
    found: list[Any] = retriever.invoke(question) if hasattr(retriever, "invoke") else retriever.retrieve(question)
    return found


def test_a_collection_of_several_is_asked_or_all_of_them() -> None:
    services = [FakeService(), FakeService()]
    services[1].current = replace(services[1].current, index="market")
    with uvicorn_server.serving(create_app(services[0], others=[Offered(services[1])])) as (host, port):
        address = f"http://{host}:{port}"
        (found,) = langchain.retriever(address, collection="market", top_k=1).invoke("ferry")
        llama_index.retriever(address, collection="market").retrieve("berth")
        assert [query.question for query in services[1].asked] == ["ferry", "berth"]
        everywhere = langchain.retriever(address, collections=["*"]).invoke("ferry")
        nodes = llama_index.retriever(address, collections=["*"]).retrieve("ferry")
    assert found.metadata["collection"] is None
    assert {each.metadata["collection"] for each in everywhere} == {"harbour", "market"}
    # LlamaIndex drops a node that is like another, and the two hold the same documents.
    assert {each.node.metadata["collection"] for each in nodes} == {"harbour"}


def test_a_key_is_not_shown(address: str) -> None:
    assert "s3cret" not in repr(langchain.retriever(address, api_key="s3cret"))


@pytest.mark.parametrize(("module", "extra"), [("langchain", "langchain"), ("llama_index", "llama-index")])
def test_without_its_extra_a_retriever_says_so(module: str, extra: str) -> None:
    ended = installed.run((), f"import qa.integrations.{module}")
    assert ended.stderr.endswith(
        f"qa.errors.ExtraMissing: qa.integrations.{module} needs qa[{extra}]: pip install 'qa[{extra}]'\n"
    )
    assert installed.run((extra,), f"import qa.integrations.{module}").returncode == 0
