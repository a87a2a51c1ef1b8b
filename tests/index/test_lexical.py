"""BM25: against the formula, under filters, with ties, on a disk that cannot be written, and broken."""

from __future__ import annotations

import math
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qa.errors import LexicalIndexError, SnapshotCorrupt, StorageError
from qa.index.lexical import LexicalIndex, LexicalRow, LexicalWriter
from qa.protocols import And, Filter
from qa.text.words import passage_terms
from qa.types import Eq, In, Range

COLUMNS = ("document", "path")
TEXTS = [
    "Apples grow on trees.",
    "Pears grow on trees, and pears ripen in autumn.",
    "Plums are blue.",
    "The army is near the city.",
    "The city is old.",
    "Plums are blue.",
]


def write(folder: Path, texts: Sequence[str], languages: Sequence[str] = ()) -> LexicalIndex:
    folder.mkdir(exist_ok=True)
    writer = LexicalWriter(folder, COLUMNS)
    writer.add(
        LexicalRow(key, text, languages[key] if languages else "en", {"document": f"{key % 2}.txt", "path": f"§{key}"})
        for key, text in enumerate(texts)
    )
    writer.finish()
    return LexicalIndex(folder)


def ask(index: LexicalIndex, question: str, k: int = 10) -> list[int]:
    keys, _ = index.search(index.question_terms(question), k)
    return [int(key) for key in keys]


def bm25(texts: Sequence[str], question: str, k1: float = 1.2, b: float = 0.75) -> list[float]:
    """Compute the formula of Robertson & Zaragoza (2009) over whole documents."""
    documents = [Counter(passage_terms(text, "en")) for text in texts]
    mean = sum(sum(d.values()) for d in documents) / len(documents)
    scores = [0.0] * len(texts)
    for term in set(passage_terms(question, "en")):
        df = sum(term in d for d in documents)
        idf = math.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
        for at, d in enumerate(documents):
            length = 1 - b + b * sum(d.values()) / mean
            scores[at] += idf * d[term] * (k1 + 1) / (d[term] + k1 * length)
    return scores


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.lists(st.sampled_from("ant bee cow dog eel fox".split()), min_size=1, max_size=20), min_size=1, max_size=8
    ),
    question=st.lists(st.sampled_from("ant bee cow gnu".split()), min_size=1, max_size=4),
)
def test_scores_are_those_of_the_formula(
    tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]], question: list[str]
) -> None:
    passages = [" ".join(text) for text in texts]
    index = write(tmp_path_factory.mktemp("lexical"), passages)
    expected = bm25(passages, " ".join(question))
    terms = index.question_terms(" ".join(question))
    keys, scores = index.search(terms, 10)
    found = dict(zip(keys.tolist(), scores.tolist(), strict=True))
    assert {key: pytest.approx(score, rel=1e-3) for key, score in enumerate(expected) if score} == found
    assert index.scores(terms, range(len(texts))) == found


def test_finds_other_forms_of_a_word_and_nothing_without_one(tmp_path: Path) -> None:
    index = write(tmp_path / "s", TEXTS)
    assert ask(index, "a growing tree") == [0, 1]
    assert ask(index, "submarine") == []
    assert ask(index, "?!") == []


def test_equal_scores_are_ordered_by_key_however_many_are_asked_for(tmp_path: Path) -> None:
    index = write(tmp_path / "s", ["the same words"] * 200)
    for k in (1, 3, 50, 200, 500):
        assert ask(index, "same words", k) == list(range(min(k, 200)))


def test_filters_come_before_the_search_and_leave_the_scores(tmp_path: Path) -> None:
    index = write(tmp_path / "s", TEXTS)
    terms = index.question_terms("city plums trees")
    everything = dict(zip(*(array.tolist() for array in index.search(terms, 10)), strict=True))
    cases: list[tuple[Filter, set[int]]] = [
        (Eq("document", "1.txt"), {1, 3, 5}),
        (In("path", ("§2", "§4")), {2, 4}),
        (In("path", ()), set()),
        (And((Eq("document", "1.txt"), In("path", ("§1", "§2")))), {1}),
        (And(()), set(everything)),
    ]
    for filter, expected in cases:
        keys, scores = index.search(terms, 10, filter)
        assert dict(zip(keys.tolist(), scores.tolist(), strict=True)) == {key: everything[key] for key in expected}


@pytest.mark.parametrize("filter", [Eq("colour", "red"), Range("path", "a")])
def test_a_filter_it_cannot_apply_is_refused(tmp_path: Path, filter: Eq | Range) -> None:
    index = write(tmp_path / "s", TEXTS)
    with pytest.raises(LexicalIndexError):
        index.search(index.question_terms("city"), 3, filter)


def test_each_passage_is_stemmed_in_its_own_language(tmp_path: Path) -> None:
    index = write(tmp_path / "s", ["Die Häuser sind alt.", "The houses are old."], ["de", "en"])
    assert index.languages == ("de", "en")
    assert ask(index, "Haus") == [0]
    assert ask(index, "house") == [1]


def test_words_of_scripts_without_spaces_are_found(tmp_path: Path) -> None:
    index = write(tmp_path / "s", ["黑豹队的防守只丢了 308 分", "学而时习之，不亦说乎"], ["", ""])
    assert ask(index, "黑豹队丢了多少分？")[0] == 0
    assert ask(index, "学习")[0] == 1


def test_idf_is_high_for_rare_words_and_zero_for_unknown_ones(tmp_path: Path) -> None:
    index = write(tmp_path / "s", TEXTS)
    army, city, unknown = (index.idf(index.question_terms(word)[0]) for word in ("army", "city", "submarine"))
    assert army > city > unknown == 0.0
    assert army == pytest.approx(math.log(1 + 5.5 / 1.5))


def test_a_snapshot_is_not_written_to_when_it_is_opened(tmp_path: Path) -> None:
    write(tmp_path / "s", TEXTS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*")}
    for path in [*before, tmp_path / "s"]:
        path.chmod(stat.S_IRUSR | (stat.S_IXUSR if path.is_dir() else 0))
    index = LexicalIndex(tmp_path / "s")
    assert ask(index, "army") == [3]
    assert np.array_equal(np.sort(np.concatenate([*index.key_blocks()])), np.arange(len(TEXTS)))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*")} == before


@pytest.mark.parametrize("name", ["terms.json", "meta.json"])
@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": "0", "columns": [], "languages": {}}'])
def test_a_damaged_index_is_named(tmp_path: Path, name: str, content: str) -> None:
    write(tmp_path / "s", TEXTS)
    (tmp_path / "s" / "lexical" / name).write_text(content)
    with pytest.raises(SnapshotCorrupt, match="build the index again"):
        LexicalIndex(tmp_path / "s")


def test_a_folder_that_is_taken_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "lexical").mkdir()
    with pytest.raises(StorageError, match="check the folder"):
        LexicalWriter(tmp_path, COLUMNS)


def test_a_heading_that_is_no_valid_unicode_is_written_and_found(tmp_path: Path) -> None:
    writer = LexicalWriter(tmp_path, COLUMNS)
    writer.add([LexicalRow(1, "Apples \ud800 grow.", "en", {"document": "a\udcff.txt", "path": "\ud800"})])
    writer.finish()
    index = LexicalIndex(tmp_path)
    for filter in (Eq("document", "a\udcff.txt"), Eq("path", "\ud800")):
        assert index.search(index.question_terms("apples"), 3, filter)[0].tolist() == [1]
