"""A compiled model: found on disk by its fingerprint, published whole, trusted by its sums, and run by OpenVINO.

::

    <indexes>/.models/<key>/           key: a hash of the model's fingerprint, and the precision
        model.xml, model.bin           OpenVINO's intermediate representation
        tokenizer.json
        probes.json                    what the reference makes of the probes
        manifest.json                  SHA-256 of the others, versions, agreement; written last
        <hash>.blob                    what OpenVINO compiles of it on one kind of machine (:mod:`qa.models.blobs`)
    <indexes>/.models/<key>.refused    why this model is not compiled, and by which versions that was found
    <indexes>/.models/<key>.lock

Neither finding nor running one needs torch.
"""

from __future__ import annotations

import hashlib
import json
import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from qa.errors import ModelDisagrees, QuestionTooLong
from qa.files import write_atomically
from qa.models.blobs import Place
from qa.models.files import EncoderFiles, ModelFiles, OnDisk
from qa.models.openvino import Inference, Precision, open_requests
from qa.models.scheduling import Kind, Slots
from qa.models.sums import remembered_sha256
from qa.models.tokens import Encoded, Tokens

if TYPE_CHECKING:
    from qa.types import Vectors

_Files = TypeVar("_Files", bound=ModelFiles)

MODELS_FOLDER = ".models"
MODEL_FILE = "model.xml"
WEIGHTS_FILE = "model.bin"
TOKENIZER_FILE = "tokenizer.json"
PROBES_FILE = "probes.json"
_MANIFEST_FILE = "manifest.json"
# To be raised whenever what is compiled, or the probes, change.
FORMAT = 2
_COMPILERS = ("openvino", "torch", "transformers", "sentence-transformers", "nncf")


@dataclass(frozen=True, slots=True)
class CompiledManifest:
    """What a compiled model's folder holds: ``agreement`` is the least with the reference, ``versions`` compiled it."""

    name: str
    precision: str
    window: int
    pad: int
    width: int
    agreement: float
    versions: Mapping[str, str]
    files: Mapping[str, str]
    format: int = FORMAT


def folder_name(fingerprint: Mapping[str, object], precision: str) -> str:
    """Name a compiled model's folder by a hash of what was compiled."""
    content = json.dumps([FORMAT, fingerprint], sort_keys=True).encode()
    return f"{hashlib.sha256(content).hexdigest()[:16]}-{precision}"


def compiler_versions() -> dict[str, str]:
    """List the versions of the installed packages that decide how a model is compiled. Imports none of them."""
    versions = {}
    for package in _COMPILERS:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def write_manifest(folder: Path, manifest: CompiledManifest) -> None:
    """Write the manifest, after the folder's other files. Raises OSError."""
    (folder / _MANIFEST_FILE).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")


def compute_sums(folder: Path, remembered: Path | None = None) -> dict[str, str]:
    """Compute the SHA-256 of every file but the manifest and the blobs, which carry their own.

    Args:
        remembered: the folder that keeps the sums of large files, see :func:`qa.models.sums.remembered_sha256`.
    """
    paths = (path for path in sorted(folder.iterdir()) if path.name != _MANIFEST_FILE and path.suffix != ".blob")
    return {path.name: remembered_sha256(path, remembered) for path in paths}


def read_manifest(folder: Path) -> CompiledManifest:
    """Read the manifest; raise ValueError, saying what is wrong, unless every file is there as it was published."""
    try:
        content: dict[str, Any] = json.loads((folder / _MANIFEST_FILE).read_bytes())
        manifest = CompiledManifest(**content)
        found = compute_sums(folder, folder.parent)
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
    """Read the reason; ``None`` where there is none, or other versions found it."""
    try:
        content = json.loads(path.read_bytes())
        if (content["versions"], content["format"]) != (compiler_versions(), FORMAT):
            return None
        return str(content["reason"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


# The least agreement with the reference, over all probes, that is let through. Of an encoder it is the least cosine, of
# a re-ranker one less the largest difference in spreads of its logits. Measured: docs/decisions/0005.
LEAST_COSINE: Mapping[Precision, float] = {"fp32": 0.9999, "bf16": 0.999, "int8": 0.99, "int8-static": 0.97}
LEAST_AGREEMENT: Mapping[Precision, float] = {"fp32": 0.999, "bf16": 0.95, "int8": 0.9, "int8-static": 0.8}


def least_cosine(reference: Vectors, rows: Vectors) -> float:
    """Compute the least cosine of two encodings ``(n, d)``, of unit length, of the same texts; NaN counts as -1."""
    return float(np.nan_to_num(np.sum(reference * rows, axis=1), nan=-1.0).min())


def spread_of(questions: Vectors, passages: Vectors) -> float:
    """Compute the standard deviation of the cosines of encoded questions ``(n, d)`` and passages ``(m, d)``."""
    return round(float(np.std(questions @ passages.T)), 3)


def agreement_of_scores(reference: Vectors, scores: Vectors) -> float:
    """Compute one less the largest difference of logits ``(n,)``, in spreads of the reference if these are over one."""
    unit = max(float(reference.max() - reference.min()), 1.0)
    return 1.0 - float(np.nan_to_num(np.abs(reference - scores), nan=np.inf).max()) / unit


class Compiled(OnDisk[_Files]):
    """A model that was compiled into ``folder``, whose sums are checked; loaded on its first use or by :meth:`load`.

    Args:
        pad: the id of the padding token.
        threads: those of one call, each of which runs a batch of its own. One is right for serving, all cores for
            building.
    """

    # What its batches are to those of other models that compute in the same slots.
    kind: ClassVar[Kind]

    def __init__(self, files: _Files, folder: Path, *, precision: Precision, pad: int, threads: int) -> None:
        super().__init__(files)
        self._folder = folder
        self._precision: Precision = precision
        self._pad = pad
        self._threads = threads
        self.slots = Slots(threads)
        self._tokens: Tokens | None = None
        self._inference: Inference | None = None
        self._loading = threading.Lock()

    @property
    def fingerprint(self) -> Mapping[str, object]:
        """That of the reference in full precision, so that a snapshot of the one can be searched with the other."""
        if self._precision == "fp32":
            return self._files.fingerprint
        return {**self._files.fingerprint, "precision": self._precision, "runtime": "openvino"}

    def compute_in(self, slots: Slots) -> None:
        """See :class:`qa.models.scheduling.Scheduled`."""
        self.slots = slots

    def load(self) -> None:
        """Load the model and run a few probes: integers are multiplied differently where a processor lacks VNNI.

        Raises:
            ModelDisagrees: this machine's arithmetic is not that of the machine that the model was compiled on.
        """
        self._use()

    def _use(self) -> Inference:
        with self._loading:
            if self._inference is None:
                model = self._folder / MODEL_FILE
                requests = open_requests(model, self._precision, self.slots, self.kind, self._place())
                inference = Inference(requests, threads=self._threads, window=self.window, pad=self._pad)
                agreement, least = self._agreement(inference, self._probes())
                if agreement < least:
                    raise ModelDisagrees(
                        f"{self.name}, compiled to {self._precision}, gives other results on this machine than its "
                        f"reference (agreement {agreement:.4f}, at least {least} is asked); set QA_PRECISION to fp32 "
                        "and build the index again"
                    )
                self._inference = inference
            return self._inference

    def _place(self) -> Place | None:
        """Return where blobs are kept: in the folder, once it is whole."""
        try:
            manifest = (self._folder / _MANIFEST_FILE).read_bytes()
        except OSError:
            return None
        return Place(self._folder, hashlib.sha256(manifest).hexdigest(), self._folder / WEIGHTS_FILE)

    def _probes(self) -> dict[str, Any]:
        probes: dict[str, Any] = json.loads((self._folder / PROBES_FILE).read_bytes())
        return probes

    @abstractmethod
    def _agreement(self, inference: Inference, probes: dict[str, Any]) -> tuple[float, float]:
        """Compare with what the reference made of the probes; returns the agreement and the least that is asked."""

    def _tokenizer(self) -> Tokens:
        # Made twice by two threads at once, at worst: both are the same.
        if self._tokens is None:
            self._tokens = Tokens((self._folder / TOKENIZER_FILE).read_text(encoding="utf-8"), self.window)
        return self._tokens


class CompiledEncoder(Compiled[EncoderFiles]):
    """See :class:`qa.protocols.Encoder`."""

    kind = "encode"

    @property
    def dimension(self) -> int:
        return self._files.dimension

    @property
    def languages(self) -> tuple[str, ...]:
        return self._files.languages

    @property
    def spread(self) -> float:
        return float(self._probes()["spread"])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._tokenizer().count([self._files.passage_prompt + text for text in texts])

    def count_question_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(question.ids) for question in self._questions(texts)]

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return self._encode(self._use(), self._passages(texts))

    def encode_questions(self, texts: Sequence[str]) -> Vectors:
        questions = self._questions(texts)
        for question in questions:
            if len(question.ids) > self.window:
                raise QuestionTooLong(len(question.ids), self.window)
        return self._encode(self._use(), questions)

    def _questions(self, texts: Sequence[str]) -> list[Encoded]:
        tokens = self._tokenizer()
        return [tokens.encoded(self._files.question_prompt + text) for text in texts]

    def _passages(self, texts: Sequence[str]) -> list[Encoded]:
        return self._tokenizer().read([self._files.passage_prompt + text for text in texts])

    def _encode(self, inference: Inference, texts: Sequence[Encoded]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        rows = inference.run(texts, self.dimension)
        # Of unit length in every precision, and also where the model itself has no such module.
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Vectors = rows / np.maximum(norms, np.finfo(np.float32).tiny)
        return unit

    def _agreement(self, inference: Inference, probes: dict[str, Any]) -> tuple[float, float]:
        rows = self._encode(inference, self._passages(probes["texts"]))
        return least_cosine(np.array(probes["vectors"], dtype=np.float32), rows), LEAST_COSINE[self._precision]
