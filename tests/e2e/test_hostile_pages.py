"""Pages of an attacker: other sites, the user's own pages, and what users call themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.urls import reverse
from organizations.models import Organization
from playwright.sync_api import Page, expect

from django_impersonation.models import Event, ImpersonationSession
from tests.e2e.browsing import bar, start, stop, submit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SEND_STOP_BY_SCRIPT = """async () => {
  const form = document.querySelector("#impersonation-bar form");
  const answer = await fetch(form.action, {method: "POST", body: new URLSearchParams(new FormData(form))});
  return answer.url;
}"""
SEND_STOP_IN_A_FRAME = """() => {
  const frame = document.createElement("iframe");
  frame.name = "frame";
  document.body.append(frame);
  const form = document.querySelector("#impersonation-bar form");
  form.target = "frame";
  form.submit();
}"""
POST_FROM_HERE = """url => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = url;
  document.body.append(form);
  form.submit();
}"""
FRAME = """url => new Promise(done => {
  const frame = document.createElement("iframe");
  frame.onload = () => done();
  frame.src = url;
  document.body.append(frame);
})"""
# A file is the one page here that has no policy of its own.
ATTACKERS_PAGE = "/static/shop/shop.css"
UNFRAMED = ("Framing 'http://localhost", "Failed to load resource")


# ABUSE 202
def test_a_stop_sent_by_script_signs_out(visit: Callable[..., Page], people: Any) -> None:
    page = visit(people.sasha, as_=people.bob)
    page.goto("/")
    assert page.evaluate(SEND_STOP_BY_SCRIPT).endswith("/admin/login/")
    is_signed_out(page)


# ABUSE 202
def test_a_stop_in_a_frame_signs_out(visit: Callable[..., Page], people: Any) -> None:
    page = visit(people.sasha, as_=people.bob, forgive="Refused to display")
    page.goto("/")
    with page.expect_response("**/admin/login/"):
        page.evaluate(SEND_STOP_IN_A_FRAME)
    is_signed_out(page)


def is_signed_out(page: Page) -> None:
    assert ImpersonationSession.objects.get().end_reason == "stopped"
    assert "sessionid" not in {cookie["name"] for cookie in page.context.cookies()}
    page.goto("/admin/")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


# ABUSE 27
def test_another_site_cannot_stop(visit: Callable[..., Page], people: Any, live_server: Any) -> None:
    other = live_server.url.replace("localhost", "127.0.0.1")
    page = visit(people.sasha, as_=people.bob, hosts=(other.removeprefix("http://"),))
    page.goto(f"{other}{ATTACKERS_PAGE}")
    with page.expect_response("**/impersonation/stop/") as answer:
        page.evaluate(POST_FROM_HERE, f"{live_server.url}{reverse('django_impersonation:stop')}")
    assert answer.value.status == 403
    expect(page.get_by_role("heading")).to_have_text("Stop impersonating?")
    assert ImpersonationSession.objects.get().ended_at is None
    page.goto("/profile/")
    expect(bar(page)).to_be_visible()


# ABUSE 128
@pytest.mark.parametrize("name", ["prompt", "configuration", "ended", "forbidden", "callback"])
def test_no_page_of_ours_stands_in_a_frame(
    name: str, visit: Callable[..., Page], people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(XFrameOptionsMiddleware, "process_response", lambda self, request, response: response)
    addresses = {
        "prompt": reverse("admin:shop_user_impersonate", args=[people.bob.pk]),
        "configuration": reverse("admin:django_impersonation_configuration_changelist"),
        "ended": reverse("django_impersonation:ended"),
        "forbidden": "/billing/",
        "callback": reverse("django_impersonation:callback"),
    }
    page = visit(people.admin, as_=people.bob if name == "forbidden" else None, forgive=UNFRAMED)
    page.goto(ATTACKERS_PAGE)
    page.evaluate(FRAME, addresses[name])
    (frame,) = page.main_frame.child_frames
    assert frame.url == "chrome-error://chromewebdata/"


# The flag that the scripts would set tells when it is.
PROBE = "Object.defineProperty(window, 'pwned', {set() { console.error('pwned') }})"
SCRIPT = "<script>window.pwned=1</script>"
IMAGE = "\"'><img src=x onerror=window.pwned=1>"
REASON = f"{SCRIPT}{IMAGE}</body>{{{{ 7 }}}}{{% now 'Y' %}} %s %(user)s"


# ABUSE 121
def test_names_and_reasons_execute_nothing(visit: Callable[..., Page], people: Any, settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None
    people.bob.name, people.bob.email = f"{SCRIPT}{IMAGE}", f"{IMAGE}{SCRIPT}@example.com"
    people.sasha.email, people.admin.email = f"sasha{IMAGE}@example.com", f"admin{SCRIPT}{IMAGE}@example.com"
    for person in (people.bob, people.sasha, people.admin):
        person.save()
    Organization.objects.filter(pk=people.acme.pk).update(name=f"{SCRIPT}{IMAGE}")
    # Without the shop's policy, which would hide what was forgotten.
    sasha, admin = visit(people.sasha, bypass_csp=True), visit(people.admin, bypass_csp=True)
    for page in (sasha, admin):
        page.add_init_script(PROBE)
    user = f"/admin/shop/user/{people.bob.pk}"
    configuration = reverse("admin:django_impersonation_configuration_changelist")
    opens(admin, configuration)
    presses(admin, "button[name=enable]")
    expect(admin.locator("#content")).to_contain_text(IMAGE)
    for address in ("/admin/shop/user/", f"{user}/change/", f"/admin/shop/user/{people.admin.pk}/impersonate/"):
        opens(sasha, address)
    a_bad_reason_comes_back(sasha, user)
    start(sasha, people.bob, organization=f"{SCRIPT}{IMAGE}", reason=REASON)
    is_harmless(sasha)
    expect(bar(sasha).get_by_role("listitem").last).to_have_text(f"Reason: {REASON}")
    bar(sasha).locator("summary").click()
    for address in ("/profile/", "/billing/", "/admin/"):
        opens(sasha, address)
    sasha.goto("/")
    sasha.context.clear_cookies(name="csrftoken")
    assert submit(bar(sasha).get_by_role("button", name="Stop impersonating")) == 403
    is_harmless(sasha)
    sasha.goto("/")
    stop(sasha)
    is_harmless(sasha)
    start(sasha, people.bob, organization=f"{SCRIPT}{IMAGE}", reason=REASON)
    for address in records(user):
        opens(admin, address)
    sasha.goto("/profile/")
    ImpersonationSession.objects.end()
    assert submit(sasha.get_by_role("button", name="Save", exact=True)) == 409
    is_harmless(sasha)
    presses(sasha, ".actions .primary")
    expect(sasha.get_by_role("main")).to_contain_text(IMAGE)


def a_bad_reason_comes_back(sasha: Page, user: str) -> None:
    opens(sasha, f"{user}/impersonate/")
    sasha.get_by_label("Reason").fill(f"{REASON}\u202e</textarea>{IMAGE}")
    sasha.locator("#content form").evaluate("form => { form.noValidate = true }")
    presses(sasha, "input[type=submit].default")
    expect(sasha.locator(".errornote")).to_be_visible()


def presses(page: Page, selector: str) -> None:
    page.locator(selector).click()
    page.wait_for_load_state()
    is_harmless(page)


def records(user: str) -> list[str]:
    lists = [f"/admin/django_impersonation/{name}/" for name in ("impersonationsession", "event")]
    session = ImpersonationSession.objects.latest("created_at")
    refusal = Event.objects.filter(name="impersonation.denied").latest("position")
    events = (refusal, Event.objects.latest("position"))
    single = [f"{lists[0]}{session.pk}/change/", *(f"{lists[1]}{event.pk}/change/" for event in events)]
    prompt = f"{user}/impersonate/?reason=%22%3E%3Cimg%20src=x%20onerror=window.pwned=1%3E"
    return ["/admin/", *lists, *single, prompt, f"{user}/change/", f"{user}/history/"]


def opens(page: Page, address: str) -> None:
    page.goto(address)
    is_harmless(page)


def is_harmless(page: Page) -> None:
    """What runs, or opens a dialog, is noted and fails the test at its end; what only stands there is found here."""
    expect(page.locator("img[src=x], [onerror]")).to_have_count(0)
    assert not page.evaluate("[...document.scripts].some(script => script.text.includes('pwned'))")
