"""Loading a model in torch by sentence-transformers, which is imported here alone, and late."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from qa.errors import ModelNotFound


def load_model(kind: Literal["SentenceTransformer", "CrossEncoder"], folder: Path, threads: int, **options: Any) -> Any:
    """The model of a folder, to be asked and not trained, in the precision that its fingerprint names.

    Args:
        threads: of torch, for the whole process.
        options: of sentence-transformers' own class.

    Raises:
        ModelNotFound: it cannot be loaded.
    """
    import sentence_transformers
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(threads)
    try:
        model = getattr(sentence_transformers, kind)(
            str(folder),
            device="cpu",
            local_files_only=True,
            # Also where the checkpoint is saved in another one.
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            **options,
        )
    except Exception as error:  # each of the libraries below raises kinds of its own
        raise ModelNotFound(f"sentence-transformers cannot load {folder}: {' '.join(str(error).split())}") from error
    model.eval()
    return model
