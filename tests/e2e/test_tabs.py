"""Two tabs, Back, and forms that were opened as somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from django_impersonation.models import ImpersonationSession
from tests.e2e.browsing import BREACH, bar, start, stop, submit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


# Django's own page of a failed CSRF check has an inline style.
DJANGOS_PAGE = ("Applying inline style violates", f"{BREACH} style-src")
# What a page's own script does with its form.
FETCH = """async method => {
  const form = document.querySelector("main form");
  const body = method === "GET" ? null : new URLSearchParams(new FormData(form));
  const answer = await fetch(form.action, {method, body});
  return [answer.status, (await answer.json()).error];
}"""


def names(*people: Any) -> list[str]:
    for person in people:
        person.refresh_from_db()
    return [person.name for person in people]


def shows(page: Page, email: str) -> None:
    expect(page.locator(".account-email")).to_have_text(email)


# ABUSE 17
@pytest.mark.parametrize("address", ["/profile/", "/admin/shop/user/{dave}/change/"])
def test_a_form_opened_as_admin_is_void_after_the_start(address: str, visit: Callable[..., Page], people: Any) -> None:
    first = visit(people.admin, forgive=DJANGOS_PAGE)
    first.goto(address.format(dave=people.dave.pk))
    first.get_by_label("Name", exact=False).first.fill("Mallory")
    second = first.context.new_page()
    start(second, people.bob, organization="Acme")
    assert submit(first.get_by_role("button", name="Save", exact=True)) == 403
    assert names(people.admin, people.bob, people.dave) == ["Ada Admin", "Bob Baker", "Dave Dunn"]


# ABUSE 18
def test_a_form_opened_as_bob_is_void_after_the_stop(visit: Callable[..., Page], people: Any) -> None:
    first = visit(people.admin, as_=people.bob, forgive=DJANGOS_PAGE)
    first.goto("/profile/")
    first.get_by_label("Name").fill("Mallory")
    second = first.context.new_page()
    second.goto("/")
    stop(second)
    assert submit(first.get_by_role("button", name="Save", exact=True)) == 403
    assert names(people.admin, people.bob) == ["Ada Admin", "Bob Baker"]


# ABUSE 26, ABUSE 74
def test_a_stale_stop_asks_once_more(visit: Callable[..., Page], people: Any) -> None:
    first = visit(people.sasha, as_=people.bob)
    first.goto("/")
    second = first.context.new_page()
    second.goto("/")
    stop(second)
    start(second, people.carol)
    assert submit(bar(first).get_by_role("button", name="Stop impersonating")) == 403
    expect(first.get_by_role("heading")).to_have_text("Stop impersonating?")
    expect(first.get_by_role("main")).to_contain_text("you are still signed in as carol@example.com")
    first.get_by_role("button", name="Stop impersonating").click()
    expect(first).to_have_url(f"/admin/shop/user/{people.carol.pk}/change/")
    assert list(ImpersonationSession.objects.values_list("end_reason", flat=True)) == ["stopped", "stopped"]


# ABUSE 26
def test_a_second_stop_in_another_tab_finds_nothing_to_stop(visit: Callable[..., Page], people: Any) -> None:
    first = visit(people.sasha, as_=people.bob)
    first.goto("/")
    second = first.context.new_page()
    second.goto("/")
    stop(second)
    bar(first).get_by_role("button", name="Stop impersonating").click()
    expect(first.get_by_role("main")).to_contain_text("nothing has been done")
    first.get_by_role("button", name="Stop impersonating").click()
    expect(first.get_by_role("heading")).to_have_text("You are not impersonating anyone")
    second.reload()
    expect(second.locator("#user-tools")).to_contain_text("Sasha")


def test_back_after_the_stop_shows_nothing_of_bob(visit: Callable[..., Page], people: Any) -> None:
    page = visit(people.sasha)
    start(page, people.bob, organization="Acme")
    page.get_by_role("link", name="Profile", exact=True).click()
    shows(page, "bob@example.com")
    stop(page)
    for address in ("/profile/", "/"):
        page.go_back(wait_until="commit")
        expect(page).to_have_url(address)
        shows(page, "sasha@example.com")
        expect(page.get_by_text("bob")).to_have_count(0)
        expect(bar(page)).to_have_count(0)
    page.go_forward(wait_until="commit")
    page.get_by_label("Name").fill("Sasha S.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Your profile was saved.")
    assert names(people.sasha, people.bob) == ["Sasha S.", "Bob Baker"]


def test_back_after_the_start_shows_nothing_of_the_admin(visit: Callable[..., Page], people: Any) -> None:
    page = visit(people.sasha)
    page.goto("/profile/")
    start(page, people.bob, organization="Acme")
    page.go_back(wait_until="commit")
    expect(page.get_by_role("heading")).to_have_text("This page is closed to impersonators")
    expect(page.locator("#user-tools")).to_have_count(0)


# ABUSE 56
def test_the_callbacks_address_is_good_for_one_session(visit: Callable[..., Page], people: Any) -> None:
    page = visit(people.sasha)
    with page.expect_request("**/impersonation/callback/?code=*") as asked:
        start(page, people.bob, organization="Acme")
    callback = asked.value.url
    page.goto(callback)
    expect(page).to_have_url("/")
    shows(page, "bob@example.com")
    stop(page)
    answer = page.goto(callback)
    assert answer is not None
    assert answer.status == 400
    expect(page.get_by_role("heading")).to_have_text("Impersonation was not started")
    page.goto("/")
    shows(page, "sasha@example.com")
    assert ImpersonationSession.objects.get().end_reason == "stopped"


# ABUSE 77
def test_a_double_click_starts_once(visit: Callable[..., Page], people: Any) -> None:
    page = visit(people.sasha)
    page.goto(f"/admin/shop/user/{people.carol.pk}/impersonate/")
    page.get_by_label("Reason").fill("Ticket 4711")
    page.get_by_role("button", name="Impersonate user").dblclick()
    expect(page).to_have_url("/")
    shows(page, "carol@example.com")
    assert ImpersonationSession.objects.get().ended_at is None


# ABUSE 8
@pytest.mark.parametrize("end", ["time", "revoked"])
def test_a_session_that_ends_under_an_open_form(end: str, visit: Callable[..., Page], people: Any) -> None:
    page = visit(people.sasha, as_=people.bob, forgive="Failed to load resource")
    page.goto("/profile/")
    page.get_by_label("Name").fill("Mallory")
    session = ImpersonationSession.objects.get()
    if end == "time":
        ImpersonationSession._base_manager.filter(pk=session.pk).update(expires_at=timezone.now())
    else:
        session.end(end)
    for method, status in (("GET", 401), ("POST", 409)):
        assert page.evaluate(FETCH, method) == [status, "impersonation_ended"]
    assert submit(page.get_by_role("button", name="Save", exact=True)) == 409
    expect(page.get_by_role("main")).to_contain_text("Nothing was changed.")
    assert names(people.sasha, people.bob) == ["Sasha Stone", "Bob Baker"]
    page.locator(".actions .primary").click()
    expect(page).to_have_url("/impersonation/ended/")
    page.get_by_role("button", name="Return to the admin").click()
    expect(page).to_have_url(f"/admin/shop/user/{people.bob.pk}/change/")
    expect(page.locator("#user-tools")).to_contain_text("Sasha")
