"""Texts in several scripts, all in the public domain, and the place of larger ones."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared"

SCRIPTS = {
    "latin": (
        "Call me Ishmael. Some years ago—never mind how long precisely—having little or no money in my purse, and "
        "nothing particular to interest me on shore, I thought I would sail about a little. It is a way I have of "
        "driving off the spleen!\n\nIl était une fois, à Noël, un garçon naïf. « Où vas-tu ? » dit-elle."
    ),
    "cyrillic": (
        "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. Всё смешалось в "
        "доме Облонских. Жена узнала, что муж был в связи с бывшею в их доме француженкою-гувернанткой."
    ),
    "arabic": (
        "يحكى والله أعلم أنه كان فيما مضى من قديم الزمان ملك من ملوك ساسان. هل كان له ولدان؟ نعم، أحدهما كبير والآخر "
        "صغير؛ وكانا فارسين بطلين."
    ),
    "chinese": (
        "道可道，非常道。名可名，非常名。無名天地之始；有名萬物之母。\n\n学而时习之，不亦说乎？有朋自远方来，不亦乐乎？"
    ),
    "thai": "ทรัพย์ในดินสินในน้ำ ในน้ำมีปลา ในนามีข้าว เจ้าเมืองบ่เอาจกอบในไพร่ลู่ทาง เพื่อนจูงวัวไปค้า ขี่ม้าไปขาย",
    "devanagari": "सत्यमेव जयते नानृतम्। सत्येन पन्था विततो देवयानः॥",
    "marks and emoji": "Cafe\u0301 au lait. Z\u0335\u0321\u0316a\u0334lgo? 👨‍👩‍👧‍👦👍🏽 Yes! 🇩🇪🇫🇷 e\u0301\u0302\u0323.",
    "odd white space": "A.\u00a0B. Smith\u2028went\u3000home.\x85Then\x0cI\x1fslept.\u2029\u2003Well. ",
}


def shared(*parts: str) -> Path:
    """Return a real file or folder beside the repository, or skip the test: it is not ours to publish."""
    path = SHARED.joinpath("data", "documents", *parts)
    if not path.exists():
        pytest.skip(f"the shared data is not beside the repository: {path}")
    return path


def derived(name: str) -> Path:
    """Return a file that was made to be hard to read."""
    return shared("derived", name)


@contextmanager
def a_name_of_any_bytes() -> Iterator[None]:
    """Skip the test where a file system takes only names that are UTF-8, as on macOS; other refusals are failures."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EILSEQ, errno.EINVAL):
            raise
        pytest.skip("this file system refuses names that are not UTF-8")
