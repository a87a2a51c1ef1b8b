"""A compiled model on disk: found by its fingerprint, published whole, and trusted only when its sums are right.

::

    <indexes>/.models/<key>/           key: a hash of the model's fingerprint, and the precision
        model.xml, model.bin           OpenVINO's intermediate representation
        tokenizer.json
        probes.json                    what the reference makes of the probes
        manifest.json                  SHA-256 of the others, versions, agreement; written last
    <indexes>/.models/<key>.refused    why this model is not compiled, and by which versions that was found
    <indexes>/.models/<key>.lock

A compiled model in its folder, open: its tokenizer, its runtime, and the probes that it is checked by.

The compiled encoder: a sentence-transformers model in OpenVINO, with ``tokenizers`` and without torch.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import ModelDisagrees, QuestionTooLong
from qa.files import sha256_of_file, sync, write_atomically
from qa.models.openvino import Inference, Precision, Tokens

if TYPE_CHECKING:
    from qa.models.files import ModelFiles
    from qa.types import Vectors

MODELS_FOLDER = ".models"
MODEL_FILE = "model.xml"
TOKENIZER_FILE = "tokenizer.json"
PROBES_FILE = "probes.json"
_MANIFEST_FILE = "manifest.json"
# To be raised whenever what is compiled, or the probes, change.
FORMAT = 1
_COMPILERS = ("openvino", "torch", "transformers", "sentence-transformers", "nncf")


@dataclass(frozen=True, slots=True)
class CompiledManifest:
    """``agreement`` is the least likeness to the reference over the probes; ``versions`` compiled it."""

    name: str
    precision: str
    window: int
    pad: int
    width: int
    agreement: float
    versions: Mapping[str, str]
    files: Mapping[str, str]
    format: int = FORMAT


def key_of(fingerprint: Mapping[str, object], precision: str) -> str:
    """The name of a compiled model's folder."""
    content = json.dumps([FORMAT, fingerprint], sort_keys=True).encode()
    return f"{hashlib.sha256(content).hexdigest()[:16]}-{precision}"


def compiler_versions() -> dict[str, str]:
    """Of what decides how a model is compiled, as far as it is installed. Imports none of it."""
    versions = {}
    for package in _COMPILERS:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def write_manifest(folder: Path, manifest: CompiledManifest) -> None:
    """Also makes the folder's files durable. Raises OSError."""
    (folder / _MANIFEST_FILE).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        sync(path)


def publish(staged: Path, folder: Path) -> None:
    """Put a whole folder in its place; what is damaged there goes away first. Raises OSError."""
    if folder.exists():
        shutil.rmtree(folder)
    staged.replace(folder)
    sync(folder.parent)


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest."""
    return {path.name: sha256_of_file(path) for path in sorted(folder.iterdir()) if path.name != _MANIFEST_FILE}


def read_manifest(folder: Path) -> CompiledManifest:
    """Raises ValueError, saying what is wrong, unless every file is there as it was published."""
    try:
        content: dict[str, Any] = json.loads((folder / _MANIFEST_FILE).read_bytes())
        manifest = CompiledManifest(**content)
        found = sums(folder)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{folder / _MANIFEST_FILE} cannot be read ({error})") from error
    if manifest.format != FORMAT:
        raise ValueError(f"{folder} is of format {manifest.format}, not {FORMAT}")
    if wrong := sorted(name for name, sum in manifest.files.items() if found.get(name) != sum):
        raise ValueError(f"{', '.join(wrong)} in {folder} changed since it was compiled, or is missing")
    return manifest


def write_refusal(path: Path, reason: str) -> None:
    """Remember why, for as long as the same versions are installed. Raises StorageError."""
    write_atomically(path, json.dumps({"reason": reason, "versions": compiler_versions(), "format": FORMAT}))


def read_refusal(path: Path) -> str | None:
    """The reason; ``None`` where there is none, or other versions found it."""
    try:
        content = json.loads(path.read_bytes())
        if (content["versions"], content["format"]) != (compiler_versions(), FORMAT):
            return None
        return str(content["reason"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """``folder``: see :mod:`qa.models.compiled`; its sums are checked already.

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


# The least cosine to the reference, over all probes, that is let through. Measured: docs/decisions/0005.
LEAST_COSINE: Mapping[Precision, float] = {"fp32": 0.9999, "bf16": 0.999, "int8": 0.99, "int8-static": 0.97}


def compiled_fingerprint(fingerprint: Mapping[str, object], precision: Precision) -> Mapping[str, object]:
    """Of the same model, compiled.

    In full precision it is that of the reference: the two agree to a cosine of 0.9999 at the least, so that a snapshot
    of the one can be searched with the other.
    """
    return fingerprint if precision == "fp32" else {**fingerprint, "precision": precision, "runtime": "openvino"}


class CompiledEncoder:
    """A model that was compiled into ``folder`` and is loaded on its first use, or by :meth:`load`.

    Args:
        folder, pad, threads: see :class:`CompiledModel`. One thread is right for serving, all cores for building.
    """

    def __init__(self, files: ModelFiles, folder: Path, *, precision: Precision, pad: int, threads: int) -> None:
        self._files = files
        self._model = CompiledModel(folder, precision, pad, threads, files.window)
        self._fingerprint = compiled_fingerprint(files.fingerprint, precision)
        self._tokens: Tokens | None = None
        self._inference: Inference | None = None
        self._loading = threading.Lock()

    @property
    def name(self) -> str:
        return self._files.name

    @property
    def fingerprint(self) -> Mapping[str, object]:
        return self._fingerprint

    @property
    def dimension(self) -> int:
        return self._files.dimension

    @property
    def window(self) -> int:
        return self._files.window

    def load(self) -> None:
        """Raises ModelDisagrees where this machine's arithmetic is not that of the machine it was compiled on."""
        self._use()

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._tokenizer().count([self._files.passage_prompt + text for text in texts])

    def count_question_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._tokenizer().count([self._files.question_prompt + text for text in texts])

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return self._encode(self._use(), self._files.passage_prompt, texts)

    def encode_questions(self, texts: Sequence[str]) -> Vectors:
        for tokens in self.count_question_tokens(texts):
            if tokens > self.window:
                raise QuestionTooLong(tokens, self.window)
        return self._encode(self._use(), self._files.question_prompt, texts)

    def _encode(self, inference: Inference, prompt: str, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        rows = inference.run(self._tokenizer().read([prompt + text for text in texts]), self.dimension)
        # Of unit length whatever the precision, and also where the model itself has no such module.
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Vectors = rows / np.maximum(norms, np.finfo(np.float32).tiny)
        return unit

    def _tokenizer(self) -> Tokens:
        # Made twice by two threads at once, at worst: both are the same.
        if self._tokens is None:
            self._tokens = self._model.tokens()
        return self._tokens

    def _use(self) -> Inference:
        with self._loading:
            if self._inference is None:
                inference = self._model.inference()
                self._check(inference)
                self._inference = inference
            return self._inference

    def _check(self, inference: Inference) -> None:
        """A few probes, at every start: integers are multiplied differently where the processor lacks VNNI."""
        probes, precision = self._model.probes(), self._model.precision
        reference = np.array(probes["vectors"], dtype=np.float32)
        rows = self._encode(inference, self._files.passage_prompt, probes["texts"])
        cosine = float(np.nan_to_num(np.sum(reference * rows, axis=1), nan=-1.0).min())
        if cosine < LEAST_COSINE[precision]:
            raise ModelDisagrees(
                f"{self.name}, compiled to {precision}, gives other vectors on this machine than its reference "
                f"(cosine {cosine:.4f}); set QA_PRECISION to fp32 and build the index again"
            )
