"""The whole story of a support agent, step by step."""

from __future__ import annotations

from typing import Any

import pytest

from django_impersonation.models import Event, ImpersonationSession
from tests.people import Browser


@pytest.mark.django_db(transaction=True)
def test_story(people: Any, engine: str) -> None:
    sasha = Browser(people.sasha)
    before = dict(sasha.session.items())
    session = sasha.start(people.bob, organization=people.acme)
    assert sasha.who() == {
        "user": "bob@example.com",
        "impersonation": session.pk,
        "impersonator": ["sasha@example.com", "Ticket 4711"],
        "current": session.pk,
    }
    page = sasha.get("/")
    assert "Acme" in page.content.decode()
    assert page["Cache-Control"] == "private, no-store" or "no-store" in page["Cache-Control"]
    assert sasha.get("/billing/").status_code == 403
    assert sasha.get("/accounts/password_change/").status_code == 403
    assert sasha.get("/admin/").status_code == 403
    assert "4242 4242" not in sasha.get("/profile/").content.decode()
    response = sasha.stop()
    assert response.status_code == 303
    assert response["Location"] == f"/admin/shop/user/{people.bob.pk}/change/"
    assert sasha.get(response["Location"]).status_code == 200
    assert sasha.who()["user"] == "sasha@example.com"
    assert sasha.who()["impersonation"] is None
    assert dict(sasha.session.items()) == before
    session.refresh_from_db()
    assert (session.status, session.end_reason) == ("revoked", "stopped")
    assert list(Event.objects.order_by("position").values_list("name", flat=True)) == [
        "impersonation.requested",
        "session.created",
        "impersonation.denied",
        "session.revoked",
    ]
    assert ImpersonationSession.objects.count() == 1
