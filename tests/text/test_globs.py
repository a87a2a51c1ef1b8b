"""Names chosen by globs: what ``fnmatch`` says of each, whatever the pattern, in time that no pattern multiplies."""

from __future__ import annotations

import re
from fnmatch import translate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.text.globs import MOST_GLOBS, MOST_WILD_CHARACTERS, Names, find_excess

NAMES = [
    "reports/2024/a.txt",
    "reports/2025/b.txt",
    "Notes/Café.md",
    "x[1].txt",
    "x1.txt",
    "",
    "reports",
    "日本/東京.txt",
]


def found(*globs: str) -> list[str]:
    names = Names(NAMES)
    return [names.names[at] for at in names.find(globs)]


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("reports/*", ["reports/2024/a.txt", "reports/2025/b.txt"]),
        ("reports/2025/b.txt", ["reports/2025/b.txt"]),
        ("*/a.*", ["reports/2024/a.txt"]),
        ("NOTES/CAFE\u0301.MD", ["Notes/Café.md"]),
        ("x[1].txt", ["x[1].txt"]),
        ("x[0-9].txt", ["x1.txt"]),
        ("x[!0-9]*", ["x[1].txt"]),
        ("x[[]1].txt", ["x[1].txt"]),
        ("*東?.txt", ["日本/東京.txt"]),
        ("", [""]),
        ("nothing*", []),
        ("*", NAMES),
        ("**", NAMES),
        ("????????????????????", []),
    ],
)
def test_a_glob_chooses_its_names(glob: str, names: list[str]) -> None:
    assert found(glob) == names


def test_several_globs_choose_each_name_once_in_order() -> None:
    assert found("x1.txt", "*.txt", "Notes/*", "x?.txt") == [NAMES[at] for at in (0, 1, 2, 3, 4, 7)]


ODD = st.text(alphabet="ab*?[]!-^\\\0\n", max_size=12)


@given(st.lists(ODD, min_size=1, max_size=5), st.lists(st.text(alphabet="ab[]!-^\\\0\n", max_size=9), unique=True))
def test_it_says_what_fnmatch_says(globs: list[str], names: list[str]) -> None:
    expected = [
        at
        for at, name in enumerate(names)
        # A glob that is a name chooses it, though it may not match.
        if any(re.match(translate(glob), name) or glob == name for glob in globs)
        # And one that is a name and does not match itself chooses that alone.
        and any(
            glob == name or (re.match(translate(glob), name) and (glob not in names or re.match(translate(glob), glob)))
            for glob in globs
        )
    ]
    assert Names(names).find(globs) == expected


@given(st.lists(st.text(alphabet="ab*", min_size=1, max_size=200), min_size=1, max_size=4))
def test_long_patterns_reach_over_many_words_of_bits(globs: list[str]) -> None:
    names = ["a" * n + "b" * (n % 7) for n in range(0, 150, 7)]
    expected = [at for at, name in enumerate(names) if any(re.match(translate(glob), name) for glob in globs)]
    assert Names(names).find(globs) == expected


def test_number_and_length_are_bounded_together() -> None:
    assert find_excess(["a"] * MOST_GLOBS) == ""
    assert "there are 101 patterns" in find_excess(["a"] * (MOST_GLOBS + 1))
    assert find_excess(["x" * 100] * 100) == ""
    assert "have 10,100 characters; at most 10,000" in find_excess(["x" * 101] * 100)
    assert find_excess(["*" + "x" * (MOST_WILD_CHARACTERS - 1)]) == ""
    assert "at most 1,000 are allowed together" in find_excess(["*" + "x" * 500] * 2)
