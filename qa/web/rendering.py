"""Templates to responses: what every page of the service is rendered with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import jinja2
from starlette.responses import Response

from qa.types import State

FOLDER = Path(__file__).parent
HTML = "text/html; charset=utf-8"


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


def _address(document: str) -> str:
    return "/v1/documents/" + quote(document, errors="replace")


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
    environment.filters.update(address=_address, date=_date, sentence=_sentence)
    return environment


_templates = _environment()
