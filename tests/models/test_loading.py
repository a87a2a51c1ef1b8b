"""From settings to models: compiled at the first build, said to whoever waits, and from then on without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from qa.build.update import update
from qa.readers.registry import read_source
from qa.settings import Settings
from tests.conftest import Recorder
from tests.models.conftest import TinyModel


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
