"""tantivy and bm25s over the same terms: what building, opening and asking cost. Prints a row, one JSON line last.

    PYTHONPATH=. .venv-peers/bin/python -m benchmarks.lexical_engines tantivy 500000

Passages of 100 words are drawn from the texts of three question sets. Each run measures one engine at one size, so that
the peak of memory is its own. The time of making terms, which both need, is left out.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.question_sets import load_corpus, load_questions
from qa.text.words import distinct, passage_terms, words

SETS = ["nq_open_oracle", "pubmedqa", "xquad-en"]
QUESTIONS = 300
DEPTH = 100
Search = Callable[[list[str]], object]


class Stopwatch:
    """The seconds of building, without those of making terms."""

    def __init__(self) -> None:
        self.terms = 0.0
        self._started = time.perf_counter()

    def passages(self, count: int) -> Iterator[list[str]]:
        """Yield the terms of each passage."""
        pool = [word for name in SETS for document in load_corpus(name) for word in document.text.split()]
        chance = random.Random(1)
        for _ in range(count):
            begun = time.perf_counter()
            starts = (chance.randrange(len(pool) - 10) for _ in range(10))
            terms = passage_terms(" ".join(word for at in starts for word in pool[at : at + 10]), "en")
            self.terms += time.perf_counter() - begun
            yield terms

    def building(self) -> float:
        """Return the seconds since the start without those of making terms."""
        return time.perf_counter() - self._started - self.terms


def tantivy_engine(passages: Iterator[list[str]], folder: Path) -> Callable[[], Search]:
    """Build an index with tantivy; return what opens it."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("key", fast=True)
    builder.add_text_field("text", tokenizer_name="whitespace", index_option="freq")
    schema = builder.build()
    writer = tantivy.Index(schema, str(folder)).writer(heap_size=64_000_000, num_threads=1)
    for key, terms in enumerate(passages):
        document = tantivy.Document()
        document.add_integer("key", key)
        document.add_text("text", " ".join(terms))
        writer.add_document(document)
    writer.commit()
    writer.wait_merging_threads()

    def open_it() -> Search:
        searcher = tantivy.Index.open(str(folder)).searcher()

        def search(terms: list[str]) -> object:
            queries = [(tantivy.Occur.Should, tantivy.Query.term_query(schema, "text", t, "freq")) for t in terms]
            hits = searcher.search(tantivy.Query.boolean_query(queries), DEPTH, count=False).hits
            return searcher.fast_field_values("key", [address for _, address in hits])

        return search

    return open_it


def bm25s_engine(passages: Iterator[list[str]], folder: Path) -> Callable[[], Search]:
    """Build an index with bm25s; return what opens it."""
    import bm25s  # type: ignore[import-not-found]

    vocabulary: dict[str, int] = {}
    ids = [
        np.fromiter((vocabulary.setdefault(term, len(vocabulary)) for term in terms), np.int32) for terms in passages
    ]
    engine = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    engine.index((ids, vocabulary), show_progress=False)
    engine.save(folder)

    def open_it() -> Search:
        opened = bm25s.BM25.load(folder, mmap=True)

        def search(terms: list[str]) -> object:
            known = [term for term in terms if term in opened.vocab_dict]
            return np.argpartition(-opened.get_scores(known), DEPTH)[:DEPTH]

        return search

    return open_it


ENGINES = {"tantivy": tantivy_engine, "bm25s": bm25s_engine}


def main() -> None:
    """Measure the engine and the number of passages that are named."""
    name, count = sys.argv[1], int(sys.argv[2])
    questions = [question.text for question in load_questions("nq_open_oracle", "tune")[:QUESTIONS]]
    asked = [[form for forms in distinct(words(question, ("en",))) for form in forms] for question in questions]
    with tempfile.TemporaryDirectory() as folder:
        watch = Stopwatch()
        open_it = ENGINES[name](watch.passages(count), Path(folder))
        building = watch.building()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e6
        started = time.perf_counter()
        search = open_it()
        opening = time.perf_counter() - started
        times = []
        for terms in asked:
            begun = time.perf_counter()
            search(terms)
            times.append(1000 * (time.perf_counter() - begun))
    row = {
        "engine": name, "passages": count, "build_s": building, "peak_mb": peak, "disk_mb": disk, "open_s": opening,
        "p50_ms": float(np.median(times)), "p99_ms": float(np.percentile(times, 99)),
    }  # fmt: skip
    print(
        "| engine | passages | build, s | peak, MB | on disk, MB | open, s | p50, ms | p99, ms |\n|---"
        + "|---" * 7
        + "|"
    )
    print("| " + " | ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()) + " |")
    print(json.dumps(row))


if __name__ == "__main__":
    main()
