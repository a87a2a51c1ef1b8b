"""Answers are spans of their sources that the reader chose; documents that disagree are shown as such."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qa.build.update import SilentListener, update
from qa.evaluation.calibrate import MODES
from qa.readers.registry import read_source
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Mode, Query, Reply
from tests.conftest import SEED, Build, hashing_encoder
from tests.support.finder import Finder

FIGHTERS = "How many ISIS fighters are in Mosul?"
QUESTIONS = [
    FIGHTERS,
    "Who is Qassim al-Maliki?",
    "When did the offensive begin?",
    "Where is Al-Adla?",
    "How far is Nimrud from Mosul?",
    "Why is the army slow?",
    "apples",
    "?",
]


@pytest.fixture
def seeded(settings: Settings, build: Build) -> Service:
    build(SEED)
    service = Service(settings, make=hashing_encoder)
    service.reload()
    return service


def require_spans(service: Service, reply: Reply) -> None:
    """Every text is its citation's span, and every highlight lies within its passage."""
    answer = reply.answer
    assert answer is not None
    cited = [(answer.text, answer.citation), *((other.text, other.citation) for other in answer.alternatives)]
    for text, citation in cited:
        assert citation is not None
        assert service.document(citation.document).document.text[citation.start : citation.end] == text
    assert answer.citation is not None
    assert answer.sentence is not None
    assert answer.sentence.start <= answer.citation.start < answer.citation.end <= answer.sentence.end
    for hit in reply.hits:
        assert len(hit.highlights) == 1
        assert all(hit.passage.start <= s.start < s.end <= hit.passage.end for s in hit.highlights)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("question", QUESTIONS[:7])
def test_every_text_is_what_its_citation_holds(seeded: Service, question: str, mode: Mode) -> None:
    reply = seeded.ask(Query(question, mode=mode))
    if reply.hits:
        require_spans(seeded, reply)
    else:
        assert reply.answer is not None
        assert not reply.answer.answerable


@pytest.mark.parametrize("question", ["x", "?", "👍🏽", "= 1 + x?", "a b c"])
def test_what_has_no_word_is_no_question(seeded: Service, question: str) -> None:
    answer = seeded.ask(Query(question, max_error=0.9)).answer
    assert answer is not None
    assert (answer.outcome, answer.confidence) == ("not_found", None)
    assert "no word" in answer.note or answer.text is None


@pytest.mark.parametrize("question", ["水?", "50", "TV"])
def test_a_word_or_number_alone_may_be_answered(seeded: Service, question: str) -> None:
    answer = seeded.ask(Query(question, max_error=0.9)).answer
    assert answer is not None
    assert "no word" not in answer.note


def test_whoever_disagrees_is_shown(seeded: Service) -> None:
    answer = seeded.ask(Query(FIGHTERS)).answer
    assert answer is not None
    assert answer.text == "Up to 5,000"
    assert [other.text for other in answer.alternatives] == ["7,000"]


def test_documents_that_agree_are_no_alternatives(settings: Settings, build: Build, tmp_path: Path) -> None:
    for name, text in (
        ("one", "The bridge over the river is 1,200 metres long."),
        ("other", "The bridge over the river is 1200 metres long, we know."),
    ):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "third.txt").write_text("The bridge over the river is 1,300 metres long, we know.", encoding="utf-8")
    build(tmp_path / "one.txt", tmp_path / "other.txt", tmp_path / "third.txt")
    service = Service(settings, make=hashing_encoder)
    service.reload()
    answer = service.ask(Query("How long is the bridge over the river in metres?")).answer
    assert answer is not None
    texts = [answer.text, *(other.text for other in answer.alternatives)]
    assert len(texts) == 2
    assert "1,300" in " ".join(text for text in texts if text)


Reads = Callable[[Finder], Service]


@pytest.fixture
def reading(seeded: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Serve the same index with a reader that looks for some words."""

    def make(finder: Finder) -> Service:
        monkeypatch.setattr("qa.models.loading.make_answer_reader", lambda settings, *, threads: finder)
        service = Service(settings, make=hashing_encoder)
        service.reload()
        return service

    return make


@pytest.mark.parametrize(
    ("question", "wanted"), [(FIGHTERS, "7,000"), ("Who is Qassim al-Maliki?", "Qassim al-Maliki")]
)
def test_the_reader_chooses_the_span(reading: Reads, question: str, wanted: str) -> None:
    service = reading(Finder(wanted))
    reply = service.ask(Query(question))
    require_spans(service, reply)
    assert reply.answer is not None
    assert wanted in (reply.answer.text or "")


def test_where_nothing_read_is_relevant_nothing_was_found(reading: Reads) -> None:
    answer = reading(Finder("no such words")).ask(Query(FIGHTERS)).answer
    assert answer is not None
    assert answer.outcome == "not_found"


def test_a_guess_is_given_as_a_guess(reading: Reads) -> None:
    answer = reading(Finder("7,000", score=-1.0)).ask(Query(FIGHTERS)).answer
    assert answer is not None
    assert (answer.outcome, answer.answerable) == ("unsure", False)
    assert "7,000" in (answer.text or "")


def test_a_sure_first_excerpt_ends_the_reading(reading: Reads) -> None:
    finder = Finder("Qassim al-Maliki", score=20.0)
    reading(finder).ask(Query("Who is Qassim al-Maliki, the commander?"))
    assert [len(pairs) for pairs in finder.read_pairs] == [1, 0]


def test_of_a_value_reading_goes_on_to_find_who_disagrees(reading: Reads) -> None:
    finder = Finder("5,000", score=20.0)
    reading(finder).ask(Query(FIGHTERS))
    assert len(finder.read_pairs[1]) > 0


def test_questions_that_come_together_are_read_together(reading: Reads) -> None:
    finder = Finder("Mosul")
    service = reading(finder)
    alone = [service.ask(Query(question)).answer for question in QUESTIONS[:5]]
    finder.read_pairs.clear()
    replies = service.ask_many([Query(question) for question in QUESTIONS[:5]])
    assert len(finder.read_pairs) == 2
    assert [reply.answer for reply in replies if isinstance(reply, Reply)] == alone


def test_no_more_is_read_than_the_budget(reading: Reads, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    finder = Finder("no such words")
    reading(finder).ask(Query(FIGHTERS))
    read = sum(finder.count_tokens([text for pairs in finder.read_pairs for _, text in pairs]))
    assert 0 < read <= 1.1 * settings.read_tokens


def test_whoever_wants_passages_alone_costs_no_reading(reading: Reads) -> None:
    finder = Finder("7,000")
    reply = reading(finder).ask(Query(FIGHTERS, answer=False))
    assert reply.answer is None
    assert all(hit.highlights for hit in reply.hits)
    assert finder.read_pairs == []


def test_another_language_is_answered_by_a_sentence_that_says_so(
    settings: Settings, build: Build, tmp_path: Path
) -> None:
    text = "Die Fähre über die Bucht fährt um zwölf Uhr ab. Sie trägt vierzig Leute und ist sehr langsam. " * 3
    (tmp_path / "fähre.txt").write_text(text, encoding="utf-8")
    build(tmp_path / "fähre.txt")
    service = Service(settings, make=hashing_encoder)
    service.reload()
    answer = service.ask(Query("Wann fährt die Fähre über die Bucht ab?")).answer
    assert answer is not None
    assert (answer.outcome, answer.form) == ("unsure", "sentence")
    assert answer.text == "Die Fähre über die Bucht fährt um zwölf Uhr ab."
    assert "English" in answer.note


def test_other_models_have_no_confidence_and_says_so(seeded: Service) -> None:
    answer = seeded.ask(Query(FIGHTERS)).answer
    assert answer is not None
    assert answer.answerable
    assert answer.confidence is None
    assert "qa calibrate" in answer.note


def test_how_long_answering_takes_is_measured(seeded: Service) -> None:
    timings = seeded.ask(Query(FIGHTERS)).timings_ms
    assert timings["answer"] > 0
    assert timings["total"] >= timings["answer"] + timings["search"]


def test_passages_shown_do_not_decide_the_answer(seeded: Service) -> None:
    one, many = (seeded.ask(Query(FIGHTERS, top_k=k)) for k in (1, 6))
    assert len(one.hits) == 1
    assert one.answer == many.answer


@pytest.fixture
def shelf(settings: Settings, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Four notes about a boat, of which the reader finds the mooring in the one that is furthest from the question."""
    for name, text in (
        ("berth", "Where is the boat, is the boat here? Ask where the boat is."),
        ("paint", "The boat is blue. Where the boat is painted it is blue."),
        ("sails", "The boat has two sails, and the boat is fast."),
        ("moor", "Where the boat is in winter: the boat lies in Compass Bay."),
    ):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    build(*(tmp_path / f"{name}.txt" for name in ("berth", "paint", "sails", "moor")))
    monkeypatch.setattr("qa.models.loading.make_answer_reader", lambda settings, *, threads: Finder("Compass Bay"))
    service = Service(settings, make=hashing_encoder)
    service.reload()
    return service


def names(reply: Reply) -> list[str]:
    return [hit.passage.document for hit in reply.hits]


def test_the_passage_that_the_reader_finds_relevant_is_shown_first(shelf: Service) -> None:
    question = "Where is the boat?"
    plain, read = shelf.ask(Query(question, answer=False)), shelf.ask(Query(question))
    assert names(plain)[0] != "moor.txt"
    assert names(read)[0] == "moor.txt"
    assert sorted(names(read)) == sorted(names(plain))
    assert [hit.rank for hit in read.hits] == [1, 2, 3, 4]
    assert [hit.scores.relevance for hit in read.hits][:2] == [3.0, -5.0]
    assert all(hit.scores.relevance is None for hit in plain.hits)
    blended = [(hit.scores.fused or 0) + 0.07 * (hit.scores.relevance or -4.0) for hit in read.hits]
    assert blended == sorted(blended, reverse=True)


def test_a_passage_that_is_read_is_shown_however_few_are_wanted(shelf: Service) -> None:
    one, four = (shelf.ask(Query("Where is the boat?", top_k=k)) for k in (1, 4))
    assert names(one) == names(four)[:1]
    assert one.answer == four.answer
    assert one.hits[0].highlights == four.hits[0].highlights != ()


def test_where_one_passage_is_read_the_order_stays(shelf: Service, settings: Settings) -> None:
    service = Service(settings.model_copy(update={"read_tokens": 16}), make=hashing_encoder)
    service.reload()
    plain, read = (service.ask(Query("Where is the boat?", answer=answer)) for answer in (False, True))
    assert sum(hit.scores.relevance is not None for hit in read.hits) == 1
    assert names(read) == names(plain)


@pytest.mark.parametrize("mode", ["dense", "lexical"])
def test_one_leg_alone_keeps_its_order(shelf: Service, mode: Mode) -> None:
    plain, read = (shelf.ask(Query("Where is the boat?", mode=mode, answer=answer)) for answer in (False, True))
    assert names(read) == names(plain)


@pytest.mark.model
@pytest.mark.slow
def test_a_thousand_answers_are_what_they_cite(settings: Settings) -> None:
    """With the real model, over every question of the seeds in every way of searching, and with every word dropped."""
    update(settings, [SEED.parent], SilentListener(), read=read_source)
    service = Service(settings)
    service.reload()
    lines = (SEED.parent / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    served = 0
    for question in [json.loads(line)["question"] for line in lines]:
        for text in (question, *(" ".join(question.split()[at:]) for at in range(1, 4))):
            for mode in MODES:
                if served >= 1000 or not text:
                    break
                reply = service.ask(Query(text, mode=mode))
                if reply.hits:
                    require_spans(service, reply)
                    assert reply.answer is not None
                    assert reply.answer.citation is not None
                    assert reply.answer.citation.status == "verified"
                    served += 1
    assert served == 1000
