"""The shapes of documents: what is indexed, one with its text, and what they can be filtered by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby, islice
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from qa.types import Collection, DocumentSummary, FileReport, FileStatus, Property, StreamedDocument
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


def group_values(pairs: Iterable[tuple[str, str]]) -> Metadata:
    """Return names and values as a list of values for each name."""
    lists: Metadata = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return lists


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
        values = {**asdict(summary), "container": summary.container or None, "metadata": group_values(summary.metadata)}
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
            cls(start=start, end=end, metadata=group_values((each.name, each.value) for each in inside))
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
        metadata=group_values(whole_metadata(head.metadata, characters)),
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
