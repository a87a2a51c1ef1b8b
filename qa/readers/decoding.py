"""The character encoding of a text, and its bytes as characters."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from qa.errors import UnreadableDocument

# UTF-32 before UTF-16: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Those that texts are found in; left to choose among all it knows, the detector takes "Café" for code page 775.
_LEGACY = (
    *("cp1252", "cp1251", "gb18030", "cp932", "big5", "cp949", "euc_jp", "koi8_r", "cp1250", "cp1253"),
    *("cp1254", "cp1255", "cp1256", "cp1257", "cp874", "cp866", "iso8859_2", "iso8859_5", "iso8859_7"),
)
# The character encodings that a text may declare, by Python's names: those of the Encoding standard
# (https://encoding.spec.whatwg.org) and older ones of mails. Python's other codecs are not character encodings ("hex",
# "rot13", "idna", "unicode_escape"), and a declaration that can be read as ASCII is not in UTF-16.
_CHARSETS = frozenset(
    "utf-8 cp866 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-10 iso8859-13 "
    "iso8859-14 iso8859-15 iso8859-16 koi8-r koi8-u koi8-t mac-roman mac-cyrillic cp874 cp1250 cp1251 cp1252 cp1253 "
    "cp1254 cp1255 cp1256 cp1257 cp1258 cp437 cp850 cp852 cp855 gb18030 big5hkscs euc_jp iso2022_jp iso2022_jp_1 "
    "iso2022_jp_2 iso2022_jp_3 iso2022_jp_ext cp932 shift_jis_2004 shift_jisx0213 cp949 johab iso2022_kr hz".split()
)
# What the Encoding standard means by these names, as far as it is not what Python means.
_MEANT = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
    "iso8859-11": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
# Labels of the Encoding standard that Python does not know.
_LABELS = {
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "windows-874": "cp874",
    "windows-949": "cp949",
    "x-gbk": "gb18030",
    "x-x-big5": "big5hkscs",
    "x-mac-roman": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "x-mac-ukrainian": "mac-cyrillic",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
    "iso-8859-8-i": "iso8859-8",
    "logical": "iso8859-8",
    "unicode-1-1-utf-8": "utf-8",
    "utf-8-sig": "utf-8",
}
_SAMPLE = 65_536
_CONTEXT_BEFORE = 4_096
_TOLERATED = 0.02
_TOLERATED_CONTROLS = 3
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text with LF newlines, the encoding that it was in, and what of it could not be read."""

    text: str
    encoding: str
    problems: tuple[str, ...] = ()


def decode(data: bytes, declared: str = "") -> Decoded:
    """Decode a text by its byte order mark, as UTF-8, as declared, as UTF-16, or by detection, in this order.

    UTF-8 comes before what is declared: other encodings hardly ever look like it by chance, and declarations err.

    Args:
        declared: the encoding that the text itself names, as Python calls it; empty where it names none.

    Raises:
        UnreadableDocument: it is not text, or in an encoding that was not recognised.
    """
    # Text in these is ASCII to the eye, and valid UTF-8.
    shifted = declared if declared.startswith(("iso2022", "hz")) else ""
    decoded = _marked(data) or _declared(data, shifted) or _utf8(data) or _declared(data, declared)
    decoded = decoded or _unmarked_utf16(data) or _mostly_utf8(data) or _detected(data)
    if decoded is None or _looks_binary(decoded.text):
        if decoded is None and b"\0" not in data:
            raise UnreadableDocument("its character encoding was not recognised; save it as UTF-8")
        raise UnreadableDocument("it looks binary, not like text; remove it or give it its right suffix")
    text = decoded.text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Decoded(text, decoded.encoding, decoded.problems)


def charset(label: str) -> str:
    """Return Python's name of the character encoding that a text declares, or nothing if the label names none."""
    try:
        label = label.strip().lower()
        name = codecs.lookup(_LABELS.get(label, label)).name
    except (LookupError, ValueError):
        return ""
    name = _MEANT.get(name, name)
    return name if name in _CHARSETS else ""


def _marked(data: bytes) -> Decoded | None:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _tolerant(data[len(mark) :], encoding)
    return None


def _declared(data: bytes, encoding: str) -> Decoded | None:
    return _tolerant(data, encoding) if encoding else None


def _utf8(data: bytes) -> Decoded | None:
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return None


def _unmarked_utf16(data: bytes) -> Decoded | None:
    """Decode UTF-16 without its mark: it has zeros in every other byte, at least in Latin script."""
    sample = data[:_SAMPLE]
    half = max(len(sample) // 2, 1)
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if odd > 0.3 and even < 0.02:
        return _tolerant(data, "utf-16-le")
    if even > 0.3 and odd < 0.02:
        return _tolerant(data, "utf-16-be")
    return None


def _mostly_utf8(data: bytes) -> Decoded | None:
    """Decode UTF-8 in which a few bytes are damaged; return ``None`` for a text in a legacy encoding."""
    sample = _sample(data)
    intact = sum(character > "\x7f" for character in sample.decode("utf-8", "ignore"))
    damaged = sample.decode("utf-8", "replace").count("\ufffd")
    # Other encodings hardly ever form valid sequences of UTF-8 by chance.
    if intact > 4 * damaged or _is_damaged_ascii(sample):
        return _tolerant(data, "utf-8")
    return None


def _is_damaged_ascii(sample: bytes) -> bool:
    """Return whether the bytes beyond ASCII are few and stand where a legacy encoding has no letter or dash."""
    runs = list(_NOT_ASCII.finditer(sample))
    strange = sum(
        len(run[0])
        for run in runs
        if len(run[0]) > 1
        and not sample[max(run.start() - 1, 0) : run.start()].isalpha()
        and not sample[run.end() : run.end() + 1].isalpha()
    )
    total = sum(len(run[0]) for run in runs)
    return total < _TOLERATED * len(sample) and strange * 2 > total


def _detected(data: bytes) -> Decoded | None:
    """Guess a legacy encoding from a sample: Western European if another guess is no better."""
    from charset_normalizer import from_bytes

    matches = from_bytes(_sample(data), cp_isolation=[*_LEGACY], enable_fallback=False)
    best = matches.best()
    if best is None:
        return None
    encoding = best.encoding
    for match in matches:
        if (
            "cp1252" in match.could_be_from_charset
            and match.chaos <= best.chaos + 0.1
            and match.coherence >= best.coherence - 0.01
        ):
            encoding = "cp1252"
    return _tolerant(data, encoding)


def _sample(data: bytes) -> bytes:
    """Return whole lines, if there are any, around the first byte that is not UTF-8; the start may be all ASCII."""
    try:
        data.decode("utf-8")
        first = 0
    except UnicodeDecodeError as error:
        first = error.start
    start = max(first - _CONTEXT_BEFORE, 0)
    start = max(data.rfind(b"\n", 0, start), data.rfind(b" ", 0, start)) + 1
    return data[start : start + _SAMPLE]


def _tolerant(data: bytes, encoding: str) -> Decoded | None:
    """Decode with a mark in place of each damaged byte; return ``None`` if there are too many of them."""
    try:
        return Decoded(data.decode(encoding), encoding)
    except UnicodeDecodeError:
        text = data.decode(encoding, "replace")
    before = data.count(b"\xef\xbf\xbd") if encoding == "utf-8" else 0
    damaged = text.count("\ufffd") - before
    if damaged > _TOLERATED * len(text):
        return None
    places = "1 place is" if damaged == 1 else f"{damaged} places are"
    return Decoded(text, encoding, (f"{places} not valid {encoding.upper()} and shown as \ufffd",))


def _looks_binary(text: str) -> bool:
    start = text[:_SAMPLE]
    return "\0" in text or len(_CONTROL.findall(start)) > max(_TOLERATED * len(start), _TOLERATED_CONTROLS)
