"""Every page of ours: whole on a phone, from right to left and in the dark, and open to everybody."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.e2e.browsing import PHONE, WINDOW
from tests.e2e.situations import ALL, BAR, STOCK, SWITCH, Visit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Without `preload` axe adds no style sheets of its own, which the shop's policy would have to forbid.
OPTIONS = {"resultTypes": ["violations"], "preload": False}
# What axe finds in Django's own markup: by rule, the elements that may break it.
NOT_OURS = {
    # 5.2: the links of its breadcrumbs, and that beside a search, differ from the text by colour alone.
    "link-in-text-block": ".breadcrumbs:not(.impersonation-breadcrumbs) > a, #changelist-search .small > a",
    # the magnifying glass of its widget for groups and permissions: a name on an element without a role
    "aria-prohibited-attr": ".selector .help-tooltip.search-label-icon",
    # its search field: beside a help text axe wants a label in letters, and there is a picture with one
    "label-title-only": "#searchbar",
}
# The admin's links change their colour slowly.
MATCHES = "(element, selector) => element.matches(selector)"
SETTLED = "Promise.all(document.getAnimations().map(animation => animation.finished))"
BOXES = """() => [...document.querySelectorAll("#impersonation-bar :is(.impersonation-tab, button, summary)")].map(
  element => {
    const {left, right, top, bottom} = element.getBoundingClientRect();
    const found = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return {left, right, top, bottom, free: element.contains(found)};
  })"""

# A name that is too long for the pill is cut where it ends, not where it begins.
BEGINNING = """() => {
  const name = document.querySelector(".impersonation-short bdi"), range = document.createRange();
  range.setEnd(name.firstChild, 1);
  range.setStart(name.firstChild, 0);
  const [letter, box] = [range, name.parentElement].map(one => one.getBoundingClientRect());
  return box.left <= letter.left && letter.right <= box.right;
}"""


# axe leaves out the contrast of Arabic letters: it reads the pages in English.
@pytest.mark.parametrize("name", ALL)
@pytest.mark.usefixtures("nonces")
def test_pages_are_open_to_everybody(name: str, visit: Visit, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None if name in SWITCH else True
    page = ALL[name](partial(visit, **PHONE), people)
    nothing_is_wider_than_the_window(page)
    has_no_barrier(page, stock=name in STOCK)
    page.set_viewport_size(WINDOW)
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
        assert name != "hidden" or page.evaluate(BEGINNING)
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
    results = Axe().run(page, options=OPTIONS)
    found = [(violation["id"], node) for violation in results.response["violations"] for node in violation["nodes"]]
    ours = [(rule, node["html"]) for rule, node in found if not (stock and is_djangos(page, rule, node["target"]))]
    assert ours == [], results.generate_report()


def is_djangos(page: Page, rule: str, target: list[str]) -> bool:
    return rule in NOT_OURS and page.locator(target[0]).evaluate(MATCHES, NOT_OURS[rule])
