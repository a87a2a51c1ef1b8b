"""What the reader costs and says in each precision, against its own weights in fp32. One JSON line last.

    .venv/bin/python -m benchmarks.precision [--questions 250]

On the tuning halves of two sets, each question beside the document that answers it, one after the other in every
precision, on one thread.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.question_sets import load_corpus, load_questions
from qa.evaluation.measures import exact_match, f1
from qa.models.answer_reader import (
    OUTPUTS,
    QUESTION_TOKENS,
    WEIGHTS,
    WINDOW,
    join,
    read_arrays,
    read_header,
    tokenizer_definition,
)
from qa.models.bert import build_reader
from qa.models.openvino import STEP, import_openvino, padded
from qa.models.tokens import Encoded, parse_tokenizer

if TYPE_CHECKING:
    from qa.types import Vectors

SETS = ("xquad-en", "nq_open_oracle")
# Words of the longest answer.
_LONGEST = 30
_GROUP = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
# Weights are int8 in all of them. Inputs are made int8 by groups of this many, and not at all with 0.
PRECISIONS: dict[str, dict[str, object]] = {
    "fp32": {"INFERENCE_PRECISION_HINT": "f32", _GROUP: 0},
    "bf16": {"INFERENCE_PRECISION_HINT": "bf16", _GROUP: 0},
    **{f"int8 in groups of {size}": {"INFERENCE_PRECISION_HINT": "bf16", _GROUP: size} for size in (32, 64, 128)},
}


def main() -> None:
    """Print a row for each set and precision."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--questions", type=int, default=250)
    rows = compare(parser.parse_args().questions)
    for row in rows:
        print(row)
    print(json.dumps(rows))


def compare(count: int) -> list[dict[str, Any]]:
    """Read the questions in every precision."""
    openvino, header = import_openvino(), read_header(WEIGHTS)
    graph = build_reader(openvino, read_arrays(WEIGHTS, header), header.attention_heads, OUTPUTS)
    threads = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1}
    requests = {
        name: openvino.Core().compile_model(graph, "CPU", {**threads, **options}).create_infer_request()
        for name, options in PRECISIONS.items()
    }
    tokenizer = parse_tokenizer(tokenizer_definition().decode())
    rows = []
    for name in SETS:
        texts = {document.id: document.text for document in load_corpus(name)}
        asked = [question for question in load_questions(name, "tune") if question.answers]
        asked.sort(key=lambda question: hashlib.md5(question.id.encode(), usedforsecurity=False).digest())
        found: dict[str, list[tuple[float, ...]]] = {precision: [] for precision in requests}
        for question in asked[:count]:
            text = texts[min(question.relevant)]
            encoding = tokenizer.encode(text, add_special_tokens=False)
            asking = tokenizer.encode(question.text, add_special_tokens=False).ids[:QUESTION_TOKENS]
            row = join(asking, encoding.ids)
            for precision, request in requests.items():
                logits, milliseconds = _run(request, row)
                start, end = _best(logits[row.types.index(1) : -1])
                if precision == "fp32":
                    wanted, span = logits, (start, end)
                answer = text[encoding.offsets[start][0] : encoding.offsets[end][1]]
                found[precision].append(
                    (
                        exact_match(answer, question.answers),
                        f1(answer, question.answers),
                        float((start, end) == span),
                        float(np.abs(logits[:, :2] - wanted[:, :2]).max()),
                        milliseconds,
                    )
                )
        for precision, values in found.items():
            em, of_tokens, same, difference, milliseconds = np.array(values).T
            rows.append(
                {
                    "set": name,
                    "precision": precision,
                    "exact match": round(float(em.mean()), 4),
                    "f1": round(float(of_tokens.mean()), 4),
                    "same span": round(float(same.mean()), 4),
                    "difference, median and 99 %": np.quantile(difference, [0.5, 0.99]).round(3).tolist(),
                    "processor ms, median": round(float(np.median(milliseconds)), 2),
                }
            )
    return rows


def _run(request: Any, row: Encoded) -> tuple[Vectors, float]:
    """Return the logits ``(tokens, 3)`` and the processor's milliseconds."""
    length = min(-(-len(row.ids) // STEP) * STEP, WINDOW)
    started = time.process_time()
    request.infer(dict(padded([row], length, 0)))
    milliseconds = 1000 * (time.process_time() - started)
    return np.array(request.get_output_tensor(0).data)[0, : len(row.ids)], milliseconds


def _best(logits: Vectors) -> tuple[int, int]:
    """Find the first and last token of the best span."""
    pairs = logits[:, 0][:, None] + logits[:, 1][None, :]
    allowed = np.triu(np.ones(pairs.shape, dtype=bool)) & ~np.triu(np.ones(pairs.shape, dtype=bool), _LONGEST)
    start, end = np.unravel_index(np.where(allowed, pairs, -np.inf).argmax(), pairs.shape)
    return int(start), int(end)


if __name__ == "__main__":
    main()
