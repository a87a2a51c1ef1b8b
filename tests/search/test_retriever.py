"""Asking: order, filters, bounds, and each error with its message."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, get_args

import numpy as np
import pytest

from qa.build.update import update
from qa.errors import QueryError, QuestionTooLong, SnapshotIncompatible
from qa.index.snapshots import Snapshots
from qa.readers.registry import read_source
from qa.search.retriever import Found, PassageCache, Retriever, score_within
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Hit, Limits, Mode, Query, Reply
from tests.conftest import Build, Recorder, hashing_encoder
from tests.support.hashing import HashingEncoder

if TYPE_CHECKING:
    from qa.types import Vectors


def test_the_passage_that_shares_the_words_comes_first(service: Service) -> None:
    reply = service.ask(Query("Where do apples grow on trees?"))
    hit = reply.hits[0]
    assert (hit.rank, hit.passage.document, hit.title) == (1, "apples.txt", "apples.txt")
    assert hit.passage.text == "Apples grow on trees. They are red or green."
    assert [h.rank for h in reply.hits] == list(range(1, len(reply.hits) + 1))


def test_every_passage_is_the_span_it_says(service: Service) -> None:
    for hit in service.ask(Query("pears plums apples")).hits:
        passage = hit.passage
        assert service.document(passage.document).document.text[passage.start : passage.end] == passage.text


def test_a_hit_names_its_section(service: Service) -> None:
    hit = service.ask(Query("Keep them cool Storage")).hits[0]
    assert (hit.passage.document, hit.passage.section, hit.title) == ("pears.md", "Storage", "Pears")


def test_whoever_wants_passages_alone_gets_no_answer(service: Service) -> None:
    asked, without = service.ask(Query("fruit")), service.ask(Query("fruit", answer=False))
    assert without.answer is None
    assert [hit.passage for hit in without.hits] == [hit.passage for hit in asked.hits]


def test_top_k_bounds_the_passages(service: Service) -> None:
    assert len(service.ask(Query("fruit", top_k=2)).hits) == 2


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (("below/*",), {"below/plums.txt"}),
        (("*.md", "apples*"), {"pears.md", "apples.txt"}),
        (("*",), {"apples.txt", "pears.md", "below/plums.txt"}),
    ],
)
def test_globs_choose_the_documents(service: Service, globs: tuple[str, ...], expected: set[str]) -> None:
    reply = service.ask(Query("apples", documents=globs))
    assert {hit.passage.document for hit in reply.hits} == expected


def test_timings_are_of_the_stages_and_add_up(service: Service) -> None:
    timings = service.ask(Query("apples")).timings_ms
    assert min(timings.values()) > 0
    assert timings["total"] >= timings["encode"] + timings["search"]


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        (Query(""), "question", "the question is blank; write what you want to know"),
        (Query(" \n\t"), "question", "the question is blank; write what you want to know"),
        (Query("x" * 100_000), "question", "the question has 100,000 characters; at most 2,000 are allowed"),
        (Query("a \ud800"), "question", "the question holds half of a surrogate pair; remove it"),
        (Query("x", top_k=0), "top_k", "top_k must be from 1 to 100"),
        (Query("x", top_k=10_000), "top_k", "top_k must be from 1 to 100"),
        (Query("x", max_error=0.0), "max_error", "max_error must be above 0 and below 1, such as 0.2"),
        (Query("x", max_error=1.0), "max_error", "max_error must be above 0 and below 1, such as 0.2"),
        (Query("x", documents=("*.pdf",)), "documents", r"no indexed document matches '\*.pdf'"),
        (Query("x", sections=("Index*",)), "sections", r"no heading matches 'Index\*'"),
        (Query("x", sections=("a\0",)), "sections[0]", r"sections\[0\] holds a NUL"),
    ],
)
def test_a_wrong_query_says_which_field_and_what_to_do(
    service: Service, query: Query, field: str, message: str
) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        service.ask(query)
    assert caught.value.field == field


def test_a_question_is_never_cut_to_the_window_in_silence(service: Service) -> None:
    with pytest.raises(QuestionTooLong, match="the question has 402 tokens and the model reads 256; shorten it"):
        service.ask(Query("why " * 400))


def test_each_question_of_a_batch_succeeds_or_fails_by_itself(service: Service) -> None:
    queries = [Query("apples"), Query(""), Query("plums", top_k=1), Query("why " * 400)]
    replies = service.ask_many(queries)
    assert [type(reply) for reply in replies] == [Reply, QueryError, Reply, QuestionTooLong]
    alone = service.ask(queries[2])
    assert isinstance(replies[2], Reply)
    assert replies[2].hits == alone.hits
    assert service.ask_many([]) == []


def test_a_question_is_answered_the_same_alone_and_among_others(service: Service) -> None:
    queries = [
        Query("Where do apples grow on trees?"),
        Query("plums", top_k=1),
        Query("Are cherries sour?", mode="dense"),
        Query("plums", mode="lexical"),
        Query("Which trees are old?", documents=("a*",)),
        Query("Where do plums ripen?", top_k=60),
    ]
    for query, together in zip(queries, service.ask_many(queries), strict=True):
        alone = service.ask(query)
        assert isinstance(together, Reply)
        assert (together.hits, together.answer, together.legs) == (alone.hits, alone.answer, alone.legs)


def test_passages_are_read_again_once_they_were_forgotten(service: Service, settings: Settings) -> None:
    index = Snapshots(settings.indexes, settings.name).open()
    cache = PassageCache(index.store, most=2)
    keys = index.relations.passages.tolist()
    every = {key: passage.text for key, (passage, _) in index.store.find_passages(keys).items()}
    assert len(keys) > 2
    for order in (keys, keys[::-1], keys):
        assert [passage.text for passage, _ in cache.each(order)] == [every[key] for key in order]
        assert len(cache) == 2


def test_equal_passages_are_ordered_by_id(build: Build, folder: Path, settings: Settings) -> None:
    for number in range(60):
        (folder / f"copy{number}.txt").write_text("The same sentence, over and over.\n")
    build()
    index = Snapshots(settings.indexes, settings.name).open()
    retriever = Retriever(index, HashingEncoder(), Limits(100, 100, 1))
    (found,) = retriever.find([Query("the same sentence", top_k=7)])
    assert isinstance(found, Found)
    reply = found.reply
    # The first place keeps the smallest id; its copies follow what is distinct, by their ids.
    ids = [hit.passage.id for hit in reply.hits if hit.passage.text.startswith("The same")]
    everything = sorted(p.id for p in index.store.all_passages() if p.text.startswith("The same"))
    assert ids == everything[:3]


def test_both_legs_raw_scores_come_with_every_hit_and_the_fused_one_ranks(service: Service) -> None:
    reply = service.ask(Query("Where do apples grow?", answer=False))
    assert [(leg.name, leg.used, leg.reason) for leg in reply.legs] == [("dense", True, ""), ("lexical", True, "")]
    best = max(hit.scores.lexical or 0.0 for hit in reply.hits)
    for scores in (hit.scores for hit in reply.hits):
        assert scores.dense is not None
        assert scores.lexical is not None
        assert scores.fused is not None
        # A quarter of the cosine is the document's.
        whole = (scores.fused - 0.75 * scores.dense - 0.3 * scores.lexical / best) / 0.25
        assert -1.00001 <= whole <= 1.00001
    fused = [hit.scores.fused or 0.0 for hit in reply.hits]
    assert fused == sorted(fused, reverse=True)
    assert reply.hits[-1].scores.lexical == 0.0


@pytest.mark.parametrize("most", [4096, 2])
def test_a_passage_in_a_document_about_other_things_ranks_lower(
    build: Build, folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """So too where only some windows of a long document stand for it."""
    monkeypatch.setattr("qa.search.ranking._MOST_MEANT", most)
    (folder / "short.txt").write_text("Quinces ripen late in the year.\n", encoding="utf-8")
    aside = "Bread is baked from flour. Trains run on time. Coins are made of metal. Paper burns well.\n\n" * 24
    (folder / "mixture.txt").write_text(f"Quinces ripen late in the autumn.\n\n{aside}", encoding="utf-8")
    build()
    service = Service(settings, make=hashing_encoder)
    service.reload()
    hits = service.ask(Query("quinces ripen late in the", answer=False, top_k=20)).hits
    best = max(hit.scores.lexical or 0.0 for hit in hits)

    def by_itself(hit: Hit) -> float:
        assert hit.scores.dense is not None
        assert hit.scores.lexical is not None
        return hit.scores.dense + 0.3 * hit.scores.lexical / best

    short = next(hit for hit in hits if hit.passage.document == "short.txt")
    mixed = next(hit for hit in hits if "Quinces ripen late in the autumn" in hit.passage.text)
    assert short.scores.fused == pytest.approx(by_itself(short), abs=1e-5)
    assert mixed.scores.fused is not None
    assert mixed.scores.fused < by_itself(mixed) - 0.01


@pytest.mark.parametrize("mode", ["dense", "lexical"])
def test_one_leg_alone_ranks_by_its_raw_score(service: Service, mode: Mode) -> None:
    reply = service.ask(Query("Pears ripen in autumn", mode=mode))
    assert [leg.name for leg in reply.legs] == [mode]
    assert reply.hits[0].passage.document == "pears.md"
    for hit in reply.hits:
        used = {name for name in ("dense", "lexical", "fused") if getattr(hit.scores, name) is not None}
        assert used == {mode}


def test_a_question_whose_words_occur_nowhere_is_searched_by_meaning_alone(service: Service) -> None:
    reply = service.ask(Query("Zebra?"))
    assert [(leg.name, leg.used) for leg in reply.legs] == [("dense", True), ("lexical", False)]
    assert "no word of the question occurs" in reply.legs[1].reason
    assert reply.hits
    assert all(hit.scores.lexical is None and hit.scores.fused is None for hit in reply.hits)
    assert service.ask(Query("Zebra?", mode="lexical")).hits == ()


class EnglishEncoder(HashingEncoder):
    @property
    def languages(self) -> tuple[str, ...]:
        return ("en",)


def english_encoder(settings: Settings, *, threads: int) -> EnglishEncoder:
    return EnglishEncoder()


@pytest.fixture
def english(folder: Path, settings: Settings) -> Service:
    """Serve texts in several scripts, with a model that was trained on English."""
    (folder / "zh.txt").write_text("灯塔建于一八七四年。\n")
    update(settings, [folder], Recorder(), make=english_encoder, read=read_source)
    service = Service(settings, make=english_encoder)
    service.reload()
    return service


def test_a_question_in_a_script_that_the_model_does_not_know_is_searched_by_its_words(english: Service) -> None:
    reply = english.ask(Query("灯塔是什么时候建造的？"))
    assert [(leg.name, leg.used) for leg in reply.legs] == [("dense", False), ("lexical", True)]
    assert reply.legs[0].reason == "the model was not trained on the language of the question"
    assert reply.hits[0].passage.document == "zh.txt"
    assert reply.hits[0].scores.dense is None
    # Where there is nothing else to go by, the model is better than nothing.
    assert english.ask(Query("Слива?")).hits


def test_documents_on_one_subject_do_not_switch_the_model_off(folder: Path, settings: Settings) -> None:
    for number in range(150):
        (folder / f"{number}.txt").write_text(f"Plums of kind {number} are said to ripen in week {number % 7}.\n")
    update(settings, [folder], Recorder(), make=english_encoder, read=read_source)
    service = Service(settings, make=english_encoder)
    service.reload()
    assert all(leg.used for leg in service.ask(Query("What is said about plums of kind 7?")).legs)


@pytest.mark.parametrize(
    ("sections", "expected"), [(("Storage",), {"Storage"}), (("Pears",), {"Pears", "Storage"}), (("S*",), {"Storage"})]
)
def test_headings_choose_the_passages_below_them(
    service: Service, sections: tuple[str, ...], expected: set[str]
) -> None:
    for mode in get_args(Mode):
        reply = service.ask(Query("apples and pears, keep cool", sections=sections, mode=mode))
        assert {hit.passage.section for hit in reply.hits} == expected


def test_a_filter_that_leaves_little_is_searched_exactly(build: Build, folder: Path, settings: Settings) -> None:
    for number in range(300):
        (folder / f"{number}.txt").write_text(f"Apples grow on tree {number}.\n")
    build()
    service = Service(settings, make=hashing_encoder)
    service.reload()
    for mode in get_args(Mode):
        reply = service.ask(Query("Where do apples grow?", documents=("pears.md", "299.txt"), mode=mode))
        assert reply.hits[0].passage.document == "299.txt"
        assert {hit.passage.document for hit in reply.hits} <= {"pears.md", "299.txt"}


def test_copies_do_not_fill_the_first_places(build: Build, folder: Path, settings: Settings) -> None:
    for number in range(20):
        (folder / f"copy{number}.txt").write_text("Apples grow on trees in the north.\n")
    build()
    service = Service(settings, make=hashing_encoder)
    service.reload()
    first = [hit.passage.document for hit in service.ask(Query("Where do apples grow in the north?")).hits]
    assert sum(id.startswith("copy") for id in first) == 1
    assert "apples.txt" in first
    everything = service.ask(Query("Where do apples grow in the north?", top_k=100)).hits
    assert sum(hit.passage.document.startswith("copy") for hit in everything) == 20


def test_the_same_question_gives_the_same_order(service: Service) -> None:
    first, second = (service.ask(Query("fruit of trees in autumn", top_k=10)).hits for _ in range(2))
    assert first == second


def test_a_snapshot_of_another_model_is_refused_by_name(build: Build, settings: Settings) -> None:
    build()
    index = Snapshots(settings.indexes, settings.name).open()
    with pytest.raises(
        SnapshotIncompatible,
        match=r"was made with the model hashing, and hashing is in use \(they differ in dimension\)",
    ):
        Retriever(index, HashingEncoder(dimension=64), Limits(100, 100, 1))


class CountingReranker:
    """Likes passages for how often they say a word."""

    name, window = "counting", 512
    fingerprint: ClassVar[dict[str, object]] = {"weights": "counting"}

    def __init__(self, word: str) -> None:
        self._word = word

    def load(self) -> None:
        pass

    def score(self, question: str, passages: Sequence[str]) -> Vectors:
        return np.array([passage.lower().count(self._word) for passage in passages], dtype=np.float32)


def replies_of(retriever: Retriever, queries: Sequence[Query]) -> list[Reply]:
    return [found.reply for found in retriever.find(queries) if isinstance(found, Found)]


def test_a_cross_encoder_orders_the_first_passages_again(service: Service, settings: Settings) -> None:
    index = Snapshots(settings.indexes, settings.name).open()
    retriever = Retriever(index, HashingEncoder(), Limits(100, 100, 1), CountingReranker("blue"), 1000.0)
    plain, reranked = replies_of(
        retriever, [Query("Where do apples grow?"), Query("Where do apples grow?", rerank=True)]
    )
    assert plain.hits[0].passage.document == "apples.txt"
    assert plain.hits[0].scores.rerank is None
    assert reranked.hits[0].passage.document == "below/plums.txt"
    assert [hit.scores.rerank for hit in reranked.hits] == [1.0, 0.0, 0.0, 0.0]
    assert {hit.passage.id for hit in plain.hits} == {hit.passage.id for hit in reranked.hits}
    assert reranked.timings_ms["rerank"] > 0
    assert "rerank" not in plain.timings_ms


def test_what_the_budget_leaves_unscored_keeps_its_order_below(settings: Settings, folder: Path, build: Build) -> None:
    for number in range(30):
        (folder / f"{number}.txt").write_text(f"Apples of kind {number} grow on {'tall ' * number}trees.\n")
    build()
    index = Snapshots(settings.indexes, settings.name).open()
    retriever = Retriever(index, HashingEncoder(), Limits(100, 100, 1), CountingReranker("tall"), 1e-9)
    plain, reranked = replies_of(retriever, [Query("apples", 20), Query("apples", 20, rerank=True)])
    scored = [hit for hit in reranked.hits if hit.scores.rerank is not None]
    assert 0 < len(scored) < 20
    assert [hit.passage for hit in reranked.hits[len(scored) :]] == [hit.passage for hit in plain.hits[len(scored) :]]


@pytest.mark.parametrize(
    "chosen",
    ["Müller [2023].txt", "Mu\u0308ller [2023].txt", "müller [[]*", "MÜLLER*"],
    ids=["the id", "decomposed", "a glob", "capitals"],
)
def test_an_id_or_glob_chooses_its_document_in_any_form(
    build: Build, folder: Path, settings: Settings, chosen: str
) -> None:
    (folder / "Mu\u0308ller [2023].txt").write_text("Quinces are hard.\n")
    build()
    service = Service(settings, make=hashing_encoder)
    service.reload()
    found = {hit.passage.document for hit in service.ask(Query("What is hard?", documents=(chosen,))).hits}
    assert "Mu\u0308ller [2023].txt" in found
    assert not any(name.startswith(("apples", "below")) for name in found)


@pytest.mark.parametrize("field", ["documents", "sections"])
def test_globs_that_are_too_many_or_too_long_are_refused(service: Service, field: str) -> None:
    cases: list[tuple[tuple[str, ...], str]] = [
        (("a",) * 101, "101 patterns"),
        (("*" + "a" * 600,) * 2, "at most 1,000"),
    ]
    for globs, said in cases:
        with pytest.raises(QueryError, match=said) as refused:
            service.ask(Query("apples", **{field: globs}))  # type: ignore[arg-type]
        assert refused.value.field == field


def test_brackets_are_a_glob_where_no_id_has_them(service: Service) -> None:
    found = {hit.passage.document for hit in service.ask(Query("plums", documents=("[a-b]pples.txt",))).hits}
    assert found == {"apples.txt"}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("rhododendrn", "rhododendron"),
        ("Rohdodendron", "rhododendron"),
        ("rhodondrn", ""),  # three letters away
        ("xhododendron", ""),  # begins otherwise
        ("plimsy", ""),  # a word of the model's vocabulary, as the encoder of these tests has every short one
    ],
)
def test_a_misspelt_word_is_searched_as_the_nearest_indexed_one(
    folder: Path, settings: Settings, typed: str, meant: str
) -> None:
    (folder / "kitchen.txt").write_text(
        "The rhododendron blooms, and the plimsoll line is dry; this is all that is written here about it.\n"
    )
    update(settings, [folder], Recorder(), make=english_encoder, read=read_source)
    service = Service(settings, make=english_encoder)
    service.reload()
    reply = service.ask(Query(f"{typed} trees", mode="lexical"))
    (leg,) = reply.legs
    assert leg.reason == (f'searched for "{meant}" instead of "{typed}"' if meant else "")
    assert ("kitchen.txt" in {hit.passage.document for hit in reply.hits}) is bool(meant)


class BilingualEncoder(EnglishEncoder):
    @property
    def languages(self) -> tuple[str, ...]:
        return ("en", "de")


def test_no_word_is_held_misspelt_by_the_vocabulary_of_several_languages(folder: Path, settings: Settings) -> None:
    (folder / "garden.txt").write_text("The rhododendron blooms in May, and that is all that is written about it.\n")
    update(settings, [folder], Recorder(), make=english_encoder, read=read_source)
    index = Snapshots(settings.indexes, settings.name).open()
    (found,) = Retriever(index, BilingualEncoder(), Limits(100, 100, 1)).find([Query("When does rhododendrn bloom?")])
    assert isinstance(found, Found)
    assert found.question == "When does rhododendrn bloom?"


def test_what_reads_the_passages_is_given_the_corrected_question(folder: Path, settings: Settings) -> None:
    (folder / "garden.txt").write_text("The rhododendron blooms in May, and that is all that is written about it.\n")
    update(settings, [folder], Recorder(), make=english_encoder, read=read_source)
    index = Snapshots(settings.indexes, settings.name).open()
    (found,) = Retriever(index, EnglishEncoder(), Limits(100, 100, 1)).find([Query("When does rhododendrn bloom?")])
    assert isinstance(found, Found)
    assert found.question == "When does rhododendron bloom?"
    assert found.reply.question == "When does rhododendrn bloom?"


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("ERR-1042", "The valve did not close (ERR-1042)."),
        ("ERR1042", "The valve did not close (ERR-1042)."),
        ("what is in sshd_config.txt", "Logins are set in sshd_config.txt alone."),
        ("C++", "The parser is written in C++ by two people."),
        ("192.168.0.10", "The printer is at 192.168.0.10, and nothing else."),
        ("error disk", "\x1b[31mERROR\x1b[0m \x1b[1mdisk\x1b[0m is full"),
        ("12 hands", "The cutter sails with twelve hands aboard."),
    ],
)
def test_codes_and_names_are_found_exactly(
    build: Build, folder: Path, settings: Settings, question: str, wanted: str
) -> None:
    texts = [
        "The valve did not close (ERR-1042).",
        "ERR 1041, ERR-1043 and ERR-1044: see page 1042, page 1042.",
        "Logins are set in sshd_config.txt alone.",
        "The sshd config, txt: config of sshd is a txt, sshd config.",
        "The parser is written in C++ by two people.",
        "C, plain C and C again: the parser in C.",
        "The printer is at 192.168.0.10, and nothing else.",
        "The switch is at 192.168.10.0, the other is 10.0.168.192.",
        "\x1b[31mERROR\x1b[0m \x1b[1mdisk\x1b[0m is full",
        "\x1b[31mwarning\x1b[0m fan is slow",
        "The cutter sails with twelve hands aboard.",
        "The ketch sails with three hands aboard.",
    ]
    for at, text in enumerate(texts):
        (folder / f"note{at:02}.txt").write_text(f"{text}\n", encoding="utf-8")
    build()
    service = Service(settings, make=hashing_encoder)
    service.reload()
    best = service.ask(Query(question, mode="lexical")).hits[0].passage.text
    assert best.strip() == wanted


def test_re_ranking_without_a_re_ranker_is_refused(service: Service) -> None:
    with pytest.raises(
        QueryError, match="there is no re-ranker; leave rerank out, or serve with QA_RERANKER"
    ) as caught:
        service.ask(Query("apples", rerank=True))
    assert caught.value.field == "rerank"


class Slow:
    """Takes ten milliseconds a call and gives every passage its length."""

    name = "slow"
    fingerprint: ClassVar[Mapping[str, object]] = {}
    window = 64

    def load(self) -> None:
        pass

    def score(self, question: str, passages: Sequence[str]) -> Vectors:
        time.sleep(0.01)
        return np.array([len(passage) for passage in passages], dtype=np.float32)


def test_a_budget_stops_in_the_order_of_ranks() -> None:
    passages = ["x" * n for n in range(1000)]
    scores = score_within(Slow(), "?", passages, budget_ms=55)
    assert 4 <= len(scores) < 1000
    assert scores.tolist() == list(range(len(scores)))


def test_the_first_batch_is_scored_whatever_the_budget() -> None:
    assert len(score_within(Slow(), "?", ["a"] * 9, budget_ms=0, batch=4)) == 4
    assert score_within(Slow(), "?", [], budget_ms=100).shape == (0,)
