"""The documentation leads to what is there: links, headings, files, modules, `make` targets and settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qa.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for folder in (ROOT, ROOT / "docs", ROOT / "docs" / "decisions", ROOT / "benchmarks", ROOT / "indexes")
    for page in folder.glob("*.md")
)
# Decisions and the changelog are history: what they name may be gone.
CURRENT = [page for page in PAGES if "decisions/" not in page and page != "CHANGELOG.md"]
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TARGETS = {
    line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if re.match(r"[a-z0-9-]+:", line)
}


def read(page: str) -> str:
    """Return a page's text."""
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    for link in LINK.findall(FENCE.sub("", read(page))):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", CURRENT)
def test_every_file_that_is_named_is_there(page: str) -> None:
    for path in re.findall(r"`((?:qa|tests|benchmarks|docs|examples|deploy|training)/[\w./-]*\w)", read(page)):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", CURRENT)
def test_every_module_that_is_to_be_run_is_there(page: str) -> None:
    for module in re.findall(r"python -m ((?:qa|benchmarks|training)[\w.]*)", read(page)):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@pytest.mark.parametrize("page", CURRENT)
def test_every_make_target_that_is_named_is_there(page: str) -> None:
    assert set(re.findall(r"`make ([a-z-]+)", read(page))) <= TARGETS


@pytest.mark.parametrize("page", CURRENT)
def test_every_setting_that_is_named_is_there(page: str) -> None:
    # QA_REQUIRE_BROWSER and the like are of tests and scripts.
    named = set(re.findall(r"\bQA_[A-Z_]+[A-Z]\b", read(page)))
    assert named - {"QA_REQUIRE_BROWSER"} <= {f"QA_{name.upper()}" for name in Settings.model_fields}


def test_decisions_are_numbered_once_and_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    names = sorted(path.name for path in folder.glob("0*.md"))
    assert len({name[:4] for name in names}) == len(names)
    assert all(f"# {name[:4]} " in (folder / name).read_text(encoding="utf-8") for name in names)
    assert re.findall(r"\((0.+\.md)\)", read("docs/decisions/README.md")) == names


@pytest.mark.parametrize("page", CURRENT)
def test_every_test_that_is_named_is_there(page: str) -> None:
    for path, word in re.findall(r"`(tests/[\w/]+\.py) -k (\w+)`", read(page)):
        assert re.search(rf"def test_\w*{word}", read(path)), f"{path} -k {word}"
