"""The JSON of a reply, written from its values: byte for byte what :class:`qa.web.api.responses.AskResponse` writes.

The shapes describe a response for clients, and check it again at every field, which takes as long as all the rest of a
request. A test compares the two.
"""

from __future__ import annotations

from typing import Any

import orjson

from qa.types import Answer, Citation, Hit, Reply
from qa.web.api.document_responses import group_values
from qa.web.api.responses import AskResponse


def write_reply(reply: Reply) -> bytes:
    """Write a reply as a response's body, or as a part of one."""
    try:
        return orjson.dumps(_reply(reply))
    except TypeError:
        # Half of a surrogate pair: the shapes say what becomes of it.
        return AskResponse.from_reply(reply).model_dump_json().encode()


def _reply(reply: Reply) -> dict[str, Any]:
    return {
        "question": reply.question,
        "searched": reply.searched or None,
        "answer": None if reply.answer is None else _answer(reply.answer),
        "passages": [_passage(hit) for hit in reply.hits],
        "legs": [{"name": leg.name, "used": leg.used, "reason": leg.reason} for leg in reply.legs],
        "snapshot": reply.snapshot,
        "timings_ms": {stage: round(float(value), 3) for stage, value in reply.timings_ms.items()},
        "collections": [
            {
                "name": each.name,
                "snapshot": each.snapshot,
                "outcome": each.outcome,
                "confidence": _number(each.confidence),
                "problem": each.problem,
            }
            for each in reply.collections
        ],
    }


def _number(value: float | None) -> float | None:
    """Return a number as one with a decimal point."""
    return None if value is None else float(value)


def _passage(hit: Hit) -> dict[str, Any]:
    passage, scores = hit.passage, hit.scores
    return {
        "rank": hit.rank,
        "id": passage.id,
        "text": passage.text,
        "document": {"id": passage.document, "title": hit.title, "collection": hit.collection or None},
        "start": passage.start,
        "end": passage.end,
        "page": passage.page,
        "recognised": _number(passage.recognised),
        "section": passage.section,
        "metadata": group_values(hit.metadata) if hit.metadata else {},
        "scores": {
            "dense": _number(scores.dense),
            "lexical": _number(scores.lexical),
            "fused": _number(scores.fused),
            "rerank": _number(scores.rerank),
            "relevance": _number(scores.relevance),
        },
        "highlights": [{"start": span.start, "end": span.end} for span in hit.highlights],
    }


def _answer(answer: Answer) -> dict[str, Any]:
    found = _found(answer)
    guess = {**found, "confidence": _number(answer.confidence)} if answer.outcome == "unsure" and found else None
    return {
        "outcome": answer.outcome,
        "answerable": answer.answerable,
        "confidence": _number(answer.confidence),
        "basis": answer.basis,
        "promised_error": _number(answer.promised_error),
        "note": answer.note,
        **(found if answer.answerable and found else _NOTHING),
        "guess": guess,
        "unread_files": answer.unread_files,
    }


# The members of an answer without a text.
_NOTHING: dict[str, Any] = {"text": None, "form": "span", "citation": None, "sentence": None, "alternatives": []}


def _found(answer: Answer) -> dict[str, Any]:
    if answer.citation is None:
        return {}
    sentence = answer.sentence
    return {
        "text": answer.text,
        "form": answer.form,
        "citation": _citation(answer.citation),
        "sentence": None
        if sentence is None
        else {"start": sentence.start, "end": sentence.end, "text": answer.sentence_text or ""},
        "alternatives": [{"text": other.text, "citation": _citation(other.citation)} for other in answer.alternatives],
    }


def _citation(citation: Citation) -> dict[str, Any]:
    return {
        "start": citation.start,
        "end": citation.end,
        "document": citation.document,
        "page": citation.page,
        "recognised": _number(citation.recognised),
        "section": citation.section,
        "sha256": citation.source_sha256,
        "text_sha256": citation.text_sha256 or None,
        "status": citation.status,
        "collection": citation.collection or None,
    }
