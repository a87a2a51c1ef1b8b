"""A model's tokens: a ``tokenizers.Tokenizer`` asked for each part of a text once, and its parts put together.

Most tokenizers look at each run of characters between spaces by itself. Where a definition says so, the tokens of a
text are those of its runs one after another, and those of a run are kept: a build counts every sentence several times,
and texts repeat a few thousand words. That takes a fifth of the time (docs/decisions/0046). Any other tokenizer is
given whole texts.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

Text = str | tuple[str, str]

# Characters that every tokenizer of parts takes for white space; whatever else may be white space is within a run.
_RUN = re.compile(r"[^ \t\n\r]+")
# Characters of runs whose tokens are kept: of some 40,000 words, which take 11 MB.
_MOST_CHARACTERS = 1 << 18
# Texts of which the tokens are kept: the questions that are answered now, each counted more than once.
_MOST_TEXTS = 256


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text's, or a pair's, token ids and which of the two each belongs to."""

    ids: Sequence[int]
    types: Sequence[int]


_parsing = threading.Lock()


def parse_tokenizer(definition: str) -> Any:
    """Return the ``tokenizers.Tokenizer`` of a ``tokenizer.json``'s content, which neither cuts nor pads.

    Nobody may change it: models of one vocabulary share it, which saves nine megabytes and a thirtieth of a second.
    """
    # Two models are loaded side by side, and the second would parse what the first parses already.
    with _parsing:
        return _parsed(definition)


@lru_cache(maxsize=4)
def _parsed(definition: str) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(definition)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class Tokens:
    """A model's tokenizer. Thread-safe: neither of its two copies ever changes.

    Args:
        definition: the content of a ``tokenizer.json``. Published ones carry a truncation and a padding of their own;
            both are turned off.
        window: tokens that :meth:`read` cuts at, special ones included.
    """

    def __init__(self, definition: str, window: int) -> None:
        self._definition = definition
        self._window = window
        self._tokenizer = parse_tokenizer(definition)
        self._kept = lru_cache(maxsize=_MOST_TEXTS)(self._encode)

    @cached_property
    def _runs(self) -> _Runs | None:
        # Late: only who counts passages has many.
        if not reads_by_run(_described(self._tokenizer)):
            return None
        runs = _Runs(self._tokenizer)
        return runs if runs.read(_PROBES) == _read(self._tokenizer, _PROBES) else None

    def count(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of each text, special ones included, uncut."""
        if self._runs is not None:
            return self._runs.count(texts)
        return [len(encoding.ids) for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def encoded(self, text: str) -> Encoded:
        """Tokenise one text, uncut; the last few are kept."""
        return self._kept(text)

    def _encode(self, text: str) -> Encoded:
        # Not by encode_batch, which wakes threads for it.
        encoding = self._tokenizer.encode(text)
        return Encoded(encoding.ids, encoding.type_ids)

    def read(self, texts: Sequence[Text]) -> list[Encoded]:
        """Tokenise texts, or pairs of texts, cut at the window: of a pair, the longer of the two is cut."""
        runs: _Runs | None = self.__dict__.get("_runs")
        single = [text for text in texts if isinstance(text, str)]
        encoded = runs.read(single) if runs and len(single) == len(texts) else _read(self._tokenizer, texts)
        if any(len(row.ids) > self._window for row in encoded):
            return _read(self._cutting, texts)
        return encoded

    @cached_property
    def _cutting(self) -> Any:
        # Late: passages and questions fit, and to parse a vocabulary takes a tenth of a second.
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self._definition)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self._window)
        return tokenizer


# Where parts put together are not the whole, for all that a definition says, texts are tokenised whole.
_PROBES = ("", "a", " A  b\tc\n\nC3-4, (d) 'e'.", "Größe\u00a0x\u0301 \u0301y 樹木 ok\r\n#ab ▁c </s> [MASK]")


def _read(tokenizer: Any, texts: Sequence[Text]) -> list[Encoded]:
    return [Encoded(encoding.ids, encoding.type_ids) for encoding in tokenizer.encode_batch_fast(list(texts))]


class _Runs:
    """Texts put together from the tokens of their runs, which are kept. Thread-safe."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        # What stands before and after every text: a letter has tokens of its own, or an unknown one, in between.
        framed = tokenizer.encode("a")
        bare = len(tokenizer.encode("a", add_special_tokens=False).ids)
        first = framed.special_tokens_mask.index(0) if 0 in framed.special_tokens_mask else 0
        self._before, self._after = framed.ids[:first], framed.ids[first + bare :]
        self._special = len(self._before) + len(self._after)
        self._known: dict[str, tuple[int, ...]] = {}
        self._characters = 0

    def count(self, texts: Sequence[str]) -> list[int]:
        runs, ids = self._tokenise(texts)
        return [self._special + sum(map(len, map(ids.__getitem__, of_text))) for of_text in runs]

    def read(self, texts: Sequence[str]) -> list[Encoded]:
        runs, ids = self._tokenise(texts)
        rows = ([*self._before, *chain.from_iterable(map(ids.__getitem__, each)), *self._after] for each in runs)
        return [Encoded(row, [0] * len(row)) for row in rows]

    def _tokenise(self, texts: Iterable[str]) -> tuple[list[list[str]], Mapping[str, tuple[int, ...]]]:
        """Return the runs of each text, and the ids of each run."""
        # Never emptied, but replaced: another thread may look up its runs now.
        if self._characters > _MOST_CHARACTERS:
            self._known, self._characters = {}, 0
        known = self._known
        # No white space but a blank can be printed: both give the same then, and the first takes a third of the time.
        runs = [text.split() if text.isprintable() else _RUN.findall(text) for text in texts]
        if new := set().union(*runs).difference(known):
            made = self._tokenizer.encode_batch_fast(list(new), add_special_tokens=False)
            known.update((run, tuple(encoding.ids)) for run, encoding in zip(new, made, strict=True))
            self._characters += sum(map(len, new))
        return runs, known


def _described(tokenizer: Any) -> dict[str, Any]:
    """Return the definition of a tokenizer without its vocabulary, which takes some milliseconds to parse."""

    def part(of: Any) -> Any:
        return None if of is None else json.loads(of.__getstate__())

    return {
        "normalizer": part(tokenizer.normalizer),
        "pre_tokenizer": part(tokenizer.pre_tokenizer),
        "post_processor": part(tokenizer.post_processor),
        "model": {"type": type(tokenizer.model).__name__, "dropout": getattr(tokenizer.model, "dropout", None)},
        "added_tokens": [{"content": token.content} for token in tokenizer.get_added_tokens_decoder().values()],
    }


# What changes characters one by one, or those that stand together with none of white space between them.
_NORMALIZERS = frozenset({"BertNormalizer", "Lowercase", "StripAccents", "Nmt", "NFC", "NFD", "NFKC", "NFKD"})
# What cuts at all white space and keeps none of it, and what may cut further after that.
_CUTTERS = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})
_FURTHER = _CUTTERS | {"Digits", "Punctuation"}
_MODELS = frozenset({"BPE", "Unigram", "WordLevel", "WordPiece"})


def reads_by_run(definition: Mapping[str, Any]) -> bool:
    """Tell whether a tokenizer's tokens of a text are those of its runs between spaces, put one after another.

    Nothing is taken for granted: a definition with a part that is not known here does not.

    Args:
        definition: the content of a ``tokenizer.json``, parsed.
    """
    cutters = _parts(definition.get("pre_tokenizer"), "pretokenizers")
    return (
        all(map(_is_local, _parts(definition.get("normalizer"), "normalizers")))
        and bool(cutters)
        and cutters[0].get("type") in _CUTTERS
        and all(cutter.get("type") in _FURTHER or _marks_every_word(cutter) for cutter in cutters)
        and definition["model"].get("type") in _MODELS
        and not definition["model"].get("dropout")
        and not any(re.search(r"\s", token["content"]) for token in definition.get("added_tokens", ()))
        and _frames_alone(definition.get("post_processor"))
    )


def _parts(part: Mapping[str, Any] | None, name: str) -> list[Mapping[str, Any]]:
    if part is None:
        return []
    return [each for inner in part[name] for each in _parts(inner, name)] if part["type"] == "Sequence" else [part]


def _is_local(normalizer: Mapping[str, Any]) -> bool:
    """Tell whether what a normalizer makes of a run does not depend on what is beyond the spaces beside it."""
    joins_spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    return normalizer["type"] in _NORMALIZERS or normalizer == joins_spaces


def _marks_every_word(cutter: Mapping[str, Any]) -> bool:
    return cutter["type"] == "Metaspace" and cutter.get("prepend_scheme") == "always"


def _frames_alone(processor: Mapping[str, Any] | None) -> bool:
    """Tell whether all that is done to the tokens of a text is to put special ones, of type 0, around them."""
    if processor is None:
        return True
    if processor["type"] != "TemplateProcessing":
        return bool(processor["type"] == "BertProcessing")
    pieces = [(kind, piece) for part in processor["single"] for kind, piece in part.items()]
    return [kind for kind, _ in pieces].count("Sequence") == 1 and all(piece["type_id"] == 0 for _, piece in pieces)
