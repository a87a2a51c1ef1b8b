"""Examples as token ids, and batches of them as the model takes them.

A text is encoded once, however many questions are about it. What a batch shows of it is a stretch of whole sentences
that holds the answer, drawn at random in some of the examples, so that the reader learns to read windows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.models.answer_reader import QUESTION_TOKENS, join, tokenizer_definition
from training.data import Example

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Tokens of a text that training shows at most: what the window has beside a question.
TEXT_TOKENS = 320
# Lengths of batches are multiples of this.
_STEP = 8
# Where a sentence ends: a full stop or its like and white space, or a line.
_SENTENCE_END = re.compile(r"[.!?;][\"”’)]?\s+|\n+")


@dataclass(frozen=True, slots=True)
class Text:
    """Token ids of a context, and the places of those that a sentence begins with, 0 the first."""

    ids: NDArray[np.int32]
    sentences: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An example: its question, the row of its text in ``Corpus.texts``, and its answer's first and last token.

    ``span`` is ``None`` where there is no answer.
    """

    question: NDArray[np.int32]
    text: int
    span: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Corpus:
    """All texts, and all examples about them."""

    texts: Sequence[Text]
    examples: Sequence[Encoded]


@dataclass(frozen=True, slots=True)
class Batch:
    """``ids``, ``types`` and ``mask`` are ``(rows, length)``, ``starts`` and ``ends`` ``(rows,)`` positions in them.

    Position 0, [CLS], is that of "no answer here". The first half of the rows are a question with its own text, the
    second the same questions in the same order with another text.
    """

    ids: NDArray[np.int64]
    types: NDArray[np.int64]
    mask: NDArray[np.bool_]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def make_tokenizer() -> Any:
    """Make the tokenizer that the shipped reader uses, without truncation and padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokenizer_definition().decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def encode(examples: Sequence[Example]) -> Corpus:
    """Encode examples. Those whose answer does not fall on tokens, or is longer than a text may be, are left out."""
    tokenizer = make_tokenizer()
    contexts = list(dict.fromkeys(example.context for example in examples))
    questions = list(dict.fromkeys(example.question for example in examples))
    encodings = tokenizer.encode_batch(contexts, add_special_tokens=False)
    asked = {
        question: np.array(encoding.ids[:QUESTION_TOKENS], dtype=np.int32)
        for question, encoding in zip(
            questions, tokenizer.encode_batch(questions, add_special_tokens=False), strict=True
        )
    }
    rows = {context: row for row, context in enumerate(contexts)}
    offsets = [np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2) for encoding in encodings]
    texts = [
        Text(np.array(encoding.ids, dtype=np.int32), _sentences(context, places[:, 0]))
        for context, encoding, places in zip(contexts, encodings, offsets, strict=True)
    ]
    made = []
    for example in examples:
        row = rows[example.context]
        span = find_span(offsets[row], *example.answers[0]) if example.answers else None
        if example.answers and (span is None or span[1] - span[0] >= TEXT_TOKENS):
            continue
        made.append(Encoded(asked[example.question], row, span))
    return Corpus(texts, made)


def find_span(offsets: NDArray[np.int64], start: int, end: int) -> tuple[int, int] | None:
    """Find the first and the last token that ``[start, end)`` touches; ``None`` where it touches none."""
    first = int(np.searchsorted(offsets[:, 1], start, side="right"))
    last = int(np.searchsorted(offsets[:, 0], end, side="left")) - 1
    return (first, last) if first <= last < len(offsets) else None


def crop(text: Text, span: tuple[int, int] | None, draw: np.random.Generator, *, always: bool) -> tuple[int, int]:
    """Draw a stretch ``[low, high)`` of whole sentences around the span, or around any token where there is none.

    Args:
        always: draw one; otherwise the whole text is shown where it fits.
    """
    length = len(text.ids)
    if length == 0 or (not always and length <= TEXT_TOKENS):
        return 0, length
    first, last = span if span is not None else (int(draw.integers(length)),) * 2
    edges = np.append(text.sentences, length)
    low = int(draw.choice(edges[:-1][edges[:-1] <= first]))
    high = int(draw.choice(edges[1:][edges[1:] > last]))
    if high - low > TEXT_TOKENS:
        # A sentence may be longer than all that is shown.
        low = int(draw.integers(max(low, last + 1 - TEXT_TOKENS), first + 1))
        high = min(high, low + TEXT_TOKENS)
    return low, high


def make_batch(
    corpus: Corpus, examples: Sequence[int], others: Sequence[int], draw: np.random.Generator, crops: float
) -> Batch:
    """Lay out examples and, below them, the same questions beside other texts.

    Args:
        examples: ``n`` rows of ``corpus.examples``.
        others: ``n`` rows of ``corpus.texts``, that of each example's hard negative.
        crops: share of texts of which a stretch is shown.
    """
    rows = []
    spans: list[tuple[int, int]] = []
    chosen = [corpus.examples[at] for at in examples]
    shown = [(one, one.text, one.span) for one in chosen]
    shown += [(one, other, None) for one, other in zip(chosen, others, strict=True)]
    for example, text, span in shown:
        low, high = crop(corpus.texts[text], span, draw, always=bool(draw.random() < crops))
        row = join(example.question.tolist(), corpus.texts[text].ids[low:high].tolist())
        first = len(example.question) + 2 - low
        rows.append(row)
        spans.append((0, 0) if span is None else (first + span[0], first + span[1]))
    length = -(-max(len(row.ids) for row in rows) // _STEP) * _STEP
    ids, types = (np.zeros((len(rows), length), dtype=np.int64) for _ in range(2))
    mask = np.zeros((len(rows), length), dtype=bool)
    for at, row in enumerate(rows):
        ids[at, : len(row.ids)], types[at, : len(row.ids)], mask[at, : len(row.ids)] = row.ids, row.types, True
    starts, ends = np.array(spans, dtype=np.int64).T
    return Batch(ids, types, mask, starts, ends)


def _sentences(context: str, starts: NDArray[np.int64]) -> NDArray[np.int32]:
    ends = [0, *(match.end() for match in _SENTENCE_END.finditer(context))]
    places = np.unique(np.searchsorted(starts, ends))
    return places[places < len(starts)].astype(np.int32)
