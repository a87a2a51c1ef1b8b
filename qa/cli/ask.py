"""The command ``qa ask``: one question or a file of them, of an index of this machine or of a service."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
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
from qa.errors import QAError, SettingsError
from qa.extras import require
from qa.markup import safe_line
from qa.search.filters import parse_filter, write_filter
from qa.types import Query, Turn

if TYPE_CHECKING:
    from qa.cli.answer_files import AskMany
    from qa.client import AskOptions
    from qa.settings import Settings
    from qa.web.api.responses import AskResponse


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(ask)


def ask(
    question: Annotated[str | None, typer.Argument(help="A question in plain words.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Answer each question of a file: one a line, CSV, TSV, JSON lines, or a JSON list."),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="With --file: the answers, as .csv, .tsv or .jsonl; - shows them.")
    ] = "-",
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="With --file: leave out wrong lines, and name them.")
    ] = False,
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
    """Ask one question, and show the answer, its source and the passages that match best.

    With --file, answer each of its questions, with its citation, in a file of its own.
    """
    if (question is None) == (file is None):
        raise typer.BadParameter("give either a question, or a file of them with --file")
    settings = load_settings(name=name, indexes=indexes, model=model, url=url)
    query = Query(
        question or "",
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
    elif collections:
        raise SettingsError("--collection is of a service, which --url names; an index of this machine is --name")
    if file is not None:
        _answer_file(settings, query, file, output, keep_going=keep_going)
        return
    reply = _ask_service(settings, query) if settings.url else _ask_here(settings, query)
    from qa.cli.replies import show_reply

    if json:
        typer.echo(reply.model_dump_json(indent=2, ensure_ascii=True))
    else:
        show_reply(reply)


def _answer_file(settings: Settings, query: Query, file: Path, output: str, *, keep_going: bool) -> None:
    """Answer the questions of a file, each asked as ``query`` is."""
    if query.previous or "*" in query.collections or len(query.collections) > 1:
        raise SettingsError("--after and several collections are of one question, and not of a file of them")
    if not settings.url:
        require("serve", "qa ask without --url")
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from qa.cli.answer_files import answer_file, check_questions, choose_form, require_other_file

    form = choose_form(output)
    require_other_file(file, output)
    checked = check_questions(file, keep_going=keep_going)
    count = checked.count
    for note in checked.notes:
        typer.echo(safe_line(f"note: {note}"), err=True)
    for fault in checked.faults:
        typer.echo(safe_line(f"left out: {fault}"), err=True)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("Asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        _asking_many(settings, query) as ask_many,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("", total=count)
        failed = answer_file(file, output, form, ask_many, lambda done: progress.advance(task, done))
    noun = "question" if count == 1 else "questions"
    if output != "-":
        typer.echo(f"{count:,} {noun} asked; the answers are in {output}", err=True)
    if failed:
        why = "their outcome is error, and the column error says why"
        typer.echo(f"qa: error: {failed:,} of {count:,} {noun} failed; {why}", err=True)
        raise typer.Exit(1)


@contextmanager
def _asking_many(settings: Settings, query: Query) -> Iterator[AskMany]:
    """Give what answers several questions as ``query`` is asked, each with a response or its own error."""
    # One passage is enough: the answer does not depend on how many are given.
    query = replace(query, top_k=1)
    if settings.url:
        from qa.client import Client

        options = _options(query)
        names = options.pop("collections", ())
        key = settings.key.get_secret_value() or None
        with Client(settings.url, api_key=key, collection=next(iter(names), None)) as client:
            yield lambda questions: client.ask_many(questions, **options)
        return
    from qa.search.query import check
    from qa.service.service import Service
    from qa.web.api.responses import AskResponse

    service = Service(settings)
    check(replace(query, question="?"), service.limits)
    service.reload()

    def ask_many(questions: Sequence[str]) -> list[AskResponse | QAError]:
        replies = service.ask_many([replace(query, question=question) for question in questions])
        return [each if isinstance(each, QAError) else AskResponse.from_reply(each) for each in replies]

    yield ask_many


def _ask_here(settings: Settings, query: Query) -> AskResponse:
    require("serve", "qa ask without --url")
    from qa.answers.notation import compile_patterns
    from qa.search.query import check
    from qa.service.service import Service
    from qa.web.api.responses import AskResponse

    service = Service(settings)
    check(query, service.limits)
    # While the models are being loaded, which is not done by the interpreter.
    threading.Thread(target=compile_patterns, daemon=True).start()
    service.reload()
    return AskResponse.from_reply(service.ask(query))


def _ask_service(settings: Settings, query: Query) -> AskResponse:
    from qa.client import Client

    with Client(settings.url, api_key=settings.key.get_secret_value() or None) as client:
        return client.ask(query.question, **_options(query))


def _options(query: Query) -> AskOptions:
    from qa.client import AskOptions

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
    return options
