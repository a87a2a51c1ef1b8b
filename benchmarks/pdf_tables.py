"""Rows of tables of PDFs, as our reader and pdfplumber read them, beside what stands on the page.

    .venv-peers/bin/pip install pdfplumber==0.11.10
    .venv/bin/python -m benchmarks.pdf_tables

The tables are of files of ``../shared/data/documents``; their rows were written down from the rendered pages: first
tables without ruled columns, then tables, most of them ruled, in which cells have several lines. A row is whole if its
cells are in order and apart, and in its columns if the blank ones between them are there too. pdfplumber (in an
environment of its own) finds columns by its own default, lines, and by the alignment of text. Prints a table for each
of the two, with seconds of the processor.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from qa.readers.registry import read_source
from qa.types import Source

DOCUMENTS = Path(__file__).parent.parent.parent / "shared" / "data" / "documents"
PEERS_PYTHON = Path(".venv-peers/bin/python")
_PLUMBER = """
import json, sys, time, pdfplumber
settings = {"lines": {}, "text": {"vertical_strategy": "text", "horizontal_strategy": "text"}}
started = time.process_time()
with pdfplumber.open(sys.argv[1]) as pdf:
    tables = pdf.pages[int(sys.argv[2]) - 1].extract_tables(settings[sys.argv[3]])
rows = [[cell or "" for cell in row] for table in tables for row in table]
print(json.dumps([rows, time.process_time() - started]))
"""

# By the name and page of a file: the rows, with their cells apart by "|".
UNRULED: dict[tuple[str, int], Sequence[str]] = {
    ("SPARSE-2024-INV-1234_borderless_table.pdf", 1): [
        "Product Code|Location|Expected|Actual|Variance|Status",
        "SKU-8847|A-12|450",
        "|B-07||289|-23",
        "SKU-9201||780|778||OK",
        "|C-15|||+15",
        "SKU-4563|D-22||156||CRITICAL",
        "||180||-24",
        "SKU-7728|A-08|920",
        "|||935|+15|OK",
    ],
    ("SPARSE-2024-INV-1234_borderless_table.pdf", 2): [
        "Product Code|Category|Unit Cost|Total Value|Last Audit|Notes",
        "SKU-8847|Electronics|$45.00|$13,005.00|2024-10-15",
        "SKU-9201|Hardware|$32.50|$25,285.00|2024-10-22|Verified",
        "SKU-4563|Software|$120.00|$18,720.00||Critical",
        "SKU-7728|Accessories|$15.75|$14,726.25|2024-11-01",
        "SKU-3345|Electronics|$67.00|$22,445.00|2024-10-18",
        "SKU-5512|Hardware|$89.00|$31,150.00||Pending",
        "SKU-6678|Software|$200.00|$42,000.00|2024-10-25|High Value",
        "SKU-7789|Accessories|$8.50|$5,950.00|2024-11-05",
        "SKU-2234|Electronics|$125.00|$35,000.00",
        "SKU-1123|Hardware|$55.00|$27,500.00|2024-10-30|Verified",
    ],
    ("movie-theater-booking-2024.pdf", 1): [
        "Start Date|End Date|# Shows|Gross Amount|Net Amount",
        "12/20/24|12/31/24|48|$12,500.00|$11,250.00",
        "Month|# Shows|Gross Amount|Net Amount|Occupancy",
        "December 2024|48|$12,500.00|$11,250.00|85%",
        "Totals|48|$12,500.00|$11,250.00|85%",
        "Representative|Territory|Region|Start Date / End Date|Commission %",
        "Sarah Johnson|NYC Metro|NORTHEAST|12/20/24 - 12/31/24|100%",
        "Ln|Screen|Start|End|Movie Title|Format|Showtime|Days|Shows|Rate|Type|Total",
        "1|SCR-1|12/20/24|12/25/24|Holiday Spectacular|IMAX 3D|7:00 PM|Daily|12|$250|PM|$3,000",
        "2|SCR-2|12/20/24|12/31/24|Winter Wonderland|Standard|4:30 PM|Daily|24|$150|MT|$3,600",
        "3|SCR-1|12/26/24|12/31/24|New Year Mystery|4DX|9:30 PM|Daily|12|$300|PM|$3,600",
        "Show|Screen|Date Range|Title|Showtime|Days|Type|Rate|Revenue",
        "1|SCR-1|12/20-12/25|Holiday Spectacular|7:00 PM|Daily|PM|$250|$3,000",
        "2|SCR-2|12/20-12/31|Winter Wonderland|4:30 PM|Daily|MT|$150|$3,600",
        "3|SCR-1|12/26-12/31|New Year Mystery|9:30 PM|Daily|PM|$300|$3,600",
    ],
    ("REPAIR-2022-INV-001_multipage.pdf", 1): [
        "Parts||||2,100",
        "Body Labor||2|150|300",
        "Paint Labor||1.5|150|225",
        "Mechanical Labor||-|-|-",
        "Other Charges||||15",
        "Subtotal||||2,730",
        "Sales Tax|||10.20%|278.46",
        "GRAND TOTAL||||5,738",
    ],
    ("issue-1062-filters.pdf", 1): [
        "Leverbon||Datum",
        "87032595||16.02.2017",
        "Ordernr.||Datum",
        "4550219||15.02.2017",
    ],
    ("example.pdf", 1): [
        "|Indonesia|Germany|Austria|France|Vatican",
        "Continent|Asia|||Europe",
        "Currency|Rupia||EUR (€)||-",
    ],
}

OF_SEVERAL_LINES: dict[tuple[str, int], Sequence[str]] = {
    ("2b.pdf", 1): [
        "Booked and interest date|Text|Amount in EUR|Booked balance in EUR",
        "01/14/2016|Transfer|1,406,164.00|1,406,246.50",
    ],
    ("sample_pdf_1.pdf", 1): [
        "|Column 1|Column 2|Column 3",
        "A|324|55 million units|2022",
        "B|234,523.00|The quick brown fox jumped over the lazy dog.|54x growth",
        "C|23.53%|A short string.",
        "D|$54.35|$6345.",
    ],
    ("GeoBase_NHNC1_Data_Model_UML_EN.pdf", 3): [
        "Date|Version|Description",
        "September 2002|Draft 01|First draft for discussion with Nova Scotia",
        "January 2003|Draft|Second draft after discussion with Nova Scotia and major review of the hydro network model "
        "through: • Proposal of options",
        "March 2003|Alpha|Draft version after discussion and decisions made concerning NHNC1 scope and content with "
        "Nova Scotia and British Columbia",
        "July 2003|Draft 02|Draft version after discussion and decisions made concerning the detailed NHNC1 model and "
        "content with Nova Scotia, British Columbia, and the Yukon. Meeting in Victoria, May 2003.",
        "December 2003|Draft|Integration of UML model for both LRS and Segmented views of the NHNC1.",
        "February 2004|Draft|English review; Remove the UML model for the Segmented view.",
        "May 2004|Draft|Update from the March Workshop comments.",
        "August 2004|2004.1|The object metadata attribute « date » is renamed « validity_date » in section 3.1.6.2 and "
        "at all other parts referring to object metadata. A new Feature type value is added for inland water (see "
        "section 3.1.5)",
    ],
    ("issue-598-cmap-other-fonts.pdf", 1): [
        "03-7FC20.02|EEC1 CAN Message Fault: counter error",
        "00- 07F8A0.2|522400|2|Crankshaft signal error",
        "00- 07F8A1.5|522401|5|No signal from crankshaft",
        "00-5B.3|91|3|Accelerator sensor 1 error (voltage high)",
    ],
}


def _ours(path: Path, page: int) -> tuple[list[list[str]], float]:
    started = time.process_time()
    document, _ = read_source(Source(path.name, path, path.stat().st_size))
    assert document is not None
    span = document.pages[page - 1]
    text = document.text[span.start : span.end]
    return [line.split("\t") for line in text.split("\n")], time.process_time() - started


def _plumber(path: Path, page: int, strategy: str) -> tuple[list[list[str]], float]:
    command = [str(PEERS_PYTHON), "-c", _PLUMBER, str(path), str(page), strategy]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows, seconds = json.loads(done.stdout)
    return rows, seconds


def _cells(row: Sequence[str]) -> tuple[str, ...]:
    """Return the texts of the cells, each on one line, without the blank ones at the ends."""
    cells = [" ".join(cell.split()) for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    while cells and not cells[0]:
        cells.pop(0)
    return tuple(cells)


def main() -> None:
    """Print how many of the rows each way of reading finds."""
    for name, tables in (("unruled", UNRULED), ("of several lines", OF_SEVERAL_LINES)):
        _compare(name, tables)


def _compare(kind: str, tables: Mapping[tuple[str, int], Sequence[str]]) -> None:
    ways = ["ours", *(["lines", "text"] if PEERS_PYTHON.exists() else [])]
    counts = {way: [0, 0, 0.0] for way in ways}
    wanted = 0
    for (name, page), rows in tables.items():
        path = next(DOCUMENTS.rglob(name))
        truth = [_cells(row.split("|")) for row in rows]
        wanted += len(truth)
        for way in ways:
            found, seconds = _ours(path, page) if way == "ours" else _plumber(path, page, way)
            in_columns = {_cells(row) for row in found}
            whole = {tuple(filter(None, row)) for row in in_columns}
            counts[way][0] += sum(tuple(filter(None, row)) in whole for row in truth)
            counts[way][1] += sum(row in in_columns for row in truth)
            counts[way][2] += seconds
    print(f"| of {wanted} rows, {kind} | whole | in their columns | seconds |\n|---|---|---|---|")
    for way, (whole_rows, placed, seconds) in counts.items():
        print(f"| {way if way == 'ours' else f'pdfplumber, {way}'} | {whole_rows} | {placed} | {seconds:.2f} |")
    print()


if __name__ == "__main__":
    main()
