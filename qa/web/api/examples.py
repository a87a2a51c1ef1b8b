"""The examples in the OpenAPI document, all of one small collection."""

from __future__ import annotations

from pydantic import JsonValue

_TEXT = "The ferry leaves at noon.\n\nIt carries forty people and takes twenty minutes to cross the bay."
_SHA256 = "5a7b4a42f4a1f1bb0f3dbbcd8d4f4ff4a5cf1a2c9b0c7de4b3f0b9a1d2c3e4f5"
_SNAPSHOT = "20260401T120000.000Z-5a7b4a42"

ASK: dict[str, JsonValue] = {"question": "When does the ferry leave?", "top_k": 3, "documents": ["timetables/*"]}

CHAT: dict[str, JsonValue] = {
    "model": "timetables",
    "messages": [
        {"role": "user", "content": "When does the ferry leave?"},
        {"role": "assistant", "content": "noon"},
        {"role": "user", "content": "Why?"},
    ],
}

BATCH: dict[str, JsonValue] = {
    "questions": ["When does the ferry leave?", {"question": "How many fit?", "top_k": 1}, ""]
}

RESPONSE: dict[str, JsonValue] = {
    "question": "When does the ferry leave?",
    "searched": None,
    "answer": {
        "outcome": "answered",
        "answerable": True,
        "confidence": 0.87,
        "basis": "of 3,000 questions over other collections, 412 had an answer about as sure as this one, and 9 of 10 "
        "of these were right",
        "promised_error": 0.2,
        "note": "",
        "text": "noon",
        "form": "span",
        "citation": {
            "document": "timetables/ferry.txt",
            "start": 20,
            "end": 24,
            "page": None,
            "recognised": None,
            "section": None,
            "sha256": _SHA256,
            "text_sha256": _SHA256,
            "status": "verified",
        },
        "sentence": {"start": 0, "end": 25, "text": _TEXT[:25]},
        "alternatives": [],
        "guess": None,
        "unread_files": 0,
    },
    "passages": [
        {
            "rank": 1,
            "id": "0f1e2d3c4b5a6978",
            "text": _TEXT[:25],
            "document": {"id": "timetables/ferry.txt", "title": "The ferry"},
            "start": 0,
            "end": 25,
            "page": None,
            "recognised": None,
            "section": None,
            "metadata": {"author": ["Harbour office"]},
            "scores": {"dense": 0.71, "lexical": 2.4, "fused": 0.91, "rerank": None, "relevance": 5.4},
            "highlights": [{"start": 0, "end": 25}],
        }
    ],
    "legs": [{"name": "dense", "used": True, "reason": ""}, {"name": "lexical", "used": True, "reason": ""}],
    "snapshot": _SNAPSHOT,
    "timings_ms": {"encode": 3.1, "search": 0.4, "read": 61.5, "answer": 63.0, "total": 67.2},
}

PROBLEM: dict[str, JsonValue] = {
    "type": "urn:qa:problem:question-empty",
    "title": "The question is empty",
    "status": 422,
    "detail": "the question is blank; write what you want to know.",
    "errors": [{"field": "question", "message": "the question is blank; write what you want to know."}],
}

BATCH_RESPONSE: dict[str, JsonValue] = {
    "results": [
        {"ok": True, "response": RESPONSE},
        {"ok": True, "response": {**RESPONSE, "question": "How many fit?"}},
        {"ok": False, "problem": PROBLEM},
    ]
}

_SUMMARY: dict[str, JsonValue] = {
    "id": "timetables/ferry.txt",
    "title": "The ferry",
    "media_type": "text/plain",
    "source_sha256": _SHA256,
    "characters": len(_TEXT),
    "pages": 0,
    "passages": 2,
    "language": "en",
    "container": None,
    "metadata": {"author": ["Harbour office"]},
}

DOCUMENTS: dict[str, JsonValue] = {
    "snapshot": _SNAPSHOT,
    "documents": [_SUMMARY],
    "report": [
        {
            "id": "timetables/ferry.txt",
            "status": "read",
            "reason": "",
            "size": len(_TEXT.encode()),
            "characters": len(_TEXT),
            "pages": 0,
            "empty_pages": 0,
            "passages": 2,
            "seconds": 0.002,
            "container": None,
            "recognised": [],
        }
    ],
    "total": 1,
    "files": 1,
    "next": None,
}

DOCUMENT: dict[str, JsonValue] = {
    "snapshot": _SNAPSHOT,
    "id": "timetables/ferry.txt",
    "title": "The ferry",
    "media_type": "text/plain",
    "source_sha256": _SHA256,
    "reader": "text/1",
    "language": "en",
    "metadata": {"author": ["Harbour office"]},
    "parts": [],
    "container": None,
    "attachments": [],
    "text": _TEXT,
    "sections": [],
    "pages": [],
    "problems": [],
}

MARKS: dict[str, JsonValue] = {
    "page": 3,
    "pages": 12,
    "picture": f"/v1/pictures/timetables/ferry.pdf?page=3&width=800&sha256={_SHA256}",
    "width": 800,
    "height": 1131,
    "rectangles": [{"left": 12.5, "top": 40.2, "width": 31.0, "height": 1.6}],
    "note": "",
    "continues": False,
}

_MISSING: JsonValue = {
    "question": "What does a dog pay on the ferry?",
    "times": 4,
    "last": "2026-04-01",
    "outcome": "not_found",
    "confidence": 0.07,
    "helpful": 0,
    "unhelpful": 1,
}
UNANSWERED: dict[str, JsonValue] = {
    "days": 30,
    "groups": [{"times": 4, "last": "2026-04-01", "questions": [_MISSING]}],
    "total": 1,
    "next": None,
}

VERIFIED: dict[str, JsonValue] = {
    "snapshot": _SNAPSHOT,
    "citation": {
        "document": "timetables/ferry.txt",
        "start": 20,
        "end": 24,
        "page": None,
        "recognised": None,
        "section": None,
        "sha256": _SHA256,
        "text_sha256": _SHA256,
        "status": "verified",
    },
    "text": _TEXT[20:24],
    "detail": "the source is byte for byte what was indexed, and the span holds this text",
}

COLLECTION: dict[str, JsonValue] = {
    "name": "seeds",
    "default": True,
    "ready": True,
    "status": "ready",
    "detail": "Serving.",
    "snapshot": _SNAPSHOT,
    "documents": 1,
    "passages": 2,
    "created": "2026-04-01T12:00:00+00:00",
    "calibration": "other collections",
}

READY: dict[str, JsonValue] = {
    "status": "ready",
    "detail": "Serving.",
    "index": "seeds",
    "snapshot": _SNAPSHOT,
    "documents": 1,
    "passages": 2,
    "created": "2026-04-01T12:00:00+00:00",
    "collections": {"seeds": "ready"},
    "details": {"seeds": "Serving."},
}

SNAPSHOTS: dict[str, JsonValue] = {
    "snapshots": [
        {
            "id": "20260401T120000.000Z-5a7b4a42",
            "active": True,
            "bytes": 1_480_000,
            "problem": "",
            "created": "2026-04-01T12:00:00+00:00",
            "encoder": "all-MiniLM-L6-v2",
            "documents": 2,
            "passages": 6,
        }
    ]
}
INDEXING: dict[str, JsonValue] = {
    "status": "done",
    "detail": "newly encoded: 12",
    "snapshot": "20260401T120000.000Z-5a7b4a42",
    "started": "2026-04-01T11:59:58+00:00",
    "seconds": 1.9,
    "files": 0,
    "done": 0,
    "share": 0.0,
    "changes": [{"id": "reports/2023.pdf", "kind": "added", "status": "indexed", "reason": ""}],
}

UPLOAD: dict[str, JsonValue] = {
    "files": [
        {
            "id": "reports/2023.pdf",
            "status": "added",
            "reason": "",
            "bytes": 48211,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        },
        {"id": "setup.exe", "status": "refused", "reason": "it is a Windows program", "bytes": 9120, "sha256": ""},
    ],
    "indexing": {
        "status": "running",
        "detail": "the files are being read",
        "snapshot": None,
        "started": "2026-04-01T11:59:58+00:00",
        "seconds": None,
        "files": 41,
        "done": 3,
        "share": 0.07,
        "changes": [{"id": "reports/2023.pdf", "kind": "added", "status": "waiting", "reason": ""}],
    },
}

FACETS: dict[str, JsonValue] = {
    "snapshot": _SNAPSHOT,
    "documents": 2,
    "fields": [
        {
            "field": "folder",
            "kind": "folder",
            "documents": 2,
            "distinct": 1,
            "values": [{"value": "timetables", "documents": 2}],
        }
    ],
}
