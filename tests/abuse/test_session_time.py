"""An hour is an hour, whatever the clocks and the session settings say."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.abuse.session_support import (
    ENDED,
    LOGIN,
    NOBODY,
    assert_nobody,
    assert_refused,
    asynchronously,
    ends,
    return_key,
    store,
)
from tests.people import Browser, make_people

pytestmark = pytest.mark.urls("tests.abuse.session_urls")


def set_clock(patch: Any, seconds: float) -> None:
    """All clocks of the process stand at this time, in seconds since the epoch."""
    patch.setattr(time, "time", lambda: seconds)
    patch.setattr(timezone, "now", lambda: datetime.fromtimestamp(seconds))  # noqa: DTZ006


CHANGES = {
    "back": datetime.fromisoformat("2025-10-26T00:00:00+00:00"),  # 02:00 CEST, an hour before the clock is set back
    "forth": datetime.fromisoformat("2025-03-30T00:00:00+00:00"),  # 01:00 CET, an hour before it is set forward
}


# ABUSE 46
@pytest.mark.django_db
@pytest.mark.parametrize("minutes", [-45, 15, 30, 75])
@pytest.mark.parametrize("change", CHANGES)
def test_hour_of_a_clock_change_is_not_longer(
    change: str, minutes: int, engine: str, settings: Any, monkeypatch: Any
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, "Europe/Berlin"
    people = make_people()
    start = CHANGES[change].timestamp() + 60 * minutes
    set_clock(monkeypatch, start)
    sasha = Browser(people.sasha)
    sasha.start(people.dave)
    assert sasha.who()["user"] == "dave@example.com"
    set_clock(monkeypatch, start + 3601)
    answers = [sasha.get("/plain/"), asynchronously(sasha, "get", "/aplain/")]
    assert all(a.status_code == 303 or a.json()["user"] == NOBODY for a in answers)
    sasha.get(ENDED)
    assert_nobody(sasha)


# ABUSE 46
@pytest.mark.parametrize(
    ("minutes", "lives"), [(-30, False), (-6, False), (-4, True), (0, True), (59, True), (60, False)]
)
def test_clock_that_jumps(
    minutes: int, lives: bool, engine: str, sasha: Browser, people: Any, monkeypatch: Any
) -> None:
    session = sasha.start(people.dave)
    jumped = timezone.now() + timedelta(minutes=minutes)
    monkeypatch.setattr(timezone, "now", lambda: jumped)
    if lives:
        assert sasha.who()["user"] == "dave@example.com"
    else:
        assert_refused(sasha)
    assert ends(session) == ([] if lives else ["expired"])


# ABUSE 50
@pytest.mark.parametrize(
    "change",
    [
        {"SESSION_SAVE_EVERY_REQUEST": True},
        {"SESSION_EXPIRE_AT_BROWSER_CLOSE": True},
        {"SESSION_COOKIE_AGE": 86400 * 365},
    ],
)
def test_end_is_fixed(change: Any, engine: str, sasha: Browser, people: Any, settings: Any, monkeypatch: Any) -> None:
    for name, value in change.items():
        setattr(settings, name, value)
    session = sasha.start(people.dave)
    expires_at, now = session.expires_at, timezone.now()
    for minutes in (20, 40, 59):
        later = now + timedelta(minutes=minutes)
        monkeypatch.setattr(timezone, "now", lambda later=later: later)
        response = sasha.get("/busy/")
        assert response.json() == {"user": "dave@example.com"}
        assert response.cookies["sessionid"]["max-age"] <= 3600 - 60 * minutes
        assert abs(sasha.session.get_expiry_date() - expires_at) < timedelta(seconds=2)
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(minutes=60))
    assert_refused(sasha)
    session.refresh_from_db()
    assert (session.expires_at, ends(session)) == (expires_at, ["expired"])


# ABUSE 50
def test_parked_session_may_expire(engine: str, sasha: Browser, people: Any, settings: Any) -> None:
    session = sasha.start(people.dave)
    if engine == "signed_cookies":
        settings.SESSION_COOKIE_AGE = -1
    else:
        store(return_key(sasha)).delete()
    assert sasha.stop()["Location"] == LOGIN
    assert_nobody(sasha)
    assert ends(session) == ["stopped"]
