"""Hard negatives: for each question, texts that a bi-encoder takes for relevant and that do not hold the answer.

Reading only paragraphs that belong to their question teaches a reader to answer everything; what a search finds beside
the right paragraph looks like these (Karpukhin et al., 2020, section 3.2).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from training.encoding import Corpus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.model import Reader

    Embed = Callable[[Sequence[NDArray[np.int32]]], torch.Tensor]

# Negatives of each question; training takes one of them at random each time.
COUNT = 6
# Nearest texts that are looked through for them.
_NEAREST = 24
# Tokens of a text that are embedded, the special ones included.
_LONGEST = 256
_QUESTIONS_AT_ONCE = 4096


def make_embed(encoder: Reader, device: str, rows_at_once: int = 256) -> Embed:
    """Make the bi-encoder of a sentence-transformers model: the mean of the last hidden states, of unit length."""
    encoder = encoder.to(device).eval()

    def embed(texts: Sequence[NDArray[np.int32]]) -> torch.Tensor:
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        vectors: Any = [None] * len(texts)
        for begin in range(0, len(order), rows_at_once):
            chosen = order[begin : begin + rows_at_once]
            rows = [[101, *texts[at][: _LONGEST - 2].tolist(), 102] for at in chosen]
            length = max(map(len, rows))
            ids = torch.tensor([row + [0] * (length - len(row)) for row in rows], device=device)
            mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows], device=device)
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                hidden = encoder.hidden(ids, torch.zeros_like(ids), mask).float()
            mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            for at, vector in zip(chosen, torch.nn.functional.normalize(mean, dim=-1), strict=True):
                vectors[at] = vector
        return torch.stack(vectors)

    return embed


def mine(corpus: Corpus, embed: Embed, seed: int) -> NDArray[np.int64]:
    """Find negatives ``(examples, COUNT)``, rows of ``corpus.texts``.

    A text that is the question's own, or that holds the tokens of one of its answers, is none. Where too few are near,
    texts drawn at random make up the number.
    """
    questions: dict[bytes, int] = {}
    of_question = [questions.setdefault(example.question.tobytes(), len(questions)) for example in corpus.examples]
    own, answers = defaultdict(set), defaultdict(set)
    for question, example in zip(of_question, corpus.examples, strict=True):
        own[question].add(example.text)
        if example.span is not None:
            first, last = example.span
            answers[question].add(corpus.texts[example.text].ids[first : last + 1].tobytes())
    distinct = [np.frombuffer(question, dtype=np.int32) for question in questions]
    nearest = _nearest(embed(distinct), embed([text.ids for text in corpus.texts]))
    draw = np.random.default_rng(seed)
    found = np.empty((len(questions), COUNT), dtype=np.int64)
    for question in range(len(questions)):
        chosen = [
            int(row)
            for row in nearest[question]
            if row not in own[question]
            and not any(holds(corpus.texts[row].ids, answer) for answer in answers[question])
        ][:COUNT]
        others = (int(row) for row in iter(lambda: draw.integers(len(corpus.texts)), None))
        found[question] = chosen + [next(others) for _ in range(COUNT - len(chosen))]
    negatives: NDArray[np.int64] = found[of_question]
    return negatives


def holds(ids: NDArray[np.int32], answer: bytes) -> bool:
    """Say whether the tokens of an answer stand in a text, together and in order."""
    content, at = ids.tobytes(), -1
    while (at := content.find(answer, at + 1)) >= 0:
        if at % ids.itemsize == 0:
            return True
    return False


def _nearest(questions: torch.Tensor, texts: torch.Tensor) -> NDArray[np.int64]:
    count = min(_NEAREST, len(texts))
    rows = [
        (questions[begin : begin + _QUESTIONS_AT_ONCE] @ texts.T).topk(count).indices.cpu().numpy()
        for begin in range(0, len(questions), _QUESTIONS_AT_ONCE)
    ]
    return np.concatenate(rows)
