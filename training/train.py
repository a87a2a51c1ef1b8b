"""Training: what the reader is asked to minimise, and the loop that does it.

The loss of a batch of questions, each beside its own text and beside a hard negative, is the sum of

* the span's: cross entropy of start and end over the tokens of each text, position 0 standing for "no answer here", as
  Devlin et al. (2019, section 4.3) train for SQuAD 2.0;
* half the shared one: the same over both texts of a question together, without position 0, so that scores can be
  compared between texts (Clark and Gardner, 2018, section 3.2);
* half the relevance's: binary cross entropy of "this text holds the answer".

With a teacher, its softened distributions are learnt beside the labels (Hinton et al., 2015).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from training.encoding import Batch, Corpus, make_batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.model import Reader

# Logit of what is no token of the text.
_IMPOSSIBLE = -1e4
_TEMPERATURE = 2.0
# Beside a teacher the labels count this much.
_LABELS = 0.4
# Batches are drawn from stretches of this many, sorted by length, so that little is padded.
_BATCHES_SORTED = 40


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: ``steps`` of ``batch`` questions, the rate rising over ``warmup`` and falling to 0."""

    steps: int
    batch: int = 96
    rate: float = 1e-4
    warmup: int = 200
    crops: float = 0.4
    decay: float = 0.01
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of the log."""

    step: int
    epoch: float
    loss: float
    seconds: float


def train(  # noqa: PLR0913
    reader: Reader,
    corpus: Corpus,
    negatives: NDArray[np.int64],
    schedule: Schedule,
    *,
    device: str,
    teacher: Reader | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
    every: int = 100,
) -> None:
    """Train a reader in place. The same input on the same device gives the same weights.

    Args:
        negatives: ``(examples, n)``, see :func:`training.negatives.mine`.
        teacher: a reader over the same vocabulary, of any size.
    """
    torch.manual_seed(schedule.seed)
    draw = np.random.default_rng(schedule.seed)
    reader.to(device).train()
    if teacher is not None:
        teacher.to(device).eval()
    optimizer = _make_optimizer(reader, schedule)
    begun = time.perf_counter()
    for step, chosen in enumerate(_batches(corpus, schedule, draw), 1):
        others = negatives[chosen, draw.integers(negatives.shape[1], size=len(chosen))]
        batch = make_batch(corpus, chosen.tolist(), others.tolist(), draw, schedule.crops)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate * min(1.0, step / schedule.warmup) * (1 - (step - 1) / schedule.steps)
        loss = _loss_of_batch(reader, batch, device, teacher)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        if step % every == 0 or step == schedule.steps:
            epoch = step * schedule.batch / len(corpus.examples)
            tell(Progress(step, epoch, loss.item(), time.perf_counter() - begun))
    reader.eval()


def compute_loss(spans: torch.Tensor, relevance: torch.Tensor, types: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    """Compute the loss of a batch; see the module.

    Args:
        spans: ``(2n, length, 2)`` logits of start and end.
        relevance: ``(2n,)`` logits.
        types: ``(2n, length)``, 1 at the tokens of the text and at the [SEP] behind it.
        gold: ``(2n, 2)`` positions of start and end, 0 where the text has no answer. Row ``n + i`` is the question of
            row ``i`` beside its negative.
    """
    possible = _possible(types)
    count = len(spans) // 2
    has_answer = gold[:, 0] > 0
    answerable = has_answer[:count]
    total = functional.binary_cross_entropy_with_logits(relevance, has_answer.float()) / 2
    for side in range(2):
        logits = spans[..., side].masked_fill(~possible, _IMPOSSIBLE)
        total = total + functional.cross_entropy(logits, gold[:, side]) / 2
        # Without "no answer here", both texts of a question side by side.
        texts = logits.index_fill(1, torch.zeros(1, dtype=torch.long, device=logits.device), _IMPOSSIBLE)
        both = torch.cat([texts[:count], texts[count:]], dim=1)
        shared = functional.cross_entropy(both, gold[:count, side], reduction="none")
        total = total + (shared * answerable).sum() / answerable.sum().clamp_min(1) / 4
    return total


def compute_distillation(
    spans: torch.Tensor, relevance: torch.Tensor, types: torch.Tensor, taught: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Compute how far a reader is from its teacher's distributions, softened by a temperature.

    Args:
        taught: what the teacher gives for ``spans`` and ``relevance``.
    """
    possible = _possible(types)
    total = functional.binary_cross_entropy_with_logits(relevance, torch.sigmoid(taught[1])) / 2
    for side in range(2):
        mine, wanted = (
            functional.log_softmax(logits[..., side].masked_fill(~possible, _IMPOSSIBLE) / _TEMPERATURE, dim=-1)
            for logits in (spans, taught[0])
        )
        divergence = functional.kl_div(mine, wanted, log_target=True, reduction="batchmean")
        total = total + divergence * _TEMPERATURE**2 / 2
    return total


def _loss_of_batch(reader: Reader, batch: Batch, device: str, teacher: Reader | None) -> torch.Tensor:
    ids, types, mask = (torch.from_numpy(array).to(device) for array in (batch.ids, batch.types, batch.mask))
    gold = torch.from_numpy(np.stack([batch.starts, batch.ends], axis=1)).to(device)
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        spans, relevance = reader(ids, types, mask)
        taught = None
        if teacher is not None:
            with torch.no_grad():
                taught = teacher(ids, types, mask)
    loss = compute_loss(spans, relevance, types, gold)
    if taught is None:
        return loss
    return _LABELS * loss + compute_distillation(spans, relevance, types, taught)


def _possible(types: torch.Tensor) -> torch.Tensor:
    """Mark where an answer may start or end: at the tokens of the text, and at [CLS]."""
    # The last position of the second kind is the [SEP] behind the text.
    is_last = functional.pad(types[:, 1:], (0, 1)) == 0
    possible = (types == 1) & ~is_last
    possible[:, 0] = True
    return possible


def _make_optimizer(reader: Reader, schedule: Schedule) -> torch.optim.Optimizer:
    matrices = [parameter for parameter in reader.parameters() if parameter.ndim >= 2]
    vectors = [parameter for parameter in reader.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": schedule.decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98))


def _batches(corpus: Corpus, schedule: Schedule, draw: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    lengths = np.array([len(corpus.texts[example.text].ids) for example in corpus.examples])
    size = min(schedule.batch, len(lengths))
    left = schedule.steps
    while left:
        order = draw.permutation(len(lengths))
        made = []
        for begin in range(0, len(order), size * _BATCHES_SORTED):
            stretch = order[begin : begin + size * _BATCHES_SORTED]
            stretch = stretch[np.argsort(lengths[stretch], kind="stable")]
            whole = len(stretch) // size * size
            made += [stretch[at : at + size] for at in range(0, whole, size)]
        for at in draw.permutation(len(made))[:left]:
            yield made[at]
        left -= min(left, len(made))
