"""A small folder whose files say of themselves who wrote them and when: pages, notes, and a mailbox of three mails."""

from __future__ import annotations

from pathlib import Path

_PAGE = """<html lang="{language}"><head><title>{title}</title><meta name="author" content="{author}">
<meta name="keywords" content="{keywords}"><meta name="article:published_time" content="{created}">
<meta name="article:modified_time" content="{modified}"></head><body><p>{text}</p></body></html>"""
_MAIL = """From {address} Thu Jan  1 00:00:00 1970
From: {sender} <{address}>
To: Everyone <all@example.org>
Subject: {subject}
Date: {sent}
Content-Type: text/plain; charset=utf-8

{text}

"""

PAGES = {
    "hr/leave.html": {
        **{"language": "en", "title": "Leave", "author": "Anna Ek", "keywords": "leave, holidays"},
        **{"created": "2019-03-01", "modified": "2024-05-02T10:00:00Z"},
        "text": "Every person has thirty days of leave in a year, and the boiler is of no concern here.",
    },
    "hr/policies/pay.html": {
        **{"language": "en", "title": "Pay", "author": "Bo Li; Anna Ek", "keywords": "pay"},
        **{"created": "2023", "modified": ""},
        "text": "The pay is transferred on the last working day of every month, also where leave is taken.",
    },
    "it/boiler.html": {
        **{"language": "en", "title": "The boiler", "author": "bo li", "keywords": "heating, boiler"},
        **{"created": "2024-05", "modified": "2024-06-30"},
        "text": "The boiler is serviced in every second year. Call the caretaker where the boiler is cold.",
    },
    "it/kessel.html": {
        **{"language": "de", "title": "Der Kessel", "author": "Café Müller", "keywords": "Heizung"},
        **{"created": "2022-12-31T23:30:00-02:00", "modified": ""},
        "text": "Der Kessel wird in jedem zweiten Jahr gewartet. Wenn er kalt ist, hilft der Hausmeister am Montag.",
    },
}
NOTES = {
    "readme.txt": "The boiler room is behind the stairs. The key hangs at the door, and leave it there after use.",
    "hr/notes.md": "# Notes\n\nLeave is asked for in writing.\n\n## Later\n\nPay day was moved to the end of a month.",
}
MAILS = (
    ("Anna Ek", "anna@example.org", "Boiler", "Mon, 06 May 2024 08:00:00 +0000", "The boiler is cold again today."),
    ("Bo Li", "bo@example.org", "Re: Boiler", "Tue, 07 May 2024 09:00:00 +0000", "The caretaker repaired the boiler."),
    ("Anna Ek", "anna@example.org", "Leave", "Wed, 01 Jan 2025 00:30:00 +0100", "Please plan your leave this month."),
)


def write_files(folder: Path) -> Path:
    """Write the files into ``folder``, which is made, and return it."""
    for id, values in PAGES.items():
        _write(folder / id, _PAGE.format(**values))
    for id, text in NOTES.items():
        _write(folder / id, text)
    names = ("sender", "address", "subject", "sent", "text")
    _write(folder / "mail/box.mbox", "".join(_MAIL.format(**dict(zip(names, mail, strict=True))) for mail in MAILS))
    return folder


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
