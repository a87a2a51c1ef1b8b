"""Batches of the models of one process take turns on its processors."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from qa.models.answer_reader import OpenVinoReader
from qa.models.compiled import CompiledEncoder
from qa.models.files import locate
from qa.models.loading import Models
from qa.models.scheduling import Kind, Slots, count_slots
from qa.settings import DEFAULT_MODEL, Settings
from tests.support.waiting import AT_MOST, wait_for

TOKENS = 10
AHEAD = 30
KINDS = st.sampled_from(("encode", "read"))


class Batch:
    """A batch in a thread of its own, which runs from when it has a slot until the test ends it."""

    def __init__(self, slots: Slots, kind: Kind, begun: list[Batch], *, fails: bool) -> None:
        self.kind = kind
        self._fails = fails
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(slots, begun), daemon=True)
        self._thread.start()

    def _run(self, slots: Slots, begun: list[Batch]) -> None:
        with suppress(ArithmeticError), slots.taken(self.kind, TOKENS):
            begun.append(self)
            self._ends.wait()
            if self._fails:
                raise ArithmeticError

    def end(self) -> None:
        self._ends.set()
        self._thread.join()


class Scheduling(RuleBasedStateMachine):
    """Batches that come and go in any order, some of them failing.

    After each step all threads have come as far as they can: each batch is counted as running or as waiting.
    """

    encoding = 2

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(2, encoding=self.encoding, ahead=AHEAD)
        self.came: dict[Kind, list[Batch]] = {"encode": [], "read": []}
        self.begun: list[Batch] = []
        self.ended: list[Batch] = []
        # Batches encoded one after the other while one waited to be read.
        self.passed = 0

    def running(self, kind: Kind) -> list[Batch]:
        return [batch for batch in self.begun if batch.kind == kind and batch not in self.ended]

    def waiting(self, kind: Kind) -> int:
        return len(self.came[kind]) - sum(batch.kind == kind for batch in self.begun)

    def settle(self) -> None:
        wait_for(lambda: all(self.waiting(kind) == self.slots.waiting(kind) for kind in self.came), every=0.0002)

    @contextmanager
    def step(self) -> Iterator[None]:
        known, waited = len(self.begun), self.waiting("read")
        yield
        self.settle()
        new = [batch.kind for batch in self.begun[known:]]
        encoded = new.count("encode") if self.waiting("read") else 0
        if "read" in new:
            self.passed = encoded
        elif waited:
            self.passed += encoded

    @rule(kind=KINDS, fails=st.booleans())
    def come(self, kind: Kind, fails: bool) -> None:
        with self.step():
            self.came[kind].append(Batch(self.slots, kind, self.begun, fails=fails))

    @precondition(lambda self: len(self.begun) > len(self.ended))
    @rule(data=st.data())
    def end_one(self, data: st.DataObject) -> None:
        running = [batch for batch in self.begun if batch not in self.ended]
        with self.step():
            batch = running[data.draw(st.integers(0, len(running) - 1))]
            batch.end()
            self.ended.append(batch)

    @invariant()
    def no_more_run_than_there_are_slots(self) -> None:
        assert len(self.running("encode")) <= self.encoding
        assert len(self.running("read")) <= 2

    @invariant()
    def no_slot_is_idle_while_a_batch_waits(self) -> None:
        if len(self.running("encode")) + len(self.running("read")) < 2:
            assert not self.waiting("read")
            assert not self.waiting("encode") or len(self.running("encode")) == self.encoding

    @invariant()
    def encoding_waits_for_encoding_or_for_one_batch_that_is_read(self) -> None:
        if self.waiting("encode") and len(self.running("encode")) < self.encoding:
            assert self.waiting("read")
            assert self.passed * TOKENS >= AHEAD

    @invariant()
    def reading_waits_for_so_many_tokens_at_most(self) -> None:
        assert self.passed * TOKENS <= AHEAD

    @invariant()
    def who_comes_first_begins_first(self) -> None:
        for kind, came in self.came.items():
            begun = [batch for batch in self.begun if batch.kind == kind]
            assert set(begun) == set(came[: len(begun)])

    def teardown(self) -> None:
        while left := [batch for batch in self.begun if batch not in self.ended]:
            for batch in left:
                self.ended.append(batch)
                batch.end()
            self.settle()
        # Nothing was lost: whoever came has had its turn, failing or not.
        assert all(not self.waiting(kind) for kind in self.came)


class EncodingOneByOne(Scheduling):
    """The same where one batch is encoded at a time."""

    encoding = 1


@pytest.mark.parametrize("machine", [Scheduling, EncodingOneByOne])
def test_batches_take_turns(machine: type[Scheduling]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=20, deadline=None))


def test_an_interrupted_wait_takes_no_slot() -> None:
    # In a process of its own: what runs the tests waits for its workers for ever where a signal ends one of them.
    code = """
import os, signal, threading
from qa.models.scheduling import Slots
from tests.support.waiting import wait_for

signal.signal(signal.SIGINT, signal.default_int_handler)
slots, begun, ended = Slots(1), threading.Event(), threading.Event()

def read():
    with slots.taken("read", 10):
        begun.set()
        ended.wait()

def interrupt():
    wait_for(lambda: slots.waiting("read"))
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=read).start()
begun.wait()
threading.Thread(target=interrupt).start()
try:
    with slots.taken("read", 10):
        print("the only slot was taken")
except KeyboardInterrupt:
    print("interrupted,", slots.waiting("read"), "wait")
ended.set()
with slots.taken("read", 10):
    print("free again")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=AT_MOST, check=False)
    assert (done.stdout, done.stderr) == ("interrupted, 0 wait\nfree again\n", "")


@pytest.mark.parametrize(
    ("cores", "workers", "threads", "expected"),
    [(1, 0, 0, 1), (2, 0, 0, 2), (2, 1, 0, 2), (2, 2, 0, 2), (8, 8, 0, 2), (8, 8, 1, 1), (16, 4, 0, 4), (16, 4, 3, 3)],
)
def test_each_worker_has_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cores: int, workers: int, threads: int, expected: int
) -> None:
    monkeypatch.setattr("qa.machine.CONTROL_GROUP", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(cores))
    assert count_slots(Settings(workers=workers, threads=threads)) == expected


def test_the_models_of_a_process_compute_in_the_same_slots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    encoder = CompiledEncoder(locate(DEFAULT_MODEL), tmp_path, precision="fp32", pad=0, threads=1)
    reader = OpenVinoReader(threads=1)
    monkeypatch.setattr("qa.models.loading.make_answer_reader", lambda settings, *, threads: reader)
    models = Models(Settings(indexes=tmp_path, threads=3), lambda settings, *, threads: encoder)
    models.encoder()
    models.answer_reader()
    assert encoder.slots is reader.slots
    assert reader.slots.count == 3
