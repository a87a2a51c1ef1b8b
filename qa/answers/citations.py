"""Citations, and what has become of them: whether the source is still what was indexed, and what the span holds.

Sources are found by what the index recorded, never by a path that a client names.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import Path

from qa.errors import (
    DuplicateDocument,
    IndexNotFound,
    OriginalUnavailable,
    QueryError,
    SnapshotError,
    SnapshotNotFound,
)
from qa.files import open_regular, sha256_of_file
from qa.index.manifest import Manifest
from qa.index.snapshots import Snapshots
from qa.index.store import Store
from qa.readers.discovery import prefixes
from qa.types import CheckedCitation, Citation, CitationClaim, CitationStatus

# A file system's clock may tick this slowly: whoever writes twice within a tick leaves one time.
_TICK_NS = 2_000_000_000
_REMEMBERED = 4096
_BLOCK = 1 << 16
_ESCAPED_BYTE = re.compile(r"\\udc([89a-f][0-9a-f])")


class FileSums:
    """The SHA-256 of files, remembered for as long as a file's path, size, times and inode stay. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int, int, int], str] = {}
        self._lock = threading.Lock()

    def of(self, file: BufferedReader, path: Path) -> str:
        """Return the SHA-256 of an open file, which is read from its start unless its sum is known.

        Raises:
            OSError: it cannot be read.
        """
        before = _identity(file, path)
        with self._lock:
            if (known := self._known.get(before)) is not None:
                return known
        file.seek(0)
        found = sha256_of_file(file)
        # What is being written now may change again without its times telling.
        if _identity(file, path) == before and time.time_ns() - max(before[2:4]) > _TICK_NS:
            with self._lock:
                while len(self._known) >= _REMEMBERED:
                    del self._known[next(iter(self._known))]
                self._known[before] = found
        return found


def _identity(file: BufferedReader, path: Path) -> tuple[str, int, int, int, int]:
    status = os.fstat(file.fileno())
    return str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


@dataclass(frozen=True, slots=True)
class Original:
    """A source that is what was indexed, of ``size`` bytes; open until it has been read or is no longer referenced.

    ``name`` is the name of the file.
    """

    _file: BufferedReader
    size: int
    _sha256: str
    _opened: ExitStack
    name: str = ""

    @contextmanager
    def descriptor(self) -> Iterator[int]:
        """Give the descriptor of the open file, and close it after the block. Its bytes may have changed meanwhile."""
        with self._opened:
            yield self._file.fileno()

    def blocks(self) -> Iterator[bytes]:
        """Yield all bytes and check their sum again: the last block is held back until they are known to be right.

        Raises:
            OriginalUnavailable: somebody has written into the file meanwhile.
        """
        with self._opened:
            self._file.seek(0)
            digest, held = hashlib.sha256(), b""
            while block := self._file.read(_BLOCK):
                yield held
                digest.update(block)
                held = block
            if digest.hexdigest() != self._sha256:
                raise OriginalUnavailable("the file has changed while it was read")
            yield held


class SourceFiles:
    """The files below the paths that a snapshot was made of, its manifest's ``sources``. Thread-safe."""

    def __init__(self, sources: Sequence[str], sums: FileSums) -> None:
        self._roots = [_path(source) for source in sources]
        self._sums = sums

    def sha256(self, id: str) -> str | None:
        """Return the SHA-256 of a document's source now; ``None`` where there is no file that indexing would read.

        Args:
            id: of a document that is indexed; that of another would be looked for on the disk.
        """
        with suppress(OSError), self.opened(id) as file:
            if file is not None:
                return self._sums.of(file, Path(file.name))
        return None

    def original(self, id: str, sha256: str) -> Original:
        """Open the source, whose bytes must have the SHA-256.

        Raises:
            OriginalUnavailable: it is not there any more, cannot be read, or has another.
        """
        with ExitStack() as failing:
            try:
                file = failing.enter_context(self.opened(id))
                if file is None:
                    raise OriginalUnavailable("the file that this was read from is not where it was indexed")
                if self._sums.of(file, Path(file.name)) != sha256:
                    raise OriginalUnavailable("the file that this was read from has changed since it was indexed")
                size = os.fstat(file.fileno()).st_size
                return Original(file, size, sha256, failing.pop_all(), id.rpartition("/")[2])
            except OSError as error:
                raise OriginalUnavailable("the file that this was read from cannot be read") from error

    def beside(self, name: str, most: int) -> Iterator[bytes]:
        """Yield the content of the file of a name in each indexed folder, where it has at most ``most`` bytes."""
        for root in self._roots:
            content = b""
            with suppress(OSError, RuntimeError):
                if root.is_dir() and (place := _within(root / name, root)) is not None:
                    with _regular(*place) as file:
                        content = b"" if file is None else file.read(most + 1)
            if 0 < len(content) <= most:
                yield content

    @contextmanager
    def opened(self, id: str) -> Iterator[BufferedReader | None]:
        """Open a document's source for reading; give ``None`` where it is missing.

        Raises:
            OSError: it is there, and cannot be opened.
        """
        for path, inside in self._candidates(id):
            with _regular(path, inside) as file:
                if file is not None:
                    yield file
                    return
        yield None

    @cached_property
    def _prefixes(self) -> list[str]:
        if len(self._roots) < 2:
            return [""]
        try:
            return prefixes(self._roots)
        except DuplicateDocument:  # links have changed since: nothing says any more which file an id was
            return []

    def _candidates(self, id: str) -> Iterator[tuple[Path, Path | None]]:
        for root, prefix in zip(self._roots, self._prefixes, strict=False):
            if id == (prefix or root.name) and not root.is_dir():
                yield root, None
                continue
            within = id.removeprefix(f"{prefix}/") if prefix else id
            if prefix and within == id:
                continue
            path = root / within
            with suppress(OSError, RuntimeError):
                if (place := _within(path, root)) is not None:
                    yield place


def _within(path: Path, root: Path) -> tuple[Path, Path] | None:
    """Resolve a path and its folder, if indexing would read it: a link is followed only to a file inside the folder."""
    path, root = path.resolve(), root.resolve()
    return (path, root) if path.is_relative_to(root) and path != root else None


@contextmanager
def _regular(path: Path, root: Path | None) -> Iterator[BufferedReader | None]:
    """Open a file for reading; give ``None`` where it is no file. Raises OSError where it cannot be opened."""
    try:
        file = open_regular(path, root)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL):
            raise
        yield None
        return
    with file:
        yield file


def _path(source: str) -> Path:
    """Make a path of a manifest's text, in which bytes of a name that were not UTF-8 are escapes."""
    path = Path(source)
    if path.exists():
        return path
    return Path(_ESCAPED_BYTE.sub(lambda found: chr(0xDC00 + int(found[1], 16)), source))


_MOST_OPENED = 4
_DETAILS = {
    "verified": "the source is byte for byte what was indexed, and the span holds this text",
    "drifted": "the source has changed since it was indexed; this is the text as it was then",
    "missing": "the source is not where it was indexed, or cannot be read; this is the text as it was indexed",
}
_ANOTHER_VERSION = "snapshot {} holds another version of the document than the one cited; name the citation's snapshot"


class Citers:
    """The citers of an index, one for each snapshot that exists. Thread-safe."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._sums = FileSums()
        self._opened: dict[str, Citer] = {}
        self._opening = threading.Lock()

    def of(self, manifest: Manifest, store: Store) -> Citer:
        """Return the citer of a snapshot that is open already."""
        return Citer(manifest, store, self._sums)

    def at(self, id: str) -> Citer:
        """Return the citer of any other snapshot. The last few that were opened are kept.

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

    def forget_removed(self) -> None:
        """Close what is open of snapshots that have been removed, once no request reads it any more."""
        with self._opening:
            for id in set(self._opened).difference(self._snapshots.ids() if self._opened else ()):
                del self._opened[id]


class Citer:
    """What cites one snapshot. Thread-safe.

    Args:
        sums: shared by all snapshots, whose sources are mostly the same files.
    """

    def __init__(self, manifest: Manifest, store: Store, sums: FileSums) -> None:
        self._snapshot = manifest.id
        self._store = store
        self.sources = SourceFiles(manifest.sources, sums)

    def cite(self, document: str, start: int, end: int) -> Citation:
        """Cite ``[start, end)`` with its status as of now; the span's text is what the snapshot holds.

        Raises:
            DocumentNotFound: the snapshot holds no such document.
            QueryError: the span is empty or not within the document; names its field.
        """
        source_sha256, text_sha256, characters = self._store.sums(document)
        _require_span(start, end, characters)
        page, section, recognised = self._store.place(document, start)
        status = self._status(document, source_sha256)
        return Citation(document, start, end, page, section, source_sha256, text_sha256, status, recognised)

    def original(self, document: str) -> Original:
        """Open the file that a document was read from: of what is attached to a mail, the mail.

        Raises:
            DocumentNotFound: the snapshot holds no such document.
            OriginalUnavailable: its bytes have changed, or are gone.
        """
        return self.sources.original(self._store.source(document), self._store.sums(document)[0])

    def status(self, document: str) -> CitationStatus:
        """Tell what has become of a document's source. Raises DocumentNotFound."""
        return self._status(document, self._store.sums(document)[0])

    def check(self, claim: CitationClaim) -> CheckedCitation:
        """Tell what has become of a citation.

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
        found = self.sources.sha256(self._store.source(claim.document))
        status: CitationStatus = "missing" if found is None else "drifted"
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
        found = self.sources.sha256(self._store.source(document))
        if found is None:
            return "missing"
        return "verified" if found == indexed_sha256 else "drifted"


def _why_not(id: str, error: SnapshotError) -> str:
    """Explain the error to clients, who must learn no path of this machine."""
    shown = id if len(id) < 100 else id[:100] + "…"
    if isinstance(error, SnapshotNotFound | IndexNotFound):
        return f"no snapshot {shown!r} exists; it may have been pruned since it was cited"
    return f"snapshot {shown!r} cannot be read: it is damaged, or of another version of the program"


def _require_span(start: int, end: int, characters: int | None = None) -> None:
    """Check a span; without ``characters`` the end of the document is not known. Raises QueryError."""
    if start < 0:
        raise QueryError("start", "start must not be negative; it counts characters of the text from 0")
    if end <= start:
        raise QueryError("end", "end must be greater than start; it is where the span ends, exclusive")
    if characters is not None and end > characters:
        raise QueryError("end", f"end lies beyond the document, which has {characters:,} characters")
