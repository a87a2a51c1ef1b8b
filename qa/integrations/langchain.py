"""A LangChain retriever over a running service.

::

    from qa.integrations.langchain import retriever

    for document in retriever("http://127.0.0.1:8000").invoke("How far is the army from Mosul?"):
        print(document.metadata["answer"], document.metadata["source"], document.page_content)
"""

from __future__ import annotations

from typing import Any, Unpack

from pydantic import SecretStr

from qa.client import AskOptions, AsyncClient, Client
from qa.errors import ExtraMissing
from qa.integrations.metadata import describe_reply
from qa.web.api.responses import AskResponse

try:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
except ImportError as error:
    raise ExtraMissing(__name__, "langchain") from error


def retriever(
    base_url: str, *, api_key: str | None = None, collection: str | None = None, **options: Unpack[AskOptions]
) -> QARetriever:
    """Make a retriever, which asks as :meth:`qa.client.Client.ask` does with these options.

    Each document that it finds is a passage. Its metadata are its ``source``, with its ``collection`` where several
    were asked, ``title``, ``section`` and ``page``, its span ``[start, end)`` of the source's text, its ``scores`` and
    the ``snapshot``, and of the whole reply those of :func:`qa.integrations.metadata.describe_reply`: ``outcome``,
    ``answer``, ``guess``, ``confidence``, ``citation``.
    """
    return QARetriever(
        base_url=base_url, api_key=SecretStr(api_key) if api_key else None, collection=collection, options=dict(options)
    )


class QARetriever(BaseRetriever):
    """What :func:`retriever` makes. It raises what the client raises."""

    base_url: str
    api_key: SecretStr | None
    collection: str | None
    options: dict[str, Any]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        with Client(self.base_url, api_key=self._key(), collection=self.collection) as client:
            return _documents(client.ask(query, **self.options))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        async with AsyncClient(self.base_url, api_key=self._key(), collection=self.collection) as client:
            return _documents(await client.ask(query, **self.options))

    def _key(self) -> str | None:
        return self.api_key.get_secret_value() if self.api_key else None


def _documents(reply: AskResponse) -> list[Document]:
    of_reply = describe_reply(reply)
    return [
        Document(
            id=passage.id,
            page_content=passage.text,
            metadata={
                "source": passage.document.id,
                "collection": passage.document.collection,
                "title": passage.document.title,
                "section": passage.section,
                "page": passage.page,
                "start": passage.start,
                "end": passage.end,
                "scores": passage.scores.model_dump(),
                "snapshot": reply.snapshot,
                **of_reply,
            },
        )
        for passage in reply.passages
    ]
