"""Pages in a real browser: no complaint, no request for anything from elsewhere, and nothing cut at their edges."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}


@contextmanager
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, address: str, drawn: str, **more: Any) -> Iterator[Page]:
    """A page, once the element `drawn` is there.

    At the end there must have been no complaint, and no request for anything that does not lie beside the page.
    """
    troubles: list[str] = []
    settings = {"viewport": {"width": 1300, "height": 900}, "color_scheme": "light"} | more
    context = browser.new_context(**settings)
    context.set_default_timeout(100_000)
    page = context.new_page()

    def asked(request: Request) -> None:
        if not request.url.startswith((address.rpartition("/")[0] + "/", "data:", "blob:")):
            troubles.append(f"asked for {request.url}")

    page.on("request", asked)
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(address)
    page.wait_for_selector(drawn)
    yield page
    context.close()
    assert troubles == []


def until(page: Page, condition: str) -> None:
    """Wait until a condition holds; the page itself forbids the evaluation of strings, as `wait_for_function` needs."""
    for _ in range(2000):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(condition)


def check_width(page: Page, width: int, places: str) -> None:
    """No scrolling sideways at this width, and in these places nothing that is cut or reaches beyond the window."""
    page.set_viewport_size({"width": width, "height": 844})
    until(page, f"innerWidth === {width}")
    # Charts are drawn anew a moment later.
    until(page, "document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    cut = "(one) => one.scrollWidth > one.clientWidth || one.getBoundingClientRect().right > innerWidth"
    found = page.locator(places).evaluate_all(f"(all) => all.filter({cut}).map((one) => one.outerHTML.slice(0, 200))")
    assert page.locator(places).count()
    assert found == []


def texts(page: Page, place: str) -> list[str]:
    return page.locator(place).all_inner_texts()
