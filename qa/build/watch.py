"""`qa serve --watch`: the index follows its folder, and a file that is half written is read again when it is whole."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from qa.build.update import SilentListener, follow, prune
from qa.errors import NothingToIndex, QAError, ReadingUnavailable, SourceNotFound, StorageError, WriterBusy
from qa.index.snapshots import Snapshots
from qa.models.loading import make_encoder
from qa.protocols import Encoder
from qa.settings import Settings

log = structlog.get_logger(__name__)

# Milliseconds: changes are gathered until none came for the first, and no longer than the second.
_QUIET = 300
_LONGEST = 1500
# Seconds before an update is tried again that somebody else's build, or a passing fault, kept from happening.
_AGAIN = 5.0
# Milliseconds between two looks at whether anything is due.
_TICK = 500
# Of the time, at most, in which embeddings that nothing uses any more are looked for.
_PRUNING_SHARE = 0.02


def watched_paths(snapshots: Snapshots) -> tuple[Path, ...]:
    """Return the paths that the active snapshot was made of.

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


def require_watchable(settings: Settings) -> None:
    """Raise at the start what would keep ``--watch`` from ever doing anything.

    Raises:
        SourceNotFound, SnapshotError: as :func:`watched_paths`.
        EncoderError: the model that the settings name is not there.
        SnapshotIncompatible: it is not the active snapshot's.
    """
    snapshots = Snapshots.of(settings)
    watched_paths(snapshots)
    encoder = make_encoder(settings, threads=1)
    snapshots.manifest().require_encoder(encoder.name, encoder.fingerprint)


def watch(
    settings: Settings,
    encoder: Callable[[], Encoder],
    stopped: threading.Event,
    trouble: Callable[[str], None] = lambda clause: None,
    turn: threading.Lock | None = None,
) -> None:
    """Update the index now and after every change of its files, until ``stopped``. Runs in a thread of its own.

    What is indexed, and how it is split, is the active snapshot's and not the settings'; another model than the
    snapshot's changes nothing. Whoever follows the index sees each update as a new snapshot; old ones beyond the
    setting are removed, and with them the embeddings that only they used.

    Args:
        trouble: is given why the index does not follow its folder, in a clause for clients, and an empty text when it
            does again.
        turn: held during each update; those who share it update one after the other.
    """
    pruning = Pruning()
    turn = turn or threading.Lock()
    while not stopped.is_set():
        try:
            _watch(settings, encoder, stopped, pruning, trouble, turn)
        except Exception as error:  # a path that is gone, or a limit of the system: it may be mended
            trouble(public_reason(error))
            log.error("not watching; trying again", reason=str(error))
            stopped.wait(_AGAIN)


def public_reason(error: Exception) -> str:
    """Return a clause that tells clients why the index does not follow its folder; it names no path."""
    match error:
        case NothingToIndex():
            return "nothing that can be read is left of what was indexed; what is served was read before"
        case SourceNotFound():
            return "what was indexed is not where it was; what is served was read before"
        case _:
            return "the index does not follow its folder for now; the server's log says why"


def _watch(
    settings: Settings,
    encoder: Callable[[], Encoder],
    stopped: threading.Event,
    pruning: Pruning,
    trouble: Callable[[str], None],
    turn: threading.Lock,
) -> None:
    """Watch until ``stopped``, or other paths were indexed, or a path is another folder than it was: the system watches
    folders, not their names.
    """
    from watchfiles import watch as changes_of

    snapshots = Snapshots.of(settings)
    paths = watched_paths(snapshots)
    identities = _identities(paths)
    # An editor replaces a file by renaming, which only the folder around it sees.
    folders = {path.parent if path.is_file() else path for path in paths}
    # What changed while nobody watched is looked for at once, but with the watch already on.
    due = 0.0
    for changes in changes_of(
        *folders,
        watch_filter=None,
        debounce=_LONGEST,
        step=_QUIET,
        rust_timeout=_TICK,
        yield_on_timeout=True,
        stop_event=stopped,
        raise_interrupt=False,
    ):
        if any(not _belongs_to(settings.indexes, Path(path)) for _, path in changes):
            due = 0.0
        if watched_paths(snapshots) != paths:
            return
        if due <= time.monotonic():
            with turn:
                is_done = _update(settings, encoder, pruning, trouble)
            due = math.inf if is_done else time.monotonic() + _AGAIN
        if _identities(paths) != identities:
            return


def _identities(paths: Sequence[Path]) -> list[tuple[int, int] | None]:
    """Return (device, inode) of every watched folder; files have none, their folder is watched."""
    statuses = ((path, path.stat()) for path in paths)
    return [(status.st_dev, status.st_ino) if path.is_dir() else None for path, status in statuses]


def _belongs_to(indexes: Path, path: Path) -> bool:
    """Tell whether a file is of the indexes: an update writes files of its own, which are no change."""
    return path.is_relative_to(indexes.absolute()) or path.resolve().is_relative_to(indexes.resolve())


class Pruning:
    """Pruning of old snapshots after every update, and the embeddings that only they used now and then.

    To find those, every passage that stays is read: it is given a small share of the time.
    """

    def __init__(self) -> None:
        self._due = 0.0

    def run(self, settings: Settings) -> None:
        started = time.monotonic()
        if started < self._due:
            with Snapshots.of(settings).writing() as writer:
                writer.prune(settings.keep_snapshots)
            return
        prune(settings)
        now = time.monotonic()
        self._due = now + (now - started) / _PRUNING_SHARE


def _update(
    settings: Settings, encoder: Callable[[], Encoder], pruning: Pruning, trouble: Callable[[str], None]
) -> bool:
    """Update the index; returns false where that is to be tried again."""
    try:
        done = follow(settings, SilentListener(), encoder())
        trouble("")
        if done.counts.changed:
            log.info("index updated", snapshot=done.manifest.id, encoded=done.counts.encoded, seconds=done.seconds)
            _prune(settings, pruning)
    except WriterBusy:
        return False
    except (StorageError, ReadingUnavailable) as error:
        trouble(public_reason(error))
        log.error("index not updated; trying again", reason=str(error))
        return False
    except QAError as error:
        trouble(public_reason(error))
        log.error("index not updated; what is served stays until the next change", reason=str(error))
    return True


def _prune(settings: Settings, pruning: Pruning) -> None:
    """Remove old snapshots; where that fails, the update has not failed, and the next one tries again."""
    try:
        pruning.run(settings)
    except (WriterBusy, StorageError) as error:
        log.warning("old snapshots not removed", reason=str(error))
