"""An answer is kept for whoever asks the same: by snapshot and parameters, within its bytes and its age."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from qa.errors import QAError
from qa.types import Hit, Passage, Query, Reply, Scores, Window
from qa.web.app import create_app
from qa.web.asking import ReplyCache
from qa.web.deps import Options
from tests.support.fake_service import READY, FakeService


def reply(question: str = "q", snapshot: str = "one", chars: int = 1000, hits: int = 5) -> Reply:
    return Reply(question, tuple(hit(rank, chars) for rank in range(hits)), snapshot, {"encode": 1.5, "total": 2.5})


def hit(rank: int, chars: int) -> Hit:
    text = f"{rank}" + "x" * chars
    windows = tuple(Window(n, n + 100, f"{n} heading") for n in range(0, 500, 100))
    passage = Passage(f"{rank:016}", f"document {rank}.txt", 10_000 + rank, 20_000 + rank, text, windows=windows)
    return Hit(rank, passage, f"title {rank}", Scores(rank / 7, rank / 11, rank / 13))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_same_question_of_the_same_snapshot_is_found() -> None:
    cache = ReplyCache(10**6, 60)
    cache.put("hr", Query("q", top_k=3), reply())
    assert cache.get("hr", "one", Query("q", top_k=3)) == reply()
    assert cache.get("hr", "two", Query("q", top_k=3)) is None
    for other in (Query("q"), Query("Q", top_k=3), Query("q", 3, ("a*",)), Query("q", 3, mode="dense")):
        assert cache.get("hr", "one", other) is None


def test_an_old_answer_is_given_no_more() -> None:
    clock = Clock()
    cache = ReplyCache(10**6, 60, clock)
    cache.put("hr", Query("q"), reply())
    clock.now = 59.9
    assert cache.get("hr", "one", Query("q")) is not None
    clock.now = 60.0
    assert cache.get("hr", "one", Query("q")) is None
    assert (len(cache), cache.bytes) == (0, 0)


def test_what_was_used_least_recently_goes_first() -> None:
    cache = ReplyCache(100_000, 60)
    for name in "ab":
        cache.put("hr", Query(name), reply(name, chars=5_000))
    assert cache.get("hr", "one", Query("a")) is not None
    cache.put("hr", Query("c"), reply("c", chars=5_000))
    assert cache.get("hr", "one", Query("b")) is None
    assert cache.get("hr", "one", Query("a")) is not None


def test_collections_share_the_cache_and_nothing_in_it() -> None:
    cache = ReplyCache(10**6, 60)
    cache.put("hr", Query("q"), reply("of hr"))
    assert cache.get("it", "one", Query("q")) is None
    cache.put("it", Query("q"), reply("of it"))
    cache.clear("hr")
    assert cache.get("hr", "one", Query("q")) is None
    assert cache.get("it", "one", Query("q")) == reply("of it")


def test_one_that_fits_nowhere_is_not_kept() -> None:
    cache = ReplyCache(5_000, 60)
    cache.put("hr", Query("q"), reply(chars=10_000))
    assert len(cache) == 0


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["one", "two"]), st.integers(0, 20_000)), max_size=40)
)
def test_the_bound_holds_whatever_is_put(puts: list[tuple[str, str, int]]) -> None:
    cache = ReplyCache(60_000, 60)
    for question, snapshot, chars in puts:
        cache.put("hr", Query(question), reply(question, snapshot, chars))
        assert cache.bytes <= 60_000
        found = cache.get("hr", snapshot, Query(question))
        assert found is None or (found.snapshot, found.question) == (snapshot, question)
    cache.clear("hr")
    assert (len(cache), cache.bytes) == (0, 0)


def test_the_bytes_are_those_that_it_takes() -> None:
    cache = ReplyCache(10**9, 60)
    gc.collect()
    tracemalloc.start()
    for n in range(300):
        cache.put("hr", Query(f"question {n}"), reply(f"question {n}", chars=500))
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 0.9 * taken < cache.bytes < 2 * taken


def test_asked_again_it_is_not_searched_again() -> None:
    service = FakeService()
    client = TestClient(create_app(service, options=Options(cache_bytes=10**6)))
    first, second = (client.post("/v1/ask", json={"question": "ferry?"}).json() for _ in range(2))
    assert len(service.asked) == 1
    # Nor does the answer tell that it was asked before: the timings are those of when it was computed.
    assert first == second
    assert client.post("/v1/ask", json={"question": "ferry?", "top_k": 2}).json()["passages"] == first["passages"][:2]
    assert len(service.asked) == 2


def test_a_batch_asks_only_what_is_not_known() -> None:
    service = FakeService()
    client = TestClient(create_app(service, options=Options(cache_bytes=10**6)))
    client.post("/v1/ask", json={"question": "ferry?"})
    results = client.post("/v1/ask/batch", json={"questions": ["ticket?", "ferry?", "impossible"]}).json()["results"]
    assert [query.question for query in service.asked] == ["ferry?", "ticket?", "impossible"]
    assert [result["ok"] for result in results] == [True, True, False]
    assert results[1]["response"]["question"] == "ferry?"


def test_another_snapshot_is_asked_again() -> None:
    service = FakeService()
    client = TestClient(create_app(service, options=Options(cache_bytes=10**6)))
    client.post("/v1/ask", json={"question": "ferry?"})
    service.current = replace(READY, snapshot="20260501T120000.000Z-00000000")
    client.post("/v1/ask", json={"question": "ferry?"})
    assert len(service.asked) == 2


def test_after_another_calibration_it_is_asked_again() -> None:
    service = FakeService()
    client = TestClient(create_app(service, options=Options(cache_bytes=10**6)))
    client.post("/v1/ask", json={"question": "ferry?"})
    service.current = replace(READY, revision=READY.revision + 1)
    client.post("/v1/ask", json={"question": "ferry?"})
    assert len(service.asked) == 2


def test_an_answer_that_was_under_way_meanwhile_is_given_and_not_kept() -> None:
    class Recalibrated(FakeService):
        def ask_many(self, queries: Sequence[Query]) -> list[Reply | QAError]:
            replies = super().ask_many(queries)
            self.current = replace(self.current, revision=self.current.revision + 1)
            return replies

    service = Recalibrated()
    client = TestClient(create_app(service, options=Options(cache_bytes=10**6)))
    for _ in range(2):
        assert client.post("/v1/ask", json={"question": "ferry?"}).status_code == 200
    assert len(service.asked) == 2


def test_errors_are_not_kept() -> None:
    service = FakeService()
    client = TestClient(create_app(service, options=Options(cache_bytes=10**6)))
    for _ in range(2):
        assert client.post("/v1/ask", json={"question": "impossible"}).status_code == 422
    assert len(service.asked) == 2
