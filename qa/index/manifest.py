"""``manifest.json``: what a snapshot is made of, and the sums that prove it whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from qa.errors import SnapshotCorrupt, SnapshotIncompatible
from qa.files import sum_of_values, write_atomically

MANIFEST_FILE = "manifest.json"
FORMAT_VERSION = 5
_SUM = "sha256"
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "id": str,
    "created": str,
    "parent": (str, type(None)),
    "encoder": str,
    "fingerprint": dict,
    "sources": list,
    "documents": int,
    "passages": int,
    "vectors": dict,
    "files": dict,
}
# What a compiled model adds to the fingerprint of its reference, which multiplies in fp32.
_OF_PRECISION = {"precision", "runtime"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot holds and was made of; see "A snapshot on disk" in the architecture.

    ``created`` is UTC, ISO 8601. ``fingerprint`` has the parts ``encoder``, ``splitter`` and ``readers``; only the
    first decides whether the snapshot can be searched. ``parent`` is the snapshot that was active when this was made.
    ``sources`` are the absolute paths that were indexed. ``vectors`` is what
    :meth:`qa.protocols.VectorIndex.describe` gave: the ``engine``, and its parameters. ``files`` gives the SHA-256 of
    every other file; the manifest itself ends with the SHA-256 of its own values, which manifests of earlier versions
    lack.
    """

    id: str
    created: str
    parent: str | None
    encoder: str
    fingerprint: Mapping[str, Any]
    sources: tuple[str, ...]
    documents: int
    passages: int
    vectors: Mapping[str, Any]
    files: Mapping[str, str]
    format: int = FORMAT_VERSION

    def require_encoder(self, name: str, fingerprint: Mapping[str, object]) -> None:
        """Raise SnapshotIncompatible, naming both models and what differs, unless the encoder is the snapshot's."""
        made_with = self.fingerprint["encoder"]
        if made_with == fingerprint:
            return
        differing = sorted(k for k in {*made_with, *fingerprint} if made_with.get(k) != fingerprint.get(k))
        if set(differing) <= _OF_PRECISION:
            made, used = (str(one.get("precision", "fp32")) for one in (made_with, fingerprint))
            raise SnapshotIncompatible(
                f"snapshot {self.id} was made with {self.encoder} at precision {made}, and {used} is in use; "
                f"set QA_PRECISION={made}, or build the index again"
            )
        raise SnapshotIncompatible(
            f"snapshot {self.id} was made with the model {self.encoder}, and {name} is in use (they differ in "
            f"{', '.join(differing)}); set QA_MODEL to the snapshot's model, or build the index again"
        )

    def write(self, folder: Path) -> None:
        """Write the file and return when it is on the disk. Raises StorageError."""
        values = asdict(self)
        content = {**values, _SUM: sum_of_values(values)}
        write_atomically(folder / MANIFEST_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a snapshot's folder.

        Raises:
            SnapshotCorrupt: the file is missing, not a manifest, or not what was written.
            SnapshotIncompatible: it is of another format version.
        """
        path = folder / MANIFEST_FILE
        try:
            content = json.loads(path.read_bytes())
            if content["format"] != FORMAT_VERSION:
                raise SnapshotIncompatible(
                    f"snapshot {folder.name} is of format {content['format']} and this program reads {FORMAT_VERSION}; "
                    "build the index again"
                )
            expected = content.pop(_SUM, None)
            if expected is not None and expected != sum_of_values(content):
                raise ValueError("its values are not those that were written")
            _check(content)
            return cls(**{**content, "sources": tuple(content["sources"])})
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise SnapshotCorrupt(f"{path} is no manifest ({error}); build the index again") from error


def _check(content: dict[str, Any]) -> None:
    """Check what the values are. Raises KeyError, TypeError, ValueError."""
    for name, kind in _TYPES.items():
        if not isinstance(content[name], kind) or isinstance(content[name], bool):
            raise TypeError(f"{name} is of a wrong type")
    texts = [*content["sources"], *content["files"].values()]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("sources or files hold what is no text")
    if not all(
        isinstance(part, dict) for part in (content["fingerprint"]["encoder"], *content["fingerprint"].values())
    ):
        raise TypeError("a part of the fingerprint is no object")
    if min(content["documents"], content["passages"]) < 0:
        raise ValueError("a count is negative")
    if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in content["files"]):
        raise ValueError("files lead out of the snapshot")
    datetime.fromisoformat(content["created"])


def file_names(folder: Path) -> list[str]:
    """List every file below ``folder`` but the manifest, by its path with ``/``."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE)
    return sorted(path.relative_to(folder).as_posix() for path in paths)
