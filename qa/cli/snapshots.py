"""The commands ``qa snapshots list``, ``activate``, ``verify`` and ``prune``."""

from __future__ import annotations

from typing import Annotated

import typer

from qa.cli.flags import Indexes, Name, settings_of

app = typer.Typer(
    help="List an index's snapshots and switch between them.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def list_snapshots(name: Name = None, indexes: Indexes = None) -> None:
    """List the snapshots, newest first; * marks the active one."""
    from qa.index.snapshots import Snapshots

    settings = settings_of(name=name, indexes=indexes)
    for info in Snapshots(settings.indexes, settings.name).listing():
        if info.manifest is None:
            typer.echo(f"{'*' if info.active else ' '} {info.id}  {info.problem}")
            continue
        mark, manifest = "*" if info.active else " ", info.manifest
        typer.echo(
            f"{mark} {info.id}  {manifest.created}  documents {manifest.documents:>6,}  "
            f"passages {manifest.passages:>7,}  {info.size / 1e6:.1f} MB  {manifest.encoder}"
        )


Id = Annotated[str, typer.Argument(metavar="ID", help="The snapshot's id, as the list shows it.")]
OptionalId = Annotated[str | None, typer.Argument(metavar="[ID]", help="The snapshot's id; the active one by default.")]


@app.command()
def activate(id: Id, name: Name = None, indexes: Indexes = None) -> None:
    """Check a snapshot and make it the active one."""
    from qa.index.snapshots import Snapshots

    settings = settings_of(name=name, indexes=indexes)
    snapshots = Snapshots(settings.indexes, settings.name)
    snapshots.path(id)
    with snapshots.writing() as writer:
        manifest = writer.activate(id)
    typer.echo(f"{manifest.id} is active.")


@app.command()
def verify(id: OptionalId = None, name: Name = None, indexes: Indexes = None) -> None:
    """Check every sum, span and vector of a snapshot."""
    from qa.index.snapshots import Snapshots

    settings = settings_of(name=name, indexes=indexes)
    manifest = Snapshots(settings.indexes, settings.name).verify(id)
    typer.echo(f"{manifest.id} is whole: documents {manifest.documents:,}, passages {manifest.passages:,}.")


@app.command()
def prune(
    keep_snapshots: Annotated[int | None, typer.Option(help="How many of the newest to keep.")] = None,
    name: Name = None,
    indexes: Indexes = None,
) -> None:
    """Remove old snapshots, never the active one, and the embeddings that none of the rest uses."""
    from qa.build.update import prune as prune_index

    settings = settings_of(name=name, indexes=indexes, keep_snapshots=keep_snapshots)
    pruned = prune_index(settings)
    for id in pruned.removed:
        typer.echo(f"removed {id}")
    embeddings = "no" if pruned.forgotten is None else pruned.forgotten
    typer.echo(f"Removed: snapshots {len(pruned.removed)}, embeddings {embeddings}.")
    if pruned.forgotten is None:
        typer.echo(
            "Embeddings are kept while a snapshot that stays is damaged: qa snapshots verify finds it.", err=True
        )
