"""What the models make of a text is the same to the bit in every batch, beside any other texts, and on any thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qa.models.answer_reader import OpenVinoReader
from qa.models.choice import Runtime, choose_encoder
from qa.models.files import locate
from qa.protocols import AnswerReader, Encoder, Reading
from qa.settings import DEFAULT_MODEL

pytestmark = pytest.mark.model

# Words that are one token each, so that every length is met.
_WORDS = "the tower was built in a year of war by men who came from north and never saw it again".split()
# Texts of one call: the number of words in each, and where in the list of words it begins.
MIXES = st.lists(
    st.tuples(st.integers(min_value=0, max_value=120), st.integers(min_value=0, max_value=18)), min_size=1, max_size=12
)
# The models are the same in every example, and what they cost is no property of the code here.
WITH_MODELS = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write_out(mix: Sequence[tuple[int, int]]) -> list[str]:
    return [" ".join(_WORDS[(first + at) % len(_WORDS)] for at in range(count)) for count, first in mix]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def encoders(models: Path) -> tuple[Encoder, Encoder]:
    files = locate(DEFAULT_MODEL)
    one, two = (choose_encoder(files, Runtime(models, "bf16", threads), lambda message: None) for threads in (1, 2))
    return one, two


@pytest.fixture(scope="module")
def readers(models: Path) -> tuple[AnswerReader, AnswerReader]:
    return OpenVinoReader(threads=1, models=models), OpenVinoReader(threads=2, models=models)


def assert_same_vectors(encoders: tuple[Encoder, Encoder], mix: Sequence[tuple[int, int]]) -> None:
    one, two = encoders
    texts = write_out(mix)
    alone = np.concatenate([one.encode_passages([text]) for text in texts])
    np.testing.assert_array_equal(one.encode_passages(texts), alone)
    np.testing.assert_array_equal(two.encode_passages(texts[::-1])[::-1], alone)


def assert_same_readings(readers: tuple[AnswerReader, AnswerReader], mix: Sequence[tuple[int, int]]) -> None:
    one, two = readers
    pairs = [("who built the tower", text) for text in write_out(mix)]
    alone = [one.read([pair])[0] for pair in pairs]
    for found in (one.read(pairs), two.read(pairs[::-1])[::-1]):
        for mine, its in zip(alone, found, strict=True):
            assert_same(mine, its)


def assert_same(one: Reading, other: Reading) -> None:
    np.testing.assert_array_equal(one.offsets, other.offsets)
    np.testing.assert_array_equal(one.starts, other.starts)
    np.testing.assert_array_equal(one.ends, other.ends)
    assert (one.null, one.relevance) == (other.null, other.relevance)


@WITH_MODELS
@given(mix=MIXES)
def test_a_vector_does_not_depend_on_its_batch(encoders: tuple[Encoder, Encoder], mix: list[tuple[int, int]]) -> None:
    assert_same_vectors(encoders, mix)


@WITH_MODELS
@given(mix=MIXES)
def test_a_reading_does_not_depend_on_its_batch(
    readers: tuple[AnswerReader, AnswerReader], mix: list[tuple[int, int]]
) -> None:
    assert_same_readings(readers, mix)


def test_callers_at_once_get_what_each_gets_alone(
    encoders: tuple[Encoder, Encoder], readers: tuple[AnswerReader, AnswerReader]
) -> None:
    questions = write_out([(count, count % 7) for count in range(1, 25)])
    vectors = [encoders[0].encode_passages([question]) for question in questions]
    readings = [readers[0].read([("who built it", question)])[0] for question in questions]
    with ThreadPoolExecutor(6) as pool:
        encoded = pool.map(lambda question: encoders[1].encode_passages([question]), questions)
        read = pool.map(lambda question: readers[1].read([("who built it", question)])[0], questions)
        for wanted, found in zip(vectors, encoded, strict=True):
            np.testing.assert_array_equal(wanted, found)
        for mine, its in zip(readings, read, strict=True):
            assert_same(mine, its)


def cores_while_it_runs(work: Callable[[], object]) -> set[frozenset[int]]:
    """Return the sets of cores that a thread may run on while it does some work."""
    thread = threading.Thread(target=work)
    thread.start()
    found = set()
    while thread.is_alive():
        try:
            found.add(frozenset(os.sched_getaffinity(thread.native_id or 0)))
        except ProcessLookupError:
            break
    thread.join()
    return found


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not say on which cores a thread runs")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="there is one core alone")
def test_a_model_computes_on_whatever_core_is_free(
    encoders: tuple[Encoder, Encoder], readers: tuple[AnswerReader, AnswerReader]
) -> None:
    texts = write_out([(100, at % 7) for at in range(64)])
    every = {frozenset(os.sched_getaffinity(0))}
    assert cores_while_it_runs(lambda: encoders[0].encode_passages(texts)) == every
    assert cores_while_it_runs(lambda: readers[0].read([("who built it", text) for text in texts])) == every
