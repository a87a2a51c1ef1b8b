"""From settings to models: compiled at the first build, said to whoever waits, and from then on without torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from qa.build.update import update
from qa.models.answer_reader import OpenVinoReader
from qa.models.loading import Models
from qa.models.reranker import CompiledReranker
from qa.readers.registry import read_source
from qa.settings import Settings
from tests.conftest import Recorder
from tests.models.conftest import TinyModel
from tests.support.waiting import AT_MOST

FORKING = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from qa.models.loading import Models
from qa.settings import Settings

def compute(models):
    with ThreadPoolExecutor(2) as pool:
        read = pool.map(lambda at: models.answer_reader().read([("Who?", "A ferryman. " * at)] * at), range(1, 7))
        rows = models.encoder().encode_questions(["Who is it?", "Where does the ferry go on Sundays?"])
        return [rows.tobytes(), *(one.starts.tobytes() + one.ends.tobytes() for each in read for one in each)]

settings = Settings(indexes=Path(sys.argv[1]))
models = Models(settings, forks=True)
models.load_before_fork()
children = []
for _ in range(2):
    pid = os.fork()
    if not pid:
        found = compute(models)
        children_s_own = compute(Models(settings))
        os._exit(0 if found == children_s_own else 3)
    children.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
print(codes)
os._exit(0)
"""


RERANKING = """
import os, sys
from pathlib import Path
from qa.models.loading import Models
from qa.settings import Settings

def score(models):
    return models.reranker().score("Where do apples grow?", ["Apples grow on trees.", "Ferries cross."]).tobytes()

indexes, source = Path(sys.argv[1]), Path(sys.argv[2])
settings = Settings(indexes=indexes, reranker=str(source), precision="fp32")
models = Models(settings, forks=True)
models.load_before_fork()
# What was not loaded cannot be any more.
source.rename(source.with_name("gone"))
pids, (reading, writing) = [], os.pipe()
for _ in range(2):
    pids.append(os.fork())
    if not pids[-1]:
        os.write(writing, score(models))
        os._exit(0)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
os.close(writing)
source.with_name("gone").rename(source)
print(codes, os.read(reading, 100) == 2 * score(Models(settings)), flush=True)
os._exit(0)
"""


def test_the_first_build_compiles_and_asking_imports_no_torch(
    tiny_model: TinyModel,
    folder: Path,
    tmp_path: Path,
) -> None:
    settings = Settings(
        indexes=tmp_path / "indexes", name="test", model=str(tiny_model()), passage_tokens=48, overlap_tokens=8
    )
    first, second = Recorder(), Recorder()
    update(settings, [folder], first, read=read_source)
    update(settings, [folder], second, read=read_source, rebuild=True)
    assert [stage for stage in first.stages if stage.startswith("Compiling the model")]
    assert not [stage for stage in second.stages if stage.startswith("Compiling the model")]
    program = f"""
import sys
from pathlib import Path
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Query
service = Service(Settings(indexes=Path({str(settings.indexes)!r}), name="test", model={settings.model!r}))
service.reload()
assert service.ask(Query("Which apples are red?")).hits
names = ("torch", "transformers", "sentence_transformers", "openvino_telemetry")
print([name for name in names if sys.modules.get(name)])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_forked_processes_compute_with_the_models_that_were_loaded_before(tmp_path: Path) -> None:
    """On two threads at once, and to the bit what models of their own compute."""
    Models(Settings(indexes=tmp_path)).encoder()  # which compiles it
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(tmp_path)], capture_output=True, text=True, check=True, timeout=AT_MOST
    )
    assert done.stdout.strip() == "[0, 0]"


@pytest.mark.slow
def test_forked_processes_score_with_the_reranker_that_was_loaded_before(
    tiny_cross_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    model = tiny_cross_encoder()
    # Which compiles it.
    reranker = Models(Settings(indexes=tmp_path, reranker=str(model), precision="fp32")).reranker()
    assert isinstance(reranker, CompiledReranker)
    program = [sys.executable, "-c", RERANKING, str(tmp_path), str(model)]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=AT_MOST)
    assert done.stdout.strip() == "[0, 0] True"


@pytest.mark.parametrize("model", [Settings().model, "nowhere"], ids=["not-compiled", "missing"])
def test_before_forking_nothing_is_compiled_and_what_is_missing_is_for_others_to_say(
    tmp_path: Path, model: str
) -> None:
    Models(Settings(indexes=tmp_path, model=model), forks=True).load_before_fork()
    assert not list(tmp_path.glob(".models/*/model.xml"))


def test_an_error_that_nobody_expects_ends_nothing_before_forking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(reader: OpenVinoReader) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(OpenVinoReader, "load", fail)
    with capture_logs() as logs:
        Models(Settings(indexes=tmp_path), forks=True).load_before_fork()
    assert [line["event"] for line in logs] == ["models are not shared by the workers: they could not be loaded before"]
