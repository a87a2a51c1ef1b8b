"""A release is built of the tagged commit alone, with its notes."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from deploy.release import NotReleasable, build, cut_section, find_notes

PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "qa"
version = "1.2.0"
requires-python = ">=3.11"
"""
CHANGELOG = """# Changelog

## Unreleased

### Added
- Answers.

## 1.1.0 - 2026-01-01

- Questions.
"""


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    (tmp_path / ".gitignore").write_text("dist\n", encoding="utf-8")
    (tmp_path / "qa").mkdir()
    (tmp_path / "qa" / "__init__.py").write_text("", encoding="utf-8")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "begin")
    return tmp_path


def test_what_is_unreleased_becomes_the_section_of_the_version(root: Path) -> None:
    assert cut_section(root, "2026-02-01") == "1.2.0"
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## Unreleased\n\n## 1.2.0 - 2026-02-01\n\n### Added\n- Answers.\n\n## 1.1.0" in changelog
    assert find_notes(changelog, "1.2.0") == "### Added\n- Answers.\n"
    assert find_notes(changelog, "1.1.0") == "- Questions.\n"
    with pytest.raises(NotReleasable, match=r"a section of 1\.2\.0 already; raise the version"):
        cut_section(root, "2026-02-02")


def test_nothing_unreleased_is_no_release(root: Path) -> None:
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 1.1.0 - 2026-01-01\n\n- Questions.\n")
    with pytest.raises(NotReleasable, match="nothing that is unreleased"):
        cut_section(root, "2026-02-01")


def test_only_the_tagged_commit_of_the_version_is_built(root: Path) -> None:
    with pytest.raises(NotReleasable, match=r"no section of 1\.2\.0; run: make release-notes"):
        build(root)
    cut_section(root, "2026-02-01")
    with pytest.raises(NotReleasable, match=r"not all is committed: CHANGELOG\.md"):
        build(root)
    git(root, "commit", "-aqm", "notes")
    with pytest.raises(NotReleasable, match=r"has no tag; run: git tag -a v1\.2\.0"):
        build(root)
    git(root, "tag", "v1.1.0")
    with pytest.raises(NotReleasable, match=r"has the tag v1\.1\.0; run"):
        build(root)


@pytest.mark.slow
def test_the_files_of_a_release_are_the_same_each_time(root: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    cut_section(root, "2026-02-01")
    git(root, "commit", "-aqm", "notes")
    git(root, "tag", "v1.2.0")
    source, wheel, notes = build(root)
    assert notes.read_text(encoding="utf-8") == "### Added\n- Answers.\n"
    with zipfile.ZipFile(wheel) as packed:
        assert "Version: 1.2.0" in packed.read("qa-1.2.0.dist-info/METADATA").decode()
    with tarfile.open(source) as packed_source:
        assert "qa-1.2.0/CHANGELOG.md" in packed_source.getnames()
    first = [path.read_bytes() for path in (source, wheel)]
    assert [path.read_bytes() for path in build(root)[:2]] == first
