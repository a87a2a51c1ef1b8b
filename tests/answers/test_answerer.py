"""Answers are spans of their sources, of the kind that was asked for; documents that disagree are shown as such."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.answers.phrases import PHRASES, answer_types, phrases
from qa.answers.sentences import differs, value
from qa.build.update import SilentListener, update
from qa.evaluation.calibrate import MODES
from qa.protocols import SpanReading
from qa.readers.registry import read_source
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Mode, Query, Reply, Span
from tests.conftest import SEED, Build, hashing_encoder

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
    assert "1,300 metres" in texts


class Finder:
    """Reads as one that is sure of whatever it looks for."""

    name = "finder"

    def __init__(self, *wanted: str) -> None:
        self._wanted = wanted

    def load(self) -> None:
        pass

    def read(self, question: str, texts: Sequence[str]) -> list[SpanReading | None]:
        return [self._in(text) for text in texts]

    def _in(self, text: str) -> SpanReading | None:
        found = [(text.find(each), each) for each in self._wanted if each in text]
        return SpanReading(Span(found[0][0], found[0][0] + len(found[0][1])), 5.0) if found else None


Reads = Callable[[str], Service]


@pytest.fixture
def reading(seeded: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Reads:
    """A service of the same index with a reader that looks for some words."""

    def make(wanted: str) -> Service:
        monkeypatch.setattr("qa.models.loading.make_answer_reader", lambda settings, *, threads: Finder(wanted))
        service = Service(settings, make=hashing_encoder)
        service.reload()
        return service

    return make


@pytest.mark.parametrize("wanted", ["7,000", "Qassim al-Maliki"])
def test_a_reader_chooses_the_span(reading: Reads, wanted: str) -> None:
    service = reading(wanted)
    reply = service.ask(Query(FIGHTERS))
    require_spans(service, reply)
    assert reply.answer is not None
    assert reply.answer.text == wanted


def test_where_the_reader_finds_nothing_a_sentence_answers(seeded: Service, reading: Reads) -> None:
    without = seeded.ask(Query(FIGHTERS)).answer
    found = reading("no such words").ask(Query(FIGHTERS)).answer
    assert without is not None
    assert found is not None
    assert found.text == without.text


def test_another_encoder_has_no_confidence_and_says_so(seeded: Service) -> None:
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


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who commands the division?", "person"),
        ("which king ruled longest", "person"),
        ("When did it begin?", "date"),
        ("What year was he born?", "year"),
        ("How many villages?", "count"),
        ("How much did it cost?", "money"),
        ("How far is it?", "measure"),
        ("How long did it take?", "duration"),
        ("How old is she?", "age"),
        ("What percentage voted?", "percent"),
        ("Where is it?", "place"),
        ("In which city was he born?", "place"),
    ],
)
def test_a_question_tells_what_would_answer(question: str, kind: str) -> None:
    assert answer_types(question)[0] == kind


@pytest.mark.parametrize(
    "question", ["Is he the one who left?", "Why did the people who came leave?", "What is love?", ""]
)
def test_others_are_answered_by_a_sentence(question: str) -> None:
    assert answer_types(question) == ()


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("date", "It began on Monday, 3 May 2016.", ["Monday, 3 May 2016"]),
        ("year", "Born in 1879, dead by 1955.", ["1879", "1955"]),
        ("count", "About 200 people saw two films in two months.", ["About 200", "two"]),
        ("count", "It is three to four miles away.", []),
        ("measure", "It is three to four miles (five to six kilometers) away.",
         ["three to four miles (five to six kilometers)"]),
        ("duration", "It could take two months.", ["two months"]),
        ("money", "It cost $3.5 million.", ["$3.5 million"]),
        ("percent", "Some 25 percent left.", ["Some 25 percent"]),
        ("person", "It was Lt Gen Qassim al-Maliki who spoke.", ["Lt Gen Qassim al-Maliki"]),
    ],
)  # fmt: skip
def test_phrases_of_a_kind(kind: str, text: str, expected: list[str]) -> None:
    assert [text[span.start : span.end] for span in phrases(text, kind)] == expected


@given(st.text(max_size=300), st.sampled_from(sorted(PHRASES)))
def test_phrases_are_in_order_and_apart(text: str, kind: str) -> None:
    last = 0
    for span in phrases(text, kind):
        assert last <= span.start < span.end <= len(text)
        last = span.end


_SAID = (
    "on the of 3 May 12 2016 Monday noon centuries twentieth century Marie Curie about two hundred years 5 miles north "
    "of London, southwest the West Bank . ( ) al-Maliki St John's Ångström in early"
).split(" ")


@given(st.lists(st.sampled_from(_SAID)).map(" ".join) | st.text(max_size=60), st.sampled_from(sorted(PHRASES)))
def test_short_cuts_find_the_same_phrases(text: str, kind: str) -> None:
    whole = [Span(*match.span()) for match in PHRASES[kind].finditer(text)]  # type: ignore[index]
    assert phrases(text, kind) == tuple(whole)


def test_values_are_compared_and_not_spellings() -> None:
    assert not differs(value("Up to 5,000", "count"), value("5000", "count"))
    assert not differs(value("two", "count"), value("2", "count"))
    assert differs(value("5,000", "count"), value("7,000", "count"))
    assert not differs(value("Monday", "date"), value("Monday, 3 May", "date"))


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
