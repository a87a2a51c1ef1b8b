"""What the active snapshot holds of files that have not changed since: a build reads and splits only the rest."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
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
        # The file that was looked at last: whoever asks whether it changed takes it over next.
        self._judged: tuple[Source | None, FileReport | None] = (None, None)

    def report_of(self, source: Source) -> FileReport | None:
        """Return the file's line of the report, if the file is as it was then."""
        if self._judged[0] is not source:
            self._judged = source, self._judge(source)
        return self._judged[1]

    def _judge(self, source: Source) -> FileReport | None:
        report = self._store.line(source.id) if self.is_followed else None
        if report is None or report.size != source.size:
            return None
        # What failed may be read this time, also where it is attached to a file that did not.
        if self._store.has_attached and self._store.has_failed_attached(source.id):
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

    def attached(self, id: str) -> Iterator[FileReport]:
        """Stream the lines of the report on what is attached to a file, in order."""
        return self._store.lines_of_attached(id) if self._store.has_attached else iter(())

    @property
    def path(self) -> Path:
        """The file of the documents."""
        return self._store.path

    def taken(self, line: FileReport) -> Taken | None:
        """Find the document of a line of the report; ``None`` where the snapshot has none of this id."""
        known = self._store.number_and_sum(line.id)
        return None if known is None else Taken(known[0], line)

    def content(self, line: FileReport) -> Content | None:
        """Read the document of a line of the report; ``None`` where the snapshot has none of this id."""
        if self._store.number_and_sum(line.id) is None:
            return None
        return Content(self._store.document(line.id), tuple(self._store.passages_of(line.id)), line)

    def kept_below(self, failed: FileReport) -> Iterator[Content]:
        """Yield the last good versions of what was in a folder that cannot be listed now, with reports that say so."""
        for id in self._store.ids_below(failed.id):
            if (known := self._store.line(id)) is not None:
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
        content, known = self.content(failed), self._store.line(failed.id)
        if content is None or known is None:
            return None
        since = known.kept_since or self._created
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
        known = self._store.number_and_sum(id)
        return None if known is None else known[1]

    def is_as_found(self, found: Iterable[Source | FileReport]) -> bool:
        """Tell whether no file was added, changed or removed, as far as that is known without reading one."""
        if not self.is_followed:
            return False
        comparison = self.comparison()
        for item in found:
            report = item if isinstance(item, FileReport) else self.report_of(item)
            if report is None:
                return False
            for line in chain([report], self.attached(report.id)):
                comparison.add(line)
        return comparison.is_same

    def comparison(self) -> Comparison:
        """Begin to compare what a build says of every file with what this snapshot says."""
        return Comparison(self._store.lines())


class Comparison:
    """A report that is compared with another, line by line, apart from times."""

    def __init__(self, lines: Iterator[FileReport]) -> None:
        self._lines = lines
        self._differs = False

    def add(self, report: FileReport) -> None:
        """Compare the next line."""
        if not self._differs:
            line = next(self._lines, None)
            self._differs = (
                line is None or replace(line, seconds=report.seconds, modified_ns=report.modified_ns) != report
            )

    @property
    def is_same(self) -> bool:
        """Whether all lines were the same; asked for once, when there are no more."""
        return not self._differs and next(self._lines, None) is None


def _sha256(source: Source) -> str:
    """Compute the sum of a file; empty where it cannot be read."""
    try:
        with open_regular(source.path, source.root) as file:
            return sha256_of_file(file)
    except OSError:
        return ""
