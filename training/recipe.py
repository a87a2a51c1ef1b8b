"""The recipe from data to the file that ships: load, keep back, encode, mine, train, distil, export, evaluate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from qa.models.answer_reader import OpenVinoReader
from training.data import Example, Source, keep_back, load_sources
from training.encoding import encode
from training.evaluate import Measures, evaluate
from training.export import write_reader
from training.model import load_reader, state_arrays, take_layers
from training.negatives import make_embed, mine
from training.train import Progress, Schedule, train

if TYPE_CHECKING:
    from training.model import Reader

    Tell = Callable[[Mapping[str, Any]], None]

READER_FILE = "reader.safetensors"
LOG_FILE = "log.jsonl"


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the result beside the data.

    Args:
        base: weights that training starts from, a reader's or an encoder's.
        encoder: weights of the bi-encoder that finds hard negatives.
        schedule: of the reader that starts from ``base``.
        student_layers: how many layers what ships has, if fewer than ``base``; it is then distilled from that reader.
        student_schedule: of that distillation.
    """

    base: Path
    encoder: Path
    schedule: Schedule
    student_layers: int | None = None
    student_schedule: Schedule | None = None


def run(
    recipe: Recipe,
    sources: Sequence[Source],
    data: Path,
    folder: Path,
    held_out: Mapping[str, Sequence[Example]],
    tell: Tell = lambda line: None,
) -> Mapping[str, Measures]:
    """Make a reader, and write it and the log of its making into ``folder``; return its measures by set.

    Args:
        data: the folder of :func:`training.data.load_sources`.
        held_out: more sets to evaluate on, beside the SQuAD articles that are kept back.

    Raises:
        DataError: a source is missing, or holds what it should not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with (folder / LOG_FILE).open("w", encoding="utf-8") as log:

        def note(**line: Any) -> None:
            log.write(json.dumps(line) + "\n")
            log.flush()
            tell(line)

        left, kept = keep_back(load_sources(data, sources))
        corpus = encode(left)
        note(sources=[source.name for source in sources], examples=len(corpus.examples), kept_back=len(kept))
        negatives = mine(corpus, make_embed(load_reader(recipe.encoder), device), recipe.schedule.seed)
        note(mined=len(negatives), device=device)
        reader = load_reader(recipe.base)
        train(reader, corpus, negatives, recipe.schedule, device=device, tell=_steps(note, "reader"))
        if recipe.student_layers is not None:
            schedule = recipe.student_schedule or recipe.schedule
            student = take_layers(reader, recipe.student_layers)
            steps = _steps(note, "student")
            train(student, corpus, negatives, schedule, device=device, teacher=reader, tell=steps)
            reader = student
        return _finish(reader, folder / READER_FILE, {"squad kept back": kept, **held_out}, note)


def _finish(
    reader: Reader, path: Path, sets: Mapping[str, Sequence[Example]], note: Callable[..., None]
) -> Mapping[str, Measures]:
    """Write the reader, and evaluate the very file that would ship."""
    note(weights=write_reader(state_arrays(reader), path), size=path.stat().st_size)
    written = OpenVinoReader(threads=1, weights=path)
    measures = {name: evaluate(written, examples) for name, examples in sets.items() if examples}
    for name, found in measures.items():
        note(evaluated=name, **asdict(found))
    return measures


def _steps(note: Callable[..., None], model: str) -> Callable[[Progress], None]:
    return lambda progress: note(model=model, **asdict(progress))
