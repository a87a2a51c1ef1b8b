"""The snapshot of an index that is served, with its models, and its replacing by another under running requests.

Where the current one cannot be served, the one before goes on being served (:mod:`qa.service.following`).
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from qa.answers.calibration import CALIBRATION_FILE, Calibrations, load_calibrations, models_key
from qa.build.uploads import DOCUMENTS
from qa.errors import IndexNotFound, NotReady, QAError
from qa.index.snapshots import Snapshots
from qa.models.loading import EncoderFactory, Models, make_encoder
from qa.protocols import Encoder
from qa.search.retriever import Retriever
from qa.service.following import log_failure, public_reason
from qa.service.replaced import Replaced
from qa.settings import Settings
from qa.types import Query, Reply, State

log = structlog.get_logger(__name__)

# Seconds between two looks of a caller that waits for the first snapshot.
_WAIT_STEP = 0.05
# How many snapshots are loaded one after the other, at most, where others become current meanwhile. The last one is
# served whatever is current by then, so that a pointer that moves all the time keeps no server from its answers.
_MOST_LOADED = 3
# The state of a collection that keeps its own documents and has none.
_EMPTY = ("empty", "the collection is empty; upload documents, and it answers from them")

AskMany = Callable[[Sequence[Query]], Sequence[Reply | QAError]]


@dataclass(frozen=True, slots=True)
class Held:
    """What is served at one moment. It answers on from its snapshot, whichever becomes current meanwhile."""

    index: str
    snapshot: str
    revision: int
    ask_many: AskMany


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A snapshot that is open, with the calibrations of its answers and the version of their file."""

    retriever: Retriever
    calibrations: Calibrations
    calibrated: tuple[int, ...]


class ServedSnapshot(ABC):
    """The snapshot of one index that is served, with its models; others are loaded beside it and take its place.

    Thread-safe: a request uses the snapshot that was served when it arrived. The constructor loads nothing.

    Args:
        models: those of the process, where other services use them too.
        snapshot: serve this snapshot instead of the current one.
        is_calibrated: whether to read the calibration; without it, answers have no confidence. ``qa calibrate`` leaves
            it out, because the present one may be the file that cannot be read.
        patience: seconds that a call waits while the first snapshot is loading, before it raises NotReady.
    """

    def __init__(
        self,
        settings: Settings,
        make: EncoderFactory = make_encoder,
        *,
        models: Models | None = None,
        snapshot: str | None = None,
        is_calibrated: bool = True,
        patience: float = 0.0,
    ) -> None:
        self.limits = settings.limits
        self._settings = settings
        self._snapshots = Snapshots.of(settings)
        self._models = models or Models(settings, make)
        self._pinned = snapshot
        self._is_calibrated = is_calibrated
        self._patience = patience
        self._reloading = threading.Lock()
        self._retriever: Retriever | None = None
        self._held: Held | None = None
        self._calibrations = Calibrations((), "")
        self._calibrated: tuple[int, ...] = ()
        self._revision = 0
        self._problem: tuple[str, str] | None = ("loading", "the snapshot and its models are being loaded")
        self._logged = ""
        self._noting = threading.Lock()
        self._troubles: dict[str, str] = {}
        self._explain_empty: Callable[[], str] = str
        self._follow: Callable[[str | None], None] = lambda snapshot: None
        self._announce: Callable[[], None] = lambda: None
        self._switching_to: str | None = None
        self._replaced = Replaced()

    def note(self, part: str, clause: str) -> None:
        """Say in :meth:`state` what another part of the server cannot do; an empty ``clause`` takes it back."""
        # Two parts that note at once must not lose what one of them says.
        with self._noting:
            self._troubles = {**self._troubles, part: clause}

    def explain_empty(self, explain: Callable[[], str]) -> None:
        """Set what says in a clause why the collection has nothing to answer from; it must not block.

        Where it returns an empty string, the collection is empty, and waits for documents.
        """
        self._explain_empty = explain

    def follow_with(self, follow: Callable[[str | None], None]) -> None:
        """Set what waits until the other processes of this server serve a snapshot, too; ``None`` is none."""
        self._follow = follow

    def announce_with(self, announce: Callable[[], None]) -> None:
        """Set what lets the other processes of this server see :attr:`switching_to` before it is served."""
        self._announce = announce

    @property
    def switching_to(self) -> str | None:
        """The id of a snapshot that is loaded and about to be served; ``None`` while there is none."""
        return self._switching_to

    def reload_everywhere(self) -> None:
        """Load what is current, and return when each process of this server answers from it.

        Raises:
            QAError: as :meth:`reload`.
        """
        self.reload()
        self._follow(self.state().snapshot)

    def reload(self) -> bool:
        """Load the current snapshot and calibration, and return whether the snapshot changed.

        Raises:
            QAError: the snapshot, the calibration or the model cannot be used; the one from before is still served.
        """
        with self._reloading:
            loads = 0
            while True:
                current = self._current()
                calibrated = _read_version(self._snapshots.folder / CALIBRATION_FILE)
                if self._retriever is not None and self._retriever.index.manifest.id == current:
                    self._keep(self._retriever, calibrated)
                    return False
                loaded = self._load(current, calibrated)
                loads += 1
                if self._switch(loaded, is_last=loads == _MOST_LOADED):
                    return True

    def _current(self) -> str:
        """Return the id of what is to be served. Raises SnapshotError."""
        return self._pinned or self._snapshots.current()

    def _keep(self, retriever: Retriever, calibrated: tuple[int, ...]) -> None:
        """Serve on what is served, with the calibration that has this version. Raises QAError."""
        # What is open is answered from, but nothing could be started from what has been removed.
        self._snapshots.manifest(retriever.index.manifest.id)
        if calibrated != self._calibrated:
            self._calibrations = self._read_calibrations(self.encoder())
            self._calibrated = calibrated
            self._hold(retriever, self._calibrations)
            log.info("calibration loaded", index=self._settings.name)
        self._problem = None

    def _load(self, id: str, calibrated: tuple[int, ...]) -> _Loaded:
        """Open a snapshot and load what answers from it. Raises QAError."""
        encoder = self.encoder()
        index = self._snapshots.open(id)
        try:
            # Refuses a snapshot of another model before seconds are spent on loading this one.
            reranker = self._models.reranker()
            retriever = Retriever(index, encoder, self.limits, reranker)
            calibrations = self._read_calibrations(encoder)
            self._models.load()
        except BaseException:
            index.close()
            raise
        return _Loaded(retriever, calibrations, calibrated)

    def _switch(self, loaded: _Loaded, *, is_last: bool) -> bool:
        """Serve what was loaded, and return whether it is; it is closed where another is current, unless ``is_last``.

        Raises:
            SnapshotError: no snapshot is current any more.
        """
        index = loaded.retriever.index
        try:
            self._switching_to = index.manifest.id
            # The others read what is coming before the pointer is read again: whoever moves the pointer is either seen
            # here, or sees there what is coming, and waits until it is served no more.
            self._announce()
            is_served = self._current() == index.manifest.id or is_last
            if is_served:
                self._note_replaced()
                self._hold(loaded.retriever, loaded.calibrations)
                self._retriever, self._problem, self._calibrations = loaded.retriever, None, loaded.calibrations
                self._calibrated = loaded.calibrated
        except BaseException:
            index.close()
            raise
        finally:
            self._switching_to = None
        if not is_served:
            index.close()
        return is_served

    def _hold(self, retriever: Retriever, calibrations: Calibrations) -> None:
        self._revision += 1
        ask_many = partial(self._answer_all, retriever, calibrations)
        self._held = Held(self._settings.name, retriever.index.manifest.id, self._revision, ask_many)

    def _note_replaced(self) -> None:
        if self._retriever is not None:
            self._replaced.add(self._retriever)

    def prepare(self) -> None:
        """Load the models before there is anything to serve, so that the first documents need not wait for them.

        Raises:
            EncoderError: a model cannot be used.
        """
        self._models.load()

    def _read_calibrations(self, encoder: Encoder) -> Calibrations:
        if not self._is_calibrated:
            return Calibrations((), "")
        reader = self._models.answer_reader()
        return load_calibrations(self._snapshots.folder, models_key(encoder.fingerprint, reader.fingerprint))

    def encoder(self) -> Encoder:
        """Return the one encoder of this process, which loads its weights at first use.

        Raises:
            EncoderError: there is no usable model.
        """
        return self._models.encoder()

    def close(self) -> None:
        """Release the snapshot. No call may be running, and none may follow."""
        with self._reloading:
            retriever, self._retriever, self._held = self._retriever, None, None
            if retriever is not None:
                retriever.index.close()

    def clear(self) -> None:
        """Serve nothing any more: the collection keeps its own documents, and none of them is indexed."""
        if self._retriever is not None or (self._problem or ("",))[0] != "empty":
            log.info("the collection is empty", index=self._settings.name)
        self._problem = _EMPTY
        self._note_replaced()
        self._retriever = self._held = None

    def clear_everywhere(self) -> None:
        """Do the same, and return when no process of this server answers any more."""
        self.clear()
        self._follow(None)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, IndexNotFound) and (self._snapshots.folder / DOCUMENTS).is_dir():
            self.clear()
            return
        if str(error) != self._logged:
            self._logged = str(error)
            log_failure(self._settings.name, error)
        self._problem = public_reason(error)

    def state(self) -> State:
        """Describe what is served, at once and without blocking."""
        retriever, problem = self._retriever, self._problem
        troubles = tuple(clause for _, clause in sorted(self._troubles.items()) if clause)
        if retriever is None:
            status, detail = problem or ("loading", "")
            if status == "empty":
                detail = "; ".join((self._explain_empty() or detail, *troubles))
                return State(False, status, detail, index=self._settings.name, troubles=troubles)
            return State(False, status, detail, index=self._settings.name)
        manifest = retriever.index.manifest
        detail = f"serving snapshot {manifest.id}"
        if problem:
            detail = f"{detail}; the current one cannot be loaded ({problem[0]}): {problem[1]}"
        return State(
            ready=True,
            status="ready",
            detail="; ".join((detail, *troubles)),
            index=self._settings.name,
            snapshot=manifest.id,
            documents=manifest.documents,
            passages=manifest.passages,
            created=manifest.created,
            revision=self._revision,
            problem=problem[0] if problem else "",
            troubles=troubles,
            calibration=self._calibrations.collection,
        )

    def hold(self) -> Held:
        """Return what is served now, to be asked more than once with the same snapshot and calibration.

        Raises:
            NotReady: nothing is served.
        """
        self._ready()
        if (held := self._held) is None:  # the collection has just become empty
            raise NotReady(self.state().detail, _EMPTY[0])
        return held

    @abstractmethod
    def _answer_all(
        self, retriever: Retriever, calibrations: Calibrations, queries: Sequence[Query]
    ) -> Sequence[Reply | QAError]:
        """Answer questions from one snapshot, in the order given; each gets a reply or its own error."""

    def _ready(self) -> Retriever:
        """Return what is served, after waiting for it where this service is patient. Raises NotReady."""
        until = time.monotonic() + self._patience
        while (retriever := self._retriever) is None:
            state = self.state()
            if state.status != "loading" or time.monotonic() >= until:
                raise NotReady(state.detail, state.status)
            time.sleep(_WAIT_STEP)
        return retriever


def _read_version(path: Path) -> tuple[int, ...]:
    """Return what changes when another file is put at ``path``; empty where there is none. Raises OSError."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size
