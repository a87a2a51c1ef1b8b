"""What all tests share: an isolated environment, and small indexes built with the hashing encoder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from qa.build.update import Update, update
from qa.models.answer_reader import OpenVinoReader
from qa.protocols import AnswerReader, Encoder
from qa.readers.registry import read_source
from qa.service.service import Service
from qa.settings import Settings
from qa.types import FileReport
from tests.support.hashing import HashingEncoder

pytest_plugins = ["tests.support.browsing", "tests.support.reading", "tests.support.site"]

REPOSITORY = Path(__file__).parent.parent
SEED = REPOSITORY / "seeds" / "000_ed61de6b1921e49a.txt"


# A busy machine takes as long as it takes, and the examples of a test are the same every time: whether the suite passes
# is no matter of luck. `pytest --hypothesis-profile search` draws others, to look for what nobody knows of.
_UNHURRIED = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.register_profile("same", _UNHURRIED, derandomize=True)
hypothesis_settings.register_profile("search", _UNHURRIED, print_blob=True)
hypothesis_settings.load_profile("same")

# Settings of whoever runs the tests, but for the one that is for them; what makes programs print otherwise, or look
# elsewhere for a server of this machine.
_OF_THE_CALLER = re.compile(
    r"QA_(?!REQUIRE_BROWSER$)\w+|COLUMNS|LINES|TERMINAL_WIDTH|NO_COLOR|FORCE_COLOR|PY_COLORS|TTY_\w+|GITHUB_ACTIONS"
    r"|(https?|all)_proxy",
    re.IGNORECASE,
)


# Of the session: what modules share is made before the first fixture of a function.
@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for name in filter(_OF_THE_CALLER.fullmatch, list(os.environ)):
            patched.delenv(name)
        # Where a working folder has no indexes, the user's own are looked for.
        patched.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@cache
def shared_reader() -> AnswerReader:
    return OpenVinoReader(threads=1)


# Every service has the reader that ships; loading it takes a second, so that one does for all of a session.
@pytest.fixture(scope="session", autouse=True)
def one_answer_reader() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("qa.models.loading.make_answer_reader", lambda settings, *, threads: shared_reader())
        yield


class Recorder:
    """A listener that keeps what a build reports."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.total = 0
        self.done = self.encoded = 0.0
        self.reports: list[FileReport] = []
        self.recognised: list[tuple[str, int, int]] = []

    def stage(self, message: str) -> None:
        self.stages.append(message)

    def started(self, total_bytes: int, files: int) -> None:
        self.total = total_bytes

    def advanced(self, size: float, encoded: float | None = None) -> None:
        self.done += size
        self.encoded += encoded or 0.0

    def recognising(self, id: str, page: int, pages: int) -> None:
        self.recognised.append((id, page, pages))

    def finished_file(self, report: FileReport) -> None:
        self.reports.append(report)


def hashing_encoder(settings: Settings, *, threads: int) -> Encoder:
    return HashingEncoder()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(indexes=tmp_path / "indexes", name="test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small documents, one in a folder below, and a file that no reader takes."""
    folder = tmp_path / "documents"
    (folder / "below").mkdir(parents=True)
    (folder / "apples.txt").write_text("Apples grow on trees. They are red or green.\n", encoding="utf-8")
    (folder / "pears.md").write_text("# Pears\n\nPears ripen in autumn.\n\n## Storage\n\nKeep them cool.\n", "utf-8")
    (folder / "below" / "plums.txt").write_text("Сливы растут на деревьях. Plums are blue.\n", encoding="utf-8")
    (folder / "photo.xyz").write_bytes(b"\x00\x01")
    return folder


Build = Callable[..., Update]


@pytest.fixture
def build(settings: Settings, folder: Path) -> Build:
    """Build ``folder``, or another, into the index ``test``; every file is read again unless ``rebuild`` is false."""

    def build_index(*paths: Path, listener: Recorder | None = None, rebuild: bool = True) -> Update:
        heard = listener or Recorder()
        return update(settings, paths or (folder,), heard, make=hashing_encoder, read=read_source, rebuild=rebuild)

    return build_index


@pytest.fixture
def indexed(settings: Settings, build: Build) -> Service:
    """Return a real service over ``folder``, for tests of the web too, where ``service`` is a fake."""
    build()
    service = Service(settings, make=hashing_encoder)
    service.reload()
    return service


@pytest.fixture
def service(indexed: Service) -> Service:
    return indexed
