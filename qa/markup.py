"""Text of documents and clients made safe to show: on a terminal, in a message, and in a page with its marks.

What a terminal and a page say in the same words is here, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from markupsafe import Markup, escape

from qa.types import AnswerOutcome

ELLIPSIS = "…"

# What reorders the text around it (UAX 9). The marks LRM, RLM and ALM reorder nothing, and texts that are written from
# right to left are full of them.
_BIDI = {
    "\u202a": "LRE",
    "\u202b": "RLE",
    "\u202c": "PDF",
    "\u202d": "LRO",
    "\u202e": "RLO",
    "\u2066": "LRI",
    "\u2067": "RLI",
    "\u2068": "FSI",
    "\u2069": "PDI",
}
# Bidi controls, tags (letters that no one sees), and control characters that are no white space.
_ACTING = "\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f\\x00-\\x08\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f"
_IN_PAGES = re.compile(f"[{_ACTING}]")
# A terminal also acts on the other white space, and cannot be sent halves of surrogate pairs.
_IN_LINES = re.compile(f"[{_ACTING}\\x0b\\x0c\\r\\x85\u2028\u2029\\ud800-\\udfff]")
_ON_ONE_LINE = re.compile(f"[{_ACTING}\\x09-\\x0d\\x85\u2028\u2029\\ud800-\\udfff]")
# A spreadsheet takes a cell that begins with one of these for a formula (OWASP, CSV injection), unless it is a number
# with its unit.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]\d[\d.,]*(?:\s?[%°€$£]?\w{0,12})?")


def safe_line(text: str, longest: int | None = None) -> str:
    """Write text on one line that steers no terminal and is valid UTF-8.

    Line breaks, tabs, control characters, bidi controls, tags and halves of surrogate pairs become escapes such as
    ``\\x1b``. What is longer than ``longest`` characters is cut before that, and ends in "…".
    """
    cut = text if longest is None or len(text) <= longest else text[: longest - 1] + ELLIPSIS
    return _ON_ONE_LINE.sub(_escaped, cut)


def safe_lines(text: str) -> str:
    """Do the same as :func:`safe_line`, and leave line ends and tabs as they are."""
    return _IN_LINES.sub(_escaped, text)


def safe_cell(text: str) -> str:
    """Make a text of others safe in a table: no formula to a spreadsheet, and nothing that a terminal acts on."""
    shown = safe_lines(text)
    return f"'{shown}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else shown


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def by_ocr(confidence: float | None) -> str:
    """Say after a page's number that OCR read it, and how sure it was; nothing of a page that was read as text."""
    return "" if confidence is None else f", read by OCR ({_percent(confidence)} % sure)"


def pages_by_ocr(pages: Sequence[tuple[int, float]]) -> str:
    """Say how many pages OCR read, of their numbers and confidences, and how sure it was of each."""
    least, most = (_percent(choose(confidence for _, confidence in pages)) for choose in (min, max))
    sure = f"{least}" if least == most else f"{least} to {most}"
    return f"OCR read {len(pages):,} {'page' if len(pages) == 1 else 'pages'}, {sure} % sure of the words"


def _percent(share: float) -> int:
    """Round down, so that nothing is said to be quite sure."""
    return min(int(100 * share), 99)


class Sureness(Protocol):
    """How sure an answer or a guess is, as :class:`qa.types.Answer` and its shape over HTTP have it."""

    @property
    def outcome(self) -> AnswerOutcome: ...
    @property
    def confidence(self) -> float | None: ...
    @property
    def basis(self) -> str: ...
    @property
    def promised_error(self) -> float | None: ...
    @property
    def note(self) -> str: ...


def describe_confidence(answer: Sureness) -> list[str]:
    """Say in sentences how sure an answer or a guess is, what that figure is of, and what is promised."""
    if answer.confidence is None:
        return [_sentence(f"how sure this is cannot be said: {answer.note}" if answer.note else "how sure is unknown")]
    clauses = [f"confidence {answer.confidence:.0%}", answer.basis]
    if answer.promised_error is not None and answer.outcome == "answered":
        most = f"{answer.promised_error:.0%}"
        clauses.append(f"all answers given at this setting, taken together, are wrong at most {most} of the time")
    return [_sentence(clause) for clause in (*clauses, answer.note) if clause]


def _sentence(clause: str) -> str:
    return f"{clause[0].upper()}{clause[1:]}."


def visible(text: object) -> Markup:
    """Escape text for a page; bidi controls, tags and control characters are shown by their names and do nothing."""
    return Markup(_IN_PAGES.sub(_named, str(escape(text))))


def _named(found: re.Match[str]) -> str:
    character = found[0]
    name = _BIDI.get(character) or f"U+{ord(character):04X}"
    # Alone in an isolate it acts on nothing (UAX 9, X6a), and what is copied has it. Others no HTML may hold.
    kept = character if character in _BIDI else ""
    return f'<bdi class="control" data-name="{name}">{kept}</bdi>'


def plain(text: str) -> str:
    """Leave out bidi controls, tags and control characters, for a title, which cannot hold elements."""
    return _IN_PAGES.sub("", text)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text; ``marks`` are the names of the spans that it lies in."""

    text: str
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """``[start, end)`` of a text, and its name."""

    start: int
    end: int
    name: str


def pieces(text: str, marks: Sequence[Mark], most: int) -> list[Piece]:
    """Cut a text at every edge of a mark, in order, and clip it to about ``most`` characters around the first mark."""
    start, end = _window(text, marks, most)
    edges = {start, end} | {edge for m in marks for edge in (m.start, m.end) if start < edge < end}
    ordered = sorted(edges)
    cut = [
        Piece(text[a:b], tuple(dict.fromkeys(m.name for m in marks if m.start <= a and m.end >= b)))
        for a, b in pairwise(ordered)
    ]
    before = [Piece(ELLIPSIS)] if start > 0 else []
    return [*before, *cut, *([Piece(ELLIPSIS)] if end < len(text) else [])]


def _window(text: str, marks: Sequence[Mark], most: int) -> tuple[int, int]:
    if len(text) <= most:
        return 0, len(text)
    first = min((mark.start for mark in marks), default=0)
    start = max(0, min(first - most // 4, len(text) - most))
    return start, start + most
