"""The kind of a file, by its content first and its name second: which reader takes it, or why none does."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from qa.errors import UnreadableDocument

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF87a", "a GIF image"),
    (0, b"GIF89a", "a GIF image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (8, b"WEBP", "a WebP image"),
    (0, b"8BPS", "a Photoshop image"),
    (0, b"\0\0\x01\0", "an icon"),
    (8, b"WAVE", "a WAV sound"),
    (8, b"AVI ", "an AVI video"),
    (0, b"ID3", "an MP3 sound"),
    (0, b"fLaC", "a FLAC sound"),
    (0, b"OggS", "an Ogg sound or video"),
    (4, b"ftypheic", "a HEIC image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftypM4A", "an MP4 sound"),
    (4, b"ftyp", "an MP4 video"),
    (0, b"\x1aE\xdf\xa3", "a Matroska video"),
    (0, b"\x1f\x8b", "a gzip archive; unpack it"),
    (0, b"BZh", "a bzip2 archive; unpack it"),
    (0, b"\xfd7zXZ\0", "an xz archive; unpack it"),
    (0, b"(\xb5/\xfd", "a Zstandard archive; unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it"),
    (0, b"Rar!\x1a\x07", "a RAR archive; unpack it"),
    (257, b"ustar", "a tar archive; unpack it"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ\x90\0", "a Windows program"),
    (0, b"\xcf\xfa\xed\xfe", "a program"),
    (0, b"\xca\xfe\xba\xbe", "a compiled Java class"),
    (0, b"\0asm", "a WebAssembly program"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"wOFF", "a font"),
    (0, b"wOF2", "a font"),
    (0, b"\0\x01\0\0\0", "a font"),
    (0, b"OTTO", "a font"),
    (0, b"%!PS", "a PostScript file; save it as PDF"),
    (0, b"AT&TFORM", "a DjVu document; save it as PDF"),
    (60, b"BOOKMOBI", "a Mobipocket book; save it as .epub"),
)
_TEXTUAL = frozenset({b"%!PS"})
# Images of pages: each is read where it can be recognised.
IMAGES = {"a PNG image": "png", "a JPEG image": "jpeg", "a TIFF image": "tiff"}
CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")


def describe_signature(head: bytes) -> str:
    """Return what a file is by its first bytes, in words, if it is of a kind that no reader takes."""
    # A text may well begin with "ID3" or "BZh"; what is not text has control characters.
    binary = CONTROL.search(head[:512])
    for offset, magic, what in _SIGNATURES:
        if head.startswith(magic, offset) and (offset != 8 or head.startswith(b"RIFF")):
            return what if binary or magic in _TEXTUAL else ""
    return ""


HEAD = 65_536


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of a file: ``reader`` is the name of the reader that takes it; if none does, ``reason`` says why.

    Of an image, which a reader takes where OCR is installed, ``reason`` says what it is.
    """

    reader: str | None
    reason: str = ""


def _skipped(what: str) -> Kind:
    return Kind(None, what)


_BY_SUFFIX = {
    "text": ("txt", "text", "log", "tex", "textile"),
    "rst": ("rst", "rest"),
    "asciidoc": ("adoc", "asciidoc"),
    "org": ("org",),
    "markdown": ("md", "markdown", "mdown", "mkd"),
    "html": ("html", "htm", "xhtml"),
    "delimited": ("csv", "tsv", "tab"),
    "pdf": ("pdf",),
    "docx": ("docx", "docm", "dotx"),
    "pptx": ("pptx", "pptm", "ppsx", "potx"),
    "xlsx": ("xlsx", "xlsm", "xltx"),
    "odt": ("odt", "ott"),
    "epub": ("epub",),
    "spreadsheet": ("xls", "xlt"),
    "ods": ("ods", "ots"),
    "rtf": ("rtf",),
    "mail": ("eml", "mbox"),
    "outlook": ("msg",),
    "notebook": ("ipynb",),
    "records": ("json", "jsonl", "ndjson", "geojson"),
    "subtitles": ("srt", "vtt"),
    "xml": ("xml", "rss", "atom"),
    "python": ("py", "pyi"),
    "javascript": ("js", "mjs", "cjs", "ts", "tsx", "jsx", "vue", "svelte"),
    "java": ("java", "kt", "scala", "swift", "cs", "groovy", "dart"),
    "c": ("c", "h", "cc", "cpp", "cxx", "hpp"),
    "go": ("go",),
    "rust": ("rs",),
    "ruby": ("rb",),
    "php": ("php",),
    "shell": ("sh", "bash", "zsh", "fish"),
    "sql": ("sql",),
    "code": tuple("lua r jl pl pm ex exs erl hs ml clj ps1 bat proto cmake gradle".split()),
    "settings": ("ini", "toml", "cfg", "conf", "properties"),
    "yaml": ("yaml", "yml"),
}
_READER = {suffix: reader for reader, suffixes in _BY_SUFFIX.items() for suffix in suffixes}
_BINARY = frozenset({"pdf", "docx", "pptx", "xlsx", "odt", "ods", "epub", "spreadsheet", "outlook"})
# Endings of one format that are called by the other.
_ALIKE = {"htm": "html", "xhtml": "html", "text": "txt", "markdown": "md", "yml": "yaml", "tab": "tsv"}

# Text that only machines read would crowd out what people write; and environments hold passwords.
_DATA = frozenset("css scss less asm env lock plist parquet svg map".split())
# What was packed for machines has lines that nobody wrote.
_LONGEST_WRITTEN_LINE = 5_000

_WORD, _SLIDES, _SHEETS = "save it as .docx", "save it as .pptx", "save it as .xlsx"
_LEGACY = "an old Word or PowerPoint file; save it as .docx or .pptx"
_LEGACY_BY_SUFFIX = {
    "doc": f"an old Word document; {_WORD}",
    "dot": f"an old Word document; {_WORD}",
    "ppt": f"an old PowerPoint presentation; {_SLIDES}",
    "msi": "a Windows installer",
}
_RTF = b"{\\rtf"
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# A stream of an Outlook message.
_MESSAGE = "__properties_version1.0".encode("utf-16-le")
# The stream of an old Excel workbook.
_WORKBOOKS = tuple(f"{name}\0\0".encode("utf-16-le") for name in ("Workbook", "Book"))
# The stream that holds a protected OOXML file; names in OLE2 are UTF-16.
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")

_OPEN_DOCUMENT = {
    "text": Kind("odt"),
    "text-template": Kind("odt"),
    "spreadsheet": Kind("ods"),
    "spreadsheet-template": Kind("ods"),
    "presentation": _skipped(f"an OpenDocument presentation; {_SLIDES}"),
}

# What a question file says of a question.
_JUDGMENTS = frozenset("answers answer answerable documents document quote quotes evidence judgments gold".split())
_LINES_OF_JSON = frozenset({"jsonl", "ndjson"})
# Of a file that may hold queries: lines looked at, and characters of the longest.
_LOOKED_AT, _LONGEST_QUERY = 50, 1_000
_BETWEEN_NAMES = re.compile("[,;\t]")
_QRELS = re.compile(rb"query-id[\t,]corpus-id[\t,]score", re.IGNORECASE)
# Settings and lists of packages, which programs write for programs.
_MACHINE_FILE = re.compile(
    r"(?:package(?:-lock)?|composer|tsconfig.*|jsconfig.*|manifest|bower|deno|turbo|lerna|renovate|angular)\.json|.*rc\.json"
)

_ODF_TYPE = re.compile(rb"mimetypeapplication/(vnd\.oasis\.opendocument\.([a-z-]+)|epub\+zip)")
# A local header of ZIP: 26 bytes, two lengths, the name.
_LOCAL_NAME = re.compile(rb"PK\x03\x04.{26}([\w\[\]./-]{1,120})", re.DOTALL)
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_BEFORE_HTML = re.compile(rb"(?:\s++|<!--.*?-->|<\?[^>]*+>)*+", re.DOTALL)
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)
_PDF = re.compile(rb"%PDF-\d")
_SUFFIX = re.compile(r"\.([a-z][a-z0-9_]{0,9})")


def detect_kind(file: BinaryIO, name: str) -> Kind:
    """Detect the kind of an open file, whose document will be called ``name``.

    Raises:
        OSError: it cannot be read.
        UnreadableDocument: it is protected by a password.
    """
    head = file.read(HEAD)
    if head.startswith(_OLE2):
        head += _ole2_directory(file, head)
    return classify(head, name, _members(file) if head.startswith(b"PK") else ())


def classify(head: bytes, name: str, members: Iterable[str] = ()) -> Kind:
    """Detect the kind of a file from its first bytes and its name.

    Args:
        head: its first bytes; ``HEAD`` of them are enough.
        name: its name, with or without folders; looked at where the content decides nothing.
        members: where it is an archive, the names of what is in it.

    Raises:
        UnreadableDocument: it is an Office file protected by a password.
    """
    suffix = parse_suffix(name)
    if not head:
        return _skipped("no text")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _archive_kind(head, suffix, frozenset(members))
    if head.startswith(_OLE2):
        return _ole2_kind(head, suffix)
    if head.startswith(_RTF):
        return Kind("rtf")
    if what := describe_signature(head):
        return Kind(IMAGES.get(what), what)
    by_content = _reader_by_content(head, suffix)
    return Kind(by_content) if by_content else _text_kind(head, suffix, PurePosixPath(name).name.lower())


def parse_suffix(name: str) -> str:
    """Return the suffix in lower case without its dot; "v1.2" and "Dr. Who" have none."""
    found = _SUFFIX.fullmatch(PurePosixPath(name).suffix.lower())
    return found[1] if found else ""


def name_type(name: str, reader: str) -> str:
    """Return the usual suffix of what a document is: of its own name, or of what its ``reader`` takes else.

    Where no ``reader`` is named, because none could read it, its name decides.
    """
    suffix = parse_suffix(name)
    found = suffix if not reader or _READER.get(suffix) == reader else _BY_SUFFIX.get(reader, (reader,))[0]
    return _ALIKE.get(found, found)


def _members(file: BinaryIO) -> list[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            # Some programs write backslashes, and capitals.
            return [name.replace("\\", "/") for name in archive.namelist()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        # Damaged, or zipfile does not know its version (NotImplementedError): its first bytes have to tell the kind.
        return []


def _archive_kind(head: bytes, suffix: str, members: frozenset[str]) -> Kind:
    declared = _ODF_TYPE.search(head, 0, 256)
    if declared:
        found = declared[2]
        return _OPEN_DOCUMENT.get(found.decode(), _skipped("an OpenDocument file")) if found else Kind("epub")
    # Where the archive is cut off, what its beginning names has to do.
    members = members or frozenset(name.decode("ascii", "replace") for name in _LOCAL_NAME.findall(head))
    if "META-INF/container.xml" in members:
        return Kind("epub")
    if any(member.lower() == "[content_types].xml" for member in members):
        for folder, office in (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx")):
            if any(member.lower().startswith(folder) for member in members):
                return Kind(office) if suffix != "xlsb" else _skipped(f"a binary Excel workbook; {_SHEETS}")
        if _READER.get(suffix) in {"docx", "pptx", "xlsx"}:
            # Cut off before its text begins: its reader will say that it is damaged.
            return Kind(_READER[suffix])
    if "content.xml" in members and suffix in {"odt", "ott"}:
        return Kind("odt")
    reader = _READER.get(suffix)
    # Cut off before it says what it is: its reader will say that it is damaged.
    return Kind(reader) if reader in _BINARY - {"pdf"} and len(members) < 2 else _skipped("a ZIP archive; unpack it")


def _ole2_directory(file: BinaryIO, head: bytes) -> bytes:
    """Read the names of the first streams of an OLE2 file, wherever they stand in it ([MS-CFB] 2.2)."""
    sector_size, first = 1 << min(int.from_bytes(head[30:32], "little"), 16), int.from_bytes(head[48:52], "little")
    file.seek((first + 1) * sector_size)
    return file.read(4096)


def _ole2_kind(head: bytes, suffix: str) -> Kind:
    if _ENCRYPTED in head:
        raise UnreadableDocument("it is protected by a password; save it without one")
    if _MESSAGE in head or suffix == "msg":
        return Kind("outlook")
    if any(stream in head for stream in _WORKBOOKS) and suffix not in _LEGACY_BY_SUFFIX:
        return Kind("spreadsheet")
    return _skipped(_LEGACY_BY_SUFFIX.get(suffix, _LEGACY))


def _reader_by_content(head: bytes, suffix: str) -> str | None:
    """Recognise PDF and HTML. PDF may begin after a kilobyte of anything, but a text may only mention it."""
    found = _PDF.search(head, 0, 1024)
    if found and (found.start() == 0 or suffix == "pdf" or CONTROL.search(head)):
        return "pdf"
    return "html" if _is_html(head) else None


def _is_html(head: bytes) -> bool:
    for mark in _MARKS:
        head = head.removeprefix(mark)
    if b"\0" in head[:64]:
        head = head.replace(b"\0", b"")
    start = _BEFORE_HTML.match(head)
    return bool(start and _HTML.match(head, start.end()))


def _text_kind(head: bytes, suffix: str, name: str) -> Kind:
    """Detect the kind of what only its name tells."""
    if what := _unwanted_text(head, suffix, name):
        return _skipped(what)
    reader = _READER.get(suffix) if suffix else "text"
    if reader is None:
        return _skipped(f"no reader for .{suffix} files")
    if suffix in _LINES_OF_JSON and _begins_a_corpus(head):
        return Kind("corpus")
    # A text under the name of another format is read; what else it may be, that format's reader complains of.
    return Kind("text" if reader in _BINARY and not CONTROL.search(head) else reader)


def _unwanted_text(head: bytes, suffix: str, name: str) -> str:
    """Return what a text is that no one wants to ask about, or nothing."""
    if suffix in _LEGACY_BY_SUFFIX:
        return _LEGACY_BY_SUFFIX[suffix]
    if suffix in _DATA or _MACHINE_FILE.fullmatch(name):
        return "data, not a document"
    if _READER.get(suffix) == "javascript" and max(map(len, head.split(b"\n"))) > _LONGEST_WRITTEN_LINE:
        return "packed code, not a document"
    return "a question file, not a document" if _is_question_file(head, suffix, name) else ""


def _begins_a_corpus(head: bytes) -> bool:
    # Late, as all readers are.
    from qa.readers.corpus import is_corpus

    return is_corpus(_first_line(head))


def _first_line(head: bytes) -> bytes:
    return head.removeprefix(_MARKS[0]).partition(b"\n")[0]


def _is_question_file(head: bytes, suffix: str, name: str) -> bool:
    """Return whether a file holds questions about the documents, or judgments (BEIR's qrels), rather than documents."""
    line = _first_line(head)
    if suffix in {"tsv", "csv", "txt"}:
        names = {name.strip(' \t\r"').lower() for name in _BETWEEN_NAMES.split(line.decode("utf-8", "replace"))}
        # Questions with one answer each are what people write for people.
        is_judged = suffix != "txt" and "question" in names and not names.isdisjoint(_JUDGMENTS - {"answer"})
        return is_judged or bool(_QRELS.match(line))
    if suffix not in _LINES_OF_JSON:
        return False
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(record, dict):
        return False
    return ("question" in record and not record.keys().isdisjoint(_JUDGMENTS)) or _are_queries(head, name)


def _are_queries(head: bytes, name: str) -> bool:
    """Return whether lines are BEIR's queries: an id and a short text, which ask, or which the file's name calls so."""
    lines = head.removeprefix(_MARKS[0]).split(b"\n")
    records = []
    try:
        # The last may be cut off.
        records = [json.loads(line) for line in lines[: -1 if len(lines) > 1 else None][:_LOOKED_AT] if line.strip()]
    except (ValueError, RecursionError):
        return False
    if not records or not all(map(_is_query, records)):
        return False
    # One that asks and has an answer is what people write for people.
    asking = sum("answer" not in record and record["text"].rstrip().endswith("?") for record in records)
    return 2 * asking > len(records) or name.startswith("queries.")


def _is_query(record: object) -> bool:
    if not isinstance(record, dict) or "_id" not in record or "title" in record:
        return False
    text = record.get("text")
    return isinstance(text, str) and len(text) <= _LONGEST_QUERY
