"""Graphs as OpenVINO has compiled them, kept on disk: a start need not compile, and processes share what is mapped.

::

    <folder>/<hash>.blob        4,096 bytes of header: what it is and the SHA-256 of the rest; then OpenVINO's blob

What OpenVINO makes of a graph depends on the model, the processor, its own version and the precision, and the name is a
hash of these. A blob holds no machine code, which is made when it is imported. One that is damaged, or cannot be
imported, is made again; where it cannot be written the graph is compiled at every start.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from qa.errors import StorageError
from qa.files import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = structlog.get_logger(__name__)

# To be raised whenever what is kept is made in another way.
FORMAT = 1
_MAGIC = b"qa graph 1\n"
# A page, so that the constants behind it lie as OpenVINO aligned them.
_HEADER = 4096
# Of the options, those that decide what is compiled; how many threads run it does not.
_DECISIVE = ("INFERENCE_PRECISION_HINT",)
# Mapped for as long as the process runs: OpenVINO points into them, and does not say when it no longer does.
_in_use: list[NDArray[np.uint8]] = []


@dataclass(frozen=True, slots=True)
class Place:
    """Where the blobs of one model lie, and ``key``, which names its content.

    ``weights`` is the file of the model's weights where that stays beside it: the blob then points into it, and is
    under a megabyte. Without it the blob holds them.
    """

    folder: Path
    key: str
    weights: Path | None = None


def open_graph(openvino: Any, options: Mapping[str, object], make: Callable[[], Any], place: Place | None) -> Any:
    """Import the compiled graph that is kept in a place, or compile it and keep it there.

    Args:
        openvino: the package, imported by :func:`qa.models.openvino.import_openvino`.
        make: makes the ``openvino.Model``, or the path of one, where it has to be compiled.
        place: ``None`` keeps nothing.

    Returns:
        an ``openvino.CompiledModel``.
    """
    core = openvino.Core()
    if place is None:
        return core.compile_model(make(), "CPU", dict(options))
    weights = place.weights
    kind = "OPTIMIZE_SIZE" if weights else "OPTIMIZE_SPEED"
    path = place.folder / f"{_name(openvino, core, options, place.key)}.blob"
    try:
        content = _mapped(path)
        extra = {"CACHE_MODE": kind, "WEIGHTS_PATH": str(weights)} if weights else {"CACHE_MODE": kind}
        compiled = core.import_model(openvino.Tensor(content, shared_memory=True), "CPU", {**options, **extra})
        _in_use.append(content)
        return compiled
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError, RuntimeError) as error:
        log.warning("a compiled graph cannot be used; compiling it again", file=path.name, reason=_line(error))
    compiled = core.compile_model(make(), "CPU", {**options, "CACHE_MODE": kind})
    _keep(path, compiled.export_model())
    return compiled


def _name(openvino: Any, core: Any, options: Mapping[str, object], key: str) -> str:
    about = [
        FORMAT,
        key,
        openvino.get_version(),
        core.get_property("CPU", "FULL_DEVICE_NAME"),
        sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        [str(options[name]) for name in _DECISIVE],
    ]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def _mapped(path: Path) -> NDArray[np.uint8]:
    """Map a blob. Raises OSError, or ValueError if it is not as it was written."""
    with path.open("rb") as file:
        # OpenVINO takes nothing that may not be written to, without writing to it: such pages stay the file's.
        content = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), dtype=np.uint8)
    header = content[:_HEADER].tobytes()
    if header[: len(_MAGIC)] != _MAGIC:
        raise ValueError("it is none of these files")
    if header[len(_MAGIC) : len(_MAGIC) + 32] != hashlib.sha256(content[_HEADER:].data).digest():
        raise ValueError("it changed since it was written")
    return content[_HEADER:]


def _keep(path: Path, blob: Any) -> None:
    content = bytes(blob if isinstance(blob, bytes) else blob.getvalue())
    header = (_MAGIC + hashlib.sha256(content).digest()).ljust(_HEADER, b"\0")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, header + content)
    except (OSError, StorageError) as error:
        log.debug("a compiled graph cannot be kept; it is compiled at every start", reason=_line(error))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
