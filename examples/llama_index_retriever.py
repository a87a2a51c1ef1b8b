"""A LlamaIndex retriever over a running service: every node is a passage that can be checked against its source.

python examples/llama_index_retriever.py http://127.0.0.1:8000 "How far is the army from Mosul?"
"""

from __future__ import annotations

import sys
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode

from qa.client import AsyncClient, Client
from qa.types import Mode
from qa.web.api.responses import AskResponse, PassageBody


class QARetriever(BaseRetriever):
    """A retriever whose nodes name their source document and their span of its text, by character."""

    def __init__(
        self, base_url: str, *, api_key: str | None = None, top_k: int = 5, mode: Mode = "hybrid", **options: Any
    ) -> None:
        super().__init__(**options)
        self._base_url, self._api_key, self._top_k, self._mode = base_url, api_key, top_k, mode

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        with Client(self._base_url, api_key=self._api_key) as client:
            return _nodes(client.ask(query_bundle.query_str, top_k=self._top_k, mode=self._mode))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        async with AsyncClient(self._base_url, api_key=self._api_key) as client:
            return _nodes(await client.ask(query_bundle.query_str, top_k=self._top_k, mode=self._mode))


def _nodes(reply: AskResponse) -> list[NodeWithScore]:
    return [NodeWithScore(node=_node(passage, reply.snapshot), score=_score(passage)) for passage in reply.passages]


def _node(passage: PassageBody, snapshot: str) -> TextNode:
    return TextNode(
        id_=passage.id,
        text=passage.text,
        start_char_idx=passage.start,
        end_char_idx=passage.end,
        metadata={"title": passage.document.title, "section": passage.section, "page": passage.page},
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id=passage.document.id, metadata={"snapshot": snapshot})
        },
    )


def _score(passage: PassageBody) -> float | None:
    """Return the score that ranked a passage: the last step's that took part."""
    scores = passage.scores
    return next((s for s in (scores.rerank, scores.fused, scores.dense, scores.lexical) if s is not None), None)


def main() -> None:
    """Ask a service one question, and print what it finds."""
    address, question = sys.argv[1:3]
    for found in QARetriever(address).retrieve(question):
        node = found.node
        assert isinstance(node, TextNode)
        print(f"{node.ref_doc_id}[{node.start_char_idx}:{node.end_char_idx}]\n{node.text}\n")


if __name__ == "__main__":
    main()
