"""A small writer of PDF files, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600, 800


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text at ``x`` and ``y`` points from the lower left corner, in Helvetica.

    ``ink`` are operators of the page's content that stand before it, and hold for it alone.
    """

    text: str
    x: float = 72
    y: float = 700
    size: float = 10
    ink: str = ""


def lines(*texts: str, x: float = 72, y: float = 700, leading: float = 12, size: float = 10) -> list[Text]:
    """Place texts one below the other."""
    return [Text(text, x, y - number * leading, size) for number, text in enumerate(texts)]


def pdf(
    *pages: Sequence[Text],
    title: str = "",
    outline: Sequence[tuple[str, int]] = (),
    count: int | None = None,
    annotations: Sequence[str] = (),
) -> bytes:
    """Write a PDF of these pages.

    ``outline`` pairs titles with page numbers from 1; ``count`` is declared as the number of pages.
    ``annotations`` are the entries of dictionaries, on the first page; all of them are in the form.
    """
    bodies: dict[int, bytes] = {}
    page_numbers = [10 + 2 * number for number in range(len(pages))]
    first_entry = 10 + 2 * len(pages)
    entries = [first_entry + number for number in range(len(outline))]
    first_annotation = first_entry + len(outline)
    annotated = [first_annotation + number for number in range(len(annotations))]
    references = " ".join(f"{number} 0 R" for number in annotated)
    bodies[1] = f"<< /Type /Catalog /Pages 2 0 R /Outlines 5 0 R /AcroForm << /Fields [{references}] >> >>".encode()
    for number, entries_of in zip(annotated, annotations, strict=True):
        bodies[number] = f"<< /Type /Annot /Rect [10 10 90 30] {entries_of} >>".encode("cp1252")
    kids = " ".join(f"{number} 0 R" for number in page_numbers)
    bodies[2] = f"<< /Type /Pages /Kids [{kids}] /Count {len(pages) if count is None else count} >>".encode()
    bodies[3] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    bodies[4] = b"<< /Title (%s) >>" % _escaped(title)
    bodies[5] = f"<< /First {entries[0]} 0 R /Last {entries[-1]} 0 R >>".encode() if entries else b"<< >>"
    for number, page in zip(page_numbers, pages, strict=True):
        content = b"\n".join(
            b"q %s BT /F1 %f Tf 1 0 0 1 %f %f Tm (%s) Tj ET %s Q"
            % (text.ink.encode(), text.size, text.x, text.y, _escaped(text.text), b"EMC" * text.ink.count("BDC"))
            for text in page
        )
        bodies[number] = (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> %s >>"
            % (WIDTH, HEIGHT, number + 1, f"/Annots [{references}]".encode() if number == page_numbers[0] else b"")
        )
        bodies[number + 1] = b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content)
    for number, (entry, (heading, target)) in enumerate(zip(entries, outline, strict=True)):
        following = f"/Next {entry + 1} 0 R" if number + 1 < len(entries) else ""
        bodies[entry] = b"<< /Title (%s) /Parent 5 0 R /Dest [%d 0 R /Fit] %s >>" % (
            *(_escaped(heading), page_numbers[target - 1]),
            following.encode(),
        )
    return _file(bodies)


def _escaped(text: str) -> bytes:
    return text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _file(bodies: dict[int, bytes]) -> bytes:
    data = b"%PDF-1.4\n"
    table = b"0000000000 65535 f \n"
    for number in range(1, max(bodies) + 1):
        table += b"%010d 00000 n \n" % len(data) if number in bodies else b"0000000000 00000 f \n"
        if number in bodies:
            data += b"%d 0 obj\n%s\nendobj\n" % (number, bodies[number])
    trailer = b"trailer\n<< /Size %d /Root 1 0 R /Info 4 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return data + b"xref\n0 %d\n" % (max(bodies) + 1) + table + trailer % (max(bodies) + 1, len(data))
