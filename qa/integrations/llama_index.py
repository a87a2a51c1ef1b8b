"""A LlamaIndex retriever over a running service.

::

    from qa.integrations.llama_index import retriever

    for found in retriever("http://127.0.0.1:8000").retrieve("How far is the army from Mosul?"):
        print(found.node.metadata["answer"], found.node.ref_doc_id, found.node.text)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from qa.client import AskOptions, AsyncClient, Client
from qa.errors import ExtraMissing
from qa.integrations.metadata import describe_reply
from qa.web.api.responses import AskResponse, PassageBody

try:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.schema import NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode
except ImportError as error:
    raise ExtraMissing(__name__, "llama-index") from error


def retriever(
    base_url: str, *, api_key: str | None = None, collection: str | None = None, **options: Unpack[AskOptions]
) -> QARetriever:
    """Make a retriever, which asks as :meth:`qa.client.Client.ask` does with these options.

    Each node that it finds is a passage, with its span of the source's text and the source as its relationship. Its
    metadata are ``title``, ``section`` and ``page``, its source's ``collection`` where several were asked, and of the
    whole reply those of :func:`qa.integrations.metadata.describe_reply`: ``outcome``, ``answer``, ``guess``,
    ``confidence``, ``citation``. Neither a language model nor an embedding is given these and the collection.
    """
    return QARetriever(base_url, api_key, collection, options)


class QARetriever(BaseRetriever):
    """What :func:`retriever` makes. It raises what the client raises."""

    def __init__(self, base_url: str, api_key: str | None, collection: str | None, options: AskOptions) -> None:
        super().__init__()
        self._base_url, self._api_key, self._collection = base_url, api_key, collection
        self._options = options

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        with Client(self._base_url, api_key=self._api_key, collection=self._collection) as client:
            return _nodes(client.ask(query_bundle.query_str, **self._options))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        async with AsyncClient(self._base_url, api_key=self._api_key, collection=self._collection) as client:
            return _nodes(await client.ask(query_bundle.query_str, **self._options))


def _nodes(reply: AskResponse) -> list[NodeWithScore]:
    of_reply = describe_reply(reply)
    return [
        NodeWithScore(node=_node(passage, reply.snapshot, of_reply), score=_score(passage))
        for passage in reply.passages
    ]


def _node(passage: PassageBody, snapshot: str, of_reply: Mapping[str, Any]) -> TextNode:
    document = passage.document
    shown = {"title": document.title, "section": passage.section, "page": passage.page}
    hidden = {"collection": document.collection, **of_reply}
    return TextNode(
        id_=passage.id,
        text=passage.text,
        start_char_idx=passage.start,
        end_char_idx=passage.end,
        metadata={**shown, **hidden},
        excluded_embed_metadata_keys=list(hidden),
        excluded_llm_metadata_keys=list(hidden),
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document.id, metadata={"snapshot": snapshot})},
    )


def _score(passage: PassageBody) -> float | None:
    """Return the score that ranked a passage: the last step's that took part."""
    scores = passage.scores
    return next((s for s in (scores.rerank, scores.fused, scores.dense, scores.lexical) if s is not None), None)
