"""Source code and settings as they stand in the file, with the names of what they define as headings.

A line that defines something is found by a pattern of its language. How deep a definition is, is told by how far its
line is indented, in languages with braces too. Nothing is parsed: a definition in a string or a comment is one as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from qa.readers.composition import Content, Heading, nest_headings
from qa.readers.decoding import decode

# A longer line defines nothing that a person would look for; this bounds what a pattern can cost, too.
_LONGEST_LINE = 300
_MOST_HEADINGS = 20_000
_TAB = 4
_WORDS = r"(?:[\w@]+[ \t]+){0,6}?"
_TYPE = rf"[ \t]*{_WORDS}(?:class|interface|enum|record|struct|union|trait|object|protocol|extension|namespace)[ \t]+"
_NO_NAME = r"(?!(?:if|else|for|while|switch|case|catch|return|new|throw|do|with|using|lock|typedef|goto|await)\b)"

# The group that matched is the name.
_DEFINITIONS: Mapping[str, tuple[str, ...]] = {
    "python": (r"[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)",),
    "javascript": (
        r"[ \t]*(?:(?:export|default|declare|abstract|async)[ \t]+)*"
        r"(?:function\b[ \t]*\*?|class\b|interface\b|enum\b|namespace\b)[ \t]*([\w$]+)",
        r"[ \t]*(?:export[ \t]+)?(?:const|let|var)[ \t]+([\w$]+)[ \t]*=[ \t]*(?:async\b[ \t]*)?"
        r"(?:function\b|\([^()]*\)[^=]*=>|[\w$]+[ \t]*=>)",
        rf"[ \t]+(?:(?:static|async|get|set)[ \t]+)*{_NO_NAME}([\w$#]+)[ \t]*\([^()]*\)[^;{{]*\{{[ \t]*$",
    ),
    "java": (
        rf"{_TYPE}(\w+)",
        r"[ \t]*(?:[\w@]+[ \t]+){0,4}?(?:fun|func|def)\b[ \t]*(?:<[^>]*>[ \t]*)?([\w.]+)",
        rf"[ \t]+{_NO_NAME}(?:[\w<>\[\],.?@]+[ \t]+){{1,6}}(\w+)[ \t]*\([^;{{}}]*(?:\)[^;{{}}]*\{{?)?[ \t]*$",
    ),
    "c": (
        rf"{_TYPE}(\w+)",
        rf"{_NO_NAME}[A-Za-z_][\w \t*&:<>,~]*?(~?\b\w+)[ \t]*\([^;{{}}]*\)[^;{{}}]*\{{?[ \t]*$",
    ),
    "go": (r"(?:func[ \t]+(?:\([^)]*\)[ \t]*)?|type[ \t]+)(\w+)",),
    "rust": (
        r"[ \t]*(?:pub(?:\([^)]*\))?[ \t]+)?(?:(?:async|unsafe|const|default)[ \t]+)*"
        r"(?:fn|struct|enum|trait|mod|union|macro_rules!)[ \t]+(\w+)",
        r"[ \t]*(?:unsafe[ \t]+)?impl\b(?:<[^{]*>)?[ \t]+([^{]+?)[ \t]*\{",
    ),
    "ruby": (r"[ \t]*(?:def|class|module)[ \t]+([\w.:?!=]+)",),
    "php": (
        r"[ \t]*(?:(?:abstract|final|public|protected|private|static)[ \t]+)*"
        r"(?:function|class|interface|trait|enum)[ \t]+&?(\w+)",
    ),
    "shell": (r"[ \t]*(?:function[ \t]+)?([\w:.-]+)[ \t]*\(\)", r"[ \t]*function[ \t]+([\w:.-]+)"),
    "sql": (
        r"[ \t]*(?i:create[ \t]+(?:or[ \t]+replace[ \t]+)?(?:(?:temp|temporary|unique|materialized)[ \t]+)*"
        r"(?:table|view|function|procedure|index|trigger|type|schema)[ \t]+(?:if[ \t]+not[ \t]+exists[ \t]+)?)"
        r"([^\s(;]+)",
    ),
    "code": (
        r"[ \t]*(?:(?:local|pub|export)[ \t]+)*"
        r"(?:function|def|defp|defmodule|defn|sub|fun|fn|proc|func|class|module|message|service|rpc|enum)[ \t]+"
        r"([\w.:!?]+)",
        r"[ \t]*([\w.]+)[ \t]*<-[ \t]*function\b",
    ),
    "settings": (r"[ \t]*\[{1,2}[ \t]*([^\[\]]+?)[ \t]*\]{1,2}[ \t]*(?:[#;].*)?$",),
    "yaml": (r"([\w./-][\w./ -]*):(?:[ \t].*)?$",),
}
_MEDIA_TYPES = {
    **{"javascript": "text/javascript", "code": "text/plain", "settings": "text/plain", "sql": "application/sql"},
    **{"yaml": "application/yaml"},
}
LANGUAGES = tuple(_DEFINITIONS)


class CodeReader:
    """A reader of one language or of a few that are alike; the canonical text is the decoded file with LF newlines.

    Args:
        name: one of ``LANGUAGES``.
    """

    version = "1"

    def __init__(self, name: str) -> None:
        self.name = name
        self.media_type = _MEDIA_TYPES.get(name, f"text/x-{name}")
        self._patterns = [re.compile(pattern) for pattern in _DEFINITIONS[name]]

    def read(self, data: bytes) -> Content:
        """Read a whole file. Raises UnreadableDocument."""
        decoded = decode(data)
        text = decoded.text.replace("\f", "\n")
        return Content(text, sections=nest_headings(self._headings(text), len(text)), problems=decoded.problems)

    def _headings(self, text: str) -> Iterator[Heading]:
        indents: list[int] = []
        start = count = 0
        for line in text.split("\n"):
            if line.strip() and len(line) <= _LONGEST_LINE and (name := self._name(line)):
                indent = len(line.expandtabs(_TAB)) - len(line.expandtabs(_TAB).lstrip())
                while indents and indents[-1] >= indent:
                    indents.pop()
                indents.append(indent)
                first = start + len(line) - len(line.lstrip())
                yield Heading(name, len(indents), first, start + len(line.rstrip()))
                count += 1
                if count == _MOST_HEADINGS:
                    return
            start += len(line) + 1

    def _name(self, line: str) -> str:
        """Return the name of what a line defines, or nothing."""
        for pattern in self._patterns:
            if found := pattern.match(line):
                return str(found[1])
        return ""
