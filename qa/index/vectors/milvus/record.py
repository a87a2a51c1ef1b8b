"""The file of a snapshot's folder that names its collection, so that the collection is dropped with the folder.

It is written before the collection is made. Whatever ends a build, its folder lies aside with the file in it, and who
removes the folder drops the collection first. No collection is dropped that no such file names: a server may be shared.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qa.errors import SnapshotCorrupt, VectorsUnavailable
from qa.files import write_atomically
from qa.index.vectors.milvus.collection import Collection

if TYPE_CHECKING:
    from qa.types import MilvusAddress

RECORD_FILE = "vectors.milvus.json"
_NO_LETTER = re.compile(r"[^A-Za-z0-9]")
# Of the 255 characters that a name may have.
_MOST_CHARS = 100


def new_name(folder: Path) -> str:
    """Make a name for the collection of a snapshot's folder that no other has, on whatever machine it is built.

    It is for people that the name of the index is in it, which is that of the folder above the snapshots.
    """
    index = folder.absolute().parent.parent.name
    return f"qa_{_NO_LETTER.sub('_', index)[:_MOST_CHARS]}_{secrets.token_hex(8)}"


def write_record(folder: Path, collection: str) -> None:
    """Write the file. Raises StorageError."""
    write_atomically(folder / RECORD_FILE, json.dumps({"collection": collection}) + "\n")


def read_record(folder: Path) -> str | None:
    """Return the name of the collection of a snapshot's folder; ``None`` where its vectors lie in the folder.

    Raises:
        SnapshotCorrupt: the file names none.
    """
    path = folder / RECORD_FILE
    try:
        name = json.loads(path.read_bytes())["collection"]
        if not isinstance(name, str):
            raise TypeError("the name is no text")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SnapshotCorrupt(f"{path} names no collection ({error})") from error
    return name


def drop_collection(folder: Path, address: MilvusAddress | None) -> None:
    """Drop the collection that a folder's file names, if it has one.

    Raises:
        VectorsUnavailable: the server cannot be reached, or it is not known where it is.
    """
    with _named(folder, address) as collection:
        if collection is not None:
            collection.drop()


def release_collection(folder: Path, address: MilvusAddress | None) -> None:
    """Let the server free the memory of the collection that a folder's file names; whoever opens it loads it again.

    Raises:
        VectorsUnavailable: as :func:`drop_collection`.
    """
    with _named(folder, address) as collection:
        if collection is not None:
            collection.release()


@contextmanager
def _named(folder: Path, address: MilvusAddress | None) -> Iterator[Collection | None]:
    """Connect to the collection that a folder's file names; ``None`` where it names none, or nobody knows which."""
    try:
        name = read_record(folder)
    except SnapshotCorrupt:
        name = None
    if name is None:
        yield None
        return
    if address is None:
        raise VectorsUnavailable(f"the vectors of {folder.name} are the collection {name} in Milvus; set QA_MILVUS")
    with closing(Collection(address, name, strong=True)) as collection:
        yield collection
