"""What a question's judgments are in one snapshot: spans of canonical texts, and the passages that overlap them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Evidence:
    """A quote that was found: ``[start, end)`` of a document's canonical text, which holds ``text`` there.

    ``passages`` are the ids of all passages of the snapshot that overlap the span: they are relevant.
    """

    document: str
    start: int
    end: int
    text: str
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """A question with its judgments in one snapshot.

    ``documents`` grades indexed documents, those of the evidence included; 0 is not relevant.
    """

    id: str
    text: str
    evidence: tuple[Evidence, ...] = ()
    documents: Mapping[str, int] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    answerable: bool | None = None
    tags: tuple[str, ...] = ()

    @property
    def relevant(self) -> frozenset[str]:
        """Ids of the passages that overlap any evidence."""
        return frozenset(id for evidence in self.evidence for id in evidence.passages)

    @property
    def has_relevant_documents(self) -> bool:
        return any(self.documents.values())
