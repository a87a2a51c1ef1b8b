"""What introduces an item, a row or an answer: the line that leads in to its list, and the items that it is nested in.

"The crew of 2026:" is nothing without its list, and the list without it names no crew. A passage, a window or an
excerpt that begins within a list is understood with its lead-ins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from qa.text.sentences import sentences
from qa.types import Span

_ITEM = re.compile(r"(?:[•‣◦▪●∙·*+\-–☐☑]|\(?(?:\d{1,3}|[a-zA-Z])[.)])[^\S\n]+\S")
_ROW = re.compile(r"[^\n|]*[^\s|][^\n|]* \| |\||[^\n\t]*\S\t\S")
_QUESTION = re.compile(r"[*_#\s]*(?:Q|Question|Frage)\s?\d{0,3}\s?[:.)]", re.IGNORECASE)
_ANSWER = re.compile(r"[*_#\s]*(?:A|Answer|Antwort)\s?\d{0,3}\s?[:.)]", re.IGNORECASE)
_COLON = re.compile(r"[:：]['\"”’»)*_]*$")
_FINISHED = re.compile(r"[.!?…;,。！？｡．؟۔।॥։]['\"”’»)\]*_]*$")
_LETTER = re.compile(r"[^\W\d_]")
_DIGIT = re.compile(r"\d")
_MARKER = re.compile(r"(?:[•‣◦▪●∙·*+\-–☐☑]|\(?\d{1,3}[.)])\s+|[*_#]+")
_MOST = 4
# Characters of the longest lead-in that ends in a colon, and of the longest that does not.
_LONGEST, _LONGEST_BARE = 300, 80
_LONGEST_LINE = 160
_AROUND = 4000

_Kind = Literal["item", "row", "question", "answer", "line"]


def lead_ins(text: str, at: int, language: str = "") -> tuple[Span, ...]:
    """Find what leads in to the sentence at a place of a text, the outermost first, within 4,000 characters before it.

    Args:
        language: ISO 639-1 code, as for :func:`qa.text.sentences.sentences`.
    """
    open_lists = LeadIns(text)
    for span in sentences(text, max(at - _AROUND, 0), min(at + _AROUND, len(text)), language):
        found = open_lists.above(span)
        if span.end > at:
            return found
    return ()


def say(text: str, lead_in: Span) -> str:
    """Return a lead-in, at most 300 characters of it, on one line, without its colon and the mark of an item."""
    said = " ".join(text[lead_in.start : min(lead_in.end, lead_in.start + _LONGEST)].split())
    marker = _MARKER.match(said)
    return said[marker.end() if marker else 0 :].rstrip("*_").rstrip(":：")


@dataclass(frozen=True, slots=True)
class _Item:
    """An item of a list, in which items that are indented further are nested."""

    span: Span
    indent: int


class LeadIns:
    """The list or answer that is going on, while the sentences of a text go by in order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.forget()

    def forget(self) -> None:
        """End all that is going on, as a heading does."""
        self._before: Span | None = None
        self._kind: _Kind = "line"
        self._asked: tuple[Span, ...] = ()
        self._end_list()

    def above(self, span: Span) -> tuple[Span, ...]:
        """Return what leads in to a sentence, the outermost first: the four that are nearest."""
        # After a heading its line is enough: what is before it may be a whole book.
        begin = self._text.rfind("\n", 0, span.start) + 1 if self._before is None else self._before.end
        gap = self._text[begin : span.start]
        if self._before is None or "\n" in gap:
            kind, indent = _kind_of(self._text, span), len(gap) - gap.rfind("\n") - 1
            if kind in {"item", "row"}:
                self._begin_entry(span, kind, indent, is_apart=kind != self._kind and gap.count("\n") > 1)
            else:
                self._begin_line(span, kind, indent, is_apart=gap.count("\n") > 1)
            self._kind = kind
        self._before = span
        return self._found

    def _end_list(self) -> None:
        self._list: Literal["", "entries", "lines"] = ""
        self._leads = self._found = self._asked
        self._items: list[_Item] = []
        self._rows = 0

    def _begin_entry(self, span: Span, kind: _Kind, indent: int, *, is_apart: bool) -> None:
        """Begin an item or a row, the first of its list or the next."""
        if self._list != "entries" or is_apart:
            leads = self._leads_in()
            self._end_list()
            self._list, self._leads = "entries", self._asked + leads
        if kind == "row" and self._rows == 1:
            self._leads += self._names_of_columns(span)
        self._rows += kind == "row"
        while self._items and self._items[-1].indent >= indent:
            self._items.pop()
        self._found = (self._leads + tuple(item.span for item in self._items))[-_MOST:]
        if kind == "item":
            self._items.append(_Item(span, indent))

    def _begin_line(self, span: Span, kind: _Kind, indent: int, *, is_apart: bool) -> None:
        if kind == "question":
            self._asked = ()
            self._end_list()
            self._question = span
        elif kind == "answer" and self._kind == "question":
            self._asked = (self._question,)
            self._end_list()
        elif (self._items and indent > self._items[-1].indent) or (self._list == "lines" and not is_apart):
            pass  # It goes on with the item or the list.
        else:
            is_led = not is_apart and self._ends_in_colon() and span.end - span.start <= _LONGEST_LINE
            leads = self._leads_in() if is_led else ()
            self._end_list()
            if leads:
                # Lines right under a line with a colon are a list until a blank line.
                self._list, self._found = "lines", self._asked + leads

    def _ends_in_colon(self) -> bool:
        before = self._before
        return before is not None and bool(_COLON.search(self._text[max(before.end - 8, before.start) : before.end]))

    def _leads_in(self) -> tuple[Span, ...]:
        """Return the sentence before if it leads in to what comes: it ends in a colon, or is a short bare line."""
        if self._before is None or self._kind in {"item", "row", "question"}:
            return ()
        said = self._text[self._before.start : self._before.end]
        is_bare = len(said) <= _LONGEST_BARE and "\n" not in said and not _FINISHED.search(said)
        is_lead = len(said) <= _LONGEST if self._ends_in_colon() else is_bare and _LETTER.search(said)
        return (self._before,) if is_lead else ()

    def _names_of_columns(self, second: Span) -> tuple[Span, ...]:
        """Return the first row of a table if it names the columns: words above numbers, which do not name them too."""
        assert self._before is not None
        names, row = (self._text[span.start : span.end] for span in (self._before, second))
        is_named = row.startswith(f"{names.split(' | ')[0]}:")
        are_names = len(names) <= _LONGEST and not _DIGIT.search(names) and bool(_DIGIT.search(row))
        return (self._before,) if are_names and not is_named else ()


def _kind_of(text: str, span: Span) -> _Kind:
    if _QUESTION.match(text, span.start, span.end):
        return "question"
    if _ANSWER.match(text, span.start, span.end):
        return "answer"
    if _ITEM.match(text, span.start, span.end):
        return "item"
    return "row" if _ROW.match(text, span.start, min(span.end, span.start + _LONGEST)) else "line"
