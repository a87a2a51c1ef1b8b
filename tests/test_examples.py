"""The examples, run as they are copied: against a real server, sync and async."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.support.fake_service import FERRY, SCRIPT, FakeService
from tests.support.served import serving

QUESTION = "When does the ferry leave?"
EXAMPLES = sorted(path.name for path in (REPOSITORY / "examples").glob("*_retriever.py"))
# What each calls its asynchronous method, and the text and span of what it gives.
ASYNC = {
    "langchain_retriever.py": """
import asyncio, sys
from langchain_retriever import QARetriever
(found,) = asyncio.run(QARetriever(base_url=sys.argv[1], top_k=1).ainvoke(sys.argv[2]))
print(found.metadata["start"], found.metadata["end"], found.page_content, sep="|")
""",
    "llama_index_retriever.py": """
import asyncio, sys
from llama_index_retriever import QARetriever
(found,) = asyncio.run(QARetriever(sys.argv[1], top_k=1).aretrieve(sys.argv[2]))
print(found.node.start_char_idx, found.node.end_char_idx, found.node.text, sep="|")
""",
}
pytestmark = [pytest.mark.server, pytest.mark.slow]


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY / "examples",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_examples() -> None:
    assert sorted(ASYNC) == EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_prints_passages_with_their_spans(example: str) -> None:
    with serving(FakeService()) as address:
        printed = run(example, address, QUESTION)
    assert printed.count("The ferry leaves at noon") == 1
    start, end = SCRIPT.index("The ferry"), SCRIPT.index("\n\nTickets")
    assert printed.startswith(f"{FERRY.id}[{start}:{end}]\n")


def test_a_conversation_by_the_protocol_s_own_client() -> None:
    with serving(FakeService()) as address:
        printed = run("mcp_conversation.py", f"{address}/mcp", QUESTION).splitlines()
    assert printed[:2] == ["→ tools/list", "← ask, list_documents, read_document"]
    assert [line.split(" ")[1] for line in printed if line.startswith("→")][1:] == ["ask", "read_document", "ask"]
    assert "The ferry leaves at noon" in printed[5]
    assert "is_error" in printed[-1]
    assert "the question is blank" in printed[-1]


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_retrieves_asynchronously_as_well(example: str) -> None:
    with serving(FakeService()) as address:
        start, end, text = run("-c", ASYNC[example], address, QUESTION).rstrip("\n").split("|")
    assert SCRIPT[int(start) : int(end)] == text
