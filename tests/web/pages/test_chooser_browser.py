"""The chooser of collections in a browser: by keyboard, without a script, accessible, and within its window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe

from qa.web.app import create_app
from qa.web.deps import Offered, Options
from tests.support.browsing import Visiting
from tests.support.fake_service import ANSWER, READY, FakeService
from tests.support.site import QUESTION
from tests.support.uvicorn_server import serving
from tests.web.pages.test_every_page_browser import OUTSIDE

pytestmark = pytest.mark.browser

LONG = "a-collection-with-a-name-that-is-much-longer-than-any-narrow-screen-is-wide"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    services = [FakeService() for _ in range(3)]
    for service, name in zip(services, ("harbour", "market", LONG), strict=True):
        service.current = replace(READY, index=name)
    services[1].answer = ANSWER
    app = create_app(services[0], options=Options(), others=[Offered(each) for each in services[1:]])
    with serving(app) as (host, port):
        yield f"http://{host}:{port}"


@pytest.mark.parametrize("path", [f"/?q={quote(QUESTION)}&collections=*", f"/collections/{LONG}/documents"])
def test_it_is_accessible_and_fits_every_width(visiting: Visiting, address: str, path: str) -> None:
    visit = visiting(address)
    visit.open(path)
    page = visit.page
    page.locator(".chooser summary").click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (320, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            found = Axe().run(page)
            assert found.violations_count == 0, f"{scheme}, {width} px: {found.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(OUTSIDE, width) == []


@pytest.mark.parametrize("has_script", [True, False])
def test_the_same_question_is_asked_elsewhere_by_keyboard_alone(
    visiting: Visiting, address: str, has_script: bool
) -> None:
    visit = visiting(address, java_script_enabled=has_script)
    visit.open(f"/?q={quote(QUESTION)}")
    page = visit.page
    page.locator(".chooser summary").press("Enter")
    page.get_by_role("link", name="market", exact=True).press("Enter")
    page.wait_for_url("**/collections/market/?q=*")
    assert page.get_by_label("Your question").input_value() == QUESTION
    # The next question stays there.
    page.get_by_label("Your question").press("Enter")
    page.wait_for_url("**/collections/market/?q=*")
