"""`qa serve --watch`: the index follows its folder, and a file that is half written is read again when it is whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import structlog

from qa.errors import QAError, SourceNotFound, WriterBusy
from qa.indexing import SilentListener, update
from qa.settings import Settings
from qa.snapshots import Snapshots
from qa.types import Encoder

log = structlog.get_logger(__name__)

# Milliseconds: changes are gathered until none came for the first, and no longer than the second.
_QUIET = 300
_LONGEST = 1500
# Seconds before an update is tried again that somebody else's build, or a passing fault, kept from happening.
_AGAIN = 2.0


def watched_paths(snapshots: Snapshots) -> tuple[Path, ...]:
    """What the active snapshot was made of.

    Raises:
        SourceNotFound: a path is not there any more.
        SnapshotError: there is no active snapshot.
    """
    paths = tuple(Path(source) for source in snapshots.manifest().sources)
    for path in paths:
        if not path.exists():
            raise SourceNotFound(
                f"{path}, which this index was made of, is not there; index what is, or serve without --watch"
            )
    return paths


def watch(settings: Settings, paths: Sequence[Path], encoder: Callable[[], Encoder], stopped: threading.Event) -> None:
    """Update the index now and after every change below ``paths``, until ``stopped``. Runs in a thread of its own.

    Whoever follows the index sees each update as a new snapshot; old ones beyond the setting are removed.
    """
    from watchfiles import watch as changes_of

    pending = True
    changes = changes_of(
        *paths,
        watch_filter=None,
        debounce=_LONGEST,
        step=_QUIET,
        rust_timeout=int(1000 * _AGAIN),
        yield_on_timeout=True,
        stop_event=stopped,
        raise_interrupt=False,
    )
    # What changed while nobody watched is looked for at once.
    for changed in chain([set()], changes):
        if pending or any(not _belongs_to(settings.indexes, path) for _, path in changed):
            pending = not _update(settings, paths, encoder)


def _belongs_to(indexes: Path, path: str) -> bool:
    """An update writes files of its own; where they lie below what is watched, they are no change."""
    return Path(path).is_relative_to(indexes.resolve())


def _update(settings: Settings, paths: Sequence[Path], encoder: Callable[[], Encoder]) -> bool:
    """Whether it is done, with whatever result; if not, it is to be tried again."""
    try:
        done = update(settings, paths, SilentListener(), make=lambda settings, *, threads: encoder())
        if done.counts.changed:
            log.info("index updated", snapshot=done.manifest.id, encoded=done.counts.encoded, seconds=done.seconds)
            with Snapshots(settings.indexes, settings.name).writing() as writer:
                writer.prune(settings.keep_snapshots)
    except WriterBusy:
        return False
    except QAError as error:
        log.error("index not updated; what is served stays", reason=str(error))
    except Exception as error:  # the thread must outlive whatever one file can do
        log.error("index not updated; what is served stays", exc_info=error)
        return False
    return True
