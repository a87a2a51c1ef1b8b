"""Templates to responses: what every page of the service is rendered with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import jinja2
from starlette.requests import Request
from starlette.responses import Response

from qa.answers.answer_words import sureness
from qa.index.store_schema import text_sha256
from qa.marking import Mark, Piece, pieces
from qa.types import Answer, Hit, State
from qa.visible_text import plain, visible
from qa.web.pages.addresses import USUAL, asking_address, chosen, json_address, reading_address

FOLDER = Path(__file__).parent
# The ways of searching, as people are told them.
MODES = {"hybrid": "meaning and words", "dense": "meaning alone", "lexical": "words alone"}
HTML = "text/html; charset=utf-8"
# From this confidence on a best guess that is not given is told as a doubt, and not as if nothing answered.
DOUBTFUL = 0.3


def render(
    request: Request,
    template: str,
    state: State | None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: object,
) -> Response:
    evaluates = request.app.state.evaluations is not None
    html = _templates.get_template(template).render(state=state, evaluates=evaluates, **values)
    # What a file name or a document holds is not always valid Unicode; a page shows what it can of it.
    return Response(html.encode(errors="replace"), status, headers, HTML)


def _marked(hit: Hit, answer: Answer | None) -> Sequence[Piece]:
    """A passage's text, cut where its highlights and the answer begin and end."""
    passage = hit.passage
    spans = [(span.start, span.end, "highlight") for span in hit.highlights]
    cited = answer.citation if answer is not None and answer.answerable else None
    if cited is not None and cited.document == passage.document:
        spans.append((cited.start, cited.end, "answer"))
    cut = [
        Mark(max(start, passage.start) - passage.start, min(end, passage.end) - passage.start, name)
        for start, end, name in spans
    ]
    return pieces(passage.text, [mark for mark in cut if mark.start < mark.end], len(passage.text))


def _in_sentence(answer: Answer, hits: Sequence[Hit]) -> tuple[str, str, str]:
    """The answer between what its sentence says before and after it; alone, where no passage shown holds it."""
    cited, sentence = answer.citation, answer.sentence
    if cited is not None and sentence is not None:
        for passage in (hit.passage for hit in hits if hit.passage.document == cited.document):
            if passage.start <= sentence.start and sentence.end <= passage.end:
                edges = (sentence.start, cited.start, cited.end, sentence.end)
                a, b, c, d = (edge - passage.start for edge in edges)
                return passage.text[a:b], passage.text[b:c], passage.text[c:d]
    return "", answer.text or "", ""


def _date(iso: str) -> str:
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    if moment.tzinfo is None:
        return f"{moment.day} {moment:%B %Y, %H:%M}"
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _sentence(message: str) -> str:
    """An error's message, which is a clause, as the sentence that stands by itself on a page."""
    return message[:1].upper() + message[1:] + ("" if message.endswith((".", "!", "?", "…")) else ".")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        json_address=json_address,
        date=_date,
        sentence=_sentence,
        sha256=text_sha256,
        visible=visible,
        plain=plain,
        sureness=sureness,
        marked=_marked,
        in_sentence=_in_sentence,
        chosen=chosen,
    )
    environment.globals.update(
        asking_address=asking_address, reading_address=reading_address, doubtful=DOUBTFUL, modes=MODES, usual=USUAL
    )
    return environment


_templates = _environment()
