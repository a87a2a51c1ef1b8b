"""Rankings of a question set among a million other vectors: exact against approximate search. One JSON line last.

    .venv/bin/python -m benchmarks.scale_quality [--set scifact-train] [--others 1000000] [--caches FILE ...]

The set is indexed as a user would. Its vectors and the others, which `benchmarks/scale_vectors.py` makes, are then put
into one index of each engine, and the product's own ranking asks each of them. The others have no text: each stands for
a document of one passage in which no word of the question occurs, and takes the place in the ranking that its cosine
gives it. Caches must not hold the vectors of the set, since passages that are made of relevant ones are relevant too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from benchmarks.quality import choose_questions
from benchmarks.question_sets import JudgedQuestion, Run, mean, mean_difference, measure, write_corpus
from benchmarks.scale_vectors import DIMENSION, Pool, blocks
from qa.build.update import SilentListener, update
from qa.index.snapshots import Snapshots
from qa.index.vectors.engines import FaissVectors
from qa.models.loading import make_encoder
from qa.protocols import VectorRows
from qa.readers.registry import read_source
from qa.search.ranking import Ranker, fuse, search_depth
from qa.settings import Settings
from qa.types import Mode, Query

if TYPE_CHECKING:
    from qa.index.index import Index
    from qa.protocols import Encoder, Filter, VectorIndex
    from qa.types import Ids, Vectors

MEASURES = ["nDCG@10", "R@5"]
_DEPTH = 10
_AT_ONCE = 8192


class Among:
    """The vectors of a set among others, whose ids are below ``others``: they are kept apart from what is found."""

    def __init__(self, index: VectorIndex, others: int) -> None:
        self._index = index
        self._others = others
        self.found = np.empty(0, np.float32)

    def search(self, vectors: Vectors, k: int, filter: Filter | None = None) -> tuple[Ids, Vectors]:
        """Search for one question; the cosines of the others that were found are ``found`` until the next one."""
        ids, cosines = self._index.search(vectors, k, filter)
        is_other = (ids >= 0) & (ids < self._others)
        self.found = cosines[is_other]
        own = ~is_other[0]
        left = np.full_like(ids, -1), np.full_like(cosines, -np.inf)
        left[0][0, : own.sum()], left[1][0, : own.sum()] = ids[0, own], cosines[0, own]
        return left

    def cosines(self, vector: Vectors, ids: Ids) -> Vectors:
        return self._index.cosines(vector, ids)

    def rows(self, ids: Ids) -> Vectors:
        return self._index.rows(ids)


def rank(
    index: Index, engine: Among, encoder: Encoder, questions: Sequence[JudgedQuestion], vectors: Vectors, mode: Mode
) -> tuple[Run, float]:
    """Return the documents found for each question, and the milliseconds of the processor that each took."""
    asked = replace(index, vectors=cast("VectorIndex", engine))
    ranker = Ranker(asked, encoder.languages, lambda word: True, encoder.spread)
    run: dict[str, list[str]] = {}
    started = time.process_time()
    for question, vector in zip(questions, vectors, strict=True):
        query = Query(question.text, _DEPTH, mode=mode)
        nearest = ranker.nearest(vector[None, :], search_depth(query), None)
        ranked = ranker.rank(query, nearest[0], None)
        words = ranked.lexical is not None
        others = fuse(engine.found, np.zeros_like(engine.found), encoder.spread) if words else engine.found
        passages = index.store.find_passages(ranked.keys[: 5 * _DEPTH].tolist())
        scored = [
            (float(score), _document(passages[key][0].document))
            for key, score in zip(ranked.keys[: 5 * _DEPTH].tolist(), ranked.scores, strict=False)
        ]
        scored += [(float(score), f"other {at}") for at, score in enumerate(np.sort(others)[::-1][:_DEPTH])]
        run[question.id] = list(dict.fromkeys(document for _, document in sorted(scored, key=lambda each: -each[0])))
    return run, 1000 * (time.process_time() - started) / len(questions)


def _document(id: str) -> str:
    return id.rpartition("/")[2].removesuffix(".txt")


def fill(folder: Path, index: Index, pool: Pool, others: int, exact_up_to: int) -> VectorIndex:
    """Write the vectors of a snapshot, and the others, into an index."""
    folder.mkdir()
    made = FaissVectors(folder, DIMENSION, (), exact_up_to=exact_up_to)
    ids = np.sort(index.vectors.ids())
    for start in range(0, len(ids), _AT_ONCE):
        made.upsert(VectorRows(ids[start : start + _AT_ONCE], index.vectors.rows(ids[start : start + _AT_ONCE])))
    for first, vectors in blocks(pool, others):
        made.upsert(VectorRows(np.arange(first, first + len(vectors)), vectors))
    made.commit()
    return made


def main() -> None:
    """Rank by each engine, in each mode, and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", default="scifact-train")
    parser.add_argument("--others", type=int, default=1_000_000)
    parser.add_argument("--indexes", type=Path, default=Path("indexes") / "benchmarks")
    parser.add_argument("--caches", nargs="+", type=Path, default=sorted(Path("indexes").glob("*/embeddings.sqlite")))
    given = parser.parse_args()
    questions = choose_questions(given.set, "report")
    settings = Settings(indexes=given.indexes, name=given.set)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "documents").mkdir()
        write_corpus(given.set, folder / "documents")
        update(settings, [folder / "documents"], SilentListener(), read=read_source)
        index = Snapshots(settings.indexes, settings.name).open()
        encoder = make_encoder(settings, threads=1)
        vectors = encoder.encode_questions([question.text for question in questions])
        pool = Pool.make(given.caches, 1)
        engines = {
            "exact": fill(folder / "exact", index, pool, given.others, sys.maxsize),
            "approximate": fill(folder / "approximate", index, pool, given.others, 0),
        }
        rows = _compare(index, engines, given.others, encoder, questions, vectors)
        described = dict(engines["approximate"].describe())
        for engine in engines.values():
            engine.close()
        index.close()
    print(json.dumps({"set": given.set, "others": given.others, "engine": described, "rows": rows}))


def _compare(
    index: Index,
    engines: dict[str, VectorIndex],
    others: int,
    encoder: Encoder,
    questions: Sequence[JudgedQuestion],
    vectors: Vectors,
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    print(f"| mode | engine | {' | '.join(MEASURES)} | less exact, nDCG@10 | ms |\n|---|---|---|---|---|---|")
    for mode in ("dense", "hybrid"):
        exact: list[float] | None = None
        for name, engine in engines.items():
            run, ms = rank(index, Among(engine, others), encoder, questions, vectors, mode)
            values = measure(questions, run, MEASURES)
            exact = exact or values["nDCG@10"]
            found = {each: mean(values[each]) for each in MEASURES}
            change = mean_difference(exact, values["nDCG@10"])
            shown = [f"{value:.4f} [{low:.4f}, {high:.4f}]" for value, low, high in found.values()]
            shown.append("{:+.4f} [{:+.4f}, {:+.4f}]".format(*change))
            print(f"| {mode} | {name} | {' | '.join(shown)} | {ms:.1f} |", flush=True)
            rows.append({"mode": mode, "engine": name, **found, "difference": change, "ms": ms})
    return rows


if __name__ == "__main__":
    main()
