"""What people wrote into a PDF: form fields, text put on a page, and comments (ISO 32000-1, 12.5 and 12.7)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qa.readers.composition import one_line

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

_MOST = 2_000
_LONGEST = 10_000


def open_forms(document: PdfDocument) -> None:
    """Make the values of fields readable; before the first page is opened. A damaged form has none."""
    from pypdfium2 import PdfiumError

    with suppress(PdfiumError):
        document.init_forms()


def written_on(document: PdfDocument, page: PdfPage) -> list[str]:
    """A line for each on the page, in order: "label: value", or the text; a comment says that it is one."""
    import pypdfium2.raw as pdfium

    lines: list[str] = []
    seen: set[str] = set()
    for index in range(min(pdfium.FPDFPage_GetAnnotCount(page), _MOST)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            line = _line(document, annotation)
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
        # One field may be on a page many times.
        if line and line not in seen:
            seen.add(line)
            lines.append(line)
    return lines


def _line(document: PdfDocument, annotation: Any) -> str:
    import pypdfium2.raw as pdfium

    if pdfium.FPDFAnnot_GetFlags(annotation) & pdfium.FPDF_ANNOT_FLAG_HIDDEN:
        return ""
    kind = pdfium.FPDFAnnot_GetSubtype(annotation)
    if kind == pdfium.FPDF_ANNOT_WIDGET:
        return _field(document, annotation)
    contents = _string(lambda *buffer: pdfium.FPDFAnnot_GetStringValue(annotation, b"Contents", *buffer))
    if kind == pdfium.FPDF_ANNOT_FREETEXT:
        return contents
    comments = {
        *(pdfium.FPDF_ANNOT_TEXT, pdfium.FPDF_ANNOT_HIGHLIGHT, pdfium.FPDF_ANNOT_UNDERLINE),
        *(pdfium.FPDF_ANNOT_SQUIGGLY, pdfium.FPDF_ANNOT_STRIKEOUT, pdfium.FPDF_ANNOT_CARET),
    }
    return f"Comment: {contents}" if contents and kind in comments else ""


def _field(document: PdfDocument, annotation: Any) -> str:
    """Of a field that holds words: boxes and buttons have names in the file only that say nothing to a reader."""
    import pypdfium2.raw as pdfium

    form = document.formenv
    if form is None or pdfium.FPDFAnnot_GetFormFieldType(form, annotation) not in {
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
    """What one of PDFium's functions writes into a buffer: UTF-16, ending with NUL."""
    size = min(read(None, 0), 1 << 24)
    if size <= 2:
        return ""
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    read(buffer, size)
    return one_line(bytes(buffer).decode("utf-16-le", "replace").partition("\0")[0][:_LONGEST])
