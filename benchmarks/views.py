"""What other ways to score passages would be worth: documents, feedback, BM25's parameters, other scales.

    .venv/bin/python -m benchmarks.views tune xquad-en covid_faq mtrag_govt pubmedqa nq_open_oracle longdoc_faq \
        scifact-train xquad-de

Reads the indexes that ``make bench-quality`` leaves, and scores every passage in every way, so that nothing depends on
how many candidates a search gives. nDCG@10 is of documents, each by its best passage; at most 300 questions of a set.
Prints a table, and one JSON line last.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from benchmarks.ablation import print_table
from benchmarks.quality import choose_questions
from benchmarks.question_sets import JudgedQuestion, Part, measure
from qa.index.snapshots import Snapshots
from qa.models.loading import make_encoder
from qa.protocols import Encoder
from qa.search.ranking import DOCUMENT_WEIGHT, LEXICAL_WEIGHT
from qa.settings import Settings
from qa.text.words import passage_terms

if TYPE_CHECKING:
    from qa.types import Ids, Vectors

QUESTIONS = 300
DEPTH = 150
PASSAGE, DOCUMENT = "passage", "document"


@dataclass(frozen=True, slots=True)
class Collection:
    """A set's index as arrays, and its questions.

    ``windows (w, d)`` are vectors, passage by passage; ``starts (p,)`` says where each passage's begin, ``owners`` the
    document of each passage and ``documents (p,)`` its number. ``asked (q, d)`` are the questions' vectors and
    ``bm25 (q, p)`` the scores of the words' index. ``text``, ``context`` and ``terms`` are sparse counts of terms, of
    passages ``(p, t)``, of their headings ``(p, t)`` and of questions ``(q, t)``.
    """

    questions: Sequence[JudgedQuestion]
    windows: Vectors
    starts: Ids
    owners: Sequence[str]
    documents: Ids
    asked: Vectors
    bm25: Vectors
    text: Any
    context: Any
    terms: Any


def load(name: str, part: Part, encoder: Encoder) -> Collection:
    """Read a set's index."""
    questions = choose_questions(name, part)[:QUESTIONS]
    index = Snapshots(Path("indexes") / "benchmarks", name).open()
    keys = index.relations.passages
    found = index.store.find_passages(keys.tolist())
    passages = [found[key][0] for key in keys.tolist()]
    windows, starts = index.relations.windows_of(keys)
    place = {key: at for at, key in enumerate(keys.tolist())}
    asked_terms = [index.lexical.question_terms(question.text) for question in questions]
    bm25 = np.zeros((len(questions), len(keys)), np.float32)
    for row, forms in enumerate(asked_terms):
        hits, scores = index.lexical.search(forms, len(keys))
        bm25[row, [place[key] for key in hits.tolist()]] = scores
    vocabulary: dict[str, int] = {}
    text = [[_number(t, vocabulary) for t in passage_terms(p.text, p.language)] for p in passages]
    context = [[_number(t, vocabulary) for t in passage_terms(p.context, p.language)] for p in passages]
    terms = [sorted({vocabulary[f] for forms in words for f in forms if f in vocabulary}) for words in asked_terms]
    collection = Collection(
        questions,
        index.vectors.rows(windows),
        starts,
        [p.document.rpartition("/")[2].removesuffix(".txt") for p in passages],
        np.unique(index.relations.documents_of(windows[starts]), return_inverse=True)[1],
        encoder.encode_questions([question.text for question in questions]),
        bm25,
        *(_counts(rows, len(vocabulary)) for rows in (text, context, terms)),
    )
    index.close()
    return collection


def _number(term: str, vocabulary: dict[str, int]) -> int:
    return vocabulary.setdefault(term, len(vocabulary))


def _counts(rows: Sequence[Sequence[int]], columns: int) -> Any:
    from scipy import sparse

    ends = np.cumsum([0, *map(len, rows)])
    flat = np.array([column for row in rows for column in row], dtype=np.int64)
    matrix = sparse.csr_matrix((np.ones(len(flat), np.float32), flat, ends), (len(rows), columns))
    matrix.sum_duplicates()
    return matrix


def score_words(c: Collection, *, k1: float = 1.2, b: float = 0.75, heading: float = 1.0, of: str = PASSAGE) -> Vectors:
    """Compute BM25 ``(q, p)`` with other parameters, headings counted more often, or of whole documents."""
    from scipy import sparse

    counts = (c.text + heading * c.context).tocsr()
    if of == DOCUMENT:
        rows = np.arange(len(c.documents))
        counts = (sparse.csr_matrix((np.ones(len(rows)), (c.documents, rows))) @ counts).tocsr()
    n, holders = counts.shape[0], np.bincount(counts.indices, minlength=counts.shape[1])
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    norms = k1 * (1 - b + b * lengths / lengths.mean())
    weighted = counts.astype(np.float32)
    weighted.data = weighted.data * (k1 + 1) / (weighted.data + np.repeat(norms, np.diff(weighted.indptr)))
    weighted = weighted.multiply(np.log(1 + (n - holders + 0.5) / (holders + 0.5))[None, :]).tocsr()
    scores: Vectors = np.asarray((c.terms @ weighted.T).todense(), dtype=np.float32)
    return scores[:, c.documents] if of == DOCUMENT else scores


def variants(c: Collection) -> Iterator[tuple[str, Vectors]]:
    """Yield the name and the scores ``(q, p)`` of every way of ranking."""
    best = np.maximum.reduceat(c.asked @ c.windows.T, c.starts, axis=1)
    share = _share(c.bm25)
    words = np.float32(LEXICAL_WEIGHT) * share
    sizes = np.diff(np.append(c.starts, len(c.windows)))
    passages = _unit(np.add.reduceat(c.windows, c.starts, axis=0))
    sums = np.zeros((int(c.documents.max()) + 1, c.windows.shape[1]), np.float32)
    np.add.at(sums, np.repeat(c.documents, sizes), c.windows)
    means = sums / np.bincount(np.repeat(c.documents, sizes))[:, None]
    whole = (c.asked @ _unit(sums).T)[:, c.documents]
    yield "BM25", c.bm25
    yield "cosine", best
    yield "cosine + 0.3 BM25 / best", best + words
    for a in (0.15, DOCUMENT_WEIGHT, 0.35, 0.5):
        yield f"document's cosine, {a}", np.float32(1 - a) * best + np.float32(a) * whole + words
    yield "mean of the document's cosines, added, 0.25", best + (c.asked @ means.T)[:, c.documents] / 4 + words
    yield "passage's mean, 0.25", 0.75 * best + 0.25 * (c.asked @ passages.T) + words
    yield "BM25 of the document, 0.1, added", best + words + _share(score_words(c, of=DOCUMENT)) / 10
    for times in (2, 3):
        yield f"headings' words {times} times", best + LEXICAL_WEIGHT * _share(score_words(c, heading=times))
    for k1, b in ((0.6, 0.75), (0.9, 0.4)):
        yield f"BM25 k1 {k1}, b {b}", best + LEXICAL_WEIGHT * _share(score_words(c, k1=k1, b=b))
    first = np.argsort(-(best + words), axis=1)[:, :3]
    fed = _unit(c.asked + np.float32(0.2) * _unit(passages[first].mean(axis=1)))
    yield "feedback of 3, 0.2", np.maximum.reduceat(fed @ c.windows.T, c.starts, axis=1) + words
    top = np.sort(best, axis=1)[:, ::-1][:, :100]
    mean = top.mean(axis=1, keepdims=True)
    yield "cosines by mean and best of the first 100", (best - mean) / np.maximum(top[:, :1] - mean, 1e-9) + share
    low = best.min(axis=1, keepdims=True)
    yield "min-max of cosines + 0.4 BM25 / best", (best - low) / (top[:, :1] - low) + np.float32(0.4) * share
    lead = 1 - np.sort(share, axis=1)[:, -2:-1]
    yield "BM25 by its lead over the second", best + words * (1 + np.clip(lead - 0.15, -0.3, 0.3) / 0.3)
    yield "root of BM25's share", best + np.float32(LEXICAL_WEIGHT) * np.sqrt(share)
    for weight in (0.2, 0.4):
        yield f"cosine + {weight} BM25 / best", best + np.float32(weight) * share


def _share(bm25: Vectors) -> Vectors:
    shares: Vectors = bm25 / np.maximum(bm25.max(axis=1, keepdims=True), 1e-9)
    return shares


def _unit(vectors: Vectors) -> Vectors:
    scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return scaled


def mean_ndcg(scores: Vectors, c: Collection) -> float:
    """Compute the mean nDCG@10 of the documents that ``scores (q, p)`` of passages rank."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    run = {
        question.id: list(dict.fromkeys(c.owners[at] for at in row))
        for question, row in zip(c.questions, order, strict=True)
    }
    return float(np.mean(measure(c.questions, run, ["nDCG@10"])["nDCG@10"]))


def main() -> None:
    """Measure every variant on every set that is named."""
    part, names = cast(Part, sys.argv[1]), sys.argv[2:]
    encoder = make_encoder(Settings(), threads=2)
    table: dict[str, dict[str, float]] = {}
    for name in names:
        collection = load(name, part, encoder)
        for label, scores in variants(collection):
            table.setdefault(label, {})[name] = mean_ndcg(scores, collection)
        print(f"{name}: {len(collection.owners)} passages, {len(collection.questions)} questions", flush=True)
    print_table(table, names)


if __name__ == "__main__":
    main()
