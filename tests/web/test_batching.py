"""Questions that arrive together are answered together; past what can wait they are refused; who hangs up is let go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest

from qa.errors import NotReady, Overloaded, QAError, QueryError
from qa.service.switching import AskMany, Held
from qa.types import Query, Reply
from qa.web.batching import Answered, Batcher, count_workers
from qa.web.fairness import CLIENT
from qa.web.monitoring import Monitoring
from tests.support.waiting import AT_MOST


class Answerer:
    """Answers when it is let; keeps the batches that it was asked, and the threads that asked."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.batches: list[list[str]] = []
        self.threads: set[str] = set()
        self.failure: Exception | None = None

    def __call__(self, queries: Sequence[Query]) -> list[Reply | QAError]:
        questions = [query.question for query in queries]
        self.batches.append(questions)
        self.threads.add(threading.current_thread().name)
        assert self.go.wait(AT_MOST)
        if self.failure is not None:
            raise self.failure
        if "poison" in questions:
            raise RuntimeError("a question that breaks everything")
        return [QueryError("question", "wrong") if q == "wrong" else Reply(q, (), "s") for q in questions]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(AT_MOST):
        while not condition():
            await asyncio.sleep(0.005)


class Queue(Batcher):
    """A queue of questions that one answerer answers."""

    def __init__(
        self,
        answer: AskMany,
        most_waiting: int = 64,
        largest: int = 4,
        workers: int = 1,
        largest_read: int | None = None,
    ) -> None:
        read = largest if largest_read is None else largest_read
        self.now = 0.0
        super().__init__(
            Monitoring(),
            most_waiting=most_waiting,
            workers=workers,
            largest=largest,
            largest_read=read,
            clock=lambda: self.now,
        )
        self.held = Held("i", "s", 1, answer)


def batcher(answer: AskMany, most_waiting: int = 64, largest: int = 4, workers: int = 1) -> Queue:
    return Queue(answer, most_waiting, largest, workers)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def asked(queue: Queue, *questions: str, client: str = "") -> list[asyncio.Future[Answered]]:
    before = CLIENT.set(client)
    try:
        return queue.submit([Query(question) for question in questions], queue.held)
    finally:
        CLIENT.reset(before)


async def begun(answer: Answerer, queue: Queue, question: str) -> list[asyncio.Future[Answered]]:
    """Ask a question whose answering has begun and lasts until ``answer.go`` is set: what is asked now has to wait."""
    answer.go.clear()
    running = asked(queue, question)
    await until(lambda: bool(answer.batches))
    return running


def said(outcome: Answered) -> str:
    assert isinstance(outcome, Reply)
    return outcome.question


def test_questions_that_wait_are_answered_together_in_their_order() -> None:
    answer = Answerer()
    queue = batcher(answer)

    async def test() -> None:
        first = await begun(answer, queue, "0")
        others = [asked(queue, str(n))[0] for n in range(1, 7)]
        answer.go.set()
        outcomes = await asyncio.gather(*first, *others)
        assert [said(outcome) for outcome in outcomes] == [str(n) for n in range(7)]

    run(test)
    assert answer.batches == [["0"], ["1", "2", "3", "4"], ["5", "6"]]


def test_questions_that_are_only_searched_for_do_not_wait_in_a_batch_that_is_read() -> None:
    answer = Answerer()
    queue = Queue(answer, largest_read=2)

    async def test() -> None:
        first = await begun(answer, queue, "0")
        others = [queue.submit([Query(str(n), answer=n % 2 == 0)], queue.held)[0] for n in range(1, 9)]
        answer.go.set()
        outcomes = await asyncio.gather(*first, *others)
        assert [said(outcome) for outcome in outcomes] == [str(n) for n in range(9)]

    run(test)
    assert sorted(question for batch in answer.batches for question in batch) == [str(n) for n in range(9)]
    assert all(len({int(question) % 2 for question in batch}) == 1 for batch in answer.batches)
    assert [batch for batch in answer.batches if int(batch[0]) % 2 == 0] == [["0"], ["2", "4"], ["6", "8"]]


@pytest.mark.parametrize(("index", "snapshot"), [("i", "t"), ("j", "s")], ids=["snapshot", "collection"])
def test_each_question_of_a_batch_is_answered_by_what_was_served_when_it_came(index: str, snapshot: str) -> None:
    answer, newer = Answerer(), Answerer()
    queue = batcher(answer)

    async def test() -> None:
        first = await begun(answer, queue, "0")
        held = [queue.held, Held(index, snapshot, 1, newer)]
        others = [queue.submit([Query(str(n))], held[n % 2])[0] for n in range(1, 5)]
        answer.go.set()
        outcomes = await asyncio.gather(*first, *others)
        assert [said(outcome) for outcome in outcomes] == [str(n) for n in range(5)]

    run(test)
    assert (answer.batches, newer.batches) == ([["0"], ["2", "4"]], [["1", "3"]])


def test_one_alone_does_not_wait_for_company() -> None:
    answer = Answerer()
    queue = batcher(answer)

    async def test() -> None:
        for n in range(3):
            (future,) = asked(queue, str(n))
            assert said(await future) == str(n)

    run(test)
    assert answer.batches == [["0"], ["1"], ["2"]]


def test_the_event_loop_never_answers() -> None:
    answer = Answerer()
    queue = batcher(answer)

    async def test() -> None:
        await asyncio.gather(*asked(queue, "a", "b"))

    run(test)
    assert threading.current_thread().name not in answer.threads
    assert all(name.startswith("answer") for name in answer.threads)


def test_past_what_may_wait_questions_are_refused_at_once() -> None:
    answer = Answerer()
    queue = batcher(answer, most_waiting=3)

    async def test() -> None:
        running = await begun(answer, queue, "running")
        waiting = [asked(queue, str(n), client=str(n))[0] for n in range(3)]
        assert queue.is_full()
        with pytest.raises(Overloaded) as refused:
            asked(queue, "one more", client="3")
        assert 1 <= refused.value.retry_after <= 30
        answer.go.set()
        assert len(await asyncio.gather(*running, *waiting)) == 4
        assert said(await asked(queue, "later")[0]) == "later"

    run(test)
    assert "one more" not in [question for batch in answer.batches for question in batch]


def test_a_batch_larger_than_the_queue_is_taken_when_nothing_waits() -> None:
    answer = Answerer()
    queue = batcher(answer, most_waiting=3)

    async def test() -> None:
        outcomes = await asyncio.gather(*asked(queue, *map(str, range(10))))
        assert [said(outcome) for outcome in outcomes] == [str(n) for n in range(10)]

    run(test)


def test_who_hung_up_is_not_answered() -> None:
    answer = Answerer()
    queue = batcher(answer)

    async def test() -> None:
        running = await begun(answer, queue, "running")
        gone, staying = asked(queue, "gone")[0], asked(queue, "staying")[0]
        gone.cancel()
        answer.go.set()
        await asyncio.gather(*running, staying)

    run(test)
    assert answer.batches == [["running"], ["staying"]]


def test_a_long_batch_does_not_hold_up_a_single_question() -> None:
    answer = Answerer()
    queue = batcher(answer)

    async def test() -> None:
        running = await begun(answer, queue, "running")
        many = asked(queue, *map(str, range(8)))
        single = asked(queue, "single")
        answer.go.set()
        await asyncio.gather(*running, *many, *single)

    run(test)
    # While single questions come, few of a batch request go with them.
    assert answer.batches[1] == ["single", "0"]


def test_a_long_batch_of_another_kind_does_not_hold_up_a_single_question_either() -> None:
    """A batch that is only searched for, and single questions whose passages are read, are never answered together."""
    answer = Answerer()
    queue = batcher(answer)

    async def test() -> None:
        running = await begun(answer, queue, "running")
        many = queue.submit([Query(str(n), answer=False) for n in range(40)], queue.held)
        single = [asked(queue, f"s{n}")[0] for n in range(6)]
        answer.go.set()
        await asyncio.gather(*running, *many, *single)

    run(test)
    answered = [batch[0][0] == "s" for batch in answer.batches[1:]]
    assert answered[:2] == [True, True]


def test_while_single_questions_come_batches_leave_them_a_worker() -> None:
    answer = Answerer()
    queue = batcher(answer, workers=2)

    async def test() -> None:
        await asked(queue, "first")[0]
        answer.go.clear()
        many = asked(queue, *map(str, range(8)))
        await until(lambda: len(answer.batches) == 2)
        single = asked(queue, "second")
        await until(lambda: ["second"] in answer.batches)
        answer.go.set()
        await asyncio.gather(*many, *single)

    run(test)
    assert answer.batches[1] == ["0"]


def test_when_no_single_question_has_come_for_a_second_batches_have_all_workers() -> None:
    answer = Answerer()
    queue = batcher(answer, workers=2)

    async def test() -> None:
        await asked(queue, "first")[0]
        queue.now = 1.0
        answer.go.clear()
        many = asked(queue, *map(str, range(8)))
        await until(lambda: len(answer.batches) == 3)
        answer.go.set()
        await asyncio.gather(*many)

    run(test)
    assert sorted(answer.batches[1:]) == [["0", "1", "2", "3"], ["4", "5", "6", "7"]]


def test_clients_take_turns() -> None:
    answer = Answerer()
    queue = batcher(answer)

    async def test() -> None:
        running = await begun(answer, queue, "running")
        many = [asked(queue, f"a{n}", client="a")[0] for n in range(40)]
        one = asked(queue, "b0", client="b")
        answer.go.set()
        await asyncio.gather(*running, *many, *one)

    run(test)
    assert answer.batches[1] == ["a0", "b0", "a1", "a2"]


def test_one_client_leaves_places_in_the_queue_to_others() -> None:
    answer = Answerer()
    queue = batcher(answer, most_waiting=4)

    async def test() -> None:
        running = await begun(answer, queue, "running")
        waiting = [asked(queue, str(n), client="a")[0] for n in range(3)]
        with pytest.raises(Overloaded):
            asked(queue, "one more", client="a")
        waiting += asked(queue, "other", client="b")
        answer.go.set()
        assert len(await asyncio.gather(*running, *waiting)) == 5

    run(test)


def test_a_client_s_batch_is_taken_while_another_client_s_waits() -> None:
    answer = Answerer()
    queue = batcher(answer, most_waiting=4)

    async def test() -> None:
        running = await begun(answer, queue, "running")
        long = asked(queue, *map(str, range(20)), client="a")
        with pytest.raises(Overloaded):
            asked(queue, "more", "still more", client="a")
        short = asked(queue, "x", "y", client="b")
        for client in "cd":
            short += asked(queue, "x", "y", client=client)
        with pytest.raises(Overloaded):
            asked(queue, "x", "y", client="e")
        answer.go.set()
        await asyncio.gather(*running, *long, *short)

    run(test)
    # By turns: who asked little has not waited for the one who asked much.
    assert [question for batch in answer.batches for question in batch][1:9] == ["0", "x", "x", "x", "1", "y", "y", "y"]


def test_a_long_batch_of_another_kind_is_not_starved_by_single_questions() -> None:
    answer = Answerer()
    queue = batcher(answer)

    async def test() -> None:
        running = await begun(answer, queue, "running")
        single = [asked(queue, f"s{n}")[0] for n in range(40)]
        many = queue.submit([Query(str(n), answer=False) for n in range(8)], queue.held)
        answer.go.set()
        await asyncio.gather(*running, *many, *single)

    run(test)
    answered = [batch[0][0] == "s" for batch in answer.batches[1:]]
    assert answered[:8] == [True, True, True, False, True, True, True, False]


def test_single_questions_do_not_starve_a_batch() -> None:
    answer = Answerer()
    queue = batcher(answer)

    async def test() -> None:
        running = await begun(answer, queue, "running")
        single = [asked(queue, f"s{n}")[0] for n in range(6)]
        many = asked(queue, "b0", "b1")
        answer.go.set()
        await asyncio.gather(*running, *many, *single)

    run(test)
    assert answer.batches[1] == ["s0", "s1", "s2", "b0"]


def test_one_that_breaks_everything_costs_the_others_nothing() -> None:
    answer = Answerer()
    queue = batcher(answer)

    async def test() -> None:
        first, poison, wrong, last = await asyncio.gather(*asked(queue, "first", "poison", "wrong", "last"))
        assert (said(first), said(last)) == ("first", "last")
        assert isinstance(poison, RuntimeError)
        assert isinstance(wrong, QueryError)

    run(test)


def test_not_ready_is_said_to_all() -> None:
    answer = Answerer()
    answer.failure = NotReady("loading", "loading")
    queue = batcher(answer)

    async def test() -> None:
        outcomes = await asyncio.gather(*asked(queue, "a", "b"))
        assert all(isinstance(outcome, NotReady) for outcome in outcomes)

    run(test)
    assert answer.batches == [["a", "b"]]


def test_an_answerer_that_loses_answers_does_not_stop_the_queue() -> None:
    answer = Answerer()

    def lose_one(queries: Sequence[Query]) -> list[Reply | QAError]:
        return answer(queries)[: -1 if queries[0].question == "lost" else None]

    queue = batcher(lose_one)

    async def test() -> None:
        (lost,) = asked(queue, "lost")
        async with asyncio.timeout(AT_MOST):
            assert isinstance(await lost, Exception)
            assert said(await asked(queue, "next")[0]) == "next"

    run(test)


def test_many_at_once_through_two_workers_are_each_answered_once() -> None:
    answer = Answerer()
    queue = batcher(answer, most_waiting=1000, workers=2)

    async def test() -> None:
        async def client(name: int) -> None:
            for n in range(20):
                question = f"{name} {n}"
                assert said(await asked(queue, question)[0]) == question

        # Until all wait: the batches that follow are full ones.
        answer.go.clear()
        clients = asyncio.gather(*(client(name) for name in range(32)))
        await until(lambda: queue.waiting + sum(map(len, answer.batches)) == 32)
        answer.go.set()
        await clients

    run(test)
    every = [question for batch in answer.batches for question in batch]
    assert len(every) == len(set(every)) == 640
    assert max(map(len, answer.batches)) == 4


@pytest.mark.parametrize(("cores", "processes", "expected"), [(1, 1, 1), (2, 1, 2), (2, 2, 1), (8, 1, 2), (4, 8, 1)])
def test_with_as_many_processes_as_cores_each_answers_in_one_thread(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, expected: int
) -> None:
    monkeypatch.setattr("qa.web.batching.usable_cores", lambda: float(cores))
    assert count_workers(processes) == expected


def test_closing_answers_what_waits() -> None:
    answer = Answerer()
    queue = batcher(answer)

    async def test() -> None:
        futures = asked(queue, *map(str, range(9)))
        queue.close()
        assert len(await asyncio.gather(*futures)) == 9

    run(test)


class Reader:
    """Answers what is only searched for at once, and reads when it is let; keeps the questions that it has begun."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun: list[str] = []

    def __call__(self, queries: Sequence[Query]) -> list[Reply | QAError]:
        self.begun += [query.question for query in queries]
        if queries[0].answer:
            assert self.go.wait(AT_MOST)
        return [Reply(query.question, (), "s") for query in queries]


@pytest.mark.parametrize("workers", [1, 2])
def test_who_wants_passages_alone_does_not_wait_until_others_have_been_read(workers: int) -> None:
    reader = Reader()
    queue = Queue(reader, workers=workers, largest_read=1)

    async def test() -> None:
        read = [asked(queue, f"read {n}")[0] for n in range(5)]
        await until(lambda: len(reader.begun) == workers)
        for round_ in range(3):
            alone = queue.submit([Query(f"passages {round_}", answer=False)], queue.held)
            assert said((await asyncio.wait_for(asyncio.gather(*alone), AT_MOST))[0]) == f"passages {round_}"
        assert not any(future.done() for future in read)
        reader.go.set()
        assert [said(outcome) for outcome in await asyncio.gather(*read)] == [f"read {n}" for n in range(5)]

    run(test)


def test_what_is_to_be_read_is_read_while_passages_are_asked_for() -> None:
    reader = Reader()
    reader.go.set()
    queue = Queue(reader, workers=2)

    async def test() -> None:
        both = [queue.submit([Query(str(n), answer=n % 3 == 0)], queue.held)[0] for n in range(40)]
        assert [said(outcome) for outcome in await asyncio.gather(*both)] == [str(n) for n in range(40)]

    run(test)
