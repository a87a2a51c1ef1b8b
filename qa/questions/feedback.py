"""The judgments of people who asked ("this answers it", "this does not"), as a file that ``qa evaluate`` takes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from qa.errors import QueryError, StorageError
from qa.files import sync
from qa.questions.anchoring import squeeze
from qa.questions.questions import Quote

# Characters before and after a span that are quoted with it, where it stands more than once in its document.
_AROUND = (0, 40, 160, 640, 2560, 10_240)
# Bytes: of a line, at six for a character and with as much around it as that, and of the whole file.
_LONGEST_LINE = 1 << 18
_LARGEST = 1 << 26
_BEGINS = b'{"id": "feedback-'


def make_quote(document: str, text: str, start: int, end: int, *, relevant: bool) -> Quote:
    """Quote ``text[start:end]``, with as much around it as makes the quote unique in its document.

    Raises:
        QueryError: the span is empty, or is repeated with all the text around it.
    """
    if not 0 <= start < end <= len(text) or not text[start:end].strip():
        raise QueryError("end", f"the span {start} to {end} holds no text of the document")
    whole = squeeze(text)
    for around in _AROUND:
        first, last = max(start - around, 0), min(end + around, len(text))
        quote = text[first:last]
        if _is_once(squeeze(quote), whole):
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
        self._path = path

    def append(self, question: str, quote: Quote) -> None:
        """Keep one judgment.

        Raises:
            StorageError: it cannot be written; the file is as it was.
        """
        # Half a surrogate pair becomes an escape, which JSON can read too: one line must not spoil the whole file.
        line = (_line(question, quote) + "\n").encode("utf-8", "backslashreplace")
        try:
            with self._locked() as file:
                size = _whole(file)
                if size + len(line) > _LARGEST:
                    raise OSError(f"it has reached {_LARGEST >> 20} MB")
                try:
                    written = os.write(file, line)
                    if written != len(line):
                        raise OSError(f"{written} of {len(line)} bytes were written")
                    os.fsync(file)
                except OSError:
                    os.ftruncate(file, size)
                    raise
        except OSError as error:
            remedy = "free space, or name another file in QA_FEEDBACK"
            raise StorageError(f"cannot write {self._path} ({error}); {remedy}") from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        is_new = not self._path.exists()
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            if is_new:
                sync(self._path.parent)
        finally:
            os.close(file)


def _whole(file: int) -> int:
    """Make the file end with a complete line, and return its size."""
    size = os.fstat(file).st_size
    tail = os.pread(file, min(size, _LONGEST_LINE), max(size - _LONGEST_LINE, 0))
    last = tail[tail.rfind(b"\n") + 1 :]
    if not last:
        return size
    if (last.startswith(_BEGINS) and not _is_json(last)) or not last.strip(b"\0"):
        os.ftruncate(file, size - len(last))
        return size - len(last)
    # It is not a judgment of ours: an editor left the last line without its end.
    os.write(file, b"\n")
    return size + 1


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _line(question: str, quote: Quote) -> str:
    evidence: dict[str, object] = {"document": quote.document, "quote": quote.text, "relevant": quote.relevant}
    if quote.part is not None:
        evidence["part"] = list(quote.part)
    return json.dumps(
        {
            "id": "feedback-" + hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:16],
            "question": question,
            "judged": datetime.now(UTC).isoformat(timespec="seconds"),
            "evidence": [evidence],
            "tags": ["feedback"],
        },
        ensure_ascii=False,
    )
