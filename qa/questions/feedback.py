"""The judgments of people who asked ("this answers it", "this does not"), as a file that ``qa evaluate`` takes."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from qa.errors import QueryError, StorageError
from qa.questions.anchoring import decompose, squeeze
from qa.questions.json_lines import JsonLines
from qa.questions.questions import Quote

# Characters before and after a span that are quoted with it, where it stands more than once in its document.
_AROUND = (0, 40, 160, 640, 2560, 10_240)
# Bytes of the whole file.
_LARGEST = 1 << 26
_BEGINS = b'{"id": "feedback-'


def make_quote(document: str, text: str, start: int, end: int, *, relevant: bool) -> Quote:
    """Quote ``text[start:end]``, with as much around it as makes the quote unique in its document.

    Raises:
        QueryError: the span is empty, or is repeated with all the text around it.
    """
    if not 0 <= start < end <= len(text) or not text[start:end].strip():
        raise QueryError("end", f"the span {start} to {end} holds no text of the document")
    whole, form = squeeze(text), squeeze(decompose(text))
    for around in _AROUND:
        first, last = max(start - around, 0), min(end + around, len(text))
        quote = text[first:last]
        # A quote is searched for in every Unicode form.
        if _is_once(squeeze(quote), whole) and _is_once(squeeze(decompose(quote)), form):
            return Quote(document, quote, (start - first, end - first) if around else None, relevant)
    raise QueryError("start", "this text stands more than once in the document, and so does all that is around it")


def _is_once(quote: str, text: str) -> bool:
    """Return whether a quote occurs once. This is linear in the text, because a client chose the span."""
    at = text.find(quote)
    return at >= 0 and text.find(quote, at + 1) < 0


class FeedbackFile:
    """A file of judgments as JSON lines, to which lines are only added. Several threads and processes may write.

    A line is on the disk when :meth:`append` returns. What a crash left half written is dropped.
    """

    def __init__(self, path: Path) -> None:
        self._lines = JsonLines(path, _BEGINS)

    def append(self, question: str, quote: Quote) -> None:
        """Keep one judgment.

        Raises:
            StorageError: it cannot be written; the file is as it was.
        """
        # Half a surrogate pair becomes an escape, which JSON can read too: one line must not spoil the whole file.
        line = (_line(question, quote) + "\n").encode("utf-8", "backslashreplace")
        try:
            self._lines.append(line, _LARGEST)
        except OSError as error:
            remedy = "free space, or name another file in QA_FEEDBACK"
            raise StorageError(f"cannot write {self._lines.path} ({error}); {remedy}") from error


def encode_quote(quote: Quote) -> dict[str, object]:
    """Encode a quote as a question file has it."""
    evidence: dict[str, object] = {"document": quote.document, "quote": quote.text, "relevant": quote.relevant}
    return evidence if quote.part is None else {**evidence, "part": list(quote.part)}


def _line(question: str, quote: Quote) -> str:
    return json.dumps(
        {
            "id": "feedback-" + hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:16],
            "question": question,
            "judged": datetime.now(UTC).isoformat(timespec="seconds"),
            "evidence": [encode_quote(quote)],
            "tags": ["feedback"],
        },
        ensure_ascii=False,
    )
