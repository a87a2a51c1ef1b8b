"""The shapes of replies: the answer and its citation, the passages, and a batch of replies.

As all shapes of responses they are built from the values of ``qa.types`` that they show.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qa.types import (
    Answer,
    AnswerForm,
    AnswerOutcome,
    CheckedCitation,
    Citation,
    CitationStatus,
    Hit,
    Reply,
)
from qa.web.api import examples
from qa.web.api.document_responses import METADATA, RECOGNISED, SPAN_END, SPAN_START, Metadata, SpanBody, group_values
from qa.web.api.operation_responses import ProblemDetails


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
            metadata=group_values(hit.metadata),
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
