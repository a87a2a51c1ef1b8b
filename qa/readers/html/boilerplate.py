"""The parts of a page that are not its text: navigation, headers and footers of the site, banners, forms.

They are recognised by elements, roles and names that the page itself gives. A part that holds half of the text is kept,
by any name.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

from qa.readers.html.tree import Element, End, Tree

_ROLES = frozenset(
    "navigation banner contentinfo search complementary menu menubar toolbar dialog alertdialog directory".split()
)
_ALWAYS = frozenset({"nav", "menu", "dialog"})
# Within these they belong to the text: an article's title, its notes, a call-out.
_OUTSIDE_ONLY = frozenset({"header", "footer", "aside"})
_BESIDE = frozenset({"footer", "aside"})
_CONTENT = frozenset({"main", "article", "section", "blockquote", "figure"})
_BY_TAG = _ALWAYS | _OUTSIDE_ONLY | {"form"}
_NEVER = frozenset({"html", "body"}) | _CONTENT - {"section"}
_LISTS = frozenset({"ul", "ol"})
_NAMES = frozenset("sidebar navbar breadcrumb breadcrumbs pagination site-footer site-nav toc".split())
_CONSENT = re.compile(
    r"cookie-?_?(?:banner|consent|notice|bar|popup|message|law|policy|wall)|gdpr|onetrust", re.IGNORECASE
)
_FACTS = frozenset({"table", "dl", "address"})
# A telephone number or a mailbox; years of a copyright are neither.
_CONTACT = re.compile(r"(?<!\d)(?!(?:19|20)\d\d\s?[-–]\s?(?:19|20)?\d\d(?!\d))\+?\d[\d\s()./–-]{5,}\d|\w@\w+\.\w")
_LONGEST_FACTS = 5_000
_MOST_OF_IT = 0.5
_NAMED_SHARE = 0.25
_MAIN_SHARE, _ARTICLE_SHARE = 0.6, 0.7


def find_main_text(tree: Tree) -> tuple[list[range], frozenset[int]]:
    """Find the ranges of the tokens with the main text, and where in them elements begin that are to be left out."""
    everything = [range(len(tree.tokens))]
    if not tree.elements or not tree.elements[0].weight:
        return everything, frozenset()
    total = tree.elements[0].weight
    dropped = _dropped(tree, total)
    left = total - sum(element.weight for element in dropped)
    if not left:
        return everything, frozenset()
    passed_over = frozenset(element.start for element in dropped)
    main = _main(tree.elements, dropped, left)
    if main is None:
        return everything, passed_over
    title = _title_before(tree.elements, main, dropped)
    beside = [range(element.start, element.end + 1) for element in _beside(tree, main, dropped)]
    before = [part for part in beside if part.start < main.start and part != title]
    after = [part for part in beside if part.start > main.start]
    return [*([title] if title else []), *before, main, *after], passed_over


def _beside(tree: Tree, main: range, dropped: Sequence[Element]) -> list[Element]:
    """Return the outermost elements outside the main text that hold facts: a box of data, how to reach somebody."""
    found: list[Element] = []
    ends = [(element.start, element.end) for element in dropped]
    reached = 0
    for element in tree.elements:
        if element.tag not in _OUTSIDE_ONLY or element.start < reached:
            continue
        if element.start in main or element.start < main.start <= element.end:
            continue
        if not any(start <= element.start < end for start, end in ends) and _holds_facts(tree.tokens, element):
            found.append(element)
            reached = element.end
    return found


def _holds_facts(tokens: Sequence[str | Element | End], element: Element) -> bool:
    """Return whether an aside or footer is short and holds data: a table, an address, a telephone number."""
    if element.weight > _LONGEST_FACTS or element.end - element.start > _LONGEST_FACTS:
        return False
    inside = [token for token in tokens[element.start + 1 : element.end] if not isinstance(token, End)]
    links = sum(token.weight for token in inside if isinstance(token, Element) and token.tag == "a")
    if links * 2 > element.weight:
        return False
    is_marked = any(isinstance(token, Element) and token.tag in _FACTS for token in inside)
    return is_marked or bool(_CONTACT.search(" ".join(token for token in inside if isinstance(token, str))))


def _title_before(elements: Sequence[Element], main: range, dropped: Sequence[Element]) -> range | None:
    """Return where the page's first ``h1`` stands, if that is before the main text and the main text has none."""
    titles = [element for element in elements if element.tag == "h1" and element.weight]
    if not titles or titles[0].start >= main.start or any(title.start in main for title in titles):
        return None
    title = titles[0]
    if any(element.start <= title.start < element.end for element in dropped):
        return None
    return range(title.start, title.end + 1)


def _dropped(tree: Tree, total: int) -> list[Element]:
    """Return the outermost elements that are not part of the text."""
    dropped: list[Element] = []
    content_end = skip_to = header_end = 0
    titled = _holding_a_title(tree.elements)
    for element in tree.elements:
        start, tag = element.start, element.tag
        if start < skip_to:
            continue
        if start in titled:
            header_end = max(header_end, element.end)
        # Beside the title there are menus: of languages, of views.
        limit = _MOST_OF_IT if tag in _LISTS and start < header_end else _limit(element, start < content_end)
        if (
            limit
            and element.weight < limit * total
            and start not in titled
            and not (tag in _BESIDE and _holds_facts(tree.tokens, element))
        ):
            dropped.append(element)
            skip_to = element.end + 1
        elif tag in _CONTENT:
            content_end = max(content_end, element.end)
    return dropped


def _limit(element: Element, is_inside: bool) -> float:
    """Return the share of the page's text up to which an element counts as boilerplate; 0 if it never does."""
    if element.tag in _NEVER:
        return 0
    is_named = bool(element.attributes)
    if not is_named and element.tag not in _BY_TAG:
        return 0  # as most do: there is nothing to look at
    if element.tag in _ALWAYS or (is_named and (element.get("role") in _ROLES or element.get("aria-hidden") == "true")):
        return _MOST_OF_IT
    if element.tag in _OUTSIDE_ONLY:
        return 0 if is_inside else _MOST_OF_IT
    if element.tag == "form" or not _NAMES.isdisjoint(element.classes):
        return _NAMED_SHARE
    is_consent = (
        is_named
        and element.tag in {"div", "section"}
        and _CONSENT.search(f"{element.get('id')} {element.get('class')}")
    )
    return _NAMED_SHARE if is_consent else 0


def _holding_a_title(elements: Sequence[Element]) -> frozenset[int]:
    """Return where the headers begin that hold an ``h1``, the title of the page more often than that of the site."""
    titles = [element.start for element in elements if element.tag == "h1" and element.weight]
    headers = [element for element in elements if titles and _is_or_plays(element, "header", "banner")]
    places = ((header.start, bisect_left(titles, header.start), header.end) for header in headers)
    return frozenset(start for start, at, end in places if at < len(titles) and titles[at] < end)


def _is_or_plays(element: Element, tag: str, role: str) -> bool:
    return element.tag == tag or (bool(element.attributes) and element.get("role") == role)


def _main(elements: Sequence[Element], dropped: Sequence[Element], left: int) -> range | None:
    """Return where ``<main>`` or the only ``<article>`` stands, if most of the text is in it."""
    mains = [element for element in elements if _is_or_plays(element, "main", "main")]
    articles = [element for element in elements if element.tag == "article"]
    for found, share in ((mains, _MAIN_SHARE), (articles, _ARTICLE_SHARE)):
        if len(found) == 1:
            element = found[0]
            inside = sum(other.weight for other in dropped if element.start < other.start < element.end)
            if element.weight - inside >= share * left:
                return range(element.start, element.end + 1)
    return None
