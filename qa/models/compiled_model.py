"""A compiled model in its folder, open: its tokenizer, its runtime, and the probes that it is checked by."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qa.models.compiled_files import MODEL_FILE, PROBES_FILE, TOKENIZER_FILE
from qa.models.inference import Inference, Precision
from qa.models.tokens import Tokens


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """``folder``: see :mod:`qa.models.compiled_files`; its sums are checked already.

    ``pad`` is the id of the padding token, ``window`` counts tokens; each of ``threads`` runs a batch of its own.
    """

    folder: Path
    precision: Precision
    pad: int
    threads: int
    window: int

    def tokens(self) -> Tokens:
        return Tokens((self.folder / TOKENIZER_FILE).read_text(encoding="utf-8"), self.window)

    def inference(self) -> Inference:
        return Inference(
            self.folder / MODEL_FILE,
            precision=self.precision,
            threads=self.threads,
            window=self.window,
            pad=self.pad,
        )

    def probes(self) -> dict[str, Any]:
        """What the reference made of the probes when the model was compiled."""
        probes: dict[str, Any] = json.loads((self.folder / PROBES_FILE).read_bytes())
        return probes
