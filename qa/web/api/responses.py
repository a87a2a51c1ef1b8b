"""The shapes of responses. Each is built from the value of ``qa.types`` that it shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby, islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qa.types import (
    Answer,
    AnswerForm,
    AnswerOutcome,
    CheckedCitation,
    Citation,
    CitationStatus,
    Collection,
    DocumentSummary,
    FileReport,
    FileStatus,
    Hit,
    Property,
    Reply,
    State,
    StreamedDocument,
)
from qa.web.api import examples

if TYPE_CHECKING:
    from qa.index.fields import Facets

# Members of a document that are written in parts, or behind those.
_STREAMED = {"text", "sections", "pages", "problems"}
# Sections or pages of a document that are written at once.
_TOGETHER = 1000

SPAN_START = "Where it starts in the document's canonical text, in Unicode code points, counted from 0."
SPAN_END = "Where it ends, exclusive, in Unicode code points: `text[start:end]` of the document is the passage."

RECOGNISED = (
    "How sure OCR is of the page, above 0 and at most 1, where it was an image of one: its text was recognised. Null "
    "where it was read as text."
)


class SpanBody(BaseModel):
    """A span of a document's canonical text."""

    start: int = Field(description=SPAN_START)
    end: int = Field(description=SPAN_END)


Metadata = dict[str, list[str]]
METADATA = (
    "What the file says of itself, each a list: `author`, `created`, `modified`, `sender`, `recipient`, `sent`, "
    "`keyword`, `sheet`. Dates are in ISO 8601."
)


def whole_metadata(metadata: Sequence[Property], characters: int) -> list[tuple[str, str]]:
    """Return what a file says of the whole of its text, which has so many characters, as names and values."""
    return [(each.name, each.value) for each in metadata if (each.start, each.end) == (0, characters)]


def _grouped(pairs: Iterable[tuple[str, str]]) -> Metadata:
    grouped: Metadata = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


class DocumentReference(BaseModel):
    """The document that a passage is from."""

    id: str = Field(description="Path of the source within the indexed folder, with `/`.")
    title: str
    collection: str | None = Field(default=None, description="Of the document; null where a single one was asked.")


class ScoresBody(BaseModel):
    """Each leg's raw score; null where a leg took no part."""

    dense: float | None = Field(description="Cosine of the question and the passage's nearest window of sentences.")
    lexical: float | None = Field(description="BM25; 0 where the passage has no word of the question.")
    fused: float | None = Field(description="Only ranks; null where one leg alone ranked.")
    rerank: float | None = Field(description="Logit of the cross-encoder.")
    relevance: float | None = Field(
        description="The answer reader's logit that the passage holds the answer; null where it read none of it."
    )


class PassageBody(BaseModel):
    """A passage that was found: `text` is exactly `text[start:end]` of its document."""

    rank: int = Field(description="Counted from 1, best first.")
    id: str
    text: str
    document: DocumentReference
    start: int = Field(description=SPAN_START)
    end: int = Field(description=SPAN_END)
    page: int | None = Field(description="Counted from 1; null where the document has no pages.")
    recognised: float | None = Field(description=RECOGNISED)
    section: str | None = Field(description="The nearest heading above; null where there is none.")
    metadata: Metadata = Field(description=f"{METADATA} Of its part that holds the passage, too.")
    scores: ScoresBody
    highlights: list[SpanBody] = Field(description="Spans of the document, within the passage.")

    @classmethod
    def from_hit(cls, hit: Hit) -> PassageBody:
        passage, scores = hit.passage, hit.scores
        return cls(
            rank=hit.rank,
            id=passage.id,
            text=passage.text,
            document=DocumentReference(id=passage.document, title=hit.title, collection=hit.collection or None),
            start=passage.start,
            end=passage.end,
            page=passage.page,
            recognised=passage.recognised,
            section=passage.section,
            metadata=_grouped(hit.metadata),
            scores=ScoresBody(
                dense=scores.dense,
                lexical=scores.lexical,
                fused=scores.fused,
                rerank=scores.rerank,
                relevance=scores.relevance,
            ),
            highlights=[SpanBody(start=span.start, end=span.end) for span in hit.highlights],
        )


class CitationBody(SpanBody):
    """Where a text stands, and whether its source still is what was indexed."""

    document: str = Field(description="The document's id.")
    page: int | None = Field(description="That the span starts on, from 1; null where the document has no pages.")
    recognised: float | None = Field(description=RECOGNISED)
    section: str | None = Field(description="The nearest heading above; null where there is none.")
    sha256: str = Field(description="Of the source's bytes as they were indexed, in hexadecimal.")
    text_sha256: str | None = Field(description="Of the canonical text in UTF-8; null where it is not known.")
    status: CitationStatus = Field(
        description="Found when this was given: `verified`, the source is byte for byte what was indexed; `drifted`, "
        "it has changed since; `missing`, it is not there or cannot be read."
    )
    collection: str | None = Field(default=None, description="Of the document; null where a single one was asked.")

    @classmethod
    def from_citation(cls, citation: Citation) -> CitationBody:
        return cls(
            document=citation.document,
            start=citation.start,
            end=citation.end,
            page=citation.page,
            recognised=citation.recognised,
            section=citation.section,
            sha256=citation.source_sha256,
            text_sha256=citation.text_sha256 or None,
            status=citation.status,
            collection=citation.collection or None,
        )


class AlternativeBody(BaseModel):
    """Another value that the documents give: `text` is what its citation's span holds."""

    text: str
    citation: CitationBody


class SentenceBody(SpanBody):
    """The sentence, or the row of a table, that holds an answer."""

    text: str = Field(description="What the span of the document holds.")


class FoundBody(BaseModel):
    """A text that answers, with its place: `text` is exactly `text[start:end]` of the cited document."""

    text: str | None
    form: AnswerForm = Field(
        description="What the text is: a `span` of a sentence, a `sentence` or several, a whole `list`, or a `row` "
        "of a table with its column names."
    )
    citation: CitationBody | None
    sentence: SentenceBody | None = Field(description="The sentence or row that holds the text, in the same document.")
    alternatives: list[AlternativeBody] = Field(description="Other values that the documents give.")


class GuessBody(FoundBody):
    """The best guess at an answer that is not sure enough to be given as one."""

    confidence: float | None = Field(description="The calibrated probability that the guess is right.")


class OutcomeBody(BaseModel):
    """Whether there is an answer, and how sure it is."""

    outcome: AnswerOutcome = Field(
        description="`answered`: the answer is sure enough. `unsure`: there is only a `guess`. `not_found`: nothing "
        "that was read is relevant."
    )
    answerable: bool = Field(description="True where the outcome is `answered`.")
    confidence: float | None = Field(
        description="The calibrated probability that the answer, or the guess, is right; null where nothing was "
        "calibrated."
    )
    basis: str = Field(description="What that figure is of, in words: on which questions it was measured.")
    promised_error: float | None = Field(
        description="Answers as sure as this are wrong at most so often, certified on held-out questions; null where "
        "nothing was certified."
    )
    note: str = Field(description="Why there is no confidence or no promise, in words; else empty.")


# Members are written in the order of the bases from the last one on.
class AnswerBody(FoundBody, OutcomeBody):
    """The answer, if it was found. Without one, `text` and `citation` are null."""

    guess: GuessBody | None = Field(description="The best guess; null unless the outcome is `unsure`.")
    unread_files: int = Field(
        description="Where nothing was found: how many files could not be read whole, and may hold the answer."
    )

    @classmethod
    def from_answer(cls, answer: Answer) -> AnswerBody:
        found = _found_members(answer)
        guess = GuessBody(**found, confidence=answer.confidence) if answer.outcome == "unsure" and found else None
        return cls(
            **(found if answer.answerable and found else _NOTHING),
            outcome=answer.outcome,
            answerable=answer.answerable,
            confidence=answer.confidence,
            basis=answer.basis,
            promised_error=answer.promised_error,
            note=answer.note,
            guess=guess,
            unread_files=answer.unread_files,
        )


# The members of an answer without a text.
_NOTHING: dict[str, Any] = {"text": None, "form": "span", "citation": None, "sentence": None, "alternatives": []}


def _found_members(answer: Answer) -> dict[str, Any]:
    if answer.citation is None:
        return {}
    sentence = answer.sentence
    return {
        "text": answer.text,
        "form": answer.form,
        "citation": CitationBody.from_citation(answer.citation),
        "sentence": SentenceBody(start=sentence.start, end=sentence.end, text=answer.sentence_text or "")
        if sentence is not None
        else None,
        "alternatives": [
            AlternativeBody(text=other.text, citation=CitationBody.from_citation(other.citation))
            for other in answer.alternatives
        ],
    }


class VerifyResponse(BaseModel):
    """The result of checking a citation."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.VERIFIED]})

    snapshot: str = Field(description="The snapshot that it was checked against.")
    citation: CitationBody
    text: str | None = Field(
        description="What the span holds in the snapshot; null where that holds another version of the document than "
        "the one cited."
    )
    detail: str = Field(description="The status in words.")

    @classmethod
    def from_checked(cls, checked: CheckedCitation) -> VerifyResponse:
        return cls(
            snapshot=checked.snapshot,
            citation=CitationBody.from_citation(checked.citation),
            text=checked.text,
            detail=checked.detail,
        )


class LegBody(BaseModel):
    """A leg of the search, and whether it took part."""

    name: Literal["dense", "lexical"]
    used: bool
    reason: str = Field(
        description="Why it took no part, or what else it searched for (corrected words, one question); else empty."
    )


class CollectionOutcomeBody(BaseModel):
    """What one of several collections replied."""

    name: str
    snapshot: str = Field(description="What was searched; empty where nothing was.")
    outcome: AnswerOutcome | None = Field(
        description="Of its own best answer; null where none was asked for, or none came."
    )
    confidence: float | None = Field(description="Of that, by its own calibration.")
    problem: str = Field(description="Why it did not reply; empty where it did.")


class AskResponse(BaseModel):
    """The answer and the passages, and the snapshot that they are from."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.RESPONSE]})

    question: str
    searched: str | None = Field(
        default=None,
        description="What was searched for instead, where the question leans on one before it, or stands in a long "
        "text; else null.",
    )
    answer: AnswerBody | None
    passages: list[PassageBody]
    legs: list[LegBody] = Field(description="The legs that the mode names.")
    snapshot: str
    timings_ms: dict[str, float] = Field(
        description="Measured wall-clock milliseconds by stage, and in `total`; of several collections the longest."
    )
    collections: list[CollectionOutcomeBody] = Field(
        default=[], description="Where several collections were asked: what became of each. The best answer is given."
    )

    @classmethod
    def from_reply(cls, reply: Reply) -> AskResponse:
        return cls(
            question=reply.question,
            searched=reply.searched or None,
            answer=AnswerBody.from_answer(reply.answer) if reply.answer else None,
            passages=[PassageBody.from_hit(hit) for hit in reply.hits],
            legs=[LegBody.model_validate(leg, from_attributes=True) for leg in reply.legs],
            snapshot=reply.snapshot,
            timings_ms={stage: round(value, 3) for stage, value in reply.timings_ms.items()},
            collections=[
                CollectionOutcomeBody.model_validate(each, from_attributes=True) for each in reply.collections
            ],
        )


class FieldProblem(BaseModel):
    """A field that is wrong."""

    field: str
    message: str


class ProblemDetails(BaseModel):
    """A problem detail (RFC 9457)."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PROBLEM]})

    type: str = Field(description="A URN for the kind of problem; decide by this, not by the words.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong this time, and what to do.")
    errors: list[FieldProblem] = Field(default=[], description="What is wrong, field by field.")
    state: str = Field(default="", description="Where the service is not ready: what it is doing, in one word.")
    collections: dict[str, str] = Field(
        default={}, description="Where the service is not ready: the status of each collection by its name."
    )


class BatchSuccess(BaseModel):
    """A question that was answered."""

    ok: Literal[True]
    response: AskResponse


class BatchFailure(BaseModel):
    """A question that ended in a problem."""

    ok: Literal[False]
    problem: ProblemDetails


class BatchResponse(BaseModel):
    """One result for each question, in the order asked. `ok` says which of the two it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.BATCH_RESPONSE]})

    results: list[Annotated[BatchSuccess | BatchFailure, Field(discriminator="ok")]]


def stream_results(results: Iterable[BatchSuccess | BatchFailure]) -> Iterator[bytes]:
    """Write a :class:`BatchResponse` in parts, a result at a time: the whole may have a hundred megabytes."""
    between = b'{"results":['
    for result in results:
        # A problem has only the members that it has.
        yield between + result.model_dump_json(exclude_unset=True).encode()
        between = b","
    yield b"]}"


class HealthResponse(BaseModel):
    """The process is up."""

    status: Literal["up"] = "up"


class CollectionBody(BaseModel):
    """A collection, and the snapshot of it that is served."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.COLLECTION]})

    name: str
    default: bool = Field(description="Whether it is asked where an address names no collection.")
    ready: bool = Field(description="Whether it can be asked.")
    status: str = Field(description="What it is doing, in one word.")
    detail: str
    snapshot: str | None
    documents: int
    passages: int
    created: str | None = Field(description="When the snapshot was built, in ISO 8601.")
    calibration: str = Field(
        description="Whose questions confidence was fitted to, `this collection` or `other collections`; empty where "
        "it was to none, so that there is no confidence."
    )

    @classmethod
    def from_state(cls, state: State, *, default: bool) -> CollectionBody:
        names = cls.model_fields.keys() - {"name", "default"}
        return cls(name=state.index, default=default, **{name: getattr(state, name) for name in names})


class CollectionsResponse(BaseModel):
    """The collections that the request's key may ask, the default one first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"collections": [examples.COLLECTION]}]})

    collections: list[CollectionBody]

    @classmethod
    def from_states(cls, states: Sequence[State]) -> CollectionsResponse:
        bodies = [CollectionBody.from_state(state, default=state is states[0]) for state in states]
        return cls(collections=bodies)


class ReadyResponse(BaseModel):
    """The snapshot that is served, of the default collection."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.READY]})

    status: str
    detail: str
    index: str
    snapshot: str | None
    documents: int
    passages: int
    created: str | None = Field(description="When the snapshot was built, in ISO 8601.")
    collections: dict[str, str] = Field(default={}, description="The status of each collection by its name.")

    @classmethod
    def from_state(cls, state: State, others: Sequence[State] = ()) -> ReadyResponse:
        values = {name: getattr(state, name) for name in cls.model_fields if name != "collections"}
        return cls(**values, collections={each.index: each.status for each in (state, *others) if each.index})


class SummaryBody(BaseModel):
    """A document without its text."""

    id: str
    title: str
    media_type: str
    source_sha256: str
    characters: int = Field(description="Unicode code points of the canonical text.")
    pages: int
    passages: int
    language: str = Field(description="ISO 639-1; empty where it is not known.")
    container: str | None = Field(description="The id of the file that it is attached to; null where it is a file.")
    metadata: Metadata = Field(description=METADATA)

    @classmethod
    def from_summary(cls, summary: DocumentSummary) -> SummaryBody:
        values = {**asdict(summary), "container": summary.container or None, "metadata": _grouped(summary.metadata)}
        return cls.model_validate(values)


class RecognisedBody(BaseModel):
    """A page that OCR read."""

    page: int = Field(description="Counted from 1.")
    confidence: float = Field(description="The mean of its characters', above 0 and at most 1.")


class ReportBody(BaseModel):
    """One file, and whether it was read."""

    id: str
    status: FileStatus
    reason: str = Field(description="In words; empty only where the file was read whole.")
    size: int = Field(description="Bytes.")
    characters: int
    pages: int
    empty_pages: int
    passages: int
    seconds: float
    container: str | None = Field(description="The id of the file that it is attached to; null where it is a file.")
    recognised: list[RecognisedBody] = Field(description="The pages that OCR read, because they were images.")

    @classmethod
    def from_report(cls, report: FileReport) -> ReportBody:
        recognised = [{"page": page, "confidence": confidence} for page, confidence in report.recognised]
        return cls.model_validate({**asdict(report), "container": report.container or None, "recognised": recognised})


class DocumentsResponse(BaseModel):
    """A part of the indexed documents, and of the report on every file."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DOCUMENTS]})

    snapshot: str
    documents: list[SummaryBody] = Field(description="In order of their ids.")
    report: list[ReportBody] = Field(description="In the order in which the files were found.")
    total: int = Field(description="How many documents there are, or pass the filter.")
    files: int = Field(description="How many files the whole report is on.")
    next: int | None = Field(description="The `offset` of the next part; null where neither list goes on.")

    @classmethod
    def from_collection(cls, collection: Collection, offset: int) -> DocumentsResponse:
        end = offset + max(len(collection.documents), len(collection.report))
        return cls(
            snapshot=collection.snapshot,
            documents=[SummaryBody.from_summary(summary) for summary in collection.documents],
            report=[ReportBody.from_report(report) for report in collection.report],
            total=collection.total,
            files=collection.files,
            next=end if offset < end < max(collection.total, collection.files) else None,
        )


class FacetValueBody(BaseModel):
    """A value as a filter takes it, or the year of dates."""

    value: str
    documents: int = Field(description="How many documents have it.")


class FacetBody(BaseModel):
    """A field, counted over the documents that pass the filter's conditions on the other fields."""

    field: str
    kind: Literal["folder", "value", "date"] = Field(
        description="`folder`: a value passes with all below it. `date`: can be compared by `>=` and `<=`. `value`: "
        "passes as it is, in any case."
    )
    documents: int = Field(description="How many documents have a value in it.")
    distinct: int = Field(description="How many values there are, of dates how many years.")
    values: list[FacetValueBody] = Field(description="What most documents have comes first, of dates the latest year.")


class FacetsResponse(BaseModel):
    """The fields in which a document says something. A filter may name others, which nothing passes."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.FACETS]})

    snapshot: str
    documents: int = Field(description="How many documents pass the whole filter.")
    fields: list[FacetBody]

    @classmethod
    def from_facets(cls, facets: Facets) -> FacetsResponse:
        return cls.model_validate(facets, from_attributes=True)


class SectionBody(SpanBody):
    """A heading and all that stands under it, deeper headings included."""

    title: str
    level: int = Field(description="Counted from 1, outermost.")
    body: int = Field(description="Where the heading's own line ends, in Unicode code points.")


class PageBody(SpanBody):
    """A page of the document."""

    number: int = Field(description="Counted from 1.")
    recognised: float | None = Field(description=RECOGNISED)


class PartBody(SpanBody):
    """A part of a document that the file says something of: a sheet, or one mail of many."""

    metadata: Metadata

    @classmethod
    def of_metadata(cls, metadata: Sequence[Property], characters: int) -> list[PartBody]:
        properties = [each for each in metadata if (each.start, each.end) != (0, characters)]
        parts = groupby(properties, key=lambda each: (each.start, each.end))
        return [
            cls(start=start, end=end, metadata=_grouped((each.name, each.value) for each in inside))
            for (start, end), inside in parts
        ]


class DocumentResponse(BaseModel):
    """A document with its canonical text, which every span is a span of."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DOCUMENT]})

    snapshot: str = Field(description="The snapshot that holds it: its spans are those of answers from the same one.")
    id: str
    title: str
    media_type: str
    source_sha256: str = Field(description="Of the bytes of the source.")
    reader: str = Field(description="The reader and its version that made the canonical text.")
    language: str = Field(description="ISO 639-1; empty where it is not known.")
    metadata: Metadata = Field(description=METADATA)
    parts: list[PartBody] = Field(description="What the file says of parts of the text, which do not overlap.")
    container: str | None = Field(description="The id of the file that it is attached to; null where it is a file.")
    attachments: list[str] = Field(description="The ids of what is attached to it, read or not.")
    text: str = Field(description="The canonical text. Spans count its Unicode code points, not bytes or UTF-16 units.")
    sections: list[SectionBody]
    pages: list[PageBody]
    problems: list[str] = Field(description="What could not be read, in words.")


def stream_document(streamed: StreamedDocument) -> Iterator[bytes]:
    """Write a :class:`DocumentResponse` in parts, which hold little of a document of many megabytes."""
    head, characters = streamed.head, streamed.characters
    response = DocumentResponse(
        snapshot=streamed.snapshot,
        id=head.id,
        title=head.title,
        media_type=head.media_type,
        source_sha256=head.source_sha256,
        reader=head.reader,
        language=head.language,
        metadata=_grouped(whole_metadata(head.metadata, characters)),
        parts=PartBody.of_metadata(head.metadata, characters),
        container=head.container or None,
        attachments=list(head.attachments),
        text="",
        sections=[],
        pages=[],
        problems=list(head.problems),
    )
    yield response.model_dump_json(exclude=_STREAMED).encode()[:-1] + b',"text":"'
    for piece in streamed.text:
        # Between the quotes of a JSON string.
        yield json.dumps(piece, ensure_ascii=False)[1:-1].encode(errors="replace")
    yield b'"'
    for name, values, shape in (("sections", streamed.sections, SectionBody), ("pages", streamed.pages, PageBody)):
        between = ""
        yield f',"{name}":['.encode()
        while some := list(islice(values, _TOGETHER)):
            bodies = [shape.model_validate(value, from_attributes=True).model_dump_json() for value in some]
            yield (between + ",".join(bodies)).encode()
            between = ","
        yield b"]"
    yield b"," + response.model_dump_json(include={"problems"}).encode()[1:]
