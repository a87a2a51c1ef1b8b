"""What files hold: documents with their passages, read and split now, or taken over from the snapshot before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path

from qa.build.reuse import Content, Previous, Taken, modified_ns, trusted
from qa.models.languages import detect_language, prepare_detection
from qa.protocols import Encoder
from qa.readers.isolation import ReadSource
from qa.readers.registry import ReadingOptions, reader_versions
from qa.text.splitter import SPLITTER_VERSION, SplitterParameters, split
from qa.types import Document, FileReport, Passage, Source

# The folder of what OCR read of pages, for all indexes; derived data beside them.
RECOGNISED = ".recognised"
# Documents that may be attached to one file and to what is attached to it. What a file itself has, its reader bounds.
_MOST_ATTACHED = 10_000


@dataclass(frozen=True, slots=True)
class Contents:
    """A reader of files that also splits them, for one encoder.

    ``read`` never raises for one file, and reads what ``options`` say.
    ``previous`` is the snapshot that was made before: what it holds of files that have not changed is taken over if it
    is followed, and of files that cannot be read in any case.
    ``models`` is the folder of compiled models, in which what tells languages apart is kept as well.
    """

    encoder: Encoder
    parameters: SplitterParameters
    read: ReadSource
    previous: Previous | None = None
    options: ReadingOptions = field(default_factory=ReadingOptions)
    models: Path | None = None

    def of(self, source: Source) -> Iterator[tuple[Content | Taken | FileReport, float]]:
        """Yield the documents of a file: its own, then those that are attached to it; a report where there is none.

        Beside each stands how many of the file's bytes are done with it: equal parts of what holds others, such as a
        corpus or a mailbox, as it is not known how large they are. Together they are not more than the file has.

        Raises:
            WindowTooSmall: the parameters leave no room in the encoder's window.
        """
        if self.previous is not None and (known := self.previous.report_of(source)) is not None:
            size = float(source.size)
            for line in chain([known], self.previous.attached(source.id)):
                yield self.previous.taken(line) or line, size
                size = 0.0
            return
        modified = trusted(modified_ns(source))
        prepare_detection(self.models)
        document, report = self.read(source)
        # A failure is never relied on: a limit, a disk or a lock may be the cause, and not the file.
        kept = self.kept(report) if report.status == "failed" else iter(())
        if (first := next(kept, None)) is not None:
            yield first, float(source.size)
            yield from ((each, 0.0) for each in kept)
            return
        share = _share(source.size, document)
        report = report if report.status == "failed" else replace(report, modified_ns=modified)
        yield self._read(document, report), share
        yield from self._attached(source, document, share)

    def kept(self, failed: FileReport) -> Iterator[Content]:
        """Yield the last good version of a file that cannot be read now, and of what is attached to it."""
        if self.previous is not None:
            yield from map(self._as_this_build_splits, self.previous.kept(failed))

    def kept_below(self, failed: FileReport) -> Iterator[Content]:
        """Yield the last good versions of what was in a folder that cannot be listed now."""
        if self.previous is not None:
            yield from map(self._as_this_build_splits, self.previous.kept_below(failed))

    def fingerprint(self) -> dict[str, object]:
        """Describe all that decides the passages of a file, and the vectors of them."""
        return {
            "encoder": dict(self.encoder.fingerprint),
            "splitter": {"version": SPLITTER_VERSION, **asdict(self.parameters)},
            "readers": dict(reader_versions()),
            "reading": asdict(self.options),
        }

    def _as_this_build_splits(self, kept: Content) -> Content:
        """Split a kept document again where the snapshot is not followed: its passages may be others."""
        is_followed = self.previous is not None and self.previous.is_followed
        return kept if is_followed else replace(kept, passages=self._split(kept.document))

    def _attached(
        self, source: Source, document: Document | None, share: float
    ) -> Iterator[tuple[Content | FileReport, float]]:
        """Read what is attached to a file, ``share`` bytes each, and what is attached to that, in order."""
        # One file may hold a million: what is left of each is not made before it is read.
        pending = [(_attached_to(source, document), share)]
        own = 0 if document is None else len(document.attachments)
        read = 0
        while pending:
            siblings, size = pending[-1]
            attached = next(siblings, None)
            if attached is None:
                pending.pop()
                continue
            if read == max(_MOST_ATTACHED, own):
                reason = f"{source.id} has more attachments than are read; this one and those after it are left out"
                yield FileReport(attached.id, "skipped", reason, container=source.id), 0.0
                return
            read += 1
            document, report = self.read(attached)
            last_good = next(self.kept(report), None) if report.status == "failed" else None
            share = _share(size, document)
            yield last_good or self._read(document, report), share
            pending.append((_attached_to(attached, document), share))

    def _read(self, document: Document | None, report: FileReport) -> Content | FileReport:
        if document is None or report.status == "skipped":
            return report
        document = replace(document, language=detect_language(document.text) or document.language)
        return Content(document, self._split(document), report)

    def _split(self, document: Document) -> Iterator[Passage]:
        return split(document, self.parameters, self.encoder.count_tokens, self.encoder.window)


def _share(size: float, document: Document | None) -> float:
    """Return how many of ``size`` bytes are a document's own, and each of those that are attached to it."""
    return size / (1 + (len(document.attachments) if document is not None else 0))


def _attached_to(source: Source, document: Document | None) -> Iterator[Source]:
    ids = document.attachments if document is not None else ()
    container = source.container or source.id
    return (
        Source(id, source.path, source.size, container, (*source.parts, at), source.root) for at, id in enumerate(ids)
    )
