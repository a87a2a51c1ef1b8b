"""The command ``qa ask``: one question, of an index of this machine or of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qa.cli.flags import (
    IndexesFlag,
    MaxErrorFlag,
    ModeFlag,
    ModelFlag,
    NameFlag,
    NoAnswerFlag,
    RerankFlag,
    load_settings,
)
from qa.errors import SettingsError
from qa.extras import require
from qa.search.filters import parse_filter, write_filter
from qa.types import Query, Turn

if TYPE_CHECKING:
    from qa.settings import Settings
    from qa.web.api.responses import AskResponse


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(ask)


def ask(
    question: Annotated[str, typer.Argument(help="A question in plain words.")],
    name: NameFlag = None,
    indexes: IndexesFlag = None,
    model: ModelFlag = None,
    url: Annotated[
        str | None, typer.Option(help="Ask the service at this address; QA_KEY is the key that is sent to it.")
    ] = None,
    collections: Annotated[
        list[str] | None,
        typer.Option("--collection", help="With --url: the collection to ask; repeatable, '*' for all."),
    ] = None,
    top_k: Annotated[int, typer.Option(help="How many passages to show.")] = 5,
    documents: Annotated[
        list[str] | None,
        typer.Option("--document", help="Only documents whose id matches this glob; repeatable."),
    ] = None,
    sections: Annotated[
        list[str] | None, typer.Option("--section", help="Only below headings that match this glob; repeatable.")
    ] = None,
    filter: Annotated[
        list[str] | None,
        typer.Option(help="Only what passes, such as folder=hr, type=pdf or 'date>=2024'; repeatable."),
    ] = None,
    mode: ModeFlag = "hybrid",
    rerank: RerankFlag = False,
    max_error: MaxErrorFlag = None,
    read_tokens: Annotated[
        int | None, typer.Option(help="How many tokens are read for the answer; by default what QA_READ_TOKENS says.")
    ] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(help="What was asked before, on which the question may lean; repeatable, the last one last."),
    ] = None,
    no_answer: NoAnswerFlag = False,
    json: Annotated[bool, typer.Option("--json", help="Print the JSON that POST /v1/ask returns.")] = False,
) -> None:
    """Ask one question, and show the answer, its source and the passages that match best."""
    settings = load_settings(name=name, indexes=indexes, model=model, url=url)
    query = Query(
        question,
        top_k,
        tuple(documents or ()),
        tuple(sections or ()),
        mode,
        rerank,
        not no_answer,
        max_error,
        filter=parse_filter(filter or ()),
        collections=tuple(collections or ()),
        read_tokens=read_tokens,
        previous=tuple(map(Turn, after or ())),
    )
    if settings.url:
        given = {"name": name, "indexes": indexes, "model": model}
        if wrong := [f"--{flag}" for flag, value in given.items() if value is not None]:
            raise SettingsError(
                f"{wrong[0]} is of an index of this machine, and {settings.url} is asked; leave out one"
            )
        reply = _ask_service(settings, query)
    else:
        if collections:
            raise SettingsError("--collection is of a service, which --url names; an index of this machine is --name")
        reply = _ask_here(settings, query)
    from qa.cli.replies import show_reply

    if json:
        typer.echo(reply.model_dump_json(indent=2, ensure_ascii=True))
    else:
        show_reply(reply)


def _ask_here(settings: Settings, query: Query) -> AskResponse:
    require("serve", "qa ask without --url")
    from qa.search.query import check
    from qa.service.service import Service
    from qa.web.api.responses import AskResponse

    service = Service(settings)
    check(query, service.limits)
    service.reload()
    return AskResponse.from_reply(service.ask(query))


def _ask_service(settings: Settings, query: Query) -> AskResponse:
    from qa.client import AskOptions, Client

    options = AskOptions(
        top_k=query.top_k,
        mode=query.mode,
        rerank=query.rerank,
        documents=query.documents,
        sections=query.sections,
        answer=query.answer,
    )
    if query.collections:
        options["collections"] = query.collections
    if query.filter:
        options["filter"] = write_filter(query.filter)
    if query.max_error is not None:
        options["max_error"] = query.max_error
    if query.read_tokens is not None:
        options["read_tokens"] = query.read_tokens
    if query.previous:
        options["previous"] = [turn.question for turn in query.previous]
    with Client(settings.url, api_key=settings.key.get_secret_value() or None) as client:
        return client.ask(query.question, **options)
