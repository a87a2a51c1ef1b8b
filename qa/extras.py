"""The extras of the package, which of them are installed, and what to type for one that is not."""

from __future__ import annotations

import platform
from importlib.util import find_spec
from typing import Literal

from qa.errors import ExtraMissing, UnsupportedSystem

Extra = Literal["serve", "build", "ray"]

# Packages that stand for their extra: the rest comes with them, and to look for these costs a millisecond.
_MODULES: dict[Extra, tuple[str, ...]] = {
    "serve": ("faiss", "fastapi", "numpy", "openvino", "scipy", "tantivy", "tokenizers", "uvicorn"),
    "build": ("sentence_transformers", "torch"),
    "ray": ("pyarrow", "ray"),
}


def is_installed(extra: Extra) -> bool:
    """Tell whether the packages of an extra are there. Imports none of them."""
    return all(find_spec(module) is not None for module in _MODULES[extra])


def require(extra: Extra, what: str) -> None:
    """Check that an extra is installed, and that this system can run what is in it.

    Args:
        what: needs it, such as "qa index", for the message.

    Raises:
        UnsupportedSystem: this is Windows: files are read in processes whose limits are those of POSIX.
        ExtraMissing: it is not installed.
    """
    if platform.system() == "Windows":
        raise UnsupportedSystem(
            f"{what} does not run on Windows itself; run it in WSL or in the image (docs/deploying.md), and ask that "
            "with: qa ask --url"
        )
    if not is_installed(extra):
        raise ExtraMissing(what, extra)
