"""What each choice of the retriever is worth, on the tuning half. Prints a table, and one JSON line last.

    .venv/bin/python -m benchmarks.ablation xquad-en nq_open_oracle pubmedqa scifact-train xquad-de xquad-zh xquad-ar

Every passage is scored by every variant, so that nothing depends on how many candidates a leg gives. nDCG@10 is
of documents, each by its best passage. Of scifact-train only the abstracts that some claim is judged on, and every
sixth of the rest, are searched.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.question_sets import JudgedQuestion, load_corpus, load_questions, measure
from qa.index.lexical import LexicalIndex, LexicalRow, LexicalWriter
from qa.models.languages import detect_language
from qa.models.loading import make_encoder
from qa.protocols import Encoder
from qa.search.ranking import LEXICAL_WEIGHT
from qa.settings import Settings
from qa.text.splitter import SplitterParameters, split
from qa.text.words import is_foreign
from qa.types import Document, Passage, Section

if TYPE_CHECKING:
    from qa.types import Vectors

QUESTIONS = 800
DEPTH = 60
WEIGHTS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0]
WINDOWS = [32, 64, 96]


@dataclass(frozen=True, slots=True)
class Legs:
    """Scores ``(q, p)`` of every question and passage: cosines by window size, the passage's own, and BM25.

    ``foreign (q,)`` says which questions are of a script that the encoder was not trained on.
    """

    owners: Sequence[str]
    windows: Mapping[int, Vectors]
    passage: Vectors
    bm25: Vectors
    foreign: Sequence[bool]


def load_documents(name: str) -> list[Document]:
    """Load a set's documents with their titles as headings, as they are in files with structure."""
    judged = {id for part in ("tune", "report") for q in load_questions(name, part) for id in q.relevant}
    found = []
    for document in load_corpus(name):
        if name.startswith("scifact") and document.id not in judged and int(document.id) % 6:
            continue
        title = document.title.strip()
        text = f"{title}\n\n{document.text}" if title else document.text
        sections = (Section(title, 1, 0, len(title) + 1, len(text)),) if title else ()
        found.append(replace(document, text=text, sections=sections, language=detect_language(text)))
    return found


def score_legs(name: str, questions: Sequence[JudgedQuestion], encoder: Encoder) -> Legs:
    """Split and encode a set, and score every passage by every leg."""
    corpus = load_documents(name)
    asked = encoder.encode_questions([question.text for question in questions])
    by_size: dict[int, Vectors] = {}
    passages: list[Passage] = []
    for size in WINDOWS:
        parameters = SplitterParameters(window=size)
        passages = [p for d in corpus for p in split(d, parameters, encoder.count_tokens, encoder.window)]
        cosines = asked @ encoder.encode_passages([p.encoded_text(w) for p in passages for w in p.windows]).T
        starts = np.cumsum([0, *(len(p.windows) for p in passages[:-1])])
        by_size[size] = np.maximum.reduceat(cosines, starts, axis=1)
    whole: Vectors = asked @ encoder.encode_passages([p.searched_text for p in passages]).T
    languages = {document.id: document.language for document in corpus}
    bm25 = _bm25(passages, languages, [question.text for question in questions])
    foreign = [is_foreign(question.text, encoder.languages) for question in questions]
    return Legs([p.document for p in passages], by_size, whole, bm25, foreign)


def _bm25(passages: Sequence[Passage], languages: Mapping[str, str], questions: Sequence[str]) -> Vectors:
    with tempfile.TemporaryDirectory() as folder:
        writer = LexicalWriter(Path(folder), ())
        writer.add(LexicalRow(at, p.searched_text, languages[p.document], {}) for at, p in enumerate(passages))
        writer.finish()
        index = LexicalIndex(Path(folder))
        scores = np.zeros((len(questions), len(passages)), dtype=np.float32)
        for row, question in enumerate(questions):
            keys, found = index.search(index.question_terms(question), len(passages))
            scores[row, keys] = found
        return scores


def mean_ndcg(scores: Vectors, legs: Legs, questions: Sequence[JudgedQuestion]) -> float:
    """Compute the mean nDCG@10 of the documents that ``scores (q, p)`` of passages rank."""
    run = {}
    for question, row in zip(questions, scores, strict=True):
        order = np.argsort(-row, kind="stable")[:DEPTH]
        run[question.id] = list(dict.fromkeys(legs.owners[at] for at in order))
    return float(np.mean(measure(questions, run, ["nDCG@10"])["nDCG@10"]))


def variants(legs: Legs) -> Iterator[tuple[str, Vectors]]:
    """Yield the name and the scores ``(q, p)`` of every way of ranking."""
    best = np.maximum(legs.bm25.max(axis=1, keepdims=True), 1e-9)
    share = legs.bm25 / best
    window = legs.windows[SplitterParameters().window]
    yield "BM25", legs.bm25
    yield "cosine of passages", legs.passage
    for size, cosines in legs.windows.items():
        yield f"cosine of windows of {size}", cosines
    yield "reciprocal ranks (k 60)", _reciprocal(window) + _reciprocal(legs.bm25)
    yield "min-max of the first 100", _min_max(window) + _min_max(legs.bm25)
    for weight in WEIGHTS:
        yield f"cosine + {weight} BM25 / best", window + np.float32(weight) * share
    fused = np.float32(LEXICAL_WEIGHT) * share
    yield "the same by passages", legs.passage + fused
    yield "the same by passages and windows", (legs.passage + window) / 2 + fused
    for size, cosines in legs.windows.items():
        yield f"the same by windows of {size}", cosines + fused
    foreign = np.array(legs.foreign)[:, None] & (legs.bm25.max(axis=1, keepdims=True) > 0)
    yield "chosen: by words alone where the question is foreign", np.where(foreign, legs.bm25, window + fused)


def _reciprocal(scores: Vectors) -> Vectors:
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1) + 1
    return np.where(scores > 0, 1 / (60 + ranks), 0).astype(np.float32)


def _min_max(scores: Vectors, first: int = 100) -> Vectors:
    first = min(first, scores.shape[1])
    top = np.partition(scores, -first, axis=1)[:, -first:]
    low, high = top.min(axis=1, keepdims=True), top.max(axis=1, keepdims=True)
    scaled: Vectors = np.clip((scores - low) / np.maximum(high - low, 1e-9), 0, 1)
    return scaled


def main() -> None:
    """Measure every variant on every set that is named."""
    names = sys.argv[1:]
    encoder = make_encoder(Settings(), threads=2)
    table: dict[str, dict[str, float]] = {}
    for name in names:
        questions = load_questions(name, "tune")[:QUESTIONS]
        legs = score_legs(name, questions, encoder)
        for label, scores in variants(legs):
            table.setdefault(label, {})[name] = mean_ndcg(scores, legs, questions)
        foreign = f"{sum(legs.foreign)} of {len(questions)} questions foreign"
        print(f"{name}: {len(legs.owners)} passages; {foreign}", flush=True)
    print_table(table, names)


def print_table(table: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> None:
    """Print nDCG@10 by way of scoring and set, its mean last, and the same as one JSON line."""
    print("\n| nDCG@10 | " + " | ".join(names) + " | mean |\n" + "|---" * (len(names) + 2) + "|")
    for label, row in table.items():
        print(
            f"| {label} | " + " | ".join(f"{value:.3f}" for value in [*row.values(), np.mean([*row.values()])]) + " |"
        )
    print(json.dumps(table))


if __name__ == "__main__":
    main()
