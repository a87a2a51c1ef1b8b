"""Two peers on the same passages and embeddings; run by ``benchmarks/quality.py`` in an environment of its own.

python peers.py GIVEN.json VECTORS.npz TAKEN.json DEPTH
"""

# mypy: ignore-errors
from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HAYSTACK_TELEMETRY_ENABLED="False")

import numpy as np


def rolled_up(passages, found, depth):
    return list(dict.fromkeys(passages[at]["document"] for at in found))[:depth]


def txtai_hybrid(passages, questions, depth, vectors):
    """Ask txtai's own hybrid: its BM25 and embeddings, scores normalised and averaged."""
    from txtai import Embeddings

    def look_up(texts):
        return np.stack([vectors[text] for text in texts])

    embeddings = Embeddings(method="external", transform=look_up, hybrid=True, content=False)
    embeddings.index((at, passage["text"], None) for at, passage in enumerate(passages))
    return {id: rolled_up(passages, [at for at, _ in embeddings.search(text, depth)], depth) for id, text in questions}


def haystack_hybrid(passages, questions, depth, vectors):
    """Ask Haystack's documented hybrid: BM25 and embeddings in the in-memory store, joined by reciprocal ranks."""
    from haystack import Document
    from haystack.components.joiners import DocumentJoiner
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(
        [
            Document(id=str(at), content=passage["text"], embedding=vectors[passage["text"]].tolist())
            for at, passage in enumerate(passages)
        ]
    )
    by_words, by_vectors = InMemoryBM25Retriever(store, top_k=depth), InMemoryEmbeddingRetriever(store, top_k=depth)
    joiner = DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=depth)
    runs = {}
    for id, text in questions:
        words = by_words.run(query=text)["documents"]
        near = by_vectors.run(query_embedding=vectors[text].tolist())["documents"]
        found = joiner.run(documents=[words, near])["documents"]
        runs[id] = rolled_up(passages, [int(document.id) for document in found], depth)
    return runs


def main():
    given = json.loads(Path(sys.argv[1]).read_text())
    passages, questions, depth = given["passages"], list(given["questions"].items()), int(sys.argv[4])
    with np.load(sys.argv[2], allow_pickle=False) as rows:
        vectors = dict(zip([passage["text"] for passage in passages], rows["passages"], strict=True))
        vectors |= dict(zip([text for _, text in questions], rows["questions"], strict=True))
    runs = {
        "txtai hybrid": txtai_hybrid(passages, questions, depth, vectors),
        "Haystack hybrid": haystack_hybrid(passages, questions, depth, vectors),
    }
    Path(sys.argv[3]).write_text(json.dumps(runs))


if __name__ == "__main__":
    main()
