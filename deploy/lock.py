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
    "# What the image installs, with the SHA-256 of each wheel: Python 3.11 on Linux, x86-64, PyTorch for CPUs. "
    "Made by: make image-lock"
)


def main() -> None:
    """Resolve what ``pyproject.toml`` requires within ``constraints.txt``, and write name, version and hash of each."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *extras["ocr"], *project["build-system"]["requires"]]
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
    done = subprocess.run(
        [*pip, "--report", "-", "-c", str(ROOT / "constraints.txt"), *wanted], capture_output=True, check=True
    )
    lines = sorted(
        f"{re.sub(r'[-_.]+', '-', each['metadata']['name']).lower()}=={each['metadata']['version']} "
        f"--hash=sha256:{each['download_info']['archive_info']['hashes']['sha256']}"
        for each in json.loads(done.stdout)["install"]
    )
    (ROOT / "deploy" / "requirements.txt").write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
