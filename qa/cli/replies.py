"""A reply on a terminal: the answer with its source and how sure it is, and the passages that match best."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from qa.markup import by_ocr, describe_confidence, safe_line, safe_lines

if TYPE_CHECKING:
    from qa.web.api.responses import AnswerBody, AskResponse, CitationBody, PassageBody


def show_reply(reply: AskResponse) -> None:
    """Print a reply, of an index of this machine or of a service."""
    for each in reply.collections:
        if each.problem:
            typer.echo(safe_line(f"{each.name} was not searched: {each.problem}."), err=True)
    if reply.searched:
        typer.echo(safe_line(f"Searched for: {reply.searched}"), err=True)
    for leg in reply.legs:
        if not leg.used:
            way = "words" if leg.name == "lexical" else "meaning"
            typer.echo(safe_line(f"Not searched by {way}: {leg.reason}."), err=True)
        elif leg.reason:
            typer.echo(safe_line(f"{leg.reason[0].upper()}{leg.reason[1:]}."), err=True)
    if reply.answer is not None:
        for number, line in enumerate(describe_answer(reply.answer)):
            typer.secho(safe_lines(line), bold=number == 0)
        typer.echo("")
    for passage in reply.passages:
        _show_passage(passage)


def _show_passage(passage: PassageBody) -> None:
    id, title = passage.document.id, passage.document.title
    place = [passage.document.collection] if passage.document.collection else []
    place += [id if title == id else f"{title} ({id})"]
    place += [passage.section] if passage.section else []
    place += [f"page {passage.page}{by_ocr(passage.recognised)}"] if passage.page else []
    typer.secho(f"{passage.rank}. {safe_line(' · '.join(place))}", bold=True)
    scores = [
        ("cosine", passage.scores.dense),
        ("BM25", passage.scores.lexical),
        ("cross-encoder", passage.scores.rerank),
        ("reader", passage.scores.relevance),
    ]
    shown = " · ".join(f"{name} {score:.3f}" for name, score in scores if score is not None)
    typer.echo(f"   {shown} · characters {passage.start} to {passage.end}")
    typer.echo(safe_lines(passage.text) + "\n")


def describe_answer(answer: AnswerBody) -> Iterator[str]:
    """Describe in lines an answer, a guess, or that nothing was found."""
    found = answer.guess if answer.outcome == "unsure" else answer
    if answer.outcome == "not_found" or found is None or found.citation is None:
        yield "No answer found: none of the passages that were read is about this."
        if answer.unread_files:
            files = "one file" if answer.unread_files == 1 else f"{answer.unread_files:,} files"
            yield f"  {files} could not be read, or only in part, and may hold the answer; qa index says which."
        return
    yield "Not sure; the best guess: " * (answer.outcome == "unsure") + " ".join((found.text or "").split())
    yield f"  {_describe_place(found.citation)}"
    for line in describe_confidence(answer):
        yield f"  {line}"
    for other in found.alternatives:
        yield f"  Other values found: {' '.join(other.text.split())} ({_describe_place(other.citation)})"


def _describe_place(citation: CitationBody) -> str:
    place = [citation.collection] if citation.collection else []
    place += [citation.document, f"characters {citation.start} to {citation.end}", citation.status]
    place += [f"page {citation.page}{by_ocr(citation.recognised)}"] if citation.page else []
    place += [citation.section] if citation.section else []
    return " · ".join(place)
