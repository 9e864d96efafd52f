"""What fails between the code and the session, and what is not allowed to begin there."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, OperationalError
from django.db.models.query import QuerySet

from django_impersonation import codes, flows, sessions
from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession
from tests.abuse.racing import twin
from tests.people import Browser


def raises(error: BaseException) -> Any:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    return fail


# ABUSE 37, ABUSE 139
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("place", "name", "error"),
    [
        (sessions, "begin", ZeroDivisionError()),
        (sessions, "rotate_token", ZeroDivisionError()),
        (flows, "create_session", OperationalError("database is locked")),
        (type(Event.objects), "record", DatabaseError("disk full")),
        (type(Event.objects), "record", ZeroDivisionError()),
        (codes, "check", OperationalError("database is locked")),
        (codes, "check", ZeroDivisionError()),
    ],
)
def test_what_fails_after_the_spend_burns_the_code(
    people: Any, engine: str, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, error: Exception
) -> None:
    sasha = Browser(people.sasha)
    sasha.raise_request_exception = False
    code = sasha.code(people.dave)
    before = dict(sasha.session.items())
    with monkeypatch.context() as patch:
        patch.setattr(place, name, raises(error))
        response = sasha.redeem(code)
    assert response.status_code == 400
    assert "impersonation" not in response.cookies
    assert not ImpersonationSession.objects.exists()
    assert AuthorizationCode.objects.get().used_at is not None
    assert sasha.redeem(code).status_code == 400
    assert sasha.who()["user"] == "sasha@example.com"
    assert dict(sasha.session.items()) == before


# ABUSE 139
def test_a_request_that_cannot_be_recorded_makes_no_code(
    people: Any, sasha: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sasha.raise_request_exception = False
    monkeypatch.setattr(type(Event.objects), "record", raises(DatabaseError("disk full")))
    assert sasha.authorize(people.dave).status_code == 500
    assert not AuthorizationCode.objects.exists()


# ABUSE 147
def test_a_locked_database_at_the_spend_is_a_clean_error(
    people: Any, sasha: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = sasha.code(people.dave)
    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "update", raises(OperationalError("database is locked")))
        assert sasha.redeem(code).status_code == 400
    assert not ImpersonationSession.objects.exists()
    assert sasha.who()["user"] == "sasha@example.com"
    assert sasha.redeem(code).status_code == 303


# ABUSE 147
@pytest.mark.django_db(transaction=True)
def test_a_locked_database_at_the_stop_is_a_clean_error(
    people: Any, sasha: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sasha.raise_request_exception = False
    session = sasha.start(people.dave)
    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "update", raises(OperationalError("could not serialize access")))
        response = sasha.stop()
    assert response.status_code == 503
    session.refresh_from_db()
    assert session.ended_at is None
    assert sasha.who()["user"] == "dave@example.com"
    assert sasha.stop().status_code == 303
    assert sasha.who()["user"] == "sasha@example.com"
    assert Event.objects.filter(name=Event.Name.SESSION_REVOKED).count() == 1


# ABUSE 39
def test_no_impersonation_within_an_impersonation(people: Any, settings: Any) -> None:
    """Where a project opens the admin to impersonators, and the impersonated one may impersonate as well."""
    settings.IMPERSONATION_BLOCKED_VIEWS = ["-admin"]
    admin = Browser(people.admin)
    earlier = admin.code(people.carol)
    session = admin.start(people.sasha)
    form = admin.get(admin.prompt_url(people.dave))
    code = admin.authorize(people.dave)
    redeemed = admin.redeem(earlier)
    unknown = admin.redeem("x" * 43)
    for response in (form, code, redeemed, unknown):
        assert response.status_code == 403
        assert "Stop the current impersonation" in response.content.decode()
    assert AuthorizationCode.objects.count() == 2
    assert AuthorizationCode.objects.get(user=people.carol).used_at is None
    assert admin.who()["impersonation"] == session.pk
    assert ImpersonationSession.objects.get() == session
    denied = Event.objects.get(name=Event.Name.DENIED, code="nested", user_pk=str(people.sasha.pk))
    assert denied.impersonator_email == "admin@example.com"


# ABUSE 39
def test_the_prompt_is_closed_while_impersonating(people: Any, sasha: Browser) -> None:
    sasha.start(people.dave)
    for response in (sasha.get(sasha.prompt_url(people.carol)), sasha.authorize(people.carol)):
        assert response.status_code == 403
    assert AuthorizationCode.objects.count() == 1


# ABUSE 39
def test_a_nested_attempt_names_the_person_behind_it(people: Any, settings: Any) -> None:
    settings.IMPERSONATION_BLOCKED_VIEWS = ["-admin"]
    admin = Browser(people.admin)
    admin.start(people.sasha)
    admin.authorize(people.dave)
    denied = Event.objects.get(name=Event.Name.DENIED, code="nested")
    assert (denied.impersonator_email, denied.user_email) == ("admin@example.com", "dave@example.com")


def test_without_the_middleware_nothing_starts(people: Any, sasha: Browser, settings: Any) -> None:
    ours = "django_impersonation.middleware.ImpersonationMiddleware"
    code = sasha.code(people.dave)
    settings.MIDDLEWARE = [m for m in settings.MIDDLEWARE if m != ours]
    without = twin(sasha)
    assert without.redeem(code).status_code == 403
    assert without.authorize(people.carol).status_code == 403
    assert AuthorizationCode.objects.get().used_at is None
