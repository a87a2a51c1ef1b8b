"""What sentence-transformers makes of the probes with the default model, so that this compiles without torch.

The file is made by ``python -m benchmarks.encoder_reference``, and a test compares it with sentence-transformers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qa.models.compilation import PASSAGES, QUESTIONS

if TYPE_CHECKING:
    from qa.models.files import EncoderFiles
    from qa.protocols import Encoder
    from qa.types import Ids, Vectors

REFERENCE = Path(__file__).parent / "reference" / "all-MiniLM-L6-v2.safetensors"


@dataclass(frozen=True, slots=True)
class EncoderReference:
    """The reference's rows of unit length, ``(n, d)``, of the probes, and the tokens that it counts in each.

    ``questions`` has rows of those alone that fit in the window.
    """

    passages: Vectors
    questions: Vectors
    passage_tokens: Ids
    question_tokens: Ids


def find_reference(files: EncoderFiles, path: Path = REFERENCE) -> EncoderReference | None:
    """Read the reference that ships; ``None`` where it is of another model or of other probes than these."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        if (file.metadata() or {}).get("key") != _key(files.fingerprint):
            return None
        return EncoderReference(**{name: file.get_tensor(name) for name in EncoderReference.__slots__})


def make_reference(reference: Encoder) -> EncoderReference:
    """Encode and count the probes."""
    counts = reference.count_question_tokens(QUESTIONS)
    return EncoderReference(
        passages=reference.encode_passages(PASSAGES),
        questions=reference.encode_questions(fitting(counts, reference.window)),
        passage_tokens=np.array(reference.count_tokens(PASSAGES), dtype=np.int64),
        question_tokens=np.array(counts, dtype=np.int64),
    )


def fitting(counts: Iterable[int], window: int) -> list[str]:
    """Return the questions that fit in a window, of the tokens that are counted in each."""
    return [question for question, count in zip(QUESTIONS, counts, strict=True) if count <= window]


def write_reference(files: EncoderFiles, made: EncoderReference, path: Path = REFERENCE) -> None:
    """Write the reference of a model. Raises OSError."""
    from safetensors.numpy import save_file

    path.parent.mkdir(exist_ok=True)
    arrays = {name: getattr(made, name) for name in EncoderReference.__slots__}
    save_file(arrays, path, {"key": _key(files.fingerprint)})


def _key(fingerprint: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps([fingerprint, QUESTIONS, PASSAGES], sort_keys=True).encode()).hexdigest()
