"""A marker that was there before: it must not stand in the way of a start."""

from __future__ import annotations

from typing import Any

import pytest

from tests.people import Browser


# ABUSE 22, ABUSE 204
@pytest.mark.parametrize("stale", ["", "garbage", "session_01M839FTF5SE5CTCT2TW6DPN54"])
def test_a_start_over_a_stale_marker(people: Any, sasha: Browser, stale: str) -> None:
    """Left over, or planted between the prompt and the callback: the new marker is set, not deleted with the old."""
    code = sasha.code(people.carol)
    sasha.cookies["impersonation"] = stale
    response = sasha.redeem(code)
    assert response.status_code == 303
    assert response.cookies["impersonation"].value.startswith("session_")
    assert response.cookies["impersonation"].value != stale
    assert sasha.who()["user"] == "carol@example.com"


# ABUSE 26
def test_one_after_the_other(people: Any, sasha: Browser) -> None:
    """As a client does that sends deleted cookies empty, Django's own among them."""
    for user in (people.carol, people.dave, people.carol):
        sasha.start(user)
        assert sasha.who()["user"] == str(user)
        sasha.stop()
        assert sasha.who()["user"] == "sasha@example.com"
