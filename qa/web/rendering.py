"""Templates to responses: what every page of the service is rendered with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup, escape
from starlette.responses import Response

from qa.answer_words import sureness
from qa.marking import Mark, Piece, pieces
from qa.types import Answer, Hit, State

FOLDER = Path(__file__).parent
HTML = "text/html; charset=utf-8"

# What turns the text around it about (UAX 9), what shows as nothing, and what was made to say something unseen. The
# weak marks LRM, RLM and ALM turn nothing about, and texts from right to left are full of them.
_TURNING = {
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
_UNSEEN = re.compile("[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f\\x00-\\x08\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f]")


def render(
    template: str,
    state: State | None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: object,
) -> Response:
    html = _templates.get_template(template).render(state=state, **values)
    # What a file name or a document holds is not always valid Unicode; a page shows what it can of it.
    return Response(html.encode(errors="replace"), status, headers, HTML)


def json_address(document: str) -> str:
    return "/v1/documents/" + quote(document, errors="replace")


def reading_address(document: str, start: int, end: int, question: str = "") -> str:
    """Of the page that shows a span in its place; the fragment has the browser go to it."""
    asked = {"q": question} if question else {}
    query = urlencode({"start": start, "end": end, **asked}, errors="replace")
    return f"/documents/{quote(document, errors='replace')}?{query}#span"


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


def _visible(text: object) -> Markup:
    """Text as itself: what would turn it about, or show as nothing, shows by its name and does nothing."""
    return Markup(_UNSEEN.sub(_named, str(escape(text))))


def _named(found: re.Match[str]) -> str:
    character = found[0]
    name = _TURNING.get(character) or f"U+{ord(character):04X}"
    # Alone in an isolate it acts on nothing (UAX 9, X6a), and what is copied has it. Others no HTML may hold.
    kept = character if character in _TURNING else ""
    return f'<bdi class="control" data-name="{name}">{kept}</bdi>'


def _plain(text: str) -> str:
    """For a title, which holds no elements: without them."""
    return _UNSEEN.sub("", text)


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
        visible=_visible,
        plain=_plain,
        sureness=sureness,
        marked=_marked,
        in_sentence=_in_sentence,
    )
    environment.globals["reading_address"] = reading_address
    return environment


_templates = _environment()
