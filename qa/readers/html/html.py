"""HTML: the main text of a page, its headings as sections."""

from __future__ import annotations

import codecs
import re

from qa.readers.composition import Composition
from qa.readers.decoding import Decoded, decode
from qa.readers.html.html_text import write_page
from qa.types import Document, Source

# Where the standard makes browsers look; some pages have long comments before it.
_PRESCAN = 4_096
_META = re.compile(
    rb"""<meta\s[^>]*?charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml\s[^>]*?encoding\s*=\s*["']([\w.:-]+)""", re.IGNORECASE
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
_UNICODE = ("utf-16", "utf-32", "utf-7")


class HtmlReader:
    """Reads ``text/html``. The canonical text is what the page says, without scripts, navigation and boilerplate.

    Paragraphs are apart by a blank line, items of lists have bullets or numbers, a row of a table is a line with its
    cells apart by " | ".
    """

    name = "html"
    version = "2"
    media_type = "text/html"

    def read(self, source: Source) -> Document:
        """Raises UnreadableDocument or OSError."""
        data = source.path.read_bytes()
        decoded = decode_page(data, source.id)
        composition = Composition()
        title = write_page(decoded.text, composition)
        return composition.document(source, data, self, [title], decoded.problems)


def decode_page(data: bytes, name: str) -> Decoded:
    """The markup of ``data``, in the encoding that its mark, its bytes or its own declaration tell.

    Raises:
        UnreadableDocument: it is not text.
    """
    return decode(data, name, _declared(data[:_PRESCAN]))


def _declared(head: bytes) -> str:
    """Python's name of the encoding that a page declares; empty where there is none that can be meant."""
    for found in _META.finditer(head):
        try:
            name = codecs.lookup((found[1] or found[2]).decode("ascii")).name
        except (LookupError, UnicodeDecodeError):
            continue
        # A declaration that can be read as ASCII is not in these.
        if not name.startswith(_UNICODE):
            return _MEANT.get(name, name)
    return ""
