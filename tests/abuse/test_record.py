"""The record: every deed writes its one event, and nothing that is written changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone

from django_impersonation import flows
from django_impersonation.models import Configuration, Event, ImpersonationSession
from tests.people import Browser, grant

Names = Event.Name


def events() -> list[tuple[str, str]]:
    return list(Event.objects.order_by("position").values_list("name", "code"))


def the_session() -> ImpersonationSession:
    return ImpersonationSession.objects.get()


def change(user: Any, **fields: Any) -> None:
    type(user).objects.filter(pk=user.pk).update(**fields)


def by_stop(people: Any, sasha: Browser, code: str) -> None:
    sasha.stop()
    sasha.stop()


def by_logout(people: Any, sasha: Browser, code: str) -> None:
    sasha.post("/accounts/logout/")
    sasha.stop()


def by_the_admin(people: Any, sasha: Browser, code: str) -> None:
    data = {"action": "revoke", "_selected_action": [the_session().pk]}
    for _ in range(2):
        Browser(people.admin).post("/admin/django_impersonation/impersonationsession/", data)


def by_a_query(people: Any, sasha: Browser, code: str) -> None:
    assert ImpersonationSession.objects.filter(user=people.dave).end() == 1
    assert ImpersonationSession.objects.filter(user=people.dave).end() == 0


def by_the_switch(people: Any, sasha: Browser, code: str) -> None:
    Browser(people.admin).post("/admin/django_impersonation/configuration/", {"enable": "0"})


def by_the_deployment(people: Any, sasha: Browser, code: str) -> None:
    Configuration.objects.update(enabled=False)
    sasha.get("/")


def by_the_users_password(people: Any, sasha: Browser, code: str) -> None:
    people.dave.set_password("new")
    people.dave.save()
    sasha.get("/")


def by_the_impersonators_demotion(people: Any, sasha: Browser, code: str) -> None:
    change(people.sasha, is_staff=False)
    sasha.get("/")


def by_a_replay(people: Any, sasha: Browser, code: str) -> None:
    Browser().redeem(code)
    Browser().redeem(code)


def by_time(people: Any, sasha: Browser, code: str) -> None:
    ImpersonationSession._base_manager.update(expires_at=timezone.now())
    sasha.get("/")
    the_session().end("revoked")


def by_the_admin_when_time_is_over(people: Any, sasha: Browser, code: str) -> None:
    ImpersonationSession._base_manager.update(expires_at=timezone.now())
    assert ImpersonationSession.objects.end("revoked") == 1


ENDS: list[tuple[Callable[..., None], list[tuple[str, str]], str]] = [
    (by_stop, [(Names.SESSION_REVOKED, "stopped")], "revoked"),
    (by_logout, [(Names.SESSION_REVOKED, "signed_out")], "revoked"),
    (by_the_admin, [(Names.SESSION_REVOKED, "revoked")], "revoked"),
    (by_a_query, [(Names.SESSION_REVOKED, "revoked")], "revoked"),
    (by_the_switch, [(Names.DISABLED, ""), (Names.SESSION_REVOKED, "disabled")], "revoked"),
    (by_the_deployment, [(Names.SESSION_REVOKED, "disabled")], "revoked"),
    (by_the_users_password, [(Names.SESSION_REVOKED, "user_changed")], "revoked"),
    (by_the_impersonators_demotion, [(Names.SESSION_REVOKED, "impersonator_changed")], "revoked"),
    (by_a_replay, [(Names.SESSION_REVOKED, "replayed")], "revoked"),
    (by_time, [(Names.EXPIRED, "expired")], "expired"),
    (by_the_admin_when_time_is_over, [(Names.EXPIRED, "expired")], "expired"),
]


# ABUSE 136
@pytest.mark.parametrize(("end", "written", "status"), ENDS, ids=[end[0].__name__ for end in ENDS])
def test_every_end_writes_its_event_once(
    people: Any, sasha: Browser, settings: Any, end: Callable[..., None], written: list[Any], status: str
) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True, by=people.admin)
    code = sasha.code(people.dave)
    sasha.redeem(code)
    assert the_session().status == "active"
    begun = [(Names.ENABLED, ""), (Names.REQUESTED, ""), (Names.SESSION_CREATED, "")]
    assert events() == begun

    end(people, sasha, code)

    assert events() == [*begun, *written]
    session = the_session()
    assert (session.status, session.end_reason) == (status, written[-1][1])
    assert session.ended_at is not None
    for name in (Names.SESSION_CREATED, written[-1][0]):
        event = Event.objects.get(name=name)
        assert event.session == session
        assert (event.impersonator, event.user) == (people.sasha, people.dave)
        assert (event.impersonator_email, event.user_email) == ("sasha@example.com", "dave@example.com")
        assert (event.reason, event.environment) == ("Ticket 4711", "production")


# ABUSE 136
def test_a_request_and_a_denial_are_on_record(people: Any, sasha: Browser) -> None:
    sasha.code(people.bob, organization=people.acme)
    requested = Event.objects.get()
    assert (requested.name, requested.organization_name, requested.reason) == (
        "impersonation.requested",
        "Acme",
        "Ticket 4711",
    )
    sasha.authorize(people.admin)
    assert events()[1:] == [(Names.DENIED, "user_is_superuser")]


# ABUSE 136
def test_the_switch_is_on_record_with_who_threw_it(people: Any, settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None
    admin = Browser(people.admin)
    for enable in ("1", "1", "0", "0", "maybe", ""):
        admin.post("/admin/django_impersonation/configuration/", {"enable": enable})
    assert events() == [(Names.ENABLED, ""), (Names.DISABLED, "")]
    assert set(Event.objects.values_list("impersonator_email", flat=True)) == {"admin@example.com"}
    grant(people.noor, "view_configuration")
    noor = Browser(people.noor)
    assert noor.get("/admin/django_impersonation/configuration/").status_code == 200
    assert noor.post("/admin/django_impersonation/configuration/", {"enable": "1"}).status_code == 403
    assert Event.objects.count() == 2


# ABUSE 136
def test_the_switch_voids_every_code(people: Any, sasha: Browser, settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    code = sasha.code(people.dave)
    flows.switch(False)
    flows.switch(True)
    assert sasha.redeem(code).status_code == 400
    assert not ImpersonationSession.objects.exists()


# ABUSE 139
@pytest.mark.django_db(transaction=True)
def test_an_end_that_cannot_be_recorded_does_not_happen(
    people: Any, sasha: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("disk full")

    session = sasha.start(people.dave)
    with monkeypatch.context() as patch:
        patch.setattr(type(Event.objects), "record", full)
        with pytest.raises(DatabaseError):
            session.end("revoked")
    session.refresh_from_db()
    assert session.ended_at is None
    assert session.end("revoked") is True


def test_revoking_in_the_admin_needs_its_permission(people: Any, sasha: Browser) -> None:
    session = sasha.start(people.dave)
    grant(people.noor, "view_impersonationsession")
    data = {"action": "revoke", "_selected_action": [session.pk]}
    Browser(people.noor).post("/admin/django_impersonation/impersonationsession/", data)
    assert the_session().ended_at is None
