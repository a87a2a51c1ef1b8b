"""``documents.sqlite``: its tables, and the keys and sums under which other files name their rows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from functools import lru_cache

from qa.types import FileReport, Passage, Window

DOCUMENTS_FILE = "documents.sqlite"

SCHEMA = """
CREATE TABLE documents (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, media_type TEXT NOT NULL,
    reader TEXT NOT NULL, language TEXT NOT NULL, container TEXT NOT NULL, source_sha256 TEXT NOT NULL,
    text_sha256 TEXT NOT NULL,
    problems TEXT NOT NULL, characters INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE sections (
    document INTEGER NOT NULL REFERENCES documents, ordinal INTEGER NOT NULL, title TEXT NOT NULL,
    level INTEGER NOT NULL, start INTEGER NOT NULL, body INTEGER NOT NULL, end INTEGER NOT NULL,
    PRIMARY KEY (document, ordinal)) WITHOUT ROWID;
CREATE TABLE pages (
    document INTEGER NOT NULL REFERENCES documents, number INTEGER NOT NULL, start INTEGER NOT NULL,
    end INTEGER NOT NULL, recognised REAL, PRIMARY KEY (document, number)) WITHOUT ROWID;
CREATE TABLE excluded (
    document INTEGER NOT NULL REFERENCES documents, start INTEGER NOT NULL, end INTEGER NOT NULL,
    PRIMARY KEY (document, start)) WITHOUT ROWID;
CREATE TABLE metadata (
    document INTEGER NOT NULL REFERENCES documents, start INTEGER NOT NULL, ordinal INTEGER NOT NULL,
    end INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (document, start, ordinal)) WITHOUT ROWID;
CREATE INDEX metadata_by_value ON metadata (name, value);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents, start INTEGER NOT NULL,
    end INTEGER NOT NULL, text TEXT NOT NULL, context TEXT NOT NULL, path TEXT NOT NULL, page INTEGER);
CREATE INDEX passages_by_document ON passages (document, start);
CREATE TABLE windows (
    id INTEGER PRIMARY KEY, passage INTEGER NOT NULL REFERENCES passages, start INTEGER NOT NULL,
    end INTEGER NOT NULL, context TEXT NOT NULL);
CREATE INDEX windows_by_passage ON windows (passage, start);
CREATE TABLE files (
    ordinal INTEGER PRIMARY KEY, id TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, size INTEGER NOT NULL,
    characters INTEGER NOT NULL, pages INTEGER NOT NULL, empty_pages INTEGER NOT NULL, passages INTEGER NOT NULL,
    seconds REAL NOT NULL, modified_ns INTEGER NOT NULL, kept_since TEXT NOT NULL, container TEXT NOT NULL,
    recognised TEXT NOT NULL);
CREATE INDEX files_by_id ON files (id);
CREATE INDEX files_unread ON files (status) WHERE status IN ('failed', 'partial');
CREATE INDEX files_by_container ON files (container) WHERE container != '';
"""

# The columns of a file's line, in the order of the fields.
REPORT = ", ".join(field.name for field in fields(FileReport))


def passage_key(id: str) -> int:
    """Turn a passage's id, 16 hexadecimal digits, into the 63-bit number that the vector index holds."""
    return int(id, 16)


def window_key(passage: Passage, window: Window) -> int:
    """Compute 63 bits that name a window in the vector index: a hash of its passage and of its place in it."""
    place = f"{passage.id} {window.start - passage.start} {window.end - passage.start}"
    return int.from_bytes(hashlib.blake2b(place.encode(), digest_size=8).digest(), "big") >> 1


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=4096)
def parse_titles(path: str) -> tuple[str, ...]:
    """Parse the titles of a column; a section's passages share it."""
    return tuple(json.loads(path))
