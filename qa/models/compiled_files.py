"""A compiled model on disk: found by its fingerprint, published whole, and trusted only when its sums are right.

::

    <indexes>/.models/<key>/           key: a hash of the model's fingerprint, and the precision
        model.xml, model.bin           OpenVINO's intermediate representation
        tokenizer.json
        probes.json                    what the reference makes of the probes
        manifest.json                  SHA-256 of the others, versions, agreement; written last
    <indexes>/.models/<key>.refused    why this model is not compiled, and by which versions that was found
    <indexes>/.models/<key>.lock
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from qa.durability import sync

MODELS_FOLDER = ".models"
MODEL_FILE = "model.xml"
TOKENIZER_FILE = "tokenizer.json"
PROBES_FILE = "probes.json"
_MANIFEST_FILE = "manifest.json"
# To be raised whenever what is compiled, or the probes, change.
FORMAT = 1
_COMPILERS = ("openvino", "torch", "transformers", "sentence-transformers", "nncf")


@dataclass(frozen=True, slots=True)
class CompiledManifest:
    """``agreement`` is the least likeness to the reference over the probes; ``versions`` compiled it."""

    name: str
    precision: str
    window: int
    pad: int
    width: int
    agreement: float
    versions: Mapping[str, str]
    files: Mapping[str, str]
    format: int = FORMAT


def key_of(fingerprint: Mapping[str, object], precision: str) -> str:
    """The name of a compiled model's folder."""
    content = json.dumps([FORMAT, fingerprint], sort_keys=True).encode()
    return f"{hashlib.sha256(content).hexdigest()[:16]}-{precision}"


def compiler_versions() -> dict[str, str]:
    """Of what decides how a model is compiled, as far as it is installed. Imports none of it."""
    versions = {}
    for package in _COMPILERS:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def write_manifest(folder: Path, manifest: CompiledManifest) -> None:
    """Also makes the folder's files durable. Raises OSError."""
    (folder / _MANIFEST_FILE).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        sync(path)


def publish(staged: Path, folder: Path) -> None:
    """Put a whole folder in its place; what is damaged there goes away first. Raises OSError."""
    if folder.exists():
        shutil.rmtree(folder)
    staged.replace(folder)
    sync(folder.parent)


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name != _MANIFEST_FILE:
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def read_manifest(folder: Path) -> CompiledManifest:
    """Raises ValueError, saying what is wrong, unless every file is there as it was published."""
    try:
        content: dict[str, Any] = json.loads((folder / _MANIFEST_FILE).read_bytes())
        manifest = CompiledManifest(**content)
        found = sums(folder)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{folder / _MANIFEST_FILE} cannot be read ({error})") from error
    if manifest.format != FORMAT:
        raise ValueError(f"{folder} is of format {manifest.format}, not {FORMAT}")
    if wrong := sorted(name for name, sum in manifest.files.items() if found.get(name) != sum):
        raise ValueError(f"{', '.join(wrong)} in {folder} changed since it was compiled, or is missing")
    return manifest


def write_refusal(path: Path, reason: str) -> None:
    """Remember why, for as long as the same versions are installed. Raises OSError."""
    staged = path.with_name(f"{path.name}.{os.getpid()}")
    staged.write_text(json.dumps({"reason": reason, "versions": compiler_versions(), "format": FORMAT}), "utf-8")
    staged.replace(path)


def read_refusal(path: Path) -> str | None:
    """The reason; ``None`` where there is none, or other versions found it."""
    try:
        content = json.loads(path.read_bytes())
        if (content["versions"], content["format"]) != (compiler_versions(), FORMAT):
            return None
        return str(content["reason"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
