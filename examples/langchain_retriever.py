"""A LangChain retriever over a running service: every document is a passage that can be checked against its source.

python examples/langchain_retriever.py http://127.0.0.1:8000 "How far is the army from Mosul?"
"""

from __future__ import annotations

import sys
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from qa.client import AsyncClient, Client
from qa.types import Mode
from qa.web.api.responses import AskResponse


class QARetriever(BaseRetriever):
    """A retriever whose documents carry their source, their span ``[start, end)`` of its text, and their scores."""

    base_url: str
    api_key: str | None = None
    top_k: int = 5
    mode: Mode = "hybrid"
    documents: list[str] = []

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        with Client(self.base_url, api_key=self.api_key) as client:
            return _documents(client.ask(query, **self._options()))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        async with AsyncClient(self.base_url, api_key=self.api_key) as client:
            return _documents(await client.ask(query, **self._options()))

    def _options(self) -> dict[str, Any]:
        return {"top_k": self.top_k, "mode": self.mode, "documents": self.documents}


def _documents(reply: AskResponse) -> list[Document]:
    return [
        Document(
            id=passage.id,
            page_content=passage.text,
            metadata={
                "source": passage.document.id,
                "title": passage.document.title,
                "start": passage.start,
                "end": passage.end,
                "page": passage.page,
                "section": passage.section,
                "snapshot": reply.snapshot,
                "scores": passage.scores.model_dump(),
            },
        )
        for passage in reply.passages
    ]


def main() -> None:
    """Ask a service one question, and print what it finds."""
    address, question = sys.argv[1:3]
    for document in QARetriever(base_url=address).invoke(question):
        place = document.metadata
        print(f"{place['source']}[{place['start']}:{place['end']}]\n{document.page_content}\n")


if __name__ == "__main__":
    main()
