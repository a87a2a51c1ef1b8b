"""The maps of the code are what the folders hold: package docstrings, the README's tree, and tests beside packages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = sorted(path.parent for path in (ROOT / "qa").rglob("__init__.py"))
TRAINING = ROOT / "training"
# "name   what it is", or "name/  what it is" for a folder.
ENTRY = re.compile(r"^ *(?P<name>\w+/?) {2,}\S", re.MULTILINE)


def names_in(folder: Path) -> set[str]:
    """Return the modules of a package, and its sub-packages with a slash."""
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    return modules | {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}


def data_in(folder: Path) -> set[str]:
    """Return the folders of a package that hold no code: a map may name them."""
    folders = {f"{path.name}/" for path in folder.iterdir() if path.is_dir()}
    return folders - names_in(folder) - {"__pycache__/"}


@pytest.mark.parametrize("package", [*PACKAGES, TRAINING], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_package_s_docstring_names_each_of_its_files_once(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8")), clean=False) or ""
    listed = [found["name"] for found in ENTRY.finditer(docstring)]
    assert len(listed) == len(set(listed))
    assert set(listed) - data_in(package) == names_in(package)


def test_the_readme_s_tree_names_each_package_and_each_file_beside_them_once() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = re.search(r"^qa/\n((?:  .+\n)+)", readme, re.MULTILINE)
    assert tree
    files, *packages = (re.split(r" {3,}", line.strip())[0] for line in tree[1].splitlines())
    assert {*files.split(), *packages} == names_in(ROOT / "qa")
    assert len(files.split()) + len(packages) == len(names_in(ROOT / "qa"))


def test_every_package_has_tests_in_a_folder_of_its_name() -> None:
    mirrored = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    packages = {path.relative_to(ROOT / "qa") for path in PACKAGES}
    # The three large formats are tested beside the other readers: one contract suite holds them all.
    formats = {Path("readers/docx"), Path("readers/html"), Path("readers/pdf")}
    assert packages - formats <= mirrored
    assert mirrored - packages == {Path("support"), Path("training")}


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
STOP = re.compile(r"^(?P<number>\d+)\. `(?P<file>qa/[\w/]+\.py)` `(?P<name>[\w.]+)`", re.MULTILINE)
WALKS = ["A question", "A file", "A question file"]


def stops_of(walk: str) -> list[re.Match[str]]:
    """Return the numbered stops under a heading of docs/architecture.md."""
    return list(STOP.finditer(ARCHITECTURE.split(f"\n## {walk}\n")[1].split("\n## ")[0]))


def defines(file: str, name: str) -> bool:
    """Tell whether a file defines a function or class, or ``Class.method``."""
    body: list[ast.stmt] = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    for part in name.split("."):
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == part:
                body = node.body
                break
        else:
            return False
    return True


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_of_the_architecture_names_functions_that_are_there(walk: str) -> None:
    stops = stops_of(walk)
    assert [int(stop["number"]) for stop in stops] == list(range(1, len(stops) + 1))
    assert 0 < len(stops) <= 12
    for stop in stops:
        assert defines(stop["file"], stop["name"]), stop[0]


def test_the_architecture_s_picture_has_every_package() -> None:
    picture = ARCHITECTURE.split("```")[1]
    assert {name.strip("/") for name in names_in(ROOT / "qa")} <= set(re.findall(r"\w+", picture))
