"""The shapes of responses about the collection: its documents, and what became of every file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from qa.types import Collection, FileStatus, SnapshotDocument
from qa.web.api import examples
from qa.web.api.schemas import SpanBody


class SummaryBody(BaseModel):
    id: str
    title: str
    media_type: str
    source_sha256: str
    characters: int = Field(description="Unicode code points of the canonical text.")
    pages: int
    passages: int


class ReportBody(BaseModel):
    """What became of one file."""

    id: str
    status: FileStatus
    reason: str = Field(description="In words; empty only where the file was read whole.")
    size: int = Field(description="Bytes.")
    characters: int
    pages: int
    empty_pages: int
    passages: int
    seconds: float


class DocumentsResponse(BaseModel):
    """What is indexed, and what became of every file when it was."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DOCUMENTS]})

    snapshot: str
    documents: list[SummaryBody]
    report: list[ReportBody]

    @classmethod
    def of(cls, collection: Collection) -> DocumentsResponse:
        return cls.model_validate(collection, from_attributes=True)


class SectionBody(SpanBody):
    """A heading and all that stands under it, deeper headings included."""

    title: str
    level: int = Field(description="Counted from 1, outermost.")
    body: int = Field(description="Where the heading's own line ends, in Unicode code points.")


class PageBody(SpanBody):
    number: int = Field(description="Counted from 1.")


class DocumentResponse(BaseModel):
    """A document with its canonical text, which every span is a span of."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DOCUMENT]})

    snapshot: str = Field(description="The snapshot that holds it: its spans are those of answers from the same one.")
    id: str
    title: str
    media_type: str
    source_sha256: str = Field(description="Of the bytes of the source.")
    reader: str = Field(description="The reader and its version that made the canonical text.")
    text: str = Field(description="The canonical text. Spans count its Unicode code points, not bytes or UTF-16 units.")
    sections: list[SectionBody]
    pages: list[PageBody]
    problems: list[str] = Field(description="What could not be read, in words.")

    @classmethod
    def of(cls, stored: SnapshotDocument) -> DocumentResponse:
        document = stored.document
        return cls(
            snapshot=stored.snapshot,
            id=document.id,
            title=document.title,
            media_type=document.media_type,
            source_sha256=document.source_sha256,
            reader=document.reader,
            text=document.text,
            sections=[SectionBody.model_validate(section, from_attributes=True) for section in document.sections],
            pages=[PageBody.model_validate(page, from_attributes=True) for page in document.pages],
            problems=list(document.problems),
        )
