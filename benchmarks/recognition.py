"""How well and how fast OCR reads: ten pages of real PDFs, printed and scanned by arithmetic, beside their own text.

``python -m benchmarks.recognition`` prints a table; with a folder it also writes each scan as a picture, and beside it
what was recognised, to be looked at. It needs ``../shared/data`` and ``qa[ocr]``.
"""

from __future__ import annotations

import re
import resource
import sys
import time
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from rapidfuzz.distance import Levenshtein

from qa.readers.images import ImageReader
from qa.readers.pdf.document import PdfReader
from qa.readers.recognition.models import Models
from qa.readers.recognition.recogniser import PIXELS_TO_AN_INCH, PageRecogniser, recognition_version

DOCUMENTS = Path("../shared/data/documents")
_MARKITDOWN = "microsoft+markitdown/packages/markitdown/tests/test_files"
_PDFMINER = "pdfminer+pdfminer.six/samples/contrib"
# A file, and one of its pages, counted from 1.
PAGES = (
    ("deepset-ai+haystack/test/test_files/pdf/react_paper.pdf", 4),
    ("deepset-ai+haystack/test/test_files/pdf/sample_pdf_2.pdf", 2),
    (f"{_MARKITDOWN}/RECEIPT-2024-TXN-98765_retail_purchase.pdf", 1),
    (f"{_MARKITDOWN}/REPAIR-2022-INV-001_multipage.pdf", 1),
    (f"{_MARKITDOWN}/test.pdf", 1),
    (f"{_PDFMINER}/issue-1061-colour-space-stack.pdf", 2),
    (f"{_PDFMINER}/issue-1062-filters.pdf", 1),
    (f"{_PDFMINER}/pr-00530-ml-lines.pdf", 1),
    ("py-pdf+pypdf/resources/GeoBase_NHNC1_Data_Model_UML_EN.pdf", 5),
    ("py-pdf+pypdf/resources/pdflatex-outline.pdf", 2),
)


def one_page(path: Path, number: int) -> bytes:
    """Return a PDF of one page of another."""
    import pypdfium2

    single = pypdfium2.PdfDocument.new()
    single.import_pages(pypdfium2.PdfDocument(path), [number - 1])
    buffer = BytesIO()
    single.save(buffer)
    return buffer.getvalue()


def scanned(page: bytes, random: np.random.Generator) -> bytes:
    """Draw a page and degrade it as an office scanner does: up to 0.7° askew, out of focus, grey, noisy, JPEG."""
    import pypdfium2

    drawn = pypdfium2.PdfDocument(page)[0].render(scale=PIXELS_TO_AN_INCH / 72, grayscale=True).to_pil()
    askew = drawn.rotate(random.uniform(-0.7, 0.7), resample=Image.Resampling.BICUBIC, fillcolor=255)
    values = np.asarray(askew.filter(ImageFilter.GaussianBlur(0.7)), np.float32)
    noisy = values * 0.86 + 18 + random.normal(0, 8, values.shape)
    buffer = BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.casefold()))


def main(folder: Path | None = None) -> None:
    """Print the table."""
    random = np.random.default_rng(1)
    started = time.process_time()
    models = Models()
    print(f"{recognition_version(True)}; loaded in {time.process_time() - started:.1f} s of the processor")
    recogniser = PageRecogniser("benchmark", None, lambda message: None, lambda: models.recognise)
    reader = ImageReader("jpeg", recogniser)
    print("| page | characters | s | characters right | words found | words right | confidence |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    rows = []
    for name, number in PAGES:
        page = one_page(DOCUMENTS / name, number)
        truth, scan = PdfReader().read(page).text, scanned(page, random)
        recogniser.begin()
        before = time.process_time()
        content = reader.read(scan)
        seconds = time.process_time() - before
        read, wanted = _words(content.text), _words(truth)
        common = sum((read & wanted).values())
        alike = Levenshtein.normalized_similarity(" ".join(content.text.split()), " ".join(truth.split()))
        confidence = content.pages[0].recognised or 0.0
        row = (len(truth), seconds, alike, common / sum(wanted.values()), common / sum(read.values()), confidence)
        rows.append(row)
        _print(f"{Path(name).stem}, {number}", row)
        if folder is not None:
            (folder / f"{Path(name).stem}.jpg").write_bytes(scan)
            (folder / f"{Path(name).stem}.txt").write_text(content.text, "utf-8")
    means = [float(mean) for mean in np.array(rows).mean(axis=0)]
    _print("mean", (round(means[0]), means[1], means[2], means[3], means[4], means[5]))
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:,.0f} MB")


def _print(name: str, row: tuple[int, float, float, float, float, float]) -> None:
    characters, seconds, *shares = row
    print(f"| {name} | {characters:,} | {seconds:.2f} | " + " | ".join(f"{share:.3f}" for share in shares) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
