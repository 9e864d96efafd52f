"""Every page of ours, each in the browser of somebody who has come upon it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse
from playwright.sync_api import Page

from django_impersonation.models import Event, ImpersonationSession
from tests.e2e.browsing import submit

RECORDS = "admin:django_impersonation"
Visit = Callable[..., Page]


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    return page


def prompt(visit: Visit, people: Any) -> Page:
    return opened(visit(people.sasha), reverse("admin:shop_user_impersonate", args=[people.bob.pk]))


def prompt_with_errors(visit: Visit, people: Any) -> Page:
    page = prompt(visit, people)
    page.locator("form").last.evaluate("form => { form.noValidate = true; form.requestSubmit() }")
    page.wait_for_selector(".errornote")
    return page


def prompt_denied(visit: Visit, people: Any) -> Page:
    return opened(visit(people.sasha), reverse("admin:shop_user_impersonate", args=[people.admin.pk]))


def prompt_forbidden(visit: Visit, people: Any) -> Page:
    return opened(visit(people.noor), reverse("admin:shop_user_impersonate", args=[people.bob.pk]))


def configuration_off(visit: Visit, people: Any) -> Page:
    return opened(visit(people.admin), reverse("admin:django_impersonation_configuration_changelist"))


def configuration_on(visit: Visit, people: Any) -> Page:
    page = configuration_off(visit, people)
    page.locator("button[name=enable]").click()
    page.wait_for_selector("button[value='0']")
    return page


def configuration_fixed(visit: Visit, people: Any) -> Page:
    return opened(visit(people.admin), reverse("admin:django_impersonation_configuration_changelist"))


def user_with_history(visit: Visit, people: Any) -> Page:
    visit(people.sasha, as_=people.bob)
    return opened(visit(people.sasha), reverse("admin:shop_user_change", args=[people.bob.pk]))


def user_without_history(visit: Visit, people: Any) -> Page:
    return opened(visit(people.sasha), reverse("admin:shop_user_change", args=[people.bob.pk]))


def user_to_change(visit: Visit, people: Any) -> Page:
    visit(people.sasha, as_=people.bob)
    return opened(visit(people.admin), reverse("admin:shop_user_change", args=[people.bob.pk]))


def session_list(visit: Visit, people: Any) -> Page:
    visit(people.sasha, as_=people.bob)
    return opened(visit(people.admin), reverse(f"{RECORDS}_impersonationsession_changelist"))


def session_details(visit: Visit, people: Any) -> Page:
    visit(people.sasha, as_=people.bob)
    session = ImpersonationSession.objects.get()
    return opened(visit(people.sasha), reverse(f"{RECORDS}_impersonationsession_change", args=[session.pk]))


def event_list(visit: Visit, people: Any) -> Page:
    visit(people.sasha, as_=people.bob)
    return opened(visit(people.admin), reverse(f"{RECORDS}_event_changelist"))


def event_details(visit: Visit, people: Any) -> Page:
    visit(people.sasha, as_=people.bob)
    event = Event.objects.latest("position")
    return opened(visit(people.admin), reverse(f"{RECORDS}_event_change", args=[event.pk]))


def shown(visit: Visit, people: Any) -> Page:
    return opened(visit(people.sasha, as_=people.bob), "/")


def hidden(visit: Visit, people: Any) -> Page:
    page = shown(visit, people)
    page.locator("#impersonation-bar summary").click()
    return page


def long_texts(visit: Visit, people: Any) -> Page:
    people.bob.email = "b" * 240 + "@example.com"
    people.bob.save()
    return opened(visit(people.sasha, as_=people.bob, reason="reason" * 83), "/")


def forbidden(visit: Visit, people: Any) -> Page:
    return opened(visit(people.sasha, as_=people.bob), "/billing/")


def ended(visit: Visit, people: Any) -> Page:
    page = visit(people.sasha, as_=people.bob)
    ImpersonationSession.objects.end()
    return opened(page, "/")


def nothing_to_stop(visit: Visit, people: Any) -> Page:
    return opened(visit(people.sasha), reverse("django_impersonation:ended"))


def over(visit: Visit, people: Any) -> Page:
    page = opened(visit(people.sasha, as_=people.bob), "/profile/")
    ImpersonationSession.objects.end()
    submit(page.locator("main form button").first)
    return page


def confirm(visit: Visit, people: Any) -> Page:
    page = shown(visit, people)
    page.context.clear_cookies(name="csrftoken")
    submit(page.locator("#impersonation-bar form button"))
    return page


def refused(visit: Visit, people: Any) -> Page:
    return opened(visit(people.sasha), f"{reverse('django_impersonation:callback')}?code={'x' * 43}")


def named(*situations: Callable[[Visit, Any], Page]) -> dict[str, Callable[[Visit, Any], Page]]:
    return {situation.__name__.replace("_", " "): situation for situation in situations}


# Where the deployment's settings leave the switch to the admin.
SWITCH = named(configuration_off, configuration_on)
# Django's own templates, with a part of ours.
STOCK = named(
    user_with_history,
    user_without_history,
    user_to_change,
    session_list,
    session_details,
    event_list,
    event_details,
)
BAR = named(shown, hidden, long_texts)
PAGES = named(
    prompt,
    prompt_with_errors,
    prompt_denied,
    prompt_forbidden,
    configuration_fixed,
    forbidden,
    ended,
    nothing_to_stop,
    over,
    confirm,
    refused,
)
ALL = SWITCH | STOCK | BAR | PAGES
