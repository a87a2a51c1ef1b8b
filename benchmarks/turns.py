"""Encoder and reader in one set of slots against slots of their own, under the same load, each in turn.

Threads encode questions, and others read texts, as a server's do; the arrangements take turns of a second or so, and
the median of all turns is given. Other programs on the machine take from both alike.

    .venv/bin/python -m benchmarks.turns --rounds 9
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.question_sets import load_questions
from qa.models.answer_reader import OpenVinoReader
from qa.models.choice import Runtime, choose_encoder
from qa.models.compiled import MODELS_FOLDER, CompiledEncoder
from qa.models.files import locate
from qa.models.scheduling import Slots
from qa.settings import DEFAULT_MODEL, load_settings

# The interpreter's, as a server sets it: seconds.
SWITCH = 0.0005


@dataclass(frozen=True, slots=True)
class Load:
    """Threads that encode ``batch`` questions each time, after a pause of so many seconds on average, and readers."""

    encoding: int
    batch: int
    pause: float
    reading: int


LOADS: Mapping[str, Load] = {
    "one question now and then, beside reading": Load(1, 1, 0.01, 2),
    "16 questions at a time, beside reading": Load(1, 16, 0.0, 2),
    "twice that, beside reading": Load(2, 16, 0.0, 2),
    "encoding alone": Load(2, 16, 0.0, 0),
    "reading alone": Load(0, 0, 0.0, 2),
}


@dataclass(frozen=True, slots=True)
class Turn:
    """Milliseconds of an encoding, questions encoded and texts read a second, and how many cores were at work."""

    p50: float
    p95: float
    encoded: float
    read: float
    cores: float


class Arrangement:
    """Both models, loaded."""

    def __init__(self, models: Path, encoder_slots: Slots, reader_slots: Slots) -> None:
        encoder = choose_encoder(locate(DEFAULT_MODEL), Runtime(models, "bf16", 1), lambda message: None)
        assert isinstance(encoder, CompiledEncoder)
        self.encoder, self.reader = encoder, OpenVinoReader(threads=reader_slots.count, models=models)
        self.encoder.compute_in(encoder_slots)
        self.reader.compute_in(reader_slots)
        self.encoder.load()
        self.reader.load()

    def work(self, load: Load, seconds: float, questions: list[str]) -> Turn:
        """Bear a load for some seconds."""
        until = time.perf_counter() + seconds
        took: list[float] = []
        done: Counter[str] = Counter()
        counting = threading.Lock()

        def encode(seed: int) -> None:
            chance = random.Random(seed)
            while (started := time.perf_counter()) < until:
                self.encoder.encode_questions(chance.sample(questions, load.batch))
                with counting:
                    took.append(time.perf_counter() - started)
                    done["encoded"] += load.batch
                if load.pause:
                    time.sleep(chance.expovariate(1 / load.pause))

        def read(seed: int) -> None:
            chance = random.Random(seed)
            while time.perf_counter() < until:
                # About as long as an excerpt: six to nine questions.
                texts = [" ".join(chance.sample(questions, chance.randint(6, 9))) for _ in range(chance.choice((4, 8)))]
                self.reader.read([(chance.choice(questions), text) for text in texts])
                with counting:
                    done["read"] += len(texts)

        threads = [threading.Thread(target=encode, args=(seed,)) for seed in range(load.encoding)]
        threads += [threading.Thread(target=read, args=(seed,)) for seed in range(load.reading)]
        started, clock = time.process_time(), time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cores = (time.process_time() - started) / (time.perf_counter() - clock)
        lasted = time.perf_counter() - clock
        ordered = sorted(took) or [0.0]
        p50, p95 = (1000 * ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.95))
        return Turn(p50, p95, done["encoded"] / lasted, done["read"] / lasted, cores)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.5)
    arguments = parser.parse_args()
    sys.setswitchinterval(SWITCH)
    questions = [question.text for question in load_questions("nq_open_oracle", "report")]
    models = load_settings().indexes / MODELS_FOLDER
    shared = Slots(2, encoding=1)
    arrangements = {"apart": Arrangement(models, Slots(1), Slots(2)), "shared": Arrangement(models, shared, shared)}
    found: dict[tuple[str, str], list[Turn]] = {}
    for number in range(arguments.rounds):
        for name, load in LOADS.items():
            for which in sorted(arrangements, reverse=bool(number % 2)):
                turn = arrangements[which].work(load, arguments.seconds, questions)
                found.setdefault((name, which), []).append(turn)
    print(
        "| load | slots | encoding, p50, ms | p95 | encoded a second | read a second | cores |\n"
        "|---|---|---|---|---|---|---|"
    )
    for (name, which), turns in found.items():
        values = [
            statistics.median(getattr(turn, field) for turn in turns)
            for field in ("p50", "p95", "encoded", "read", "cores")
        ]
        print(f"| {name} | {which} | {' | '.join(f'{value:.1f}' for value in values[:4])} | {values[4]:.2f} |")


if __name__ == "__main__":
    main()
