"""Who loses the right while impersonating, and what a staff member who is impersonated lends."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group

from django_impersonation.models import Event
from tests.people import Browser, grant


def lose_own_permission(people: Any) -> None:
    people.sasha.user_permissions.clear()


def lose_the_groups_permission(people: Any) -> None:
    Group.objects.get(name="Support").permissions.clear()


def leave_the_group(people: Any) -> None:
    people.sasha.groups.clear()


def lose_staff(people: Any) -> None:
    type(people.sasha).objects.filter(pk=people.sasha.pk).update(is_staff=False)


# ABUSE 106
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("loss", [lose_own_permission, lose_the_groups_permission, leave_the_group, lose_staff])
def test_who_loses_the_right_loses_the_session(people: Any, loss: Any) -> None:
    if loss in (lose_the_groups_permission, leave_the_group):
        group = Group.objects.create(name="Support")
        group.permissions.set(people.sasha.user_permissions.all())
        people.sasha.groups.add(group)
        people.sasha.user_permissions.clear()
    sasha = Browser(people.sasha)
    session = sasha.start(people.dave)
    assert sasha.who()["user"] == "dave@example.com"
    loss(people)
    assert sasha.post("/whoami/").status_code == 409
    session.refresh_from_db()
    assert session.end_reason == "impersonator_changed"
    assert Event.objects.get(name=Event.Name.SESSION_REVOKED).code == "impersonator_changed"
    assert sasha.get("/whoami/").status_code == 303


# ABUSE 106
def test_a_superuser_who_is_none_any_more_loses_the_session(people: Any) -> None:
    grant(people.admin, "impersonate_user")
    admin = Browser(people.admin)
    session = admin.start(people.dave)
    type(people.admin).objects.filter(pk=people.admin.pk).update(is_superuser=False)
    assert admin.post("/whoami/").status_code == 409
    session.refresh_from_db()
    assert session.end_reason == "impersonator_changed"


# ABUSE 108
def test_an_impersonated_staff_member_lends_no_powers(people: Any) -> None:
    grant(people.sasha, "revoke_impersonationsession", "view_event", "configure_impersonation")
    admin = Browser(people.admin)
    session = admin.start(people.sasha)
    base = "/admin/django_impersonation/"
    assert admin.who()["user"] == "sasha@example.com"
    for url in (
        "/admin/",
        admin.prompt_url(people.dave),
        f"{base}event/",
        f"{base}impersonationsession/",
        f"{base}impersonationsession/{session.pk}/change/",
        f"{base}configuration/",
        f"/admin/shop/user/{people.dave.pk}/change/",
    ):
        assert admin.get(url).status_code == 403
        assert admin.post(url, {"action": "revoke", "_selected_action": session.pk, "enable": "0"}).status_code == 403
    session.refresh_from_db()
    assert session.ended_at is None
    blocked = Event.objects.get(name=Event.Name.DENIED)
    assert (blocked.code, blocked.impersonator_email, blocked.count) == ("blocked_view", "admin@example.com", 14)
