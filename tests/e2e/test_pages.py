"""Every page of ours: whole on a phone, from right to left and in the dark, and open to everybody."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.e2e.situations import ALL, BAR, STOCK, SWITCH, Visit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
# Without `preload` axe adds no style sheets of its own, which the shop's policy would have to forbid.
OPTIONS = {"resultTypes": ["violations"], "preload": False}
# Django's own breadcrumbs: their links differ from the text by colour alone. And its search field: beside a help text
# axe wants a label in letters, and has there a picture with one.
NOT_OURS = {"exclude": [[".breadcrumbs:not(.impersonation-breadcrumbs)"], ["#searchbar"]]}
# The admin's links change their colour slowly.
SETTLED = "Promise.all(document.getAnimations().map(animation => animation.finished))"
BOXES = """() => [...document.querySelectorAll("#impersonation-bar :is(.impersonation-tab, button, summary)")].map(
  element => {
    const {left, right, top, bottom} = element.getBoundingClientRect();
    const found = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return {left, right, top, bottom, free: element.contains(found)};
  })"""


# axe leaves out the contrast of Arabic letters: it reads the pages in English.
@pytest.mark.parametrize("name", ALL)
def test_pages_are_open_to_everybody(name: str, visit: Visit, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None if name in SWITCH else True
    page = ALL[name](partial(visit, **PHONE), people)
    nothing_is_wider_than_the_window(page)
    has_no_barrier(page, stock=name in STOCK)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light")
    page.evaluate(SETTLED)
    nothing_is_wider_than_the_window(page)
    has_no_barrier(page, stock=name in STOCK)


@pytest.mark.parametrize("name", ["prompt", "user with history", "forbidden", "ended", "confirm", *BAR])
def test_pages_are_whole_from_right_to_left(name: str, visit: Visit, people: Any) -> None:
    page = ALL[name](partial(visit, locale="ar", **PHONE), people)
    assert page.evaluate("document.documentElement.dir") == "rtl"
    nothing_is_wider_than_the_window(page)
    if name in BAR:
        the_bar_is_in_the_window(page)
        the_bar_covers_no_end_of_the_page(page)
        page.set_viewport_size({"width": 640, "height": 360})
        the_bar_is_in_the_window(page)


def nothing_is_wider_than_the_window(page: Page) -> None:
    root = page.evaluate("(({scrollWidth, clientWidth}) => [scrollWidth, clientWidth])(document.documentElement)")
    assert root[0] <= root[1]


def the_bar_is_in_the_window(page: Page) -> None:
    boxes = page.evaluate(BOXES)
    assert len(boxes) == 3
    assert page.viewport_size is not None
    for box in boxes:
        assert 0 <= box["left"] < box["right"] <= page.viewport_size["width"], box
        assert 0 <= box["top"] < box["bottom"] <= page.viewport_size["height"], box
        assert box["free"], box


def the_bar_covers_no_end_of_the_page(page: Page) -> None:
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_function("innerHeight + Math.ceil(scrollY) >= document.documentElement.scrollHeight")
    footer, bar = page.locator("footer p").bounding_box(), page.locator(".impersonation-tab").bounding_box()
    assert footer is not None
    assert bar is not None
    assert footer["y"] + footer["height"] <= bar["y"]


def has_no_barrier(page: Page, *, stock: bool) -> None:
    results = Axe().run(page, context=NOT_OURS if stock else None, options=OPTIONS)
    assert results.violations_count == 0, results.generate_report()
