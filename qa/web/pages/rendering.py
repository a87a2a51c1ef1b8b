"""What all pages share: their templates, and addresses that keep a question and how it is asked from page to page."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from qa.index.schema import text_sha256
from qa.markup import Mark, Piece, by_ocr, describe_confidence, pages_by_ocr, pieces, plain, visible
from qa.readers.metadata import DATES
from qa.search.filters import write_filter
from qa.search.query import faults
from qa.types import Answer, Hit, Limits, Query, Reply, Span, State, Turn
from qa.web.api.requests import AskParameters, repeated
from qa.web.deps import Dependencies, of_request
from qa.web.middleware.collections import in_collection
from qa.web.pages.chooser import asking_in, make_choices
from qa.web.pages.filters import chips, read_form
from qa.web.problems import FieldError, Problem, explain, nearest

FOLDER = Path(__file__).parent
HTML = "text/html; charset=utf-8"
# The search modes in words for people.
MODES = {"hybrid": "meaning and words", "dense": "meaning alone", "lexical": "words alone"}
# What the best answer of one of several collections is, in words.
OUTCOMES = {"answered": "an answer", "unsure": "a guess", "not_found": "no answer found"}
# A query with the defaults.
USUAL = Query("")
_NAMES = tuple(AskParameters.model_fields)
_LISTS = ("documents", "sections", "filter", "collections", "previous")
_SINGLE = frozenset(_NAMES).difference(_LISTS)


def read_query(parameters: QueryParams, limits: Limits) -> tuple[Query, tuple[FieldError, ...]]:
    """Parse the question of an address, which takes what ``GET /v1/ask`` takes, and say what is wrong with it.

    A misspelt parameter is an error. Others are ignored, because mail programs and networks add some to shared links,
    and other pages have their own. The query has the default where a parameter is wrong, so that the next question from
    that page does not repeat the mistake.
    """
    given: dict[str, Any] = {
        name: parameters.getlist(name) if name in _LISTS else value
        for name, value in {"q": "", **parameters}.items()
        if nearest(name, _NAMES)
    }
    if own := read_form(parameters):
        given["filter"] = [*given.get("filter", ()), *own]
    errors: tuple[FieldError, ...] = ()
    try:
        query = AskParameters.model_validate(given).query()
    except ValidationError as error:
        errors = explain(error.errors(), _NAMES)
        # Every wrong field, though ``errors`` lists only the first.
        wrong = {str(each["loc"][0]) for each in error.errors()}
        query = AskParameters.model_validate({name: given[name] for name in given.keys() - wrong}).query()
    # Without a question, the way of asking can be wrong already.
    checked = query if "q" in parameters else replace(query, question="?")
    errors += repeated([name for name, _ in parameters.multi_items()], _SINGLE)
    errors += tuple(FieldError.from_fault(fault, "q") for fault in faults(checked, limits))
    return without(query, (error.field for error in errors)), errors


def without(query: Query, wrong: Iterable[str]) -> Query:
    """Return the query with defaults for wrong fields, such as ``documents[0]``. The question stays."""
    names = {name.partition("[")[0] for name in wrong}
    options = {field.name for field in fields(Query)} - {"question"}
    return replace(query, **{name: getattr(USUAL, name) for name in names & options})


def chosen(query: Query) -> list[tuple[str, str]]:
    """List the parameters of a query that differ from the defaults, without the question."""
    found = [("documents", glob) for glob in query.documents] + [("sections", glob) for glob in query.sections]
    found += [("filter", text) for text in write_filter(query.filter)]
    if query.top_k != USUAL.top_k:
        found.append(("top_k", str(query.top_k)))
    if query.mode != USUAL.mode:
        found.append(("mode", query.mode))
    if query.rerank:
        found.append(("rerank", "true"))
    if not query.answer:
        found.append(("answer", "false"))
    if query.max_error is not None:
        found.append(("max_error", f"{query.max_error:g}"))
    if query.read_tokens is not None:
        found.append(("read_tokens", str(query.read_tokens)))
    found += [("collections", name) for name in query.collections]
    return found


# Characters of an answer that a follow-up may lean on: it names something.
LONGEST_ANSWER = 100


def asked_before(query: Query) -> list[tuple[str, str]]:
    """List the parameters that say what was asked before a query."""
    found = [("previous", turn.question) for turn in query.previous]
    if query.previous and (answer := query.previous[-1].answer):
        found.append(("previous_answer", answer))
    return found


def as_searched(query: Query, reply: Reply) -> Query:
    """Return a query that asks alone what a follow-up was searched for as: that is what a judgment is about."""
    return replace(query, question=reply.searched, previous=()) if query.previous and reply.searched else query


def as_previous(reply: Reply) -> list[tuple[str, str]]:
    """List the parameters by which the next question may lean on the one that was answered, as it was searched for."""
    answer = reply.answer.text if reply.answer is not None and reply.answer.outcome != "not_found" else None
    turn = Turn(reply.searched or reply.question, answer if answer and len(answer) <= LONGEST_ANSWER else "")
    return asked_before(replace(USUAL, previous=(turn,)))


def asking_address(query: Query, question: str | None = None) -> str:
    """Return the address of the page that answers ``query``, or another ``question``, alone, in the same way."""
    text = query.question if question is None else question
    before = asked_before(query) if question is None else []
    parts = [*([("q", text)] if text else []), *chosen(query), *before]
    address = f"/?{urlencode(parts, errors='replace')}" if parts else "/"
    # Several collections have no page of their own.
    return address if query.collections else in_collection(address)


# What is shown of metadata, in words; values of one name are shown up to a few.
_FACTS = {
    **{"author": "by", "sender": "from", "recipient": "to", "sent": "sent", "created": "created"},
    **{"modified": "changed", "keyword": "about"},
}
_SHOWN_VALUES = 3


def facts(metadata: Iterable[tuple[str, str]]) -> list[str]:
    """Say in words what a file says of itself, a line for each name; of dates the day is shown."""
    values: dict[str, list[str]] = {name: [] for name in _FACTS}
    for name, value in metadata:
        if name in values:
            values[name].append(value[: len("2024-05-01")] if name in DATES else value)
    return [
        f"{_FACTS[name]} {', '.join(found[:_SHOWN_VALUES])}{' …' if len(found) > _SHOWN_VALUES else ''}"
        for name, found in values.items()
        if found
    ]


def json_address(document: str, collection: str = "") -> str:
    """Return the address of a document as JSON."""
    return in_collection("/v1/documents/" + quote(document, errors="replace"), collection)


def page_address(document: str) -> str:
    """Return the address of the page with a document's text."""
    return in_collection(f"/documents/{quote(document, errors='replace')}")


def reading_address(
    document: str, start: int, end: int, query: Query | None = None, collection: str = "", text: str = ""
) -> str:
    """Return the address of the page that shows a span in its document; its fragment scrolls to the span.

    Args:
        collection: the document's, where it is not that of the request's own address.
        text: the span's, whose sum is put into the address: an index that changes meanwhile is noticed by it.
    """
    parts = [("start", str(start)), ("end", str(end))]
    if text:
        parts.append(("sum", span_sum(text)))
    if query is not None and query.question:
        parts += [("q", query.question), *chosen(query), *asked_before(query)]
    asked = urlencode(parts, errors="replace")
    return in_collection(f"/documents/{quote(document, errors='replace')}?{asked}#span", collection)


def span_sum(text: str) -> str:
    """Return what the address of a span has of the SHA-256 of its text: 16 digits."""
    return text_sha256(text)[:16]


def passage_address(hit: Hit, query: Query) -> str:
    """Return the address of the page that shows the best sentence of a passage, or all of it, in its document."""
    passage = hit.passage
    place = hit.highlights[0] if hit.highlights else Span(passage.start, passage.end)
    text = passage.text[place.start - passage.start : place.end - passage.start]
    return reading_address(passage.document, place.start, place.end, query, hit.collection, text)


def render(
    request: Request,
    template: str,
    state: State | None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: object,
) -> Response:
    """Render a template as the response of ``request``. Every page shows ``state``, where it is known."""
    return Response(_encode(_fill_page(request, template, state, values)), status, headers, HTML)


def render_around(
    request: Request, template: str, state: State, later: Callable[[], Awaitable[str]], **values: object
) -> Response:
    """Render a page with a part that takes long; what the template has before ``{{ later }}`` is sent before it.

    Args:
        later: makes that part, as HTML. It should not raise, because what was sent cannot be taken back.
    """
    # It is in no document, because nobody can know it.
    gap = secrets.token_hex()
    before, _, after = _fill_page(request, template, state, {**values, "later": gap}).partition(gap)

    async def send() -> AsyncIterator[bytes]:
        yield _encode(before)
        yield _encode(await later())
        yield _encode(after)

    # By default nginx holds back what is short, until all of it is there.
    return StreamingResponse(send(), headers={"X-Accel-Buffering": "no"}, media_type=HTML)


def _fill_page(request: Request, template: str, state: State | None, values: Mapping[str, object]) -> str:
    query = values.get("query")
    asked = query if isinstance(query, Query) else None
    # Not by the collection: a page may say that there is none of that name.
    first: Dependencies = request.app.state.dependencies
    return fill(
        template,
        state=state,
        evaluates=first.evaluations is not None,
        kept_days=first.unanswered.days if first.unanswered is not None else 0,
        choices_for=partial(make_choices, request, query=asked),
        **values,
    )


def fill(template: str, **values: object) -> str:
    """Return the HTML of a template with these values."""
    return _templates.get_template(template).render(values)


def _encode(html: str) -> bytes:
    # File names and documents are not always valid Unicode.
    return html.encode(errors="replace")


def render_problem(request: Request, problem: Problem) -> Response:
    """Render a problem as a page for a person at a browser, and as a problem detail for a program."""
    path = request.url.path
    is_for_programs = path.startswith("/v1/") or path in ("/healthz", "/readyz", "/openapi.json")
    if is_for_programs or "text/html" not in request.headers.get("accept", ""):
        return problem.response(request.scope["path"])
    return render(request, "problem.html", _state_if_any(request), problem.status, problem.headers, problem=problem)


def _state_if_any(request: Request) -> State | None:
    # The service may be what failed, and the page that says so must not fail too.
    try:
        return of_request(request).service.state()
    except Exception:  # of a request without its key no collection is known either
        return None


def _marked(hit: Hit, answer: Answer | None) -> Sequence[Piece]:
    """Cut a passage's text where its highlights and the answer begin and end."""
    passage = hit.passage
    spans = [(span.start, span.end, "highlight") for span in hit.highlights]
    cited = answer.citation if answer is not None and answer.outcome != "not_found" else None
    if cited is not None and cited.document == passage.document:
        spans.append((cited.start, cited.end, "answer"))
    cut = [
        Mark(max(start, passage.start) - passage.start, min(end, passage.end) - passage.start, name)
        for start, end, name in spans
    ]
    return pieces(passage.text, [mark for mark in cut if mark.start < mark.end], len(passage.text))


def _in_sentence(answer: Answer) -> tuple[str, str, str]:
    """Split the answer's sentence into the text before the answer, the answer, and the text after it."""
    cited, sentence, text = answer.citation, answer.sentence, answer.sentence_text
    if (
        cited is None
        or sentence is None
        or text is None
        or not sentence.start <= cited.start < cited.end <= sentence.end
    ):
        return "", answer.text or "", ""
    start, end = cited.start - sentence.start, cited.end - sentence.start
    return text[:start], text[start:end], text[end:]


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
    """Turn an error's message, which is a clause, into a sentence."""
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
        by_ocr=by_ocr,
        pages_by_ocr=pages_by_ocr,
        confidence=describe_confidence,
        marked=_marked,
        in_sentence=_in_sentence,
        chosen=chosen,
        chips=chips,
        filtered_by=lambda query, filter: replace(query, filter=filter),
        asked_before=asked_before,
        as_previous=as_previous,
        as_searched=as_searched,
    )
    environment.globals.update(
        asking_address=asking_address,
        passage_address=passage_address,
        reading_address=reading_address,
        in_collection=in_collection,
        asking_in=asking_in,
        outcomes=OUTCOMES,
        modes=MODES,
        usual=USUAL,
    )
    return environment


_templates = _environment()
