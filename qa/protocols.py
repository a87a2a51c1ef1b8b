"""The protocols behind which parts are exchanged: encoders, re-rankers, readers and vector indexes.

A search of an index is limited by closed nodes, ``Eq``, ``In``, ``Range``, ``And`` and ``Rows``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from qa.types import Eq, In, Range

if TYPE_CHECKING:
    from qa.types import Bits, Citation, Ids, Vectors


class Cite(Protocol):
    """A maker of citations: that of ``[start, end)`` of a document of one snapshot. Thread-safe."""

    def __call__(self, document: str, start: int, end: int) -> Citation: ...


class Encoder(Protocol):
    """A bi-encoder. Thread-safe; rows come back in the order of the texts, of unit length."""

    @property
    def name(self) -> str:
        """What a person calls it; decides nothing."""

    @property
    def fingerprint(self) -> Mapping[str, object]:
        """All that decides the vectors, as JSON values; equal fingerprints mean comparable vectors."""

    @property
    def dimension(self) -> int: ...

    @property
    def languages(self) -> tuple[str, ...]:
        """The ISO 639-1 codes of the languages that it was trained on; none where that is not known, or many."""

    @property
    def spread(self) -> float:
        """How far its cosines lie apart: their standard deviation over some questions and texts; may take a second."""

    @property
    def window(self) -> int:
        """Tokens that fit in one text, its prompt and special tokens included."""

    def load(self) -> None:
        """Load the weights now, which may take seconds; otherwise the first use does. What is above needs none.

        Raises:
            ModelNotFound: the model cannot be loaded.
        """

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of each text as a passage, prompt and special tokens included, untruncated."""

    def count_question_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of each text as a question, in the same way."""

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Encode ``(n,)`` texts as ``(n, dimension)`` float32 rows."""

    def encode_questions(self, texts: Sequence[str]) -> Vectors:
        """Encode ``(n,)`` texts as ``(n, dimension)`` float32 rows.

        Raises:
            QuestionTooLong: a question does not fit in the window.
        """


class Reranker(Protocol):
    """A cross-encoder. Thread-safe; higher is better, and scores of different questions are not comparable."""

    @property
    def name(self) -> str:
        """What a person calls it; decides nothing."""

    @property
    def fingerprint(self) -> Mapping[str, object]:
        """All that decides the scores, as JSON values."""

    @property
    def window(self) -> int:
        """Tokens of question and passage together, special tokens included; of what is longer the end is cut."""

    def load(self) -> None:
        """Load the weights now, which may take seconds; otherwise the first use does.

        Raises:
            ModelNotFound: the model cannot be loaded.
        """

    def score(self, question: str, passages: Sequence[str]) -> Vectors:
        """Logits ``(n,)`` float32 of ``n`` passages, before any activation."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader makes of one text beside a question, for each of the ``n`` tokens of the text that it saw.

    Question and special tokens are left out. Logits of one reader are comparable over texts and questions.

    Args:
        offsets: int64 ``(n, 2)``, the span of each token in code points of the text, in order.
        starts: float32 ``(n,)``, logits that the answer starts at the token.
        ends: float32 ``(n,)``, logits that it ends there.
        null: start and end logit of [CLS] added up: "there is no answer here".
        relevance: logit that the text holds the answer.
    """

    offsets: Ids
    starts: Vectors
    ends: Vectors
    null: float
    relevance: float


class AnswerReader(Protocol):
    """An extractive question-answering model. Thread-safe."""

    @property
    def name(self) -> str:
        """What a person calls it; decides nothing."""

    @property
    def fingerprint(self) -> Mapping[str, object]:
        """All that decides the logits, as JSON values.

        Raises:
            ModelNotFound: a file of the model is missing.
        """

    @property
    def window(self) -> int:
        """Tokens of question, text and special tokens together that it reads at most."""

    def load(self) -> None:
        """Load the weights now; otherwise the first use does.

        Raises:
            ModelNotFound, ModelCorrupt: the model cannot be loaded.
            ModelDisagrees: it computes something else on this machine than it should.
        """

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of each text alone, uncut, without special tokens."""

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Reading]:
        """Read ``(question, text)`` pairs, of any number of questions, and return their readings in order.

        Pairs of like length are run together. A text that does not fit is cut at its end, which its offsets show; a
        text may be empty.
        """


@dataclass(frozen=True, slots=True)
class And:
    """Filter: rows that pass every one of ``filters``; all rows where there are none."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Filter: the rows of one index whose bit is set, in the order of ``ids (n,)``, which are those of all rows.

    The bits ``(⌈n / 8⌉,)`` are eight in a byte, the first one in its lowest (:mod:`qa.index.bitmaps`).

    It is what a question's filter comes to in one snapshot. Rows of a vector index are in the order of its ``ids()``,
    and those of a lexical index in that of their keys.
    """

    ids: Ids
    bits: Bits


Filter = Eq | In | Range | And | Rows


@dataclass(frozen=True, slots=True)
class VectorRows:
    """A batch for a vector index: ``ids (n,)`` int64, ``vectors (n, d)`` float32 of unit length, columns ``n`` long."""

    ids: Ids
    vectors: Vectors
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)


class VectorIndex(Protocol):
    """Derived data: always rebuildable from a snapshot's passages. Higher cosine is better.

    Any number of threads may search.
    """

    def search(self, vectors: Vectors, k: int, filter: Filter | None = None) -> tuple[Ids, Vectors]:
        """Find the ``k`` nearest rows of each query.

        Args:
            vectors: ``(q, d)`` float32 of unit length.

        Returns:
            ids ``(q, k)`` and cosines ``(q, k)``, best first, equal cosines by id; ids are -1 and cosines ``-inf``
            where fewer than ``k`` rows match. Each query finds what it finds alone. An approximate engine gives ``k``
            rows too where so many match, but misses some of the nearest: its description says how many. Its cosines
            are of vectors at a lower precision, and those of :meth:`cosines`.
        """

    def cosines(self, vector: Vectors, ids: Ids) -> Vectors:
        """Compute the cosines ``(n,)`` of a query ``(d,)`` and the rows of ``ids (n,)``, as :meth:`search` does.

        Raises:
            VectorIndexError: there is no row of an id.
        """

    def rows(self, ids: Ids) -> Vectors:
        """Return the vectors ``(n, d)`` of the rows of ``ids (n,)``, as exact as they are stored.

        Raises:
            VectorIndexError: there is no row of an id.
        """

    def count(self, filter: Filter | None = None) -> int: ...

    def ids(self) -> Ids:
        """Return the ids ``(n,)`` of all rows, in no order that matters, and the same array at each call."""

    def verify(self) -> None:
        """Look at every vector, and measure again what an approximate engine finds.

        Raises:
            VectorIndexError: one is not of unit length, or much less is found than the description says.
        """

    def describe(self) -> Mapping[str, object]:
        """Describe how the index is opened again, as JSON values: its ``engine``, and that engine's parameters.

        A snapshot's manifest keeps it, since FAISS does not keep parameters of queries.
        """

    def close(self) -> None:
        """Free what it holds; it is not used again."""


class MutableVectorIndex(VectorIndex, Protocol):
    """An index that is being built."""

    def upsert(self, rows: VectorRows) -> int:
        """Add or replace rows by id (the last of equal ids wins); returns how many were given. Idempotent.

        Raises:
            VectorIndexError: shapes, columns or values do not fit the index, or a vector is not of unit length.
            StorageError: the disk is full.
        """

    def delete(self, ids: Ids) -> None:
        """Remove rows; ids that are not there are no error."""

    def commit(self) -> None:
        """Return when everything upserted or deleted is searchable and durable."""

    def save(self, folder: Path) -> None:
        """Write the index into an existing folder; from then on it does not change.

        Raises:
            StorageError: the folder cannot be written, or the disk is full.
        """
