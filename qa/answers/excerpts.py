"""What the reader is given of the passages found: windows around the best sentences, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import regex

from qa.answers.sentences import Candidate
from qa.answers.weekdays import asked_day, find_day, is_timetable_line
from qa.types import Hit, Span

CountTokens = Callable[[Sequence[str]], list[int]]

# Tokens of one excerpt: about four sentences. Of 60, 100 and 150, 100 found most (benchmarks/README.md, Answers).
SIZE = 100
# What parts a row's cells.
_EDGE = regex.compile(r"[|\t\n]")
_VALUE = regex.compile(r"[\d\W]+")
_LONGEST_NAME = 60
_FINISHED = regex.compile(r"[.!?…。！？।]['\"”’»)\]]*$")
# Characters of what is put before an excerpt; of a longer row of headings the innermost are taken.
_LONGEST_CONTEXT = 200


@dataclass(frozen=True, slots=True)
class Piece:
    """``text[start:end]`` of an excerpt that stands at ``at`` in the document."""

    start: int
    end: int
    at: int


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Neighbouring sentences of one passage, or one row of a table, as the reader gets them.

    ``text`` is the passage's own, but for rows, whose cells stand behind the names of their columns, and for what is no
    whole sentence: the headings above it and what leads in to it stand before that. ``pieces`` are in order and say
    which parts of it stand in the document; ``tokens`` are the reader's.
    """

    hit: Hit
    candidates: tuple[Candidate, ...]
    text: str
    pieces: tuple[Piece, ...]
    tokens: int

    def place(self, start: int, end: int) -> Span | None:
        """Find ``text[start:end]`` in the document; ``None`` where it does not all stand there together."""
        for piece in self.pieces:
            if piece.start <= start and end <= piece.end:
                return Span(piece.at + start - piece.start, piece.at + end - piece.start)
        return None


def plan_excerpts(
    question: str,
    candidates: Sequence[Candidate],
    count_tokens: CountTokens,
    budget: int,
    names_above: Callable[[Candidate], str],
    leads_above: Callable[[Candidate], Sequence[str]],
) -> list[Excerpt]:
    """Choose what to read, the most promising first, until the budget is reached; the last may exceed it a little.

    Args:
        candidates: the sentences of the first passages, passage by passage and in order.
        budget: tokens of all excerpts together, the question not counted.
        names_above: finds the line with the names of a row's columns; empty where there is none.
        leads_above: finds what leads in to an item or a line, the outermost first.
    """
    rows = _by_passage(candidates)
    counts: dict[int, list[int]] = {}
    covered = {_key(line) for row in rows.values() for line in _of_other_days(question, row)}
    excerpts: list[Excerpt] = []
    spent = 0
    for best in sorted(candidates, key=lambda each: -each.score):
        if spent >= budget:
            break
        if _key(best) in covered:
            continue
        row = rows[best.hit.rank]
        if best.hit.rank not in counts:
            counts[best.hit.rank] = count_tokens([each.text for each in row])
        first, last = _grown(row, row.index(best), counts[best.hit.rank], covered)
        chosen = tuple(row[first : last + 1])
        covered.update(map(_key, chosen))
        tokens = sum(counts[best.hit.rank][first : last + 1])
        if excerpts and spent + tokens > 1.1 * budget:
            continue
        excerpt = _excerpt(best.hit, chosen, tokens, names_above)
        if not _FINISHED.search(chosen[0].text):
            excerpt = _under(excerpt, leads_above(chosen[0]), count_tokens)
        excerpts.append(excerpt)
        spent += excerpt.tokens
    return excerpts


def _of_other_days(question: str, row: Sequence[Candidate]) -> list[Candidate]:
    """Find the lines of a timetable that are not of the day asked for, where another one is."""
    day = asked_day(question)
    if day is None:
        return []
    lines = [each for each in row if is_timetable_line(each.text)]
    others = [line for line in lines if find_day(line.text, day) is None]
    return others if len(others) < len(lines) else []


def _by_passage(candidates: Sequence[Candidate]) -> dict[int, list[Candidate]]:
    rows: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        rows.setdefault(candidate.hit.rank, []).append(candidate)
    return rows


def _key(candidate: Candidate) -> tuple[str, int]:
    """Identify a sentence that overlapping passages repeat."""
    return candidate.hit.passage.document, candidate.span.start


def _grown(row: Sequence[Candidate], at: int, counts: Sequence[int], covered: set[tuple[str, int]]) -> tuple[int, int]:
    """Widen from one sentence to its neighbours, before and after it by turns, as far as the size allows."""
    first = last = at
    if row[at].kind == "row":
        return first, last
    tokens = counts[at]

    def fits(place: int) -> bool:
        if not 0 <= place < len(row) or row[place].kind == "row" or _key(row[place]) in covered:
            return False
        return tokens + counts[place] <= SIZE

    while True:
        before, after = fits(first - 1), False
        if before:
            first -= 1
            tokens += counts[first]
        if after := fits(last + 1):
            last += 1
            tokens += counts[last]
        if not before and not after:
            return first, last


def _under(excerpt: Excerpt, leads: Sequence[str], count_tokens: CountTokens) -> Excerpt:
    """Put the headings above an excerpt before it, and what leads in to it, as far as it does not say so itself."""
    said = [line for line in dict.fromkeys((*excerpt.hit.passage.path, *leads)) if line not in excerpt.text]
    while said and sum(map(len, said)) > _LONGEST_CONTEXT:
        said = said[1:]
    if not said:
        return excerpt
    context = ". ".join(said) + ". "
    pieces = tuple(Piece(p.start + len(context), p.end + len(context), p.at) for p in excerpt.pieces)
    tokens = excerpt.tokens + count_tokens([context])[0]
    return replace(excerpt, text=context + excerpt.text, pieces=pieces, tokens=tokens)


def _excerpt(hit: Hit, chosen: tuple[Candidate, ...], tokens: int, names_above: Callable[[Candidate], str]) -> Excerpt:
    passage = hit.passage
    start, end = chosen[0].span.start, chosen[-1].span.end
    text = passage.text[start - passage.start : end - passage.start]
    if chosen[0].kind == "row" and len(_cells(text)) > 1:
        pieces = list(_named_cells(text, names_above(chosen[0])))
        shown, placed = "", []
        for name, cell, at in pieces:
            shown += f"{name}: " if name else ""
            placed.append(Piece(len(shown), len(shown) + len(cell), start + at))
            # The reader tells cells apart best as sentences; white space is nothing to it.
            shown += f"{cell} . "
        return Excerpt(hit, chosen, shown, tuple(placed), tokens)
    return Excerpt(hit, chosen, text, (Piece(0, len(text), start),), tokens)


def _named_cells(line: str, names: str) -> Iterator[tuple[str, str, int]]:
    """Give each cell of a row the name of its column: name, cell and where it begins in the line."""
    cells = _cells(line)
    columns = [name for name, _ in _cells(names)]
    # A row that says "name: value" is whole by itself, and so is the row of names.
    is_named = (
        len(columns) == len(cells)
        and names != line
        and all(len(name) <= _LONGEST_NAME and not _VALUE.fullmatch(name) for name in columns)
        and not any(cell.startswith(f"{name}:") for name, (cell, _) in zip(columns, cells, strict=True))
    )
    for number, (cell, at) in enumerate(cells):
        if cell:
            yield columns[number] if is_named else "", cell, at


def _cells(line: str) -> list[tuple[str, int]]:
    """Split a row into its cells, blank ones too, and where each begins."""
    cells, at = [], 0
    for part in _EDGE.split(line):
        ink = part.strip()
        cells.append((ink, at + part.index(ink)))
        at += len(part) + 1
    return cells
