"""The JSON that is written straight from a reply is what the shapes of responses write, byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticSerializationError

from qa.types import Alternative, Answer, Citation, CollectionOutcome, Hit, Leg, Passage, Reply, Scores, Span
from qa.web.api.reply_json import write_reply
from qa.web.api.responses import AskResponse

_TEXTS = st.text(max_size=12)
_NUMBERS = st.floats() | st.integers(-9, 9)
_MAYBE = st.none() | _NUMBERS
_COUNTS = st.integers(0, 2**40)
_SPANS = st.builds(Span, _COUNTS, _COUNTS)
_PASSAGES = st.builds(
    Passage,
    id=_TEXTS,
    document=_TEXTS,
    start=_COUNTS,
    end=_COUNTS,
    text=_TEXTS,
    context=_TEXTS,
    path=st.lists(_TEXTS, max_size=2).map(tuple),
    page=st.none() | _COUNTS,
    windows=st.just(()),
    language=_TEXTS,
    recognised=_MAYBE,
)
_HITS = st.builds(
    Hit,
    rank=_COUNTS,
    passage=_PASSAGES,
    title=_TEXTS,
    scores=st.builds(Scores, _MAYBE, _MAYBE, _MAYBE, _MAYBE, _MAYBE),
    highlights=st.lists(_SPANS, max_size=2).map(tuple),
    metadata=st.lists(st.tuples(st.sampled_from(["author", "date", "é"]), _TEXTS), max_size=3).map(tuple),
    collection=_TEXTS,
)
_CITATIONS = st.builds(
    Citation,
    document=_TEXTS,
    start=_COUNTS,
    end=_COUNTS,
    page=st.none() | _COUNTS,
    section=st.none() | _TEXTS,
    source_sha256=_TEXTS,
    text_sha256=_TEXTS,
    status=st.sampled_from(["verified", "drifted", "missing"]),
    recognised=_MAYBE,
    collection=_TEXTS,
)
_OUTCOMES = st.sampled_from(["answered", "unsure", "not_found"])
_ANSWERS = st.builds(
    Answer,
    outcome=_OUTCOMES,
    confidence=_MAYBE,
    text=st.none() | _TEXTS,
    citation=st.none() | _CITATIONS,
    sentence=st.none() | _SPANS,
    alternatives=st.lists(st.builds(Alternative, _TEXTS, _CITATIONS), max_size=2).map(tuple),
    promised_error=_MAYBE,
    note=_TEXTS,
    form=st.sampled_from(["span", "sentence", "list", "row"]),
    basis=_TEXTS,
    sentence_text=st.none() | _TEXTS,
    unread_files=_COUNTS,
    score=_MAYBE,
)
_REPLIES = st.builds(
    Reply,
    question=_TEXTS,
    hits=st.lists(_HITS, max_size=3).map(tuple),
    snapshot=_TEXTS,
    timings_ms=st.dictionaries(_TEXTS, st.floats(0, 1e6), max_size=3),
    answer=st.none() | _ANSWERS,
    legs=st.lists(st.builds(Leg, st.sampled_from(["dense", "lexical"]), st.booleans(), _TEXTS), max_size=2).map(tuple),
    collections=st.lists(
        st.builds(CollectionOutcome, _TEXTS, _TEXTS, st.none() | _OUTCOMES, _MAYBE, _TEXTS), max_size=2
    ).map(tuple),
    searched=_TEXTS,
)


@settings(max_examples=300, deadline=None)
@given(_REPLIES)
def test_a_reply_is_written_as_its_shape_is(reply: Reply) -> None:
    assert write_reply(reply) == AskResponse.from_reply(reply).model_dump_json().encode()


def test_what_is_written_can_be_read_by_the_shape() -> None:
    reply = Reply('How "old"?\n\u2028\x00', (), "snapshot", {"total": 1.23456})
    assert AskResponse.model_validate(json.loads(write_reply(reply))) == AskResponse.from_reply(reply)


def test_half_of_a_surrogate_pair_fails_as_it_does_in_the_shape() -> None:
    with pytest.raises(PydanticSerializationError):
        write_reply(Reply("\ud800", (), "snapshot"))
