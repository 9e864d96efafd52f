"""Where an impersonation begins and where *Stop* leads, by the settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse_lazy

from tests.people import Browser

pytestmark = pytest.mark.django_db
GIVEN = [
    ("/profile/", "/profile/"),
    ("profile", "/profile/"),
    (reverse_lazy("profile"), "/profile/"),
    ("https://app.example.com/start", "https://app.example.com/start"),
]


def begun(sasha: Browser, people: Any) -> str:
    return str(sasha.redeem(sasha.code(people.dave))["Location"])


@pytest.mark.parametrize(("given", "expected"), GIVEN)
def test_it_begins_at_the_landing_url(given: Any, expected: str, sasha: Browser, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_LANDING_URL = given
    settings.LOGIN_REDIRECT_URL = "/elsewhere/"
    assert begun(sasha, people) == expected


def test_without_one_it_begins_where_a_login_leads(sasha: Browser, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_LANDING_URL = None
    settings.LOGIN_REDIRECT_URL = "profile"
    assert begun(sasha, people) == "/profile/"


@pytest.mark.parametrize(("given", "expected"), GIVEN)
def test_stop_leads_to_the_return_url(given: Any, expected: str, sasha: Browser, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_RETURN_URL = given
    sasha.start(people.dave)
    assert sasha.stop()["Location"] == expected
