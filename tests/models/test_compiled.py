"""The compiled encoder says what sentence-transformers says, or is not used; and it needs no torch."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import structlog

from qa.errors import ModelDisagrees, QuestionTooLong, StorageError
from qa.models.choice import Runtime, choose_encoder
from qa.models.compiled import LEAST_COSINE, CompiledEncoder
from qa.models.files import locate
from qa.models.openvino import Precision
from qa.models.sentence_transformers import SentenceTransformerEncoder
from qa.protocols import Encoder
from tests.models.conftest import TinyModel

pytestmark = pytest.mark.slow

TEXTS = [
    "",
    "Apples grow on trees.",
    "The army is three to four miles from the city. " * 40,
    "Яблоки 苹果 تفاح",
    *(f"number {n} " * n for n in range(40)),
]


@pytest.fixture(scope="module")
def model(tiny_model: TinyModel) -> Path:
    return tiny_model()


@pytest.fixture(scope="module")
def compiled_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


def choose(model: Path, root: Path, precision: Precision = "fp32", threads: int = 2) -> tuple[Encoder, list[str]]:
    stages: list[str] = []
    return choose_encoder(locate(str(model)), Runtime(root, precision, threads), stages.append), stages


def warnings_of(work: Callable[[], object]) -> list[str]:
    with structlog.testing.capture_logs() as logs:
        work()
    return [f"{entry['event']}: {entry.get('reason', '')}" for entry in logs if entry["log_level"] == "warning"]


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken", "weightedmean"])
@pytest.mark.parametrize("head", [{}, {"dense": True, "normalize": False}])
def test_what_comes_out_is_what_the_reference_says(
    tiny_model: TinyModel, tmp_path: Path, pooling: str, head: dict[str, bool]
) -> None:
    model = tiny_model(pooling, **head)
    encoder, _ = choose(model, tmp_path)
    assert isinstance(encoder, CompiledEncoder)
    reference = SentenceTransformerEncoder(locate(str(model)), threads=1)
    rows = encoder.encode_passages(TEXTS)
    assert np.allclose(rows, reference.encode_passages(TEXTS), atol=1e-4)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    questions = [text for text in TEXTS if encoder.count_question_tokens([text])[0] <= encoder.window]
    assert np.allclose(encoder.encode_questions(questions), reference.encode_questions(questions), atol=1e-4)
    assert encoder.count_tokens(TEXTS) == reference.count_tokens(TEXTS)
    assert encoder.count_question_tokens(TEXTS) == reference.count_question_tokens(TEXTS)
    assert encoder.encode_passages([]).shape == (0, encoder.dimension)
    assert encoder.spread == reference.spread > 0


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_lower_precision_is_near_and_has_a_fingerprint_of_its_own(
    model: Path, compiled_root: Path, precision: Precision
) -> None:
    encoder, _ = choose(model, compiled_root, precision)
    full, _ = choose(model, compiled_root)
    cosines = np.sum(encoder.encode_passages(TEXTS) * full.encode_passages(TEXTS), axis=1)
    assert cosines.min() > LEAST_COSINE[precision]
    assert encoder.fingerprint["precision"] == precision
    assert encoder.fingerprint != full.fingerprint


def test_a_question_over_the_window_is_refused(model: Path, compiled_root: Path) -> None:
    encoder, _ = choose(model, compiled_root)
    with pytest.raises(QuestionTooLong, match="the model reads 64"):
        encoder.encode_questions(["apples " * 62])


def test_threads_get_what_one_caller_gets(model: Path, compiled_root: Path) -> None:
    encoder, _ = choose(model, compiled_root, threads=2)
    texts = [f"question number {number} {'word ' * (number % 7)}" for number in range(64)]
    alone = [encoder.encode_questions([text])[0] for text in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: encoder.encode_questions([text])[0], texts))
    assert np.allclose(alone, together, atol=1e-5)


def test_it_is_compiled_once_and_then_neither_torch_nor_telemetry_is_imported(model: Path, compiled_root: Path) -> None:
    choose(model, compiled_root)
    program = f"""
import sys
from pathlib import Path
from qa.models.choice import Runtime, choose_encoder
from qa.models.files import locate
stages = []
encoder = choose_encoder(locate({str(model)!r}), Runtime(Path({str(compiled_root)!r}), "fp32", 1), stages.append)
assert encoder.encode_questions(["apples"]).shape == (1, 32) and not stages
names = ("torch", "transformers", "sentence_transformers", "nncf", "openvino_telemetry")
print([name for name in names if sys.modules.get(name)])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tokens_are_counted_without_loading_weights(model: Path, compiled_root: Path) -> None:
    choose(model, compiled_root)
    encoder, _ = choose(model, compiled_root)
    assert encoder.count_tokens(["apples"]) == [5]  # [CLS] passage : apples [SEP]
    assert isinstance(encoder, CompiledEncoder)
    assert encoder._inference is None


def _only(root: Path) -> Path:
    (folder,) = (path for path in root.iterdir() if path.is_dir())
    return folder


@pytest.mark.parametrize("file", ["model.bin", "model.xml", "tokenizer.json", "probes.json", "manifest.json"])
@pytest.mark.parametrize("content", [b"", b"damage", None])
def test_what_is_damaged_is_compiled_again(
    model: Path, compiled_root: Path, tmp_path: Path, file: str, content: bytes | None
) -> None:
    choose(model, compiled_root)
    shutil.copytree(compiled_root, tmp_path / "copy", ignore=shutil.ignore_patterns("*-bf16", "*-int8"))
    damaged = _only(tmp_path / "copy") / file
    damaged.unlink() if content is None else damaged.write_bytes(content)
    stages: list[str] = []
    found = warnings_of(lambda: stages.extend(choose(model, tmp_path / "copy")[1]))
    assert found[0].startswith("compiled model is damaged")
    assert len(stages) == 1
    assert choose(model, tmp_path / "copy")[1] == []


def test_what_a_killed_process_left_is_removed(model: Path, tmp_path: Path) -> None:
    choose(model, tmp_path)
    folder = _only(tmp_path)
    leftover = folder.with_name(f"{folder.name}.x.partial")
    folder.rename(leftover)
    (leftover / "manifest.json").unlink()
    encoder, stages = choose(model, tmp_path)
    assert len(stages) == 1
    assert isinstance(encoder, CompiledEncoder)
    assert not leftover.exists()


def test_two_at_once_compile_one_model(model: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        encoders = list(pool.map(lambda _: choose(model, tmp_path)[0], range(2)))
    first, second = (encoder.encode_questions(["apples"]) for encoder in encoders)
    assert np.array_equal(first, second)
    assert [path.suffix for path in tmp_path.iterdir() if path.is_dir()] == [""]


def test_where_nothing_can_be_written_it_is_compiled_for_the_process_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, where the folder should be")
    encoders: list[Encoder] = []
    found = warnings_of(lambda: encoders.append(choose(model, tmp_path / "file")[0]))
    assert found[0].startswith("compiled model cannot be kept")
    assert "[Errno" not in found[0]
    assert isinstance(encoders[0], CompiledEncoder)
    assert encoders[0].encode_questions(["apples"]).shape == (1, 32)


@pytest.mark.parametrize(
    ("number", "what_to_do"),
    [(errno.ENOSPC, "free some space"), (errno.EACCES, "give a folder that can be written as TMPDIR")],
)
def test_a_disk_that_cannot_be_written_anywhere_is_an_error_that_names_the_cause(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, what_to_do: str
) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.TemporaryDirectory", fails)
    with pytest.raises(StorageError, match=f"{os.strerror(number)}.*{what_to_do}"):
        choose(model, tmp_path / "file")


def test_what_does_not_agree_is_not_used_and_the_log_says_so(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.models.choice.LEAST_COSINE", {"fp32": 1.1})
    encoders: list[Encoder] = []
    for again in (False, True):
        found = warnings_of(lambda: encoders.append(choose(model, tmp_path)[0]))
        assert "gives other results than its reference" in found[0]
        assert isinstance(encoders[-1], SentenceTransformerEncoder)
        # The second time the reason is remembered, and nothing is compiled.
        assert choose(model, tmp_path)[1] == [] or not again


def test_a_refusal_by_other_versions_is_tried_again(model: Path, tmp_path: Path) -> None:
    key = _key(model, tmp_path)
    (tmp_path / f"{key}.refused").write_text(json.dumps({"reason": "old", "versions": {"torch": "1"}, "format": 1}))
    encoder, _ = choose(model, tmp_path)
    assert isinstance(encoder, CompiledEncoder)


def _key(model: Path, root: Path) -> str:
    choose(model, root)
    folder = _only(root)
    shutil.rmtree(folder)
    return folder.name


def test_a_machine_that_multiplies_otherwise_is_told_so(model: Path, compiled_root: Path, tmp_path: Path) -> None:
    choose(model, compiled_root)
    shutil.copytree(compiled_root, tmp_path / "copy", ignore=shutil.ignore_patterns("*-bf16", "*-int8"))
    folder = _only(tmp_path / "copy")
    probes = json.loads((folder / "probes.json").read_bytes())
    probes["vectors"] = [[-x for x in row] for row in probes["vectors"]]
    (folder / "probes.json").write_text(json.dumps(probes))
    encoder = CompiledEncoder(locate(str(model)), folder, precision="fp32", pad=0, threads=1)
    with pytest.raises(ModelDisagrees, match="set QA_PRECISION to fp32 and build the index again"):
        encoder.load()
