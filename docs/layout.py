"""Figures of how the code of a checkout is laid out: ``python docs/layout.py [FOLDER]``, by default this one.

Lines are those of the files, blank lines, comments and docstrings included. Only the standard library is needed,
so that any commit can be measured: ``git worktree add /tmp/before cc8e535 && python docs/layout.py /tmp/before``.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

# A file that one other file imports, and that is shorter than this, belongs in it.
_SLICE = 100
_LONG_FUNCTION = 50

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """A file of the package: its dotted name, its tree and its lines."""

    name: str
    path: Path
    tree: ast.Module
    lines: int


def load_modules(root: Path) -> list[Module]:
    """Read every file of ``root/qa`` that holds a statement; an ``__init__`` with a docstring alone holds none."""
    modules = []
    for path in sorted((root / "qa").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        if any(not _is_docstring(node) for node in tree.body):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            modules.append(Module(name, path.relative_to(root), tree, len(text.splitlines())))
    return modules


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def find_slices(modules: list[Module]) -> list[str]:
    """Return the short modules that exactly one other module imports, late and type-checking imports included."""
    names = {module.name for module in modules}
    importers = defaultdict(set)
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                wanted = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            for name in wanted:
                if name in names:
                    importers[name].add(module.name)
    short = (module.name for module in modules if module.lines < _SLICE)
    return [name for name in short if len(importers[name] - {name}) == 1]


def find_functions(modules: list[Module]) -> list[tuple[int, str]]:
    """Return the lines and the place of every function and method, the longest first."""
    found = [
        (node.end_lineno - node.lineno + 1, f"{module.path}:{node.lineno} {node.name}")
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, Function) and node.end_lineno is not None
    ]
    return sorted(found, reverse=True)


def count_contract_lines(root: Path) -> int:
    """Count the lines of ``[tool.importlinter]`` and its contracts in pyproject.toml."""
    count, inside = 0, False
    for line in (root / "pyproject.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            inside = line.startswith(("[tool.importlinter", "[[tool.importlinter"))
        count += inside
    return count


def measure(root: Path) -> dict[str, object]:
    """Return the figures of a checkout by their names."""
    modules = load_modules(root)
    functions = find_functions(modules)
    longest = max(modules, key=lambda module: module.lines)
    packages = {path.parent for path in (root / "qa").rglob("__init__.py")}
    return {
        "packages": len(packages) - 1,
        "modules": len(modules),
        "modules directly in qa/": sum(len(module.path.parts) == 2 for module in modules),
        "most modules in one folder": max(len([m for m in modules if (root / m.path).parent == p]) for p in packages),
        "lines": sum(module.lines for module in modules),
        "lines of a module, median": int(median(module.lines for module in modules)),
        "longest module": f"{longest.lines} {longest.path}",
        f"modules under {_SLICE} lines that one other imports": len(find_slices(modules)),
        "functions": len(functions),
        "lines of a function, median": int(median(lines for lines, _ in functions)),
        f"functions over {_LONG_FUNCTION} lines": sum(lines > _LONG_FUNCTION for lines, _ in functions),
        "longest function": f"{functions[0][0]} {functions[0][1]}",
        "lines of import contracts": count_contract_lines(root),
        "lines of the README": len((root / "README.md").read_text(encoding="utf-8").splitlines()),
    }


def main() -> None:
    """Print the figures, one a line."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent
    for name, value in measure(root).items():
        print(f"{name:<50} {value}")


if __name__ == "__main__":
    main()
