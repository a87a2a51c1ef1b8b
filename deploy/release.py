"""Cut a release's section in the changelog, and build its files. ``make release-notes`` and ``make release`` run it.

What is built is uploaded nowhere.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
UNRELEASED = "## Unreleased"


class NotReleasable(Exception):
    """What has to be done first."""


def read_version(root: Path) -> str:
    """Read the version of ``pyproject.toml``."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def find_notes(changelog: str, version: str) -> str:
    """Return the section of a version, without its heading. Raises NotReleasable."""
    found = re.search(
        rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    if not found or not found[1].strip():
        raise NotReleasable(f"CHANGELOG.md has no section of {version}; run: make release-notes")
    return found[1].strip() + "\n"


def cut_section(root: Path, today: str) -> str:
    """Turn what is unreleased into the section of the version, above an empty one. Raises NotReleasable."""
    version, path = read_version(root), root / "CHANGELOG.md"
    changelog = path.read_text(encoding="utf-8")
    if f"## {version} - " in changelog:
        raise NotReleasable(f"CHANGELOG.md has a section of {version} already; raise the version in pyproject.toml")
    if not re.search(rf"^{UNRELEASED}\n\s*[^\s#]|^{UNRELEASED}\n\s*### ", changelog, re.MULTILINE):
        raise NotReleasable("CHANGELOG.md has nothing that is unreleased")
    path.write_text(changelog.replace(UNRELEASED, f"{UNRELEASED}\n\n## {version} - {today}", 1), encoding="utf-8")
    return version


def build(root: Path) -> list[Path]:
    """Build source archive, wheel and notes into ``dist``, of a commit that has the tag of its version.

    Raises:
        NotReleasable: the tree is not that of the commit, the commit has not the tag, or the changelog no section.
        CalledProcessError: git or hatchling fails.
    """
    version = read_version(root)
    notes = find_notes((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    if changed := _git(root, "status", "--porcelain"):
        raise NotReleasable(f"not all is committed: {', '.join(line[3:] for line in changed.splitlines())}")
    if f"v{version}" not in (tags := _git(root, "tag", "--points-at", "HEAD").split()):
        has = f"the tag {', '.join(tags)}" if tags else "no tag"
        raise NotReleasable(f"this commit has {has}; run: git tag -a v{version} -m 'Release {version}'")
    # The time of the commit in the archives: the same commit gives the same bytes.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": _git(root, "log", "-1", "--format=%ct").strip()}
    folder = root / "dist"
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t", "sdist", "-t", "wheel"]
    subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    written = folder / f"qa-{version}.md"
    written.write_text(notes, encoding="utf-8")
    return [folder / f"qa-{version}.tar.gz", folder / f"qa-{version}-py3-none-any.whl", written]


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def main() -> int:
    """Run the step that is named, ``notes`` or ``build``; return 1 where something has to be done first."""
    try:
        if sys.argv[1:] == ["notes"]:
            version = cut_section(ROOT, datetime.now(UTC).date().isoformat())
            print(
                f"CHANGELOG.md has a section of {version}. Commit it, and: git tag -a v{version} -m 'Release {version}'"
            )
        else:
            for path in build(ROOT):
                print(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")
    except NotReleasable as error:
        print(f"not released: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
