"""Subtitles (.srt, .vtt): what is said, in paragraphs that begin with the time at which it is said."""

from __future__ import annotations

import html
import re

from qa.readers.composition import Composition, Content, one_line
from qa.readers.decoding import decode

_CUE = re.compile(
    r"^[ \t]*(?:(\d{1,3}):)?(\d{1,2}):(\d\d)[.,]\d{1,3}[ \t]+-->[^\n]*\n((?:[^\n]*\S[^\n]*(?:\n|\Z))*)", re.MULTILINE
)
_VOICE = re.compile(r"<v(?:\.[\w.]*)?\s+([^>]{1,100})>")
_TAG = re.compile(r"<[^>\n]{0,200}>|\{\\[^}\n]{0,100}\}")
_FINISHED = re.compile(r"[.!?…。！？][\"'”’)\]]*$")
_LONGEST = 400


class SubtitlesReader:
    """A reader of SubRip and WebVTT. Cues are joined until a sentence ends, and never over 400 characters."""

    name = "subtitles"
    version = "1"
    media_type = "text/vtt"

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        composition = Composition()
        begun, said = "", ""
        for cue in _CUE.finditer(decoded.text):
            text = one_line(html.unescape(_TAG.sub("", _VOICE.sub(r"\1: ", cue[4]))))
            if not text or said.endswith(text):  # of a roll-up, which repeats the line before
                continue
            begun = begun or f"{int(cue[1] or 0):02}:{int(cue[2]):02}:{cue[3]}"
            said = f"{said} {text}".strip()
            if _FINISHED.search(said) or len(said) > _LONGEST:
                composition.paragraph(f"[{begun}] {said}")
                begun, said = "", ""
        if said:
            composition.paragraph(f"[{begun}] {said}")
        return composition.content([], decoded.problems)
