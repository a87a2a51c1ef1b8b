from __future__ import annotations

import codecs
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.errors import UnreadableDocument
from qa.readers.decoding import charset, decode
from tests.support.texts import SCRIPTS, derived

LEGACY = {
    "cp1252": "L’été dernier, à Nîmes, les élèves français ont goûté des crêpes « maison » près du château.",
    "latin-1": "Das Café öffnet später, weil der Bäcker krank ist und übermorgen nach Österreich fährt.",
    "cp1250": "Zażółć gęślą jaźń. Święta są piękne, więc śpiewamy w kościele.",
    "cp1251": "Съешь ещё этих мягких французских булок, да выпей чаю.",
    "koi8-r": "Съешь ещё этих мягких французских булок, да выпей чаю.",
    "cp1253": "Ένα αντίγραφο του κειμένου της Ελλάδας.",
    "cp1256": "بسم الله الرحمن الرحيم الحمد لله رب العالمين",
    "gb18030": "黑豹队的防守只丢了308分，在联赛中排名第六，同时也以24次拦截领先国家橄榄球联盟。",
    "big5": "道可道，非常道。名可名，非常名。無名天地之始。",
    "cp932": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "cp949": "나라의 말이 중국과 달라 문자와 서로 통하지 아니하므로",
}


@pytest.mark.parametrize("encoding", LEGACY)
def test_legacy_encodings_are_recognised(encoding: str) -> None:
    text = f"{LEGACY[encoding]} " * 3
    assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_byte_order_mark_decides_and_is_no_text(mark: bytes, encoding: str, script: str) -> None:
    decoded = decode(mark + SCRIPTS[script].encode(encoding))
    assert (decoded.text, decoded.encoding, decoded.problems) == (SCRIPTS[script], encoding, ())


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_its_mark_is_recognised(encoding: str) -> None:
    assert decode(SCRIPTS["latin"].encode(encoding)).text == SCRIPTS["latin"]


@given(st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs", "Cc"])))
def test_valid_utf8_is_the_text_itself(text: str) -> None:
    assert decode(codecs.BOM_UTF8 + text.encode()).text == text


def test_newlines_become_lf() -> None:
    assert decode(b"one\r\ntwo\rthree\nfour\r\r\n").text == "one\ntwo\nthree\nfour\n\n"


def test_the_encoding_is_found_where_the_start_is_all_ascii() -> None:
    text = "Plain words. " * 20_000 + LEGACY["cp1251"] * 20
    assert decode(text.encode("cp1251")).text == text


def test_a_few_damaged_bytes_in_utf8_are_marked_and_reported() -> None:
    data = (SCRIPTS["cyrillic"] * 3).encode() + b"\xff end"
    decoded = decode(data)
    assert decoded.text == SCRIPTS["cyrillic"] * 3 + "\ufffd end"
    assert decoded.problems == ("1 place is not valid UTF-8 and shown as \ufffd",)


def test_one_accent_in_a_long_ascii_text_is_no_damage() -> None:
    text = "A long text in plain English. " * 300 + "They met in a café."
    decoded = decode(text.encode("cp1252"))
    assert (decoded.text, decoded.problems) == (text, ())


@pytest.mark.parametrize(
    "data",
    [b"text \0 text", b"\x89PNG\r\n\x1a\n\0\0", bytes(range(1, 32)) * 40, codecs.BOM_UTF16_LE + b"a\0\0\0b\0"],
)
def test_what_is_not_text_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(UnreadableDocument, match=r"it looks binary"):
        decode(data)


def test_random_bytes_are_refused() -> None:
    with pytest.raises(UnreadableDocument, match=r"it looks binary|not recognised"):
        decode(random.Random(1).randbytes(5_000))


def test_real_files_decode_to_what_was_encoded() -> None:
    plain = decode(derived("utf8_bom.txt").read_bytes()).text
    assert decode(derived("utf16_bom.txt").read_bytes()).text == plain
    assert decode(derived("crlf.txt").read_bytes()).text == plain
    assert "Защита Пэнтерс уступила всего 308 очков" in decode(derived("cp1251_russian.txt").read_bytes()).text
    assert decode(derived("gb18030_chinese.txt").read_bytes()).text.startswith("黑豹队的防守只丢了 308分")
    assert "für" in decode(derived("latin1_german.txt").read_bytes()).text


def test_a_real_damaged_file_is_read_in_part() -> None:
    decoded = decode(derived("invalid_utf8.txt").read_bytes())
    assert decoded.text.count("\ufffd") == 5
    assert decoded.problems == ("5 places are not valid UTF-8 and shown as \ufffd",)


@pytest.mark.parametrize(
    "label", ["hex", "rot13", "base64", "zlib", "idna", "punycode", "undefined", "unicode_escape", "utf-16", "no such"]
)
def test_a_codec_that_is_no_character_encoding_is_not_declared(label: str) -> None:
    assert charset(label) == ""


@pytest.mark.parametrize(
    ("label", "name"),
    [("latin1", "cp1252"), (" UTF8 ", "utf-8"), ("x-sjis", "cp932"), ("gb2312", "gb18030"), ("windows-1251", "cp1251")],
)
def test_a_declared_encoding_is_what_browsers_take_it_for(label: str, name: str) -> None:
    assert charset(label) == name
