"""What a file is that no reader takes, by its first bytes."""

from __future__ import annotations

import re

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
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
    (0, b"{\\rtf", "an RTF document; save it as .docx"),
    (0, b"%!PS", "a PostScript file; save it as PDF"),
    (0, b"AT&TFORM", "a DjVu document; save it as PDF"),
    (60, b"BOOKMOBI", "a Mobipocket book; save it as .epub"),
)
_TEXTUAL = frozenset({b"{\\rtf", b"%!PS"})
CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")


def known_as(head: bytes) -> str:
    """What the first bytes say that a file is; empty where they say nothing."""
    # A text may well begin with "ID3" or "BZh"; what is not text has control characters.
    binary = CONTROL.search(head[:512])
    for offset, magic, what in _MAGIC:
        if head.startswith(magic, offset) and (offset != 8 or head.startswith(b"RIFF")):
            return what if binary or magic in _TEXTUAL else ""
    return ""
