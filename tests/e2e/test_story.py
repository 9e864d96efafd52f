"""A support agent's day: by mouse, by keyboard alone, without JavaScript, and on a phone from right to left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from django_impersonation.models import Event, ImpersonationSession
from tests.e2e.browsing import PHONE, Finger, Keyboard, Mouse, bar

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WAYS: dict[str, tuple[type, dict[str, Any]]] = {
    "mouse": (Mouse, {}),
    "keyboard": (Keyboard, {}),
    "without JavaScript": (Mouse, {"java_script_enabled": False}),
    "phone, dark, right to left": (Finger, PHONE),
}


# ABUSE 51, ABUSE 111, ABUSE 127, ABUSE 129
@pytest.mark.parametrize("way", WAYS)
def test_the_whole_story(way: str, visit: Callable[..., Page], people: Any, settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None
    if "right to left" in way:
        settings.LANGUAGES_BIDI = ["en"]  # in words that this test can read
    (kind, options), script = WAYS[way], way != "without JavaScript"
    hand, admin, sasha = kind(), visit(**options), visit(**options)
    sign_in(hand, admin, "admin@example.com")
    sign_in(hand, sasha, "sasha@example.com")
    nothing_is_offered_while_it_is_off(hand, admin, people)
    switch_on(hand, admin)
    start_from_the_list(hand, sasha, people)
    expect(sasha.locator("html")).to_have_attribute("dir", "rtl" if "right to left" in way else "ltr")
    the_bar_says_it_all(sasha)
    hide(hand, sasha, script=script)
    sensitive_pages_refuse(hand, sasha)
    stop(hand, sasha, people)
    start_from_the_page(hand, sasha)
    revoke(hand, admin)
    the_next_click_ends_it(hand, sasha, people)
    assert list(Event.objects.order_by("position").values_list("name", flat=True)) == [
        "impersonation.enabled",
        "impersonation.requested",
        "session.created",
        "impersonation.denied",
        "session.revoked",
        "impersonation.requested",
        "session.created",
        "session.revoked",
    ]


def sign_in(hand: Any, page: Page, email: str) -> None:
    page.goto("/admin/")
    hand.write(page.get_by_label("E-mail address"), email)
    hand.write(page.get_by_label("Password"), "demo")
    hand.press(page.get_by_role("button", name="Log in"))
    expect(page).to_have_title("Site administration | Django site admin")


def nothing_is_offered_while_it_is_off(hand: Any, admin: Page, people: Any) -> None:
    hand.press(admin.locator("#content").get_by_role("link", name="Users", exact=True))
    expect(admin.locator("select[name=action]")).not_to_contain_text("Impersonate")
    admin.goto(f"/admin/shop/user/{people.bob.pk}/change/")
    expect(admin.locator(".object-tools")).to_contain_text("History")
    expect(admin.get_by_role("link", name="Impersonate", exact=True)).to_have_count(0)


def switch_on(hand: Any, admin: Page) -> None:
    admin.goto("/admin/")
    hand.press(admin.locator("#content").get_by_role("link", name="Configuration"))
    expect(admin.locator("#content")).to_contain_text("Impersonation is disabled in the environment production.")
    hand.press(admin.get_by_role("button", name="Enable impersonation"))
    expect(admin.locator("#content")).to_contain_text("Impersonation is enabled in the environment production.")
    expect(admin.locator(".messagelist")).to_have_text("Impersonation is on now.")


def start_from_the_list(hand: Any, sasha: Page, people: Any) -> None:
    hand.press(sasha.locator("#content").get_by_role("link", name="Users", exact=True))
    row = sasha.get_by_role("row").filter(has_text="bob@example.com")
    hand.press(row.get_by_role("checkbox"))
    hand.choose(sasha.locator("select[name=action]"), "Impersonate selected user")
    hand.press(sasha.locator(".actions button[name=index]"))
    expect(sasha.get_by_role("heading", level=1)).to_have_text("Impersonate bob@example.com")
    fill_in(hand, sasha)


def fill_in(hand: Any, sasha: Page) -> None:
    hand.write(sasha.get_by_label("Reason"), "Ticket 4711")
    hand.choose(sasha.get_by_label("Organization"), "Acme")
    hand.press(sasha.get_by_role("button", name="Impersonate user"))
    expect(sasha).to_have_url("/")
    expect(sasha.locator("#user-email")).to_have_text("bob@example.com")
    expect(sasha.locator("#organization")).to_have_text("Acme")


def the_bar_says_it_all(sasha: Page) -> None:
    expect(bar(sasha).locator(".impersonation-who")).to_have_text("Impersonating bob@example.com in Acme")
    facts = ["60 min left", "By: sasha@example.com", "Reason: Ticket 4711"]
    expect(bar(sasha).get_by_role("listitem")).to_have_text(facts)
    expect(bar(sasha).get_by_role("button", name="Stop impersonating")).to_be_visible()
    expect(bar(sasha).get_by_text("Hide", exact=True)).to_be_visible()


def hide(hand: Any, sasha: Page, *, script: bool) -> None:
    hand.press(bar(sasha).locator("summary"))
    is_a_pill(sasha)
    hand.press(sasha.get_by_role("link", name="Profile", exact=True))
    expect(sasha.locator("#card-number")).to_have_text("••••••")
    if script:
        is_a_pill(sasha)
        other = sasha.context.new_page()
        other.goto("/")
        expect(bar(other).locator(".impersonation-text")).to_be_visible()
        other.close()
        hand.press(bar(sasha).locator("summary"))
    expect(bar(sasha).locator(".impersonation-text")).to_be_visible()


def is_a_pill(page: Page) -> None:
    expect(bar(page).locator(".impersonation-text")).to_be_hidden()
    expect(bar(page).get_by_text("As bob@example.com")).to_be_visible()
    expect(bar(page).get_by_text("Show", exact=True)).to_be_visible()
    expect(bar(page).get_by_role("button", name="Stop impersonating")).to_be_visible()


def sensitive_pages_refuse(hand: Any, sasha: Page) -> None:
    hand.press(sasha.get_by_role("link", name="Billing", exact=True))
    is_refused(sasha)
    for address in ("/accounts/password_change/", "/admin/"):
        sasha.goto(address)
        is_refused(sasha)
    hand.press(sasha.get_by_role("link", name="Back to the site"))
    expect(sasha).to_have_url("/")


def is_refused(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("This page is closed to impersonators")
    expect(page.get_by_role("button", name="Stop impersonating")).to_be_visible()


def stop(hand: Any, sasha: Page, people: Any) -> None:
    hand.press(bar(sasha).get_by_role("button", name="Stop impersonating"))
    is_back(sasha, people)
    assert ImpersonationSession.objects.get().end_reason == "stopped"


def is_back(sasha: Page, people: Any) -> None:
    expect(sasha).to_have_url(f"/admin/shop/user/{people.bob.pk}/change/")
    expect(sasha.locator("#user-tools")).to_contain_text("Sasha")
    expect(bar(sasha)).to_have_count(0)


def start_from_the_page(hand: Any, sasha: Page) -> None:
    history = sasha.locator(".impersonation-history tbody tr")
    expect(history).to_have_count(1)
    expect(history).to_contain_text("Ticket 4711")
    hand.press(sasha.get_by_role("link", name="Impersonate", exact=True))
    fill_in(hand, sasha)


def revoke(hand: Any, admin: Page) -> None:
    admin.goto("/admin/")
    hand.press(admin.locator("#content").get_by_role("link", name="Impersonation sessions"))
    rows = admin.locator("#result_list tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("active")
    expect(rows.nth(1)).to_contain_text("stopped")
    hand.press(rows.nth(0).get_by_role("checkbox"))
    hand.choose(admin.locator("select[name=action]"), "Revoke selected sessions")
    hand.press(admin.locator(".actions button[name=index]"))
    expect(admin.locator(".messagelist")).to_have_text("1 session was revoked.")


def the_next_click_ends_it(hand: Any, sasha: Page, people: Any) -> None:
    hand.press(sasha.get_by_role("link", name="Profile", exact=True))
    expect(sasha).to_have_url("/impersonation/ended/")
    expect(sasha.get_by_role("main")).to_contain_text("revoked")
    expect(sasha.get_by_role("main")).to_contain_text("You are no longer signed in as bob@example.com in Acme.")
    hand.press(sasha.get_by_role("button", name="Return to the admin"))
    is_back(sasha, people)


def test_a_user_in_one_organization_is_asked_for_none(visit: Callable[..., Page], people: Any) -> None:
    sasha = visit(people.sasha)
    sasha.goto(f"/admin/shop/user/{people.carol.pk}/impersonate/")
    expect(sasha.get_by_label("Organization")).to_have_count(0)
    sasha.get_by_label("Reason").fill("Ticket 4712")
    sasha.get_by_role("button", name="Impersonate user").click()
    expect(bar(sasha).locator(".impersonation-who")).to_have_text("Impersonating carol@example.com in Acme")
