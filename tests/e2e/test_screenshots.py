"""The pictures of the docs: SCREENSHOTS=1 pytest tests/e2e/test_screenshots.py"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page

from django_impersonation.models import ImpersonationSession
from tests.e2e import situations
from tests.e2e.browsing import PHONE
from tests.people import Browser

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    FOLDER.mkdir(parents=True, exist_ok=True)

    def picture(page: Page, name: str) -> None:
        page.evaluate("document.activeElement?.blur()")
        page.mouse.move(0, 0)
        page.screenshot(path=FOLDER / f"{name}.png")

    return picture


@pytest.fixture
def past(people: Any) -> None:
    """What a few days of support leave behind."""
    for ago, user, organization, reason, lifetime in (
        (timedelta(days=2, hours=3), people.dave, None, "Ticket 4688: cannot find an invoice", None),
        (timedelta(days=1, hours=5), people.bob, people.globex, "Ticket 4702: wrong delivery address", 60),
        (timedelta(hours=2), people.carol, people.acme, "Ticket 4709: the page stays empty", 11),
        (timedelta(hours=1, minutes=20), people.bob, people.acme, "Ticket 4711: cannot see his orders", 7),
    ):
        session = Browser(people.sasha).start(user, organization=organization, reason=reason)
        session.end("stopped" if lifetime else "revoked")
        begun = timezone.now() - ago
        rows = ImpersonationSession._base_manager.filter(pk=session.pk)
        rows.update(created_at=begun, ended_at=begun + timedelta(minutes=lifetime or 3))
        if lifetime == 60:
            rows.update(end_reason="expired")


def test_prompt(visit: situations.Visit, people: Any, picture: Any) -> None:
    page = situations.prompt(visit, people)
    page.locator("#id_reason").fill("Ticket 4711: cannot see his orders")
    page.locator("#id_organization").select_option(label="Acme")
    picture(page, "prompt")


@pytest.mark.parametrize(
    ("name", "situation"),
    [
        ("bar", situations.shown),
        ("bar-hidden", situations.hidden),
        ("refused", situations.forbidden),
        ("ended", situations.ended),
        ("phone-bar", situations.shown),
    ],
)
def test_site(name: str, situation: Any, visit: situations.Visit, people: Any, picture: Any) -> None:
    options: dict[str, Any] = PHONE | {"device_scale_factor": 2} if name == "phone-bar" else {}

    def explained(*args: Any, **kwargs: Any) -> Page:
        return visit(*args, reason="Ticket 4711: cannot see his orders", **kwargs, **options)

    picture(situation(explained, people), name)


@pytest.mark.usefixtures("past")
def test_sessions(visit: situations.Visit, people: Any, picture: Any) -> None:
    visit(people.sasha, as_=people.bob, reason="Ticket 4711: the next try")
    page = visit(people.admin, viewport={"width": 1440, "height": 800})
    page.add_init_script("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")
    page.goto(reverse(f"{situations.RECORDS}_impersonationsession_changelist"))
    picture(page, "sessions")


@pytest.mark.usefixtures("past")
def test_user_history(visit: situations.Visit, people: Any, picture: Any) -> None:
    visit(people.sasha, as_=people.bob, reason="Ticket 4711: the next try")
    page = situations.opened(visit(people.sasha), reverse("admin:shop_user_change", args=[people.bob.pk]))
    page.locator(".impersonation-history").scroll_into_view_if_needed()
    picture(page, "user-history")


def test_activity(visit: situations.Visit, people: Any, picture: Any) -> None:
    page = visit(people.sasha, as_=people.bob, reason="Ticket 4711: cannot see his orders")
    for address in ("/profile/", "/billing/", "/"):
        page.goto(address)
    session = ImpersonationSession.objects.get()
    page = visit(people.admin, viewport={"width": 1280, "height": 800})
    page.goto(reverse(f"{situations.RECORDS}_impersonationsession_change", args=[session.pk]))
    page.locator("#impersonation-activity").scroll_into_view_if_needed()
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    picture(page, "activity")
