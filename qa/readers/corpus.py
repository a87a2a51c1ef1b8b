"""A corpus in BEIR's format (``corpus.jsonl``, arXiv:2104.08663): each line is a document under its own id."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qa.errors import UnreadableDocument
from qa.readers.attachments import AttachmentNames
from qa.readers.composition import Attachment, Composition, Content
from qa.readers.decoding import decode
from qa.readers.records import write_record

# A million abstracts are two gigabytes, beyond what a file may have by default.
_MOST_DOCUMENTS = 1_000_000
# Lines that are no documents whose numbers are given.
_NAMED = 5


def is_corpus(line: bytes) -> bool:
    """Return whether the first line of a file is a document of a corpus: an object with an id, a title and a text."""
    return _parse(line) is not None


def _parse(line: bytes | str) -> Mapping[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not all(isinstance(record.get(key), str) for key in ("title", "text")):
        return None
    id = record.get("_id")
    return record if isinstance(id, str | int) and not isinstance(id, bool) else None


class CorpusReader:
    """A reader of a corpus, which itself has no text: it hands on its documents, to be read one by one."""

    name = "corpus"
    version = "1"
    media_type = "application/jsonl"

    def read(self, data: bytes) -> Content:
        """Read a whole file."""
        decoded = decode(data)
        names = AttachmentNames()
        documents: list[Attachment] = []
        damaged: list[int] = []
        beyond = 0
        for number, line in enumerate(decoded.text.split("\n"), 1):
            if not line.strip():
                continue
            if (record := _parse(line)) is None:
                damaged.append(number)
            elif len(documents) == _MOST_DOCUMENTS:
                beyond += 1
            else:
                name = names.choose(str(record["_id"]), str(len(documents) + 1))
                documents.append(
                    Attachment(name, line.encode("utf-8", "surrogatepass"), reader=CorpusDocumentReader.name)
                )
        problems = list(decoded.problems)
        if damaged:
            lines = f"line {damaged[0]} is no document" if len(damaged) == 1 else _name_lines(damaged)
            problems.append(f"{lines} with _id, title and text")
        if beyond:
            lost, are = ("a document", "is") if beyond == 1 else (f"{beyond:,} documents", "are")
            problems.append(f"{lost} beyond the first {_MOST_DOCUMENTS:,} {are} not read")
        return replace(Composition().content(problems=problems), attachments=tuple(documents))


def _name_lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_NAMED]))
    return f"{len(numbers):,} lines ({shown}{', …' if len(numbers) > _NAMED else ''}) are no documents"


class CorpusDocumentReader:
    """A reader of one document of a corpus: its title as a heading, its text, and what else it says as records."""

    name = "corpus-document"
    version = "1"
    media_type = "application/json"

    def read(self, data: bytes) -> Content:
        """Read one line of a corpus. Raises UnreadableDocument."""
        record = _parse(data)
        if record is None:
            raise UnreadableDocument("it is no document of a corpus")
        composition = Composition()
        composition.heading(record["title"], 1)
        for paragraph in record["text"].split("\n\n"):
            composition.paragraph(paragraph)
        rest = {key: value for key, value in record.items() if key not in {"_id", "title", "text"} and value}
        if rest:
            write_record(rest, composition)
        return composition.content()
