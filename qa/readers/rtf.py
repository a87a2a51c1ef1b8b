"""Rich Text Format, read by striprtf."""

from __future__ import annotations

from qa.errors import UnreadableDocument
from qa.readers.composition import Composition, Content
from qa.readers.tables import write_table

_BROKEN = "it is a damaged RTF document; open it and save it as .docx"


class RtfReader:
    """A reader of ``.rtf``: paragraphs, and rows of tables as lines."""

    name = "rtf"
    version = "1"
    media_type = "application/rtf"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        from striprtf.striprtf import rtf_to_text

        try:
            # It is ASCII; other characters are escapes in the code page that the file names.
            text = str(rtf_to_text(data.decode("latin-1"), errors="replace"))
        except (ValueError, LookupError, IndexError, RecursionError) as error:
            raise UnreadableDocument(_BROKEN) from error
        composition = Composition()
        rows: list[list[str]] = []
        for line in text.split("\n"):
            if line.rstrip().endswith("|"):
                rows.append(line.rstrip().removesuffix("|").split("|"))
                continue
            if rows:
                write_table(composition, rows)
                rows = []
            composition.paragraph(line)
        if rows:
            write_table(composition, rows)
        return composition.content()
