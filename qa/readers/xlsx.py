"""Sheets of an Excel workbook as sections, with rows as lines (ECMA-376 part 1, 18)."""

from __future__ import annotations

import datetime
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qa.errors import UnreadableDocument
from qa.readers.archive import Package, attribute, local
from qa.readers.composition import Composition, Content
from qa.readers.number_formats import shown, temporal_kind
from qa.readers.sheets import Row, name_hidden, write_sheet

_BROKEN = "it is a damaged Excel workbook; open it and save it again"
_MAIN = "xl/workbook.xml"
_MOST_ROWS, _MOST_COLUMNS = 1_048_576, 16_384
_MOST_MERGED, _WIDEST_MERGED = 20_000, 100
_LONGEST_REPEATED = 100
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*ref="([A-Z]{1,3}[0-9]{1,7}):([A-Z]{1,3}[0-9]{1,7})"')
_COLUMN = re.compile(rb"<(?:\w+:)?col\s[^>]*>")
_ATTRIBUTE = re.compile(rb'\b(min|max|hidden)\s*=\s*["\']([^"\']*)')
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_THREADED = re.compile(r"\[Threaded comment\].*?Comment:\s*", re.DOTALL)
_BUILT_IN = {
    **{1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??"},
    **{14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm"},
    **{21: "h:mm:ss", 22: "yyyy-mm-dd h:mm", 37: "#,##0_);(#,##0)", 38: "#,##0_);(#,##0)", 39: "#,##0.00_);(#,##0.00)"},
    **{40: "#,##0.00_);(#,##0.00)", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@"},
}
_EPOCHS = datetime.datetime(1899, 12, 30), datetime.datetime(1904, 1, 1)
_NOT_NUMBERS = frozenset({"s", "str", "inlineStr", "b", "e", "d"})


class XlsxReader:
    """A reader of ``.xlsx``: what cells show, with formulas as the values that were last computed.

    A blank row ends a table; in each, rows are lines, "name: value | name: value" if its first row names the columns.
    A comment on a cell stands below its row.

    Args:
        hidden: whether hidden sheets, rows and columns are read, too.
    """

    name = "xlsx"
    version = "5"
    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def __init__(self, *, hidden: bool = False) -> None:
        self._reads_hidden = hidden

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        package = Package(data, _MAIN)
        workbook = package.xml(package.main)
        styles = _Styles(package.first(package.main, "styles"), workbook)
        strings = _shared_strings(package)
        composition = Composition()
        problems: list[str] = []
        relations = package.relations(package.main)
        for element in (element for sheets in workbook if local(sheets) == "sheets" for element in sheets):
            name, relation = attribute(element, "name"), relations.get(attribute(element, "id"))
            if relation is None or relation.kind != "worksheet":
                continue
            if attribute(element, "state") in {"hidden", "veryHidden"} and not self._reads_hidden:
                problems.append(f"the sheet {name} is hidden and left out")
                continue
            sheet = _Sheet(package, relation.target, styles, strings, reads_hidden=self._reads_hidden)
            sheet.write(name, composition)
            problems += [f"{problem} of the sheet {name}" for problem in sheet.problems]
        return composition.content([package.title()], problems, titled_by_heading=False, metadata=package.metadata())


@dataclass(frozen=True, slots=True)
class _Style:
    code: str = "General"
    is_bold: bool = False
    is_struck: bool = False


class _Styles:
    """How cells are shown, by the number of their style; ``root`` is of the styles part, if there is one."""

    def __init__(self, root: Any, workbook: Any) -> None:
        parts = {local(part): part for part in (() if root is None else root)}
        codes = {attribute(f, "numFmtId"): attribute(f, "formatCode") for f in parts.get("numFmts", ())}
        fonts = [{local(part): attribute(part, "val") for part in font} for font in parts.get("fonts", ())]
        properties = [part for part in workbook if local(part) == "workbookPr"]
        self.epoch = _EPOCHS[any(attribute(part, "date1904") in {"1", "true"} for part in properties)]
        self._styles = []
        for style in parts.get("cellXfs", ()):
            number, font = attribute(style, "numFmtId"), attribute(style, "fontId")
            code = codes.get(number) or _BUILT_IN.get(int(number) if number[:4].isdecimal() else 0, "General")
            features = fonts[int(font)] if font.isdecimal() and int(font[:6]) < len(fonts) else {}
            on = {name for name, value in features.items() if value not in {"0", "false"}}
            self._styles.append(_Style(code, "b" in on, "strike" in on))

    def __getitem__(self, number: str) -> _Style:
        at = int(number) if number[:6].isdecimal() else 0
        return self._styles[at] if at < len(self._styles) else _Style()


def _shared_strings(package: Package) -> Sequence[str]:
    for part in package.related(package.main, "sharedStrings"):
        strings = []
        for item in _elements(package.read(part), "si"):
            strings.append(_string(item))
            item.clear()
        return strings
    return ()


def _elements(data: bytes, name: str) -> Iterator[Any]:
    """Yield the elements of a name as they end. Raises UnreadableDocument."""
    from lxml import etree

    parser = etree.iterparse(
        io.BytesIO(data), events=("end",), tag=f"{{*}}{name}", resolve_entities=False, no_network=True, load_dtd=False
    )
    try:
        for _, element in parser:
            yield element
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise UnreadableDocument(_BROKEN) from error


def _string(item: Any) -> str:
    """Return the text of a string without what is struck out and how it is pronounced."""
    parts = []
    for part in item:
        name = local(part)
        if name == "t":
            parts.append(part.text or "")
        elif name == "r":
            properties = {local(p): attribute(p, "val") for child in part if local(child) == "rPr" for p in child}
            if properties.get("strike", "0") in {"0", "false"}:
                parts += [child.text or "" for child in part if local(child) == "t"]
    return _unescaped("".join(parts))


def _unescaped(text: str) -> str:
    """Replace "_x000D_" and the like by the characters that they stand for (ST_Xstring)."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


class _Sheet:
    """One sheet; ``problems`` are filled while it is written."""

    def __init__(
        self, package: Package, part: str, styles: _Styles, strings: Sequence[str], *, reads_hidden: bool
    ) -> None:
        self._package = package
        self._part = part
        self._styles = styles
        self._strings = strings
        self._comments = _comments(package, part)
        self._without_value = 0
        self._reads_hidden = reads_hidden
        self._hidden_columns: list[range] = []
        self._unread_rows = 0
        self._unread_columns: set[int] = set()
        self.problems: list[str] = []

    def write(self, name: str, composition: Composition) -> None:
        """Write the tables under the name of the sheet, unless it is empty."""
        try:
            write_sheet(name, self._blocks(), composition)
        except UnreadableDocument:
            self.problems.append("a part that is damaged")
        self.problems += name_hidden(self._unread_rows, len(self._unread_columns))
        if self._without_value:
            self.problems.append(f"{self._without_value} formulas without a value (save it in Excel to compute them)")

    def _blocks(self) -> Iterator[list[Row]]:
        """Yield the rows between blank rows."""
        data = self._package.read(self._part)
        merged = _Merged(data)
        if not self._reads_hidden:
            self._hidden_columns = list(_hidden_columns(data))
        block: list[Row] = []
        last = 0
        for element in _elements(data, "row"):
            number = _integer(attribute(element, "r"), last + 1)
            is_hidden = attribute(element, "hidden") in {"1", "true"} and not self._reads_hidden
            if is_hidden or not last < number <= _MOST_ROWS:
                self._unread_rows += is_hidden and any(map(len, element))
                last = max(last, min(number, _MOST_ROWS))
                continue
            row = self._row(element, number)
            merged.fill(row, number)
            if block and (number > last + 1 or not (row.cells or row.is_struck)):
                yield block
                block = []
            if row.cells:
                block.append(row)
            last = number
        if block:
            yield block

    def _row(self, element: Any, number: int) -> Row:
        row = Row()
        column = -1
        for cell in element:
            reference = _REFERENCE.fullmatch(cell.get("r") or "")
            column = _column(reference[1]) if reference else column + 1
            if column >= _MOST_COLUMNS:
                break
            if any(column in columns for columns in self._hidden_columns):
                if len(cell):
                    self._unread_columns.add(column)
                continue
            style = self._styles[cell.get("s") or "0"]
            text = "" if style.is_struck else self._text(cell, style)
            row.is_struck |= style.is_struck
            if text.strip():
                row.cells[column] = text
                row.bold += style.is_bold
            if comment := self._comments.get((number, column)):
                label = next(iter(row.cells.values()), "")
                row.comments.append(f"Comment on {label}: {comment}" if label != text else f"Comment: {comment}")
        return row

    def _text(self, cell: Any, style: _Style) -> str:
        """Return what a cell shows."""
        kind = cell.get("t") or "n"
        value: str | None = None
        has_formula = False
        for part in cell:
            name = local(part)
            if name == "v":
                value = part.text
            elif name == "is":
                return _string(part)
            has_formula |= name == "f"
        if not value:
            self._without_value += has_formula and kind not in {"str", "s"}
            return ""
        if kind == "s":
            at = _integer(value, -1)
            return self._strings[at] if 0 <= at < len(self._strings) else ""
        if kind == "b":
            return "TRUE" if value == "1" else "FALSE"
        return _unescaped(value) if kind in _NOT_NUMBERS else self._number(value, style.code)

    def _number(self, value: str, code: str) -> str:
        try:
            number = float(value)
            number = int(value) if number.is_integer() and "." not in value and "E" not in value.upper() else number
            kind = temporal_kind(code)
            if kind == "duration":
                return shown(datetime.timedelta(days=number), code)
            return self._moment(number, kind, code) if kind else shown(number, code)
        except (ValueError, OverflowError):
            return value

    def _moment(self, days: float, kind: str, code: str) -> str:
        # Excel has a 29th of February 1900.
        moment = self._styles.epoch + datetime.timedelta(
            days=days + (self._styles.epoch == _EPOCHS[0] and 0 < days < 60)
        )
        moment = (moment + datetime.timedelta(milliseconds=500)).replace(microsecond=0)
        if kind == "time" and 0 <= days < 1:
            return shown(moment.time(), code)
        if kind == "date" or not moment.time() > datetime.time():
            return moment.date().isoformat()
        return moment.isoformat(" ")


def _hidden_columns(data: bytes) -> Iterator[range]:
    """Yield the columns of a sheet that are hidden, counted from 0."""
    for element in _COLUMN.findall(data, 0, max(data.find(b"sheetData"), 0)):
        values = {name: value.decode("latin-1") for name, value in _ATTRIBUTE.findall(element)}
        if values.get(b"hidden") in {"1", "true"}:
            first, last = (_integer(values.get(name, ""), 0) for name in (b"min", b"max"))
            # The rest of a sheet may be hidden: it holds nothing.
            if 0 < first <= last < _MOST_COLUMNS:
                yield range(first - 1, last)


class _Merged:
    """The merged cells of a sheet, whose short texts are in all the cells that they stand for."""

    def __init__(self, data: bytes) -> None:
        # By row and column, the upper left cell of those that reach down there.
        self._below: dict[int, dict[int, tuple[int, int]]] = {}
        # By row, the first and the last column of those that begin there and are wider than one.
        self._wide: dict[int, list[tuple[int, int]]] = {}
        self._texts: dict[tuple[int, int], str] = {}
        count = 0
        for found in _MERGED.finditer(data):
            (left, top), (right, bottom) = (_place(reference.decode()) for reference in found.groups())
            count += 1 + bottom - top
            if count > _MOST_MERGED:
                return
            if left < right < left + _WIDEST_MERGED:
                self._wide.setdefault(top, []).append((left, right))
            for row in range(top + 1, bottom + 1):
                self._below.setdefault(row, {})[left] = (top, left)

    def fill(self, row: Row, number: int) -> None:
        """Add to a row what merged cells say in it."""
        if not self._below and not self._wide:
            return
        for column, anchor in self._below.get(number, {}).items():
            if text := self._texts.get(anchor, ""):
                row.cells.setdefault(column, text)
        # A single one is a title of what stands below it.
        for first, last in self._wide.get(number, ()) if len(row.cells) > 1 else ():
            if (text := row.cells.get(first, "")) and len(text) <= _LONGEST_REPEATED:
                row.groups += 1
                row.cells.update(dict.fromkeys(range(first + 1, last + 1), text))
        for column, text in row.cells.items():
            if len(text) <= _LONGEST_REPEATED:
                self._texts[number, column] = text


def _place(reference: str) -> tuple[int, int]:
    """Return column, from 0, and row of a reference such as "B7"."""
    found = _REFERENCE.fullmatch(reference)
    return (_column(found[1]), int(found[2])) if found else (0, 0)


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _comments(package: Package, sheet: str) -> Mapping[tuple[int, int], str]:
    """Return the comments of a sheet by row and column."""
    root = package.first(sheet, "comments")
    comments: dict[tuple[int, int], str] = {}
    for comment in () if root is None else root.iter():
        if local(comment) == "comment":
            text = "".join(part.text or "" for part in comment.iter() if local(part) == "t")
            column, row = _place(attribute(comment, "ref"))
            comments[row, column] = _unescaped(_THREADED.sub("", text))
    return comments


def _integer(value: str, default: int) -> int:
    return int(value) if value[:9].isdecimal() and len(value) < 10 else default
