"""The text of a PDF in reading order, with its pages as spans, its outline as sections, and its title.

The outline's entries become headings where their words stand.
"""

from __future__ import annotations

import ctypes
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from threading import Lock
from typing import TYPE_CHECKING, Any

from qa.errors import UnreadableDocument
from qa.readers.composition import Content, Heading, nest_headings, one_line
from qa.readers.metadata import describe, keep_metadata
from qa.readers.pdf.cells import read_lines
from qa.readers.pdf.glyphs import cleaned, read_runs
from qa.readers.pdf.layout import Line
from qa.readers.pdf.scans import is_scan, says_more, unseen_stamps
from qa.readers.pdf.text import Vocabulary, carry_over, find_running_lines, lay_out_page
from qa.readers.pdf.unseen import switched_off_layers
from qa.readers.recognition.layout import RecognisedPage
from qa.readers.recognition.recogniser import MOST_PIXELS_A_SIDE, PIXELS_TO_AN_INCH, NoRecogniser, Recogniser
from qa.types import Page, Span

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

    from qa.readers.recognition.recogniser import Image

# How the reason begins why a scan was not read.
NO_PAGE_HAS_TEXT = "no page has text"
_DESCRIBING = ("Author", "Keywords", "CreationDate", "ModDate")
_MOST_ENTRIES = 5_000
_SEARCHED = 20_000
_DEEPEST = 8
_LONGEST_TITLE = 300
_LARGER = 1.15
_SAME_TITLE = 0.9

_JUNK = re.compile(
    r"(?:untitled(?: document)?|no ?title|title|document|slide|presentation|print|\(?anonymous\)?|unknown|none|null"
    r"|book|sheet|table of contents|contents|abstract)[\s\d_-]*"
    r"|microsoft\s(?:word|powerpoint|excel)\b.*|powerpoint presentation|.*\.(?:docx?|dvi|tex|indd|qxd)"
    r"|\S+\.\w{2,5}|\S{0,2}|[\d\W_]*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"^(?:\d+(?:\.\d+)*|[A-Z]|[IVXLC]+)[.:)]?\s+")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of an outline: ``level`` counts from 1, ``page`` from 0."""

    title: str
    level: int
    page: int


def read_outline(document: PdfDocument) -> Iterator[Entry]:
    """Yield up to 5,000 entries that have a title and lead to a page, in the order of the file."""
    from pypdfium2 import PdfiumError

    try:
        for bookmark in islice(document.get_toc(max_depth=_DEEPEST), _MOST_ENTRIES):
            title = cleaned(bookmark.get_title())[:_LONGEST_TITLE].strip()
            destination = bookmark.get_dest()
            page = destination.get_index() if destination else None
            if title and page is not None and page >= 0:
                yield Entry(title, bookmark.level + 1, page)
    except (PdfiumError, ValueError):
        return  # What was found stands; a document is whole without its outline.


def place_headings(
    entries: Iterable[Entry], text: str, pages: Sequence[Page], excluded: Sequence[Span]
) -> list[Heading]:
    """Find where the entries stand as headings, and return these in order of their start.

    A heading stands where its words do on its page, in any case, white space and numbering, and at best at
    the start of a line; else at the page's start, with no text of its own. It is never within ``excluded``, which
    is in order.
    """
    found: list[Heading] = []
    reached: dict[int, int] = {}
    for entry in entries:
        if entry.page < len(pages):
            body = _body(pages[entry.page], excluded)
            after = max(reached.get(entry.page, body.start), body.start)
            place = _place(entry.title, text, body, after)
            reached[entry.page] = place.end if place else after
            place = place or Span(body.start, body.start)
            found.append(Heading(entry.title, entry.level, place.start, place.end))
    found.sort(key=lambda heading: heading.start)
    ends = [*(heading.start for heading in found[1:]), len(text)]
    return [replace(heading, body=min(heading.body, end)) for heading, end in zip(found, ends, strict=False)]


def _body(page: Page, excluded: Sequence[Span]) -> Span:
    """Return the page without its running header and footer."""
    start, end = page.start, page.end
    first = bisect_left(excluded, page.start, key=lambda span: span.start)
    for span in islice(excluded, first, None):
        if span.start >= page.end:
            break
        if span.start <= start:
            start = span.end
        elif span.end >= end:
            end = span.start
    return Span(start, max(start, end))


def _place(title: str, text: str, body: Span, after: int) -> Span | None:
    bare = _NUMBER.sub("", title) or title
    letters = r"\s*".join(re.escape(character) for character in bare if not character.isspace())
    at_line = re.compile(rf"^[^\S\n]*((?:[\w.:)]{{1,12}}\s+)?{letters})(?!\w)", re.MULTILINE | re.IGNORECASE)
    within = re.compile(rf"(?<!\w)({letters})(?!\w)")
    for pattern, start in ((at_line, after), (at_line, body.start), (within, after)):
        if match := pattern.search(text, start, min(body.end, start + _SEARCHED)):
            return Span(*match.span(1))
    return None


def find_title(document: PdfDocument, first_page: Sequence[Line], entries: Sequence[Entry]) -> str:
    """Return the title that the file declares, or else the largest words on top of its first page, or else the first
    entry of its outline."""
    declared = cleaned(document.get_metadata_value("Title"))[:_LONGEST_TITLE]
    if not _JUNK.fullmatch(declared):
        return declared
    return find_largest(first_page) or next((entry.title for entry in entries if not _JUNK.fullmatch(entry.title)), "")


def find_largest(lines: Sequence[Line]) -> str:
    """Return the first lines in type that is larger than that of most of the page's text."""
    if not lines:
        return ""
    sizes = sorted((line.size, len(line.text)) for line in lines)
    half = sum(length for _, length in sizes) / 2
    reached = accumulate(length for _, length in sizes)
    usual = next(size for (size, _), length in zip(sizes, reached, strict=True) if length >= half)
    upper = lines[: max(len(lines) // 2, 3)]
    largest = max(line.size for line in upper)
    if largest < _LARGER * usual:
        return ""
    first = last = next(at for at, line in enumerate(upper) if line.size == largest)
    while first > 0 and upper[first - 1].size >= _SAME_TITLE * largest:
        first -= 1
    while last + 1 < len(upper) and upper[last + 1].size >= _SAME_TITLE * largest:
        last += 1
    title = " ".join(" ".join(line.text for line in upper[first : last + 1]).split())
    letters = sum(character.isalpha() for character in title)
    return "" if len(title) > _LONGEST_TITLE or _JUNK.fullmatch(title) or 2 * letters < len(title) else title


_MOST = 2_000
# Names that programs give to fields: they say nothing.
_NAMELESS = re.compile(r"(?:check ?box|radio|button|group|field|undefined|topmost\w*)\W*\d*|\W*\d+", re.IGNORECASE)
_LONGEST = 10_000


def open_forms(document: PdfDocument) -> None:
    """Make the values of fields readable; before the first page is opened. A damaged form has none."""
    from pypdfium2 import PdfiumError

    with suppress(PdfiumError):
        document.init_forms()


def read_annotations(document: PdfDocument, page: PdfPage) -> list[str]:
    """Return a line for each field, text box and comment of a page, in order (ISO 32000-1, 12.5 and 12.7)."""
    return [line for line, _ in placed_annotations(document, page)]


def placed_annotations(document: PdfDocument, page: PdfPage) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Return the lines of :func:`read_annotations`, each with where it stands: (left, bottom, right, top) in points."""
    import pypdfium2.raw as pdfium

    lines: list[tuple[str, tuple[float, float, float, float]]] = []
    seen: set[str] = set()
    for index in range(min(pdfium.FPDFPage_GetAnnotCount(page), _MOST)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        box = pdfium.FS_RECTF()
        try:
            line = _line(document, annotation)
            if line:
                pdfium.FPDFAnnot_GetRect(annotation, box)
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
        # One field may be on a page many times.
        if line and line not in seen:
            seen.add(line)
            lines.append((line, (box.left, box.bottom, box.right, box.top)))
    return lines


def _line(document: PdfDocument, annotation: Any) -> str:
    import pypdfium2.raw as pdfium

    if pdfium.FPDFAnnot_GetFlags(annotation) & pdfium.FPDF_ANNOT_FLAG_HIDDEN:
        return ""
    kind = pdfium.FPDFAnnot_GetSubtype(annotation)
    if kind == pdfium.FPDF_ANNOT_WIDGET:
        return _field(document, annotation)
    comments = {
        *(pdfium.FPDF_ANNOT_TEXT, pdfium.FPDF_ANNOT_HIGHLIGHT, pdfium.FPDF_ANNOT_UNDERLINE),
        *(pdfium.FPDF_ANNOT_SQUIGGLY, pdfium.FPDF_ANNOT_STRIKEOUT, pdfium.FPDF_ANNOT_CARET),
    }
    if kind != pdfium.FPDF_ANNOT_FREETEXT and kind not in comments:
        return ""  # most of them are links
    contents = _string(lambda *buffer: pdfium.FPDFAnnot_GetStringValue(annotation, b"Contents", *buffer))
    return contents if kind == pdfium.FPDF_ANNOT_FREETEXT or not contents else f"Comment: {contents}"


def _field(document: PdfDocument, annotation: Any) -> str:
    """Return "label: value" of a field that holds words, "label: ☒" of a box; buttons are not shown to a person."""
    import pypdfium2.raw as pdfium

    form = document.formenv
    if form is None:
        return ""
    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in {pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON}:
        label = _string(
            lambda *buffer: pdfium.FPDFAnnot_GetFormFieldAlternateName(form, annotation, *buffer)
        ) or _string(lambda *buffer: pdfium.FPDFAnnot_GetFormFieldName(form, annotation, *buffer))
        is_named = label and not _NAMELESS.fullmatch(label)
        return f"{label}: {'☒' if pdfium.FPDFAnnot_IsChecked(form, annotation) else '☐'}" if is_named else ""
    if kind not in {
        pdfium.FPDF_FORMFIELD_TEXTFIELD,
        pdfium.FPDF_FORMFIELD_COMBOBOX,
        pdfium.FPDF_FORMFIELD_LISTBOX,
    }:
        return ""
    if pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation) & pdfium.FPDF_FORMFLAG_TEXT_PASSWORD:
        return ""
    value = _string(lambda *buffer: pdfium.FPDFAnnot_GetFormFieldValue(form, annotation, *buffer))
    label = _string(lambda *buffer: pdfium.FPDFAnnot_GetFormFieldAlternateName(form, annotation, *buffer)) or _string(
        lambda *buffer: pdfium.FPDFAnnot_GetFormFieldName(form, annotation, *buffer)
    )
    return f"{label}: {value}" if value and label else value


def _string(read: Callable[..., int]) -> str:
    """Return what one of PDFium's functions writes into a buffer: UTF-16, ending with NUL."""
    size = min(read(None, 0), 1 << 24)
    if size <= 2:
        return ""
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    read(buffer, size)
    return one_line(bytes(buffer).decode("utf-16-le", "replace").partition("\0")[0][:_LONGEST])


# Of one page.
MOST_CHARACTERS = 200_000
_BETWEEN_PAGES = "\n\n"
# Pages of which OCR is less sure than this are named in the report.
_SURE = 0.8
_BGR = 2  # FPDFBitmap_BGR
_MOST_DAMAGED = 100
# PDFium is not thread-safe, not even over different documents.
_PDFIUM = Lock()


@dataclass(frozen=True, slots=True)
class ReadPage:
    """What was read of a page. ``lines`` is ``None`` if it is damaged; ``cut`` says that it had too many characters.

    ``written`` are the lines that people wrote on it: fields, comments. ``confidence`` is that of OCR, 0 to 1, where
    the page was an image: 0 where no text was found in it; ``None`` where nothing looked for any.
    """

    lines: list[Line] | None
    height: float = 1.0
    cut: bool = False
    written: Sequence[str] = ()
    confidence: float | None = None


def of_recognised(page: RecognisedPage | None, written: Sequence[str] = ()) -> ReadPage:
    """Return a page that was an image, as it was recognised, or as one without text if that failed."""
    if page is None:
        return ReadPage([], written=written)
    return ReadPage(page.lines, page.height, written=written, confidence=page.confidence)


@dataclass(frozen=True, slots=True)
class PagesText:
    """The canonical text and the spans in it."""

    text: str
    pages: tuple[Page, ...]
    excluded: tuple[Span, ...]


class PdfReader:
    """A reader of ``application/pdf``, by PDFium.

    Pages stand in the text in order, a blank line between them; every page that was tried is there, with an
    empty span where it has no text or is damaged. What was written into forms, and comments, stand at the end of their
    page. Running headers and footers are in the text and in ``excluded``. A page without text is an image of one, and
    is recognised, and so is one with a stamp on an image that covers it.

    Args:
        recogniser: reads pages without text; by default none is.
        most_pages: the pages read of one file; ``problems`` says so where it has more, or declares more.
        most_characters: read of one page, likewise.
    """

    name = "pdf"
    version = "8"
    media_type = "application/pdf"

    def __init__(
        self, recogniser: Recogniser | None = None, most_pages: int = 10_000, most_characters: int = MOST_CHARACTERS
    ) -> None:
        self._recogniser = recogniser or NoRecogniser()
        self._most_pages = most_pages
        self._most_characters = most_characters

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        with _PDFIUM, open_pdf(data) as document:
            open_forms(document)
            declared = len(document)
            pages = self._pages(document, declared, switched_off_layers(data))
            entries = list(read_outline(document))
            title = find_title(document, (pages[0].lines or []) if pages else [], entries)
            metadata = describe((name, document.get_metadata_value(name)) for name in _DESCRIBING)
        problems = [*self._unread(pages, declared), *unrecognised(pages, self._recogniser), *doubtful(pages)]
        if not any(page.lines or page.written or page.confidence is not None for page in pages):
            raise UnreadableDocument(_refusal(pages, self._recogniser))
        found = assemble_pages(pages)
        return Content(
            text=found.text,
            titles=(title,),
            sections=nest_headings(place_headings(entries, found.text, found.pages, found.excluded), len(found.text)),
            pages=found.pages,
            excluded=found.excluded,
            problems=tuple(problems),
            metadata=keep_metadata([(0, metadata)], len(found.text)),
        )

    def _pages(self, document: PdfDocument, declared: int, layers: frozenset[bytes]) -> list[ReadPage]:
        pages: list[ReadPage] = []
        damaged = 0
        for index in range(min(declared, self._most_pages)):
            pages.append(self._page(document, index, declared, layers))
            damaged = damaged + 1 if pages[-1].lines is None else 0
            if damaged == _MOST_DAMAGED:
                # Declared, but not there: to try a million more would only take time.
                return pages[:-damaged]
        return pages

    def _page(self, document: PdfDocument, index: int, pages: int, layers: frozenset[bytes]) -> ReadPage:
        from pypdfium2 import PdfiumError

        try:
            page = document[index]
        except PdfiumError:
            return ReadPage(None)
        try:
            text_page = page.get_textpage()
            upright, turned, height = read_runs(page, text_page, self._most_characters, layers)
            written = read_annotations(document, page)
            cut = text_page.count_chars() > self._most_characters
            lines = read_lines(upright, turned)
            if is_scan(page, [*upright, *turned]) and self._recogniser.wants(index + 1, pages):
                found = self._recogniser.recognise(*draw_sheet(page))
                if says_more(found, lines):
                    return of_recognised(found, [*(unseen_stamps(found, lines) if found else []), *written])
        except PdfiumError:
            return ReadPage(None)
        finally:
            page.close()
        return ReadPage(lines, height, cut, written)

    def _unread(self, pages: Sequence[ReadPage], declared: int) -> Iterator[str]:
        if len(pages) < declared:
            reason = "" if len(pages) == self._most_pages else "; those after them are damaged"
            yield f"only the first {len(pages):,} of {declared:,} pages were read{reason}"
        if damaged := [number for number, page in enumerate(pages, 1) if page.lines is None]:
            yield f"{name_pages(damaged)} could not be read"
        if cut := [number for number, page in enumerate(pages, 1) if page.cut]:
            yield f"of {name_pages(cut)} only the first {self._most_characters:,} characters were read"


def draw_sheet(page: PdfPage) -> tuple[Image, float]:
    """Draw a page without what is written on it, which is read as text, and return the pixels to a point of it too."""
    scale = min(PIXELS_TO_AN_INCH / 72, MOST_PIXELS_A_SIDE / max(*page.get_size(), 1.0))
    bitmap = page.render(scale=scale, may_draw_forms=False, draw_annots=False, force_bitmap_format=_BGR)
    return bitmap.to_numpy(), scale


def open_pdf(data: bytes) -> PdfDocument:
    """Open a PDF. Raises UnreadableDocument."""
    import pypdfium2.raw as pdfium
    from pypdfium2 import PdfDocument, PdfiumError

    if not data:
        raise UnreadableDocument("it is empty; copy it here again")
    try:
        return PdfDocument(data, password="")
    except PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise UnreadableDocument("it is protected by a password; save it without one") from error
        if error.err_code == pdfium.FPDF_ERR_SECURITY:
            raise UnreadableDocument("it is encrypted in a way that is not supported; save it without") from error
        raise UnreadableDocument("it is not a PDF, or too damaged to be opened; get an intact copy") from error


def assemble_pages(pages: Sequence[ReadPage]) -> PagesText:
    """Join the texts of pages, their running headers and footers apart."""
    lines = [page.lines or [] for page in pages]
    heights = [page.height for page in pages]
    running = find_running_lines(lines, heights)
    vocabulary = Vocabulary(lines)
    parts: list[str] = []
    placed, excluded = [], []
    start = 0
    laid_out = [
        lay_out_page(on_page, apart, height, vocabulary)
        for on_page, apart, height in zip(lines, running, heights, strict=True)
    ]
    joined = carry_over(laid_out, lines, running, vocabulary)
    for number, (page, apart) in enumerate(zip(joined, running, strict=True), 1):
        parts.append("\n\n".join(filter(None, [page.text, "\n".join(pages[number - 1].written)])))
        placed.append(Page(number, start, start + len(parts[-1]), pages[number - 1].confidence or None))
        spans = sorted(page.spans[at] for at in apart)
        excluded += [Span(start + first, start + last) for first, last in spans]
        start += len(parts[-1]) + len(_BETWEEN_PAGES)
    return PagesText(_BETWEEN_PAGES.join(parts), tuple(placed), tuple(excluded))


def _refusal(pages: Sequence[ReadPage], recogniser: Recogniser) -> str:
    if not pages:
        return "it has no pages; get an intact copy"
    if all(page.lines is None for page in pages):
        return "none of its pages could be read; get an intact copy"
    return f"{NO_PAGE_HAS_TEXT}; it may be scanned: {recogniser.advice}"


def unrecognised(pages: Sequence[ReadPage], recogniser: Recogniser) -> Iterator[str]:
    """Say which pages have no text and were not recognised, and why."""
    empty = [number for number, page in enumerate(pages, 1) if page.lines == [] and page.confidence is None]
    if empty:
        have, they, images = ("has", "it", "a scanned image") if len(empty) == 1 else ("have", "they", "scanned images")
        yield f"{name_pages(empty)} {have} no text; {they} may be {images}: {recogniser.advice}"


def doubtful(pages: Sequence[ReadPage]) -> Iterator[str]:
    """Say which pages OCR was not sure of."""
    unsure = [number for number, page in enumerate(pages, 1) if 0 < (page.confidence or 0) < _SURE]
    if unsure:
        yield f"OCR is less than {100 * _SURE:.0f} % sure of the words of {name_pages(unsure)}; check what was read"


def name_pages(pages: Sequence[int]) -> str:
    """Name pages: "page 3", or "pages 3 and 5 to 7"."""
    rows: list[list[int]] = []
    for page in pages:
        if rows and page == rows[-1][-1] + 1:
            rows[-1][1:] = [page]
        else:
            rows.append([page])
    if len(pages) == 1:
        return f"page {pages[0]:,}"
    parts = [part for row in rows for part in _row(row)]
    return f"pages {', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else f"pages {parts[0]}"


def _row(row: Sequence[int]) -> list[str]:
    first, last = row[0], row[-1]
    return [f"{first:,} to {last:,}"] if last > first + 1 else [f"{page:,}" for page in sorted({first, last})]
