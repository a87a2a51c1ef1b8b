"""Source code and settings: their text as it stands, and the names of what they define as headings."""

from __future__ import annotations

from pathlib import Path

import pytest

from qa.readers.code import LANGUAGES
from qa.readers.registry import read_source
from qa.types import Document, Source

_SAMPLES = {
    "a.py": (
        "class Ferry:\n    async def leave(self):\n        pass\n\n\ndef main() -> None: ...\n",
        ["Ferry", ">leave", "main"],
    ),
    "a.js": (
        "export default class Ferry {\n"
        "  static leave(at) {\n"
        "    if (at) {\n"
        "    }\n"
        "  }\n"
        "}\n"
        "const dock = async (x) => {\n"
        "};\n"
        "function* tides() {}\n",
        ["Ferry", ">leave", "dock", "tides"],
    ),
    "a.ts": (
        "export interface Berth {\n  n: number;\n}\nexport const f = (a: string): void => {\n};\n",
        ["Berth", "f"],
    ),
    "A.java": (
        "@Service\n"
        "public final class Ferry<T> {\n"
        "    private int seats = count(3);\n"
        "\n"
        "    public List<String> crew(int n) {\n"
        "        return find(n);\n"
        "    }\n"
        "}\n",
        ["Ferry", ">crew"],
    ),
    "a.kt": (
        "data class Berth(val n: Int)\n\nfun Berth.free(): Boolean {\n    return true\n}\n",
        ["Berth", "Berth.free"],
    ),
    "a.cs": (
        "namespace Harbour\n{\n    public interface IBerth\n    {\n        bool Free(int n);\n    }\n}\n",
        ["Harbour", ">IBerth"],
    ),
    "a.c": (
        "#include <a.h>\n"
        "static int tide(int day)\n"
        "{\n"
        "    return high(day);\n"
        "}\n"
        "\n"
        "struct berth {\n"
        "    int n;\n"
        "};\n"
        "int x = f(3);\n",
        ["tide", "berth"],
    ),
    "a.cpp": (
        "class Ferry : public Boat {\n};\nvoid Ferry::leave(int at) const {\n}\n",
        ["Ferry", "leave"],
    ),
    "a.go": (
        "type Ferry struct {\n}\n\nfunc (f *Ferry) Leave(at int) error {\n}\n",
        ["Ferry", "Leave"],
    ),
    "a.rs": (
        "pub struct Ferry;\n\nimpl Boat for Ferry {\n    pub(crate) fn leave(&self) {}\n}\n",
        ["Ferry", "Boat for Ferry", ">leave"],
    ),
    "a.rb": (
        "module Harbour\n  class Ferry\n    def self.leave?\n    end\n  end\nend\n",
        ["Harbour", ">Ferry", ">>self.leave?"],
    ),
    "a.php": (
        "<?php\nfinal class Ferry {\n    public static function leave() {}\n}\n",
        ["Ferry", ">leave"],
    ),
    "a.sh": (
        "#!/bin/sh\nset -e\nleave() {\n  echo $(date)\n}\nfunction dock {\n}\n",
        ["leave", "dock"],
    ),
    "a.sql": (
        "CREATE TABLE IF NOT EXISTS berths (n int);\ncreate or replace view free AS SELECT 1;\n",
        ["berths", "free"],
    ),
    "a.lua": (
        "local function leave(at)\nend\n",
        ["leave"],
    ),
    "a.ini": (
        "; berths\n[north pier]\nlight = red\n[south]\nlight = green\n",
        ["north pier", "south"],
    ),
    "a.toml": (
        "name = 'x'\n[[berth]]\nn = [1, 2]\n[berth.size]  # in metres\n",
        ["berth", "berth.size"],
    ),
    "a.yaml": (
        "# berths\nnorth:\n  light: red\nsouth: {light: green}\n- item\n",
        ["north", "south"],
    ),
}


def _read(folder: Path, name: str, text: str) -> Document:
    (folder / name).write_text(text)
    document, report = read_source(Source(name, folder / name, len(text)))
    assert document is not None, report
    return document


@pytest.mark.parametrize("name", _SAMPLES)
def test_what_is_defined_is_a_heading_and_the_text_is_the_file(tmp_path: Path, name: str) -> None:
    text, headings = _SAMPLES[name]
    document = _read(tmp_path, name, text)
    assert [">" * (section.level - 1) + section.title for section in document.sections] == headings
    assert document.text == text
    assert document.title == name
    assert all(section.title in text[section.start : section.body] for section in document.sections)


def test_every_language_has_a_sample(tmp_path: Path) -> None:
    read = {_read(tmp_path, name, text).reader.partition("/")[0] for name, (text, _) in _SAMPLES.items()}
    assert read == set(LANGUAGES)


@pytest.mark.parametrize(
    "line", ["def " * 20_000, "a b " * 20_000 + "(", "(" * 80_000, "class " + "x" * 80_000, "[" * 80_000]
)
@pytest.mark.parametrize("suffix", ["py", "js", "java", "c", "rs", "toml", "yaml"])
def test_no_line_defines_much_or_takes_long(tmp_path: Path, suffix: str, line: str) -> None:
    text = f"{line[:4_000]}\n" * 20
    assert not _read(tmp_path, f"a.{suffix}", text).sections
