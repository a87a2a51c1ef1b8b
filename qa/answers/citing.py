"""Citations, and what has become of them: whether the source is still what was indexed, and what the span holds."""

from __future__ import annotations

import threading

from qa.answers.source_files import FileSums, Original, SourceFiles
from qa.errors import IndexNotFound, QueryError, SnapshotError, SnapshotNotFound
from qa.index.manifest import Manifest
from qa.index.snapshots import Snapshots
from qa.index.store import Store
from qa.types import CheckedCitation, Citation, CitationClaim, CitationStatus

_MOST_OPENED = 4
_DETAILS = {
    "verified": "the source is byte for byte what was indexed, and the span holds this text",
    "drifted": "the source has changed since it was indexed; this is the text as it was then",
    "missing": "the source is not where it was indexed, or cannot be read; this is the text as it was indexed",
}
_ANOTHER_VERSION = "snapshot {} holds another version of the document than the one cited; name the citation's snapshot"


class Citers:
    """A citer for each snapshot of an index that exists. Thread-safe."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._sums = FileSums()
        self._opened: dict[str, Citer] = {}
        self._opening = threading.Lock()

    def of(self, manifest: Manifest, store: Store) -> Citer:
        """Of a snapshot that is open already."""
        return Citer(manifest, store, self._sums)

    def at(self, id: str) -> Citer:
        """Of any other. What was opened is kept for the next time, the last few of them.

        Raises:
            SnapshotNotFound: there is no such snapshot, or none that this program can read.
        """
        with self._opening:
            try:
                self._snapshots.path(id)  # what was opened before may have been pruned since
                if id not in self._opened:
                    manifest, store = self._snapshots.open_store(id)
                    # Never closed by name: another thread may be reading it.
                    while len(self._opened) >= _MOST_OPENED:
                        del self._opened[next(iter(self._opened))]
                    self._opened[id] = Citer(manifest, store, self._sums)
                return self._opened[id]
            except SnapshotError as error:
                self._opened.pop(id, None)
                raise SnapshotNotFound(_why_not(id, error)) from error


class Citer:
    """Cites one snapshot. Thread-safe.

    Args:
        sums: shared by all snapshots, whose sources are mostly the same files.
    """

    def __init__(self, manifest: Manifest, store: Store, sums: FileSums) -> None:
        self._snapshot = manifest.id
        self._store = store
        self.sources = SourceFiles(manifest.sources, sums)

    def cite(self, document: str, start: int, end: int) -> Citation:
        """The citation of ``[start, end)``, its status as it is now; the span's text is what the snapshot holds.

        Raises:
            DocumentNotFound: the snapshot holds no such document.
            QueryError: the span is empty or not within the document; names its field.
        """
        source_sha256, text_sha256, characters = self._store.sums(document)
        _require_span(start, end, characters)
        page, section = self._store.place(document, start)
        status = self._status(document, source_sha256)
        return Citation(document, start, end, page, section, source_sha256, text_sha256, status)

    def original(self, document: str) -> Original:
        """The file that a document was read from.

        Raises:
            DocumentNotFound: the snapshot holds no such document.
            OriginalUnavailable: its bytes have changed, or are gone.
        """
        return self.sources.original(document, self._store.sums(document)[0])

    def status(self, document: str) -> CitationStatus:
        """What has become of a document's source. Raises DocumentNotFound."""
        return self._status(document, self._store.sums(document)[0])

    def check(self, claim: CitationClaim) -> CheckedCitation:
        """What has become of a citation.

        It has drifted, too, where the snapshot holds another version of the document, or the same read differently.

        Raises:
            DocumentNotFound, QueryError: as :meth:`cite`.
        """
        source_sha256, text_sha256, characters = self._store.sums(claim.document)
        is_cited_version = claim.source_sha256 == source_sha256 and claim.text_sha256 in (None, text_sha256)
        if not is_cited_version:
            _require_span(claim.start, claim.end)
            return self._of_another_version(claim)
        _require_span(claim.start, claim.end, characters)
        citation = self.cite(claim.document, claim.start, claim.end)
        text = self._store.text(claim.document, claim.start, claim.end)
        return CheckedCitation(self._snapshot, citation, text, _DETAILS[citation.status])

    def _of_another_version(self, claim: CitationClaim) -> CheckedCitation:
        status: CitationStatus = "missing" if self.sources.sha256(claim.document) is None else "drifted"
        citation = Citation(
            claim.document,
            claim.start,
            claim.end,
            page=None,
            section=None,
            source_sha256=claim.source_sha256,
            text_sha256=claim.text_sha256 or "",
            status=status,
        )
        return CheckedCitation(self._snapshot, citation, None, _ANOTHER_VERSION.format(self._snapshot))

    def _status(self, document: str, indexed_sha256: str) -> CitationStatus:
        found = self.sources.sha256(document)
        if found is None:
            return "missing"
        return "verified" if found == indexed_sha256 else "drifted"


def _why_not(id: str, error: SnapshotError) -> str:
    """For clients, who learn no path of this machine."""
    shown = id if len(id) < 100 else id[:100] + "…"
    if isinstance(error, SnapshotNotFound | IndexNotFound):
        return f"no snapshot {shown!r} exists; it may have been pruned since it was cited"
    return f"snapshot {shown!r} cannot be read: it is damaged, or of another version of the program"


def _require_span(start: int, end: int, characters: int | None = None) -> None:
    """Raises QueryError; without ``characters`` the end of the document is not known."""
    if start < 0:
        raise QueryError("start", "start must not be negative; it counts characters of the text from 0")
    if end <= start:
        raise QueryError("end", "end must be greater than start; it is where the span ends, exclusive")
    if characters is not None and end > characters:
        raise QueryError("end", f"end lies beyond the document, which has {characters:,} characters")
