"""What the active snapshot holds of files that have not changed since: a build reads and splits only the rest."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qa.files import open_regular, sha256_of_file
from qa.index.store import Store
from qa.types import Document, FileReport, Passage, Source

# A file that was written this shortly before it was read may be written again within one tick of its clock, and look
# the same; the next build reads it once more. ("Racy git", Documentation/technical/racy-git.txt.)
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Content:
    """A document with its passages, and the line of the report that it makes but for their number."""

    document: Document
    passages: Iterable[Passage]
    report: FileReport

    def sized(self, size: float) -> Iterator[tuple[Passage, float]]:
        """Yield the passages, with the share that each has of ``size`` bytes by its end.

        So a bar moves within a large file too. What comes after the last one is nobody's.
        """
        done, characters = 0, len(self.document.text)
        for passage in self.passages:
            advance = max(0, passage.end - done)
            yield passage, size * advance / characters
            done += advance


@dataclass(frozen=True, slots=True)
class Taken:
    """A document that is taken over with its passages as it is: its number in the snapshot before, and its line.

    The line says how long it took to read it then.
    """

    number: int
    report: FileReport


def modified_ns(source: Source) -> int:
    """Return when a file was last written, renamed or given other rights, in nanoseconds; 0 where that is not known."""
    try:
        status = source.path.stat(follow_symlinks=source.root is None)
    except OSError:
        return 0
    return max(status.st_mtime_ns, status.st_ctime_ns)


def trusted(modified: int) -> int:
    """Return ``modified`` where a later build may trust it, else 0."""
    return modified if time.time_ns() - modified > _SETTLED_NS else 0


class Previous:
    """The snapshot before, of the same sources.

    Args:
        created: when the snapshot was made, for people.
        is_followed: whether the same readers, splitter and model made it, so that what it holds of an unchanged file
            can be taken over. If not, it only stands in for files that cannot be read.
    """

    def __init__(self, store: Store, created: str, *, is_followed: bool = True) -> None:
        self._store = store
        self._created = created
        self.is_followed = is_followed
        self._documents = {id: (number, sha256) for number, id, sha256 in store.sources()}
        self._lines = store.report()
        # Two lines have one id where a name that cannot be read is shown like one that can.
        self._reports = {line.id: line for line in sorted(self._lines, key=lambda line: line.status != "skipped")}
        self._attached: dict[str, list[FileReport]] = {}
        for line in self._lines:
            if line.container:
                self._attached.setdefault(line.container, []).append(line)
        # By id: to hash a source, with its paths, takes longer than to look at its file.
        self._judged: dict[str, FileReport | None] = {}

    def report_of(self, source: Source) -> FileReport | None:
        """Return the file's line of the report, if the file is as it was then."""
        if source.id not in self._judged:
            self._judged[source.id] = self._judge(source)
        return self._judged[source.id]

    def _judge(self, source: Source) -> FileReport | None:
        report = self._reports.get(source.id)
        if not self.is_followed or report is None or report.size != source.size:
            return None
        # What failed may be read this time, also where it is attached to a file that did not.
        if any(line.status == "failed" for line in self.attached(source.id)):
            return None
        modified = modified_ns(source)
        if report.modified_ns:
            return report if report.modified_ns == modified else None
        # Its time was not to be relied on; its bytes are.
        is_good = report.status in {"read", "partial"} and not report.kept_since
        # Before the file is read: what is written while it is must not be trusted.
        settled = trusted(modified)
        if not is_good or self.source_sha256(source.id) != _sha256(source):
            return None
        return replace(report, modified_ns=settled)

    def attached(self, id: str) -> list[FileReport]:
        """Return the lines of the report on what is attached to a file, in order."""
        return self._attached.get(id, [])

    @property
    def path(self) -> Path:
        """The file of the documents."""
        return self._store.path

    def taken(self, line: FileReport) -> Taken | None:
        """Find the document of a line of the report; ``None`` where the snapshot has none of this id."""
        known = self._documents.get(line.id)
        return None if known is None else Taken(known[0], line)

    def content(self, line: FileReport) -> Content | None:
        """Read the document of a line of the report; ``None`` where the snapshot has none of this id."""
        if line.id not in self._documents:
            return None
        return Content(self._store.document(line.id), tuple(self._store.passages_of(line.id)), line)

    def kept_below(self, failed: FileReport) -> Iterator[Content]:
        """Yield the last good versions of what was in a folder that cannot be listed now, with reports that say so."""
        for id in self._store.document_ids:
            if id.startswith(f"{failed.id}/") and id in self._reports:
                known = self._reports[id]
                reason = f"it is in {failed.id}, which cannot be listed"
                kept = self._keep(FileReport(id, "failed", reason, size=known.size, container=known.container))
                assert kept is not None
                yield kept

    def kept(self, failed: FileReport) -> Iterator[Content]:
        """Yield the last good version of a file that cannot be read now, and of what is attached to it, with reports.

        Nothing comes where there is no such version.
        """
        if (kept := self._keep(failed)) is not None:
            yield kept
            for line in self.attached(failed.id):
                attached = self._keep(replace(failed, id=line.id, size=line.size, container=failed.id))
                if attached is not None:
                    yield attached

    def _keep(self, failed: FileReport) -> Content | None:
        content = self.content(failed)
        if content is None or failed.id not in self._reports:
            return None
        since = self._reports[failed.id].kept_since or self._created
        report = replace(
            failed,
            reason=f"{failed.reason}; what was read before ({since}) is kept",
            characters=len(content.document.text),
            pages=len(content.document.pages),
            kept_since=since,
        )
        return replace(content, report=report)

    def source_sha256(self, id: str) -> str | None:
        """Return the sum of the bytes that a document was read from; ``None`` where there is no such document."""
        known = self._documents.get(id)
        return None if known is None else known[1]

    def is_as_found(self, found: Sequence[Source | FileReport]) -> bool:
        """Tell whether no file was added, changed or removed, as far as that is known without reading one."""
        if not self.is_followed:
            return False
        reports: list[FileReport] = []
        for item in found:
            report = item if isinstance(item, FileReport) else self.report_of(item)
            if report is None:
                return False
            reports += [report, *self.attached(report.id)]
        return self.is_same(reports)

    def is_same(self, reports: Sequence[FileReport]) -> bool:
        """Tell whether a build says of every file what this snapshot says, apart from times."""
        return [_timeless(report) for report in reports] == [_timeless(line) for line in self._lines]


def _sha256(source: Source) -> str:
    """Compute the sum of a file; empty where it cannot be read."""
    try:
        with open_regular(source.path, source.root) as file:
            return sha256_of_file(file)
    except OSError:
        return ""


def _timeless(report: FileReport) -> FileReport:
    return replace(report, seconds=0.0, modified_ns=0)
