"""What the size and overlap of passages do to what is found, by cosine alone. Prints a table, one JSON line last.

.venv/bin/python -m benchmarks.passage_size report xquad-en nq_open_oracle
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, cast

import numpy as np

from benchmarks.question_sets import JudgedQuestion, Part, load_corpus, load_questions, measure
from qa.models.files import locate
from qa.models.sentence_transformers import SentenceTransformerEncoder
from qa.protocols import Encoder
from qa.settings import DEFAULT_MODEL
from qa.text.splitter import SplitterParameters, split
from qa.types import Document, Passage

if TYPE_CHECKING:
    from qa.types import Vectors

SIZES = [(64, 16), (96, 24), (128, 24), (128, 48), (192, 32), (256, 48)]
DEPTH = 300


def holds_answer(passage: Passage, question: JudgedQuestion) -> bool:
    """Tell whether a passage is of a relevant document and has one of the answers in it."""
    text = passage.text.lower()
    return passage.document in question.relevant and any(answer.lower() in text for answer in question.answers)


def measure_passages(questions: list[JudgedQuestion], passages: list[Passage], cosines: Vectors) -> dict[str, float]:
    """Compute MRR@10 of documents, and how often one of the first 1 and 5 passages holds the answer.

    Args:
        cosines: ``(q, p)``.
    """
    run: dict[str, list[str]] = {}
    answer_1 = answer_5 = 0
    for question, row in zip(questions, cosines, strict=True):
        ranked = [passages[at] for at in np.argsort(-row, kind="stable")[:DEPTH]]
        run[question.id] = list(dict.fromkeys(passage.document for passage in ranked))
        answer_1 += holds_answer(ranked[0], question)
        answer_5 += any(holds_answer(passage, question) for passage in ranked[:5])
    count = len(questions)
    reciprocal = sum(measure(questions, run, ["RR@10"])["RR@10"])
    return {"MRR@10": reciprocal / count, "answer@1": answer_1 / count, "answer@5": answer_5 / count}


def split_corpus(corpus: list[Document], size: int, overlap: int, encoder: Encoder) -> list[Passage]:
    """Split every document into passages of at most ``size`` tokens."""
    parameters = SplitterParameters(size, overlap)
    return [p for document in corpus for p in split(document, parameters, encoder.count_tokens, encoder.window)]


def main() -> None:
    """Measure every size on one half of every set that is named."""
    part, names = cast(Part, sys.argv[1]), sys.argv[2:]
    encoder = SentenceTransformerEncoder(locate(DEFAULT_MODEL), threads=2)
    rows: list[dict[str, object]] = []
    print("| set | size | overlap | passages | MRR@10 | answer@1 | answer@5 |\n|---|---|---|---|---|---|---|")
    for name in names:
        corpus, questions = load_corpus(name), load_questions(name, part)
        vectors = encoder.encode_questions([question.text for question in questions])
        for size, overlap in SIZES:
            passages = split_corpus(corpus, size, overlap, encoder)
            encoded = encoder.encode_passages([passage.searched_text for passage in passages])
            cosines: Vectors = vectors @ encoded.T
            measures = measure_passages(questions, passages, cosines)
            shown = " | ".join(f"{value:.3f}" for value in measures.values())
            print(f"| {name} | {size} | {overlap} | {len(passages)} | {shown} |", flush=True)
            rows.append({"set": name, "size": size, "overlap": overlap, "passages": len(passages), **measures})
    print(json.dumps({"part": part, "rows": rows}))


if __name__ == "__main__":
    main()
