"""The vocabulary of the project: frozen values.

Every span is a half-open interval ``[start, end)`` of Unicode code points of a document's canonical text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Ids = NDArray[np.int64]
    Mask = NDArray[np.bool_]
    # A bit for each row, eight in a byte, the first one in its lowest.
    Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Span:
    """``[start, end)`` of a canonical text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and all that stands under it, deeper headings included.

    ``start`` is where the heading begins and ``body`` where its own line ends; ``level`` counts from 1, outermost.
    """

    title: str
    level: int
    start: int
    body: int
    end: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a paginated document; ``number`` counts from 1.

    ``recognised`` is the confidence of OCR, above 0 and at most 1, where the page was an image; else ``None``.
    """

    number: int
    start: int
    end: int
    recognised: float | None = None


@dataclass(frozen=True, slots=True)
class Property:
    """What a file says of itself, or of the part ``[start, end)`` of its text: its author, or when a mail was sent.

    ``name`` is one of those that ``qa.readers.metadata`` lists, and may come more than once; dates are in ISO 8601.
    """

    name: str
    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """A source, read once into its canonical text.

    ``id`` is the path relative to the indexed folder, with ``/``. ``source_sha256`` is of the source's bytes.
    A document that was attached to another has as ``container`` the id of the file that holds it, and is called
    ``container/name``; its source is that file. ``attachments`` are the ids of what is attached to this file, read or
    not. ``metadata`` is of the whole text or of parts of it that do not overlap, in order of their start.
    ``language`` is its ISO 639-1 code, empty where it is not known. ``reader`` names the reader and its version.
    ``problems`` says, in words for a person, what could not be read.
    Sections are in order of their start and properly nested. ``excluded`` are spans that no passage may contain, such
    as a page's running header; they are in order and do not overlap.
    """

    id: str
    title: str
    text: str
    source_sha256: str
    media_type: str
    reader: str
    sections: tuple[Section, ...] = ()
    pages: tuple[Page, ...] = ()
    problems: tuple[str, ...] = ()
    excluded: tuple[Span, ...] = ()
    language: str = ""
    metadata: tuple[Property, ...] = ()
    container: str = ""
    attachments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """A group of sentences of a passage, as a span of the document: what is embedded.

    ``context`` holds the headings and lead-ins above it that it does not contain; it is encoded with the text.
    """

    start: int
    end: int
    context: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A span of a document that is retrieved: ``document.text[start:end] == text``, always.

    ``id`` is 16 hexadecimal digits, a hash of document, span and text. ``context`` holds the headings above the
    passage, and what leads in to a list that it begins within, as far as its own text does not contain them; it is
    searched with the text and is no part of the span. ``path`` are the titles of all headings above it, outermost
    first. ``windows`` are in order and hold all of the text but white space between them. ``language`` is the
    document's. ``recognised`` is the least of the pages that it is on.
    """

    id: str
    document: str
    start: int
    end: int
    text: str
    context: str = ""
    path: tuple[str, ...] = ()
    page: int | None = None
    windows: tuple[Window, ...] = ()
    language: str = ""
    recognised: float | None = None

    @property
    def section(self) -> str | None:
        """The nearest heading above."""
        return self.path[-1] if self.path else None

    @property
    def searched_text(self) -> str:
        """What is searched by its words."""
        return with_context(self.context, self.text)

    def encoded_text(self, window: Window) -> str:
        """Return what the encoder is given of one of the passage's windows."""
        return with_context(window.context, self.text[window.start - self.start : window.end - self.start])


def with_context(context: str, text: str) -> str:
    """Put what stands above a text before it."""
    return f"{context}\n{text}" if context else text


@dataclass(frozen=True, slots=True)
class Source:
    """A file found for indexing. ``id`` is what the document made of it will be called; ``size`` is in bytes.

    What is attached to a file has as ``container`` the file's id, and as ``parts`` its place: the number of the
    attachment, from 0, and of the attachment to that one, and so on; ``path`` and ``size`` are of the file.

    ``root`` is the folder in which it was found, below which ``path`` leads through no link; ``None`` where the file
    itself was named, which may be a link.
    """

    id: str
    path: Path
    size: int
    container: str = ""
    parts: tuple[int, ...] = ()
    root: Path | None = None


FileStatus = Literal["read", "partial", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file: a line of the ingestion report.

    ``reason`` is empty only where the file was read whole. ``size`` is in bytes, ``characters`` of canonical text.
    ``modified_ns`` is when the file was last written, 0 where that is not to be relied on. ``kept_since`` is when
    the snapshot was made whose version is still indexed, ISO 8601, because the file could not be read since.
    ``container`` is the id of the file that it is attached to, if it is.
    ``recognised`` are the numbers of the pages that OCR read, each with its confidence.
    """

    id: str
    status: FileStatus
    reason: str = ""
    size: int = 0
    characters: int = 0
    pages: int = 0
    empty_pages: int = 0
    passages: int = 0
    seconds: float = 0.0
    modified_ns: int = 0
    kept_since: str = ""
    container: str = ""
    recognised: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentSummary:
    """A document as a listing shows it, without its text; ``metadata`` are names and values of the whole of it."""

    id: str
    title: str
    media_type: str
    source_sha256: str
    characters: int
    pages: int
    passages: int
    language: str = ""
    container: str = ""
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Eq:
    """Filter: rows whose ``column`` equals ``value``."""

    column: str
    value: str


@dataclass(frozen=True, slots=True)
class In:
    """Filter: rows whose ``column`` is one of ``values``."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Filter: rows with ``low <= column <= high``; ``None`` leaves an end open.

    An index compares strings by code point, and a question's filter compares dates.
    """

    column: str
    low: str | None = None
    high: str | None = None


# What a question's filter is made of; all of its conditions must hold.
Condition = Eq | In | Range

Mode = Literal["hybrid", "dense", "lexical"]


@dataclass(frozen=True, slots=True)
class Turn:
    """A question that was asked before, and the text that answered it, as far as that is known."""

    question: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """A question and how to search for it.

    ``documents`` are globs over document ids, ``sections`` over headings; none means all. ``mode`` says which legs
    search, and ``rerank`` whether the cross-encoder re-orders what they found. ``answer`` is false where passages
    alone are wanted. ``max_error`` is how often answers may be wrong, and ``read_tokens`` how many tokens are read for
    one; without them the service's settings hold.
    ``filter`` are conditions on what documents say of themselves, which all must hold (:mod:`qa.index.fields`).
    ``collections`` are those of a server that are asked, ``*`` for all; none means the one that is asked anyway.
    ``previous`` is what was asked before, the oldest first: a question that leans on it is searched for as one that
    stands alone.
    """

    question: str
    top_k: int = 5
    documents: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    mode: Mode = "hybrid"
    rerank: bool = False
    answer: bool = True
    max_error: float | None = None
    filter: tuple[Condition, ...] = ()
    collections: tuple[str, ...] = ()
    read_tokens: int | None = None
    previous: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """Where a Milvus server is, and how it is asked; Milvus Lite is a file whose name ends in ``.db``.

    ``replicas`` is in how many query nodes each vector is loaded, and ``seconds`` the longest that a search may take.
    """

    uri: str
    token: str = field(default="", repr=False)
    replicas: int = 1
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what may be asked: characters in a question, passages in a reply, questions in a batch.

    And the most tokens that a question may have read, and the most questions that it may name as asked before it.
    """

    question_chars: int
    top_k: int
    batch: int
    read_tokens: int = 1000
    previous: int = 8


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bounds of the documents that a collection keeps itself: bytes of a file, files, and bytes of all of them."""

    file_bytes: int
    most_files: int
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Each leg's raw score: cosine, BM25, cross-encoder logit, and the answer reader's logit that the passage holds the
    answer. ``None`` where a leg did not take part, or nothing of the passage was read.

    ``fused`` only ranks and is ``None`` where one leg alone ranked.
    """

    dense: float | None = None
    lexical: float | None = None
    fused: float | None = None
    rerank: float | None = None
    relevance: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A retrieved passage. ``rank`` counts from 1; ``highlights`` are spans of the document, within the passage.

    ``metadata`` are names and values, of the document and of its part that holds the passage. ``collection`` is named
    where several were asked.
    """

    rank: int
    passage: Passage
    title: str
    scores: Scores
    highlights: tuple[Span, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    collection: str = ""


@dataclass(frozen=True, slots=True)
class Leg:
    """Whether a leg ("dense", "lexical") took part in a search.

    ``reason`` says in words why it did not, or what it searched for instead: a long text's question, correct words.
    """

    name: str
    used: bool
    reason: str = ""


CitationStatus = Literal["verified", "drifted", "missing"]


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a text stands: ``[start, end)`` of a document's canonical text.

    ``status`` was found when the citation was given: ``verified``, the source is what was indexed and the span holds
    the text; ``drifted``, the source has changed since; ``missing``, it is not there any more. ``source_sha256`` is of
    the source's bytes as indexed, ``text_sha256`` of the canonical text in UTF-8. ``recognised`` is that of the page.
    ``collection`` is named where several were asked.
    """

    document: str
    start: int
    end: int
    page: int | None
    section: str | None
    source_sha256: str
    text_sha256: str
    status: CitationStatus
    recognised: float | None = None
    collection: str = ""


@dataclass(frozen=True, slots=True)
class CitationClaim:
    """A citation as someone holds it, to be checked. ``text_sha256`` may be ``None`` where it was not kept."""

    document: str
    start: int
    end: int
    source_sha256: str
    text_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class CheckedCitation:
    """What became of a citation, by one snapshot.

    ``text`` is what the span holds, ``None`` where the snapshot holds another version of the document than the one
    cited. ``detail`` says the status in words for a person.
    """

    snapshot: str
    citation: Citation
    text: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another text that answers, where documents disagree: ``text`` is what its citation's span holds."""

    text: str
    citation: Citation


AnswerOutcome = Literal["answered", "unsure", "not_found"]
AnswerForm = Literal["span", "sentence", "list", "row"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What answers a question, as far as the documents do.

    ``outcome`` is ``answered`` where the answer is sure enough, ``unsure`` where it is only the best guess, and
    ``not_found`` where nothing that was read is relevant. ``text`` is what the citation's span holds: of a guess too,
    and where nothing was found what was least irrelevant, which measurements need and no person is shown.
    ``sentence`` is the span of the sentence, or row, that holds it, in the same document, and ``sentence_text`` what
    that span holds; ``form`` says what ``text`` is. ``confidence`` is the calibrated probability that the text answers,
    and ``basis`` says in words what that figure is of; ``None`` where nothing was calibrated, and ``note`` says why.
    ``promised_error`` is how often at most answers as sure as this are wrong, certified on held-out questions; ``None``
    where nothing was. ``unread_files`` counts, where nothing was found, the files that could not be read whole.
    ``score`` is the reader's raw score of the span, ``None`` where it chose none.
    """

    outcome: AnswerOutcome
    confidence: float | None
    text: str | None = None
    citation: Citation | None = None
    sentence: Span | None = None
    alternatives: tuple[Alternative, ...] = ()
    promised_error: float | None = None
    note: str = ""
    form: AnswerForm = "span"
    basis: str = ""
    sentence_text: str | None = None
    unread_files: int = 0
    score: float | None = None

    @property
    def answerable(self) -> bool:
        """Whether the answer is sure enough to be given as one."""
        return self.outcome == "answered"


@dataclass(frozen=True, slots=True)
class CollectionOutcome:
    """What one of several collections replied; ``problem`` says why it did not, and is empty where it did."""

    name: str
    snapshot: str = ""
    outcome: AnswerOutcome | None = None
    confidence: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of one query. ``timings_ms`` are wall-clock milliseconds, measured, by stage and in ``total``.

    ``answer`` is ``None`` where nothing was asked to choose one, ``legs`` are those that the mode names.
    ``collections`` says where several were asked what became of each; ``snapshot`` is then the answer's. ``searched``
    is the question that was searched for instead of one that leans on another or stands in a long text, else empty.
    """

    question: str
    hits: tuple[Hit, ...]
    snapshot: str
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    answer: Answer | None = None
    legs: tuple[Leg, ...] = ()
    collections: tuple[CollectionOutcome, ...] = ()
    searched: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """What one snapshot holds: its documents by id, and what became of every file, in the order found.

    Both may be a part of the whole: ``total`` counts all documents that were asked for, ``files`` all files.
    """

    snapshot: str
    documents: tuple[DocumentSummary, ...]
    report: tuple[FileReport, ...]
    total: int = 0
    files: int = 0


FileOrder = Literal["file", "status", "characters", "pages", "passages"]


@dataclass(frozen=True, slots=True)
class FileChoice:
    """Which files are listed, and in which order; ``None`` is any status."""

    status: FileStatus | None = None
    order: FileOrder = "file"
    descending: bool = False
    filter: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class FileTotals:
    """How many files there are of one status, and what they hold together."""

    files: int = 0
    characters: int = 0
    pages: int = 0
    passages: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotDocument:
    """A document as one snapshot holds it."""

    snapshot: str
    document: Document


@dataclass(frozen=True, slots=True)
class StreamedDocument:
    """A document as one snapshot holds it, in parts: ``text`` yields its pieces in order, once; so do the others.

    ``head`` is the document without its text, sections, pages and excluded spans; ``characters`` are those of the text.
    """

    snapshot: str
    head: Document
    characters: int
    text: Iterator[str]
    sections: Iterator[Section]
    pages: Iterator[Page]

    def cut(self, start: int, end: int) -> str:
        """Return ``text[start:end]``, once. What is before it is read piece by piece, and what is behind it not."""
        parts: list[str] = []
        at = 0
        while start < end and at < end:
            piece = next(self.text)
            parts.append(piece[max(start - at, 0) : end - at])
            at += len(piece)
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class State:
    """What a service is doing.

    ``status`` is one word ("ready", "loading", "refused", ...) and ``detail`` says it to a person. ``created`` is when
    the snapshot was built, in ISO 8601. ``revision`` rises whenever the same question may get another answer: with the
    snapshot, and with the calibration. ``problem`` is one word for why a newer snapshot or calibration is not served,
    empty where there is none. ``troubles`` say in clauses what another part of the server cannot do; ``detail`` holds
    them too. ``calibration`` says whose questions confidence was fitted to, and is empty where it was to none.
    """

    ready: bool
    status: str
    detail: str
    index: str
    snapshot: str | None = None
    documents: int = 0
    passages: int = 0
    created: str | None = None
    revision: int = 0
    problem: str = ""
    troubles: tuple[str, ...] = ()
    calibration: str = ""
