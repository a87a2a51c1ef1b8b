"""The commands ``qa snapshots list``, ``activate``, ``verify`` and ``prune``."""

from __future__ import annotations

from typing import Annotated

import typer

from qa.cli.flags import IndexesFlag, NameFlag, load_settings
from qa.markup import safe_line

app = typer.Typer(
    help="List an index's snapshots and switch between them.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def list_snapshots(name: NameFlag = None, indexes: IndexesFlag = None) -> None:
    """List the snapshots, newest first; * marks the active one."""
    from qa.index.snapshots import Snapshots

    settings = load_settings(name=name, indexes=indexes)
    for info in Snapshots(settings.indexes, settings.name).listing():
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


@app.command()
def activate(id: SnapshotId, name: NameFlag = None, indexes: IndexesFlag = None) -> None:
    """Check a snapshot and make it the active one."""
    from qa.index.snapshots import Snapshots

    settings = load_settings(name=name, indexes=indexes)
    snapshots = Snapshots(settings.indexes, settings.name)
    snapshots.path(id)
    with snapshots.writing() as writer:
        manifest = writer.activate(id)
    typer.echo(f"{manifest.id} is active.")


@app.command()
def verify(id: OptionalSnapshotId = None, name: NameFlag = None, indexes: IndexesFlag = None) -> None:
    """Check every checksum, span and vector of a snapshot."""
    from qa.index.snapshots import Snapshots

    settings = load_settings(name=name, indexes=indexes)
    manifest = Snapshots(settings.indexes, settings.name).verify(id)
    typer.echo(f"{manifest.id} is whole: documents {manifest.documents:,}, passages {manifest.passages:,}.")


@app.command()
def prune(
    keep_snapshots: Annotated[int | None, typer.Option(help="How many of the newest snapshots to keep.")] = None,
    name: NameFlag = None,
    indexes: IndexesFlag = None,
) -> None:
    """Remove old snapshots, and the embeddings that no other snapshot uses. The active one always stays."""
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
