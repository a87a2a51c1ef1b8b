"""The entry point of all commands, and ``qa index``, ``serve``, ``keys``, ``mcp`` and ``snapshots``.

Every command imports what it needs when it runs, because ``qa --help`` must answer at once. The listening socket of
``qa serve`` is opened here too, before anything heavy is imported.
"""

from __future__ import annotations

import errno
import io
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import structlog
import typer

from qa.cli import ask as asking_commands
from qa.cli import evaluate as evaluation_commands
from qa.cli.flags import (
    DEFAULT_MARGIN,
    IndexesFlag,
    MarginFlag,
    ModelFlag,
    NameFlag,
    load_settings,
)
from qa.cli.models import models_app
from qa.errors import QAError, QuestionFileError, SettingsError
from qa.extras import require
from qa.markup import safe_line, safe_lines

if TYPE_CHECKING:
    from qa.index.snapshots import Snapshots
    from qa.settings import Settings

snapshots_app = typer.Typer(
    help="List an index's snapshots and switch between them.", no_args_is_help=True, rich_markup_mode=None
)


@snapshots_app.command("list")
def list_snapshots(name: NameFlag = None, indexes: IndexesFlag = None) -> None:
    """List the snapshots, newest first; * marks the active one."""
    require("serve", "qa snapshots list")
    from qa.index.snapshots import Snapshots

    settings = load_settings(name=name, indexes=indexes)
    found = Snapshots.of(settings).listing()
    # Not among the lines of snapshots, which programs read.
    typer.echo(safe_line(f"Index {settings.name} in {settings.indexes.absolute()}:"), err=True)
    for info in found:
        if info.manifest is None:
            typer.echo(f"{'*' if info.active else ' '} {info.id}  {safe_line(info.problem)}")
            continue
        mark, manifest = "*" if info.active else " ", info.manifest
        typer.echo(
            f"{mark} {info.id}  {manifest.created}  documents {manifest.documents:>6,}  "
            f"passages {manifest.passages:>7,}  {info.size / 1e6:.1f} MB  {safe_line(manifest.encoder)}"
        )


SnapshotId = Annotated[str, typer.Argument(metavar="ID", help="The snapshot's id, as the list shows it.")]
OptionalSnapshotId = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="The snapshot; the active one by default.")
]


@snapshots_app.command()
def activate(id: SnapshotId, name: NameFlag = None, indexes: IndexesFlag = None) -> None:
    """Check a snapshot and make it the active one."""
    require("serve", "qa snapshots activate")
    from qa.index.snapshots import Snapshots

    settings = load_settings(name=name, indexes=indexes)
    snapshots = Snapshots.of(settings)
    snapshots.path(id)
    with snapshots.writing() as writer:
        manifest = writer.activate(id)
    typer.echo(f"{manifest.id} is active.")


@snapshots_app.command()
def verify(id: OptionalSnapshotId = None, name: NameFlag = None, indexes: IndexesFlag = None) -> None:
    """Check every checksum, span and vector of a snapshot."""
    require("serve", "qa snapshots verify")
    from qa.index.snapshots import Snapshots

    settings = load_settings(name=name, indexes=indexes)
    manifest = Snapshots.of(settings).verify(id)
    typer.echo(f"{manifest.id} is whole: documents {manifest.documents:,}, passages {manifest.passages:,}.")
    parameters = ", ".join(f"{name} {value}" for name, value in manifest.vectors.items() if name != "engine")
    typer.echo(f"Vectors: {manifest.vectors['engine']}{', ' * bool(parameters)}{parameters}.")


@snapshots_app.command()
def prune(
    keep_snapshots: Annotated[int | None, typer.Option(help="How many of the newest snapshots to keep.")] = None,
    name: NameFlag = None,
    indexes: IndexesFlag = None,
) -> None:
    """Remove old snapshots, and the embeddings that no other snapshot uses. The active one always stays."""
    require("serve", "qa snapshots prune")
    from qa.build.update import prune as prune_index

    settings = load_settings(name=name, indexes=indexes, keep_snapshots=keep_snapshots)
    pruned = prune_index(settings)
    for id in pruned.removed:
        typer.echo(f"removed {id}")
    embeddings = "no" if pruned.forgotten is None else pruned.forgotten
    typer.echo(f"Removed: snapshots {len(pruned.removed)}, embeddings {embeddings}.")
    if pruned.forgotten is None:
        typer.echo(
            "No embeddings were removed: a snapshot that stays is damaged (qa snapshots verify finds it).",
            err=True,
        )


app = typer.Typer(
    name="qa",
    help="Ask questions of a folder of documents. Settings are QA_* environment variables; flags win over them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"qa {version('qa')}")
        except PackageNotFoundError:
            typer.echo("qa, from a source tree that is not installed")
        raise typer.Exit


@app.callback()
def show_version_or_run(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Show the version, or run the command that is named."""
    # Standard output is for what was asked for, such as JSON. The stream is looked up for each line. `qa serve`
    # configures a log of its own.
    structlog.configure(processors=[_as_warning], logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def _as_warning(logger: object, method: str, event: structlog.typing.EventDict) -> str:
    """Write an event of the log as a line for the person who waits, or drop one that is no warning."""
    if method in {"debug", "info"}:
        raise structlog.DropEvent
    error = event.pop("exc_info", None)
    if error and not isinstance(error, BaseException):
        error = sys.exception()
    reason = event.pop("reason", f"{type(error).__name__}: {error}" if error else "")
    said = event.pop("event")
    about = ", ".join(f"{name} {value}" for name, value in event.items())
    return safe_line(f"qa: warning: {said}{f' ({about})' * bool(about)}{f': {reason}' * bool(reason)}")


asking_commands.register(app)
evaluation_commands.register(app)
app.add_typer(snapshots_app, name="snapshots")
app.add_typer(models_app, name="models")


@app.command()
def index(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders and files to index, together.")],
    name: NameFlag = None,
    indexes: IndexesFlag = None,
    model: ModelFlag = None,
    passage_tokens: Annotated[int | None, typer.Option(min=16, help="The most tokens in a passage.")] = None,
    overlap_tokens: Annotated[int | None, typer.Option(min=0, help="The most tokens that two passages share.")] = None,
    hidden: Annotated[
        bool | None, typer.Option("--hidden", help="Read hidden sheets, rows and columns of workbooks, too.")
    ] = None,
    ocr: Annotated[
        bool | None, typer.Option("--ocr/--no-ocr", help="Recognise pages without text, and images of pages.")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Read every file again, changed or not.")] = False,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Do nothing if the index exists and can be read.")
    ] = False,
    gate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Activate only if these questions are answered no worse."),
    ] = None,
    margin: MarginFlag = DEFAULT_MARGIN,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Encode on a Ray cluster first: local, auto or HOST:PORT (docs/scaling.md).",
        ),
    ] = None,
) -> None:
    """Bring an index up to date with its documents. Only changed files are read, and only new text is encoded."""
    require("serve", "qa index")
    from qa.errors import IndexNotFound, SnapshotIncompatible
    from qa.index.snapshots import Snapshots

    settings = load_settings(
        name=name,
        indexes=indexes,
        model=model,
        passage_tokens=passage_tokens,
        overlap_tokens=overlap_tokens,
        hidden=hidden,
        ocr=ocr,
    )
    if if_missing:
        snapshots = Snapshots.of(settings)
        try:
            current = snapshots.current()
            snapshots.manifest(current)
        except (IndexNotFound, SnapshotIncompatible):
            # What this version cannot read is as good as missing.
            pass
        else:
            typer.echo(safe_line(f"The index {settings.name} exists already (snapshot {current})."))
            return
    from qa.build.update import update
    from qa.cli.progress import IndexingProgress

    questions = evaluation_commands.load_gate_questions(gate) if gate else None
    snapshots = Snapshots.of(settings)
    before = snapshots.current_or_none()
    try:
        with IndexingProgress() as progress:
            gating = evaluation_commands.make_snapshot_gate(settings, questions, progress, margin)
            result = update(settings, paths, progress, rebuild=rebuild, gate=gating, ray=ray)
    except KeyboardInterrupt:
        if snapshots.current_or_none() == before:
            typer.echo("Interrupted; nothing was published. Run it again to continue from what was encoded.", err=True)
        raise
    progress.summarise(result, settings.name)
    if before is not None and before != result.manifest.id:
        _warn_of_lost_documents(snapshots, before, result.manifest.documents)


def _warn_of_lost_documents(snapshots: Snapshots, before: str, documents: int) -> None:
    """Say that an index has fewer documents than before, as where one file was given instead of the folder."""
    from qa.cli.progress import counted

    try:
        had = snapshots.manifest(before).documents
    except QAError:
        return
    if documents < had:
        typer.echo(
            f"It had {counted(had, 'document')} before and has {documents:,} now: an index holds what is given, and no "
            f"more. To go back: qa snapshots activate {before} --name {snapshots.name}",
            err=True,
        )


@app.command()
def serve(
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            help="The index to serve; repeatable, the first is the default one. Without, what QA_NAME says.",
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Serve every index in the folder of indexes.")] = False,
    indexes: IndexesFlag = None,
    model: ModelFlag = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Index again whenever a file of the folder changes.")] = False,
    create: Annotated[
        bool, typer.Option("--create", help="Begin with an empty collection, for documents that are uploaded.")
    ] = False,
    behind_proxy: Annotated[
        bool | None, typer.Option("--behind-proxy", help="Do not start without keys: a proxy stands in front.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, max=64, help="How many processes serve; 0, the default, decides by cores and memory."),
    ] = None,
) -> None:
    """Serve an index over HTTP, or several, with a page for people at /. New snapshots are served within seconds."""
    require("serve", "qa serve")
    first = names[0] if names else None
    settings = load_settings(
        name=first,
        indexes=indexes,
        model=model,
        host=host,
        port=port,
        behind_proxy=behind_proxy,
        workers=workers,
    )
    from qa.web.workers.default import default_workers

    settings = settings.model_copy(update={"workers": settings.workers or default_workers()})
    if settings.workers > 1:
        # NumPy reads it when it is imported: it starts no threads, which may hold locks when workers are forked.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from qa.errors import IndexNotFound
    from qa.index.snapshots import Snapshots, names_to_serve

    if watch:
        from qa.build.watch import require_watchable

    served = names_to_serve(settings.indexes, settings.name, names or (), every=all_)
    for each in served:
        own = settings.model_copy(update={"name": each})
        try:
            if not _keeps_documents(own, create=create):
                Snapshots(settings.indexes, each).current()
                if watch:
                    require_watchable(own)
        except QAError as error:
            # One of several must not keep the others from being served: /readyz and its pages say what it lacks. One
            # that is not there at all was misspelt.
            if isinstance(error, IndexNotFound):
                raise IndexNotFound(f"{error}, or begin with an empty one: qa serve --create --name {each}") from None
            if len(served) == 1:
                raise
            typer.echo(f"{each}: {safe_line(str(error))}", err=True)
    # The port opens before FastAPI, and long before torch, is imported.
    socket = listen(settings.host, settings.port)
    from qa.web.server import run

    run(settings.model_copy(update={"name": served[0]}), socket, watch, served)


def _keeps_documents(settings: Settings, *, create: bool) -> bool:
    """Return whether a collection keeps documents that are uploaded; with ``create``, one without an index begins to.

    Raises:
        SettingsError: with ``create``, it was made of other folders.
    """
    from qa.build.uploads import DocumentFolder, is_made_of
    from qa.errors import IndexNotFound
    from qa.index.snapshots import Snapshots

    snapshots = Snapshots.of(settings)
    folder = DocumentFolder(snapshots.folder, settings.upload_limits)
    try:
        sources = snapshots.manifest().sources
        is_own = folder.exists and is_made_of(folder.path, sources)
        if create and not is_own:
            raise SettingsError(
                f"the index {settings.name!r} was made of other folders; serve it without --create, or another --name"
            )
    except IndexNotFound:
        is_own = create or folder.exists
    if create:
        folder.create()
    return is_own


@app.command()
def keys(
    key_name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is; the log shows this name.")],
    admin: Annotated[bool, typer.Option("--admin", help="Allow operating the server, and not only asking.")] = False,
    collections: Annotated[
        list[str] | None,
        typer.Option("--collection", help="The key is for this collection alone; repeatable. Without, for all."),
    ] = None,
) -> None:
    """Make a key for a client. The key is shown once; its hash goes into QA_API_KEYS."""
    require("serve", "qa keys")
    from qa.web.middleware.access import new_key

    secret, entry = new_key(key_name, "admin" if admin else "ask", collections or ())
    typer.echo(f"key:    {secret}\nentry:  {entry}")
    typer.echo("Give the key to the client, and add the entry to QA_API_KEYS.", err=True)


@app.command()
def mcp(name: NameFlag = None, indexes: IndexesFlag = None, model: ModelFlag = None) -> None:
    """Offer an index to a language model's client over standard input and output (Model Context Protocol)."""
    require("serve", "qa mcp")
    settings = load_settings(name=name, indexes=indexes, model=model)
    from qa.index.snapshots import Snapshots

    Snapshots.of(settings).current()
    from qa.web.app import version_of_qa
    from qa.web.mcp import run_on_stdio

    run_on_stdio(settings, version_of_qa())


# The faults of a question file that are shown, each on its line.
_SHOWN_FAULTS = 20


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 an error (printed as one line), 2 wrong usage, 130 interrupted, 143 ended by SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows another one: that is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except QuestionFileError as error:
        for fault in error.faults[:_SHOWN_FAULTS]:
            typer.echo(f"qa: error: {safe_lines(str(fault))}", err=True)
        if (count := len(error.faults)) > 1:
            first = f", of which the first {_SHOWN_FAULTS} are listed" if count > _SHOWN_FAULTS else ""
            typer.echo(f"{count:,} faults{first}; --keep-going leaves such records out", err=True)
        sys.exit(1)
    except QAError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))


def _fail(message: str) -> NoReturn:
    typer.echo(f"qa: error: {safe_lines(message)}", err=True)
    sys.exit(1)


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen. Connections wait in the backlog until the server accepts them.

    Raises:
        SettingsError: the port is in use or not allowed, or the address does not belong to this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(2048)
        except OSError:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        raise SettingsError(_reason(host, port, error)) from error
    return listening


def _reason(host: str, port: int, error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return f"{host!r} is no host name; check --host or QA_HOST"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; stop what uses it, or choose another with --port or QA_PORT"
    if error.errno == errno.EACCES:
        return f"port {port} needs rights that this user does not have; choose one above 1023 with --port or QA_PORT"
    return f"cannot listen on {host}, port {port} ({error.strerror}); check --host or QA_HOST"
