"""The bar: what its script and its style do, and what they must not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browsing import BREACH, bar, start, stop

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MIDDLES = """element => {
  const range = document.createRange();
  range.selectNodeContents(element);
  return [element, range].map(one => one.getBoundingClientRect()).map(({top, bottom}) => (top + bottom) / 2);
}"""
INLINE_SCRIPT = """() => {
  document.addEventListener("securitypolicyviolation", () => { window.heard = true });
  document.head.append(Object.assign(document.createElement("script"), {textContent: "window.ran = true"}));
}"""
NO_STORAGE = "Object.defineProperty(window, 'sessionStorage', {get() { throw new DOMException('no') }})"


def shown(visit: Callable[..., Page], people: Any, **options: Any) -> Page:
    page = visit(people.sasha, as_=people.bob, **options)
    page.goto("/")
    return page


def test_paper_knows_no_bar(visit: Callable[..., Page], people: Any) -> None:
    page = shown(visit, people, java_script_enabled=False)
    expect(bar(page)).to_be_visible()
    page.emulate_media(media="print")
    expect(page.locator("#impersonation-bar")).to_be_hidden()
    expect(page.locator("body")).to_have_css("padding-bottom", "0px")


# ABUSE 127
@pytest.mark.skipif(django.VERSION < (6, 0), reason="SECURE_CSP is new in Django 6.0")
@pytest.mark.usefixtures("nonces")
def test_a_policy_of_nonces_lets_in_the_bar_and_nothing_else(visit: Callable[..., Page], people: Any) -> None:
    """And a breach of it would be heard, here as in the test of every page: by the console and by the document."""
    page = visit(people.sasha, as_=people.bob, forgive=("Executing inline script violates", f"{BREACH} script-src"))
    answer = page.goto("/")
    assert answer is not None
    tags = page.locator("#impersonation-bar ~ script, link[href$='staff_bar.css']")
    (nonce,) = {tag.evaluate("element => element.nonce") for tag in tags.all()}
    assert f"script-src 'nonce-{nonce}'" in answer.headers["content-security-policy"]
    expect(bar(page)).to_have_css("position", "fixed")
    bar(page).locator("summary").click()
    page.reload()
    expect(bar(page).locator(".impersonation-text")).to_be_hidden()  # the script runs too
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.evaluate(INLINE_SCRIPT)
    page.wait_for_function("window.heard")
    assert page.evaluate("window.ran") is None
    assert {text.startswith(BREACH) for text in heard} == {True, False}


# ABUSE 129
def test_the_next_session_starts_with_the_bar_shown(visit: Callable[..., Page], people: Any) -> None:
    page = shown(visit, people)
    bar(page).locator("summary").click()
    page.reload()
    expect(bar(page).locator(".impersonation-text")).to_be_hidden()
    stop(page)
    start(page, people.carol)
    expect(bar(page).locator(".impersonation-text")).to_be_visible()


def test_hide_works_where_storage_is_forbidden(visit: Callable[..., Page], people: Any) -> None:
    page = visit(people.sasha, as_=people.bob)
    page.add_init_script(NO_STORAGE)
    page.goto("/")
    bar(page).locator("summary").click()
    expect(bar(page).locator(".impersonation-text")).to_be_hidden()
    bar(page).locator("summary").click()
    expect(bar(page).locator(".impersonation-text")).to_be_visible()


def test_the_minutes_count_down(visit: Callable[..., Page], people: Any) -> None:
    page = visit(people.sasha, as_=people.bob)
    page.clock.install()
    page.goto("/")
    expect(bar(page).locator("[data-minutes]")).to_have_text("60")
    page.clock.fast_forward("25:01")
    expect(bar(page).locator("[data-minutes]")).to_have_text("35")
    page.clock.fast_forward("59:00")
    expect(bar(page).locator("[data-minutes]")).to_have_text("0")


@pytest.mark.parametrize("clock", ["2001-01-01", "2071-01-01"])
def test_a_wrong_clock_does_not_change_the_minutes(clock: str, visit: Callable[..., Page], people: Any) -> None:
    page = visit(people.sasha, as_=people.bob)
    page.clock.install(time=clock)
    page.goto("/")
    page.clock.run_for(3000)
    expect(bar(page).locator("[data-minutes]")).to_have_text("60")


def test_a_bar_that_a_script_exchanged_still_hides(visit: Callable[..., Page], people: Any) -> None:
    page = shown(visit, people)
    served = page.locator("#impersonation-bar").evaluate("element => element.outerHTML")
    bar(page).locator("summary").click()
    page.locator("#impersonation-bar").evaluate("(element, html) => { element.outerHTML = html }", served)
    expect(bar(page).locator(".impersonation-text")).to_be_hidden()


def test_the_labels_stand_in_the_middle_of_their_buttons(visit: Callable[..., Page], people: Any) -> None:
    page = shown(visit, people, has_touch=True, is_mobile=True)
    labels = [bar(page).locator("button"), bar(page).locator(".impersonation-hide")]
    for label in labels:
        box, text = label.evaluate(MIDDLES)
        assert box == pytest.approx(text, abs=2)
    bar(page).locator("summary").click()
    box, text = bar(page).locator(".impersonation-button").evaluate(MIDDLES)
    assert box == pytest.approx(text, abs=2)


def test_the_pages_own_style_does_not_reach_the_bar(visit: Callable[..., Page], people: Any) -> None:
    page = visit(people.sasha, as_=people.bob, bypass_csp=True)
    page.goto("/")
    before = bar(page).bounding_box()
    page.add_style_tag(
        content="body * { margin: 30px; font-size: 40px } body :is(form, button, p, ul) { display: none }"
    )
    expect(bar(page).get_by_role("button", name="Stop impersonating")).to_be_visible()
    expect(bar(page).locator(".impersonation-who")).to_be_visible()
    assert bar(page).bounding_box() == before
