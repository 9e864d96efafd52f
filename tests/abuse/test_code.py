"""The authorization code: who may spend it, how often, and what a second use does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.utils import timezone

from django_impersonation import checks, codes, flows
from django_impersonation.codes import impersonation_denied
from django_impersonation.models import AuthorizationCode, Configuration, Event, ImpersonationSession
from tests.abuse.racing import twin
from tests.people import Browser, grant

NO_CODE = "x" * 43


def the_code() -> AuthorizationCode:
    return AuthorizationCode.objects.get()


def names() -> list[str]:
    return list(Event.objects.order_by("position").values_list("name", flat=True))


# ABUSE 38, ABUSE 59, ABUSE 60
@pytest.mark.parametrize("visitor", ["carol", "noor", "admin", "second agent", "bob", None])
def test_a_code_is_worth_nothing_to_anybody_else(people: Any, sasha: Browser, visitor: str | None) -> None:
    grant(people.noor, "impersonate_user")
    person = people.noor if visitor == "second agent" else getattr(people, visitor or "", None)
    other = Browser(person)
    session = other.session
    session["cart"] = ["lamp"]
    session.save()
    before, cookie = dict(other.session.items()), other.session_cookie()
    code = sasha.code(people.bob, organization=people.acme)

    response = other.redeem(code)

    assert response.status_code == 400
    assert "impersonation" not in response.cookies
    assert the_code().used_at is None
    assert not ImpersonationSession.objects.exists()
    assert (dict(other.session.items()), other.session_cookie()) == (before, cookie)
    assert other.who()["user"] == (str(person) if person else "AnonymousUser")
    assert sasha.redeem(code).status_code == 303


# ABUSE 38, ABUSE 60
def test_a_rejected_code_is_on_record_with_the_one_who_tried(people: Any, sasha: Browser) -> None:
    Browser(people.carol).redeem(sasha.code(people.dave))
    denied = Event.objects.get(name=Event.Name.DENIED)
    assert (denied.code, denied.impersonator_email, denied.user_email) == (
        "invalid_code",
        "carol@example.com",
        "dave@example.com",
    )


# ABUSE 68
def test_a_code_dies_with_the_impersonators_login(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.dave)
    sasha.logout()
    assert sasha.redeem(code).status_code == 400
    assert sasha.who()["user"] == "AnonymousUser"
    assert not ImpersonationSession.objects.exists()


# ABUSE 68
def test_a_code_is_not_for_the_next_person_in_the_same_browser(people: Any, sasha: Browser) -> None:
    grant(people.noor, "impersonate_user")
    code = sasha.code(people.dave)
    sasha.force_login(people.noor)
    assert sasha.redeem(code).status_code == 400
    assert (sasha.who()["user"], the_code().used_at) == ("noor@example.com", None)


# ABUSE 60, ABUSE 68
def test_the_code_of_a_deleted_impersonator_is_not_everybodys(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.dave)
    people.sasha.delete()
    assert the_code().impersonator is None
    stranger = Browser()
    stranger.session.save()
    assert stranger.session.session_key
    for browser in (stranger, Browser(people.noor), sasha):
        assert browser.redeem(code).status_code == 400
    assert the_code().used_at is None


# ABUSE 56
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("thief", ["noor", "sasha", "carol", None])
def test_a_replay_ends_what_the_code_began(people: Any, engine: str, thief: str | None) -> None:
    sasha = Browser(people.sasha)
    code = sasha.code(people.bob, organization=people.acme)
    assert sasha.redeem(code).status_code == 303
    assert sasha.who()["user"] == "bob@example.com"

    other = Browser(getattr(people, thief or "", None))
    # Signed cookies of one second and the same content are equal.
    stored = other.session
    stored["elsewhere"] = True
    stored.save()
    other.cookies["sessionid"] = stored.session_key
    assert other.redeem(code).status_code == 400

    session = ImpersonationSession.objects.get()
    assert (session.status, session.end_reason) == ("revoked", "replayed")
    assert the_code().replayed_at is not None
    revoked = Event.objects.get(name=Event.Name.SESSION_REVOKED)
    assert (revoked.code, revoked.session_id) == ("replayed", session.pk)
    assert sasha.get("/whoami/").status_code == 303
    assert sasha.post("/whoami/").status_code == 409


# ABUSE 56
def test_a_replay_out_of_another_impersonation_ends_it_too(people: Any, sasha: Browser) -> None:
    grant(people.noor, "impersonate_user")
    code = sasha.code(people.dave)
    sasha.redeem(code)
    noor = Browser(people.noor)
    noor.start(people.carol)
    assert noor.redeem(code).status_code in (400, 403)
    assert ImpersonationSession.objects.get(user=people.dave).end_reason == "replayed"
    assert noor.who()["user"] == "carol@example.com"


# ABUSE 56
def test_a_replay_ends_a_session_that_began_while_it_was_looked_at(people: Any, sasha: Browser, rf: Any) -> None:
    code = sasha.code(people.dave)
    spent = the_code()
    sasha.redeem(code)
    spent.used_at = timezone.now()  # what was read a moment before the session began
    request = rf.get("/")
    request.user, request.impersonation = people.noor, None
    codes.rejected(request, spent, "another spender")
    assert ImpersonationSession.objects.get().end_reason == "replayed"


# ABUSE 56
@pytest.mark.django_db(transaction=True)
def test_a_replay_between_spending_and_start_prevents_the_session(
    people: Any, sasha: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = sasha.code(people.dave)
    start = flows.start

    def replayed_first(request: Any, grant: Any) -> Any:
        assert Browser(people.noor).redeem(code).status_code == 400
        return start(request, grant)

    monkeypatch.setattr(flows, "start", replayed_first)
    assert sasha.redeem(code).status_code == 400
    assert not ImpersonationSession.objects.exists()
    assert sasha.who()["user"] == "sasha@example.com"
    assert sorted(Event.objects.filter(name=Event.Name.DENIED).values_list("impersonator_email", flat=True)) == [
        "noor@example.com",
        "sasha@example.com",
    ]


# ABUSE 58
@pytest.mark.django_db(transaction=True)
def test_a_replay_is_committed_whatever_fails_later_in_its_request(
    people: Any, sasha: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**kwargs: Any) -> None:
        raise ZeroDivisionError

    code = sasha.code(people.dave)
    sasha.redeem(code)
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    impersonation_denied.connect(fails)
    try:
        Browser(people.noor, raise_request_exception=False).redeem(code)
    finally:
        impersonation_denied.disconnect(fails)
    assert ImpersonationSession.objects.get().end_reason == "replayed"
    assert the_code().replayed_at is not None
    assert names()[-2:] == ["session.revoked", "impersonation.denied"]


# ABUSE 58
@pytest.mark.django_db(transaction=True)
def test_under_atomic_requests_the_story_is_the_same(
    people: Any, sasha: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    code = sasha.code(people.dave)
    assert sasha.redeem(code).status_code == 303
    assert sasha.who()["user"] == "dave@example.com"
    assert sasha.stop().status_code == 303
    assert sasha.who()["user"] == "sasha@example.com"
    assert names() == ["impersonation.requested", "session.created", "session.revoked"]


# ABUSE 77
def test_a_second_use_from_the_same_session_is_refused_and_ends_nothing(people: Any, engine: str) -> None:
    sasha = Browser(people.sasha)
    code = sasha.code(people.dave)
    double = twin(sasha)
    assert sasha.redeem(code).status_code == 303
    assert double.redeem(code).status_code == 400
    assert the_code().replayed_at is None
    assert sasha.who()["user"] == "dave@example.com"


# ABUSE 56
def test_back_and_reload_in_the_started_session_lead_on(people: Any, engine: str) -> None:
    sasha = Browser(people.sasha)
    code = sasha.code(people.dave)
    sasha.redeem(code)
    again = sasha.redeem(code)
    assert (again.status_code, again["Location"]) == (303, "/")
    assert sasha.who()["user"] == "dave@example.com"
    assert ImpersonationSession.objects.get().ended_at is None
    assert names() == ["impersonation.requested", "session.created"]


# ABUSE 61
def test_a_code_expires(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.dave)
    assert the_code().expires_at - the_code().created_at == timedelta(seconds=60)
    AuthorizationCode.objects.update(expires_at=timezone.now())
    assert sasha.redeem(code).status_code == 400
    assert not ImpersonationSession.objects.exists()
    assert sasha.who()["user"] == "sasha@example.com"


# ABUSE 61
@pytest.mark.parametrize("lifetime", [0, -5, timedelta(0), "60", None, True])
def test_a_lifetime_that_is_none_makes_codes_that_are_dead(
    people: Any, sasha: Browser, settings: Any, lifetime: object
) -> None:
    settings.IMPERSONATION_CODE_LIFETIME = lifetime
    assert "django_impersonation.E006" in [e.id for e in checks.check_settings(None)]
    assert sasha.redeem(sasha.code(people.dave)).status_code == 400
    assert not ImpersonationSession.objects.exists()


# ABUSE 61
@pytest.mark.parametrize("lifetime", [601, 3600, timedelta(days=1)])
def test_no_code_lives_longer_than_ten_minutes(people: Any, sasha: Browser, settings: Any, lifetime: object) -> None:
    settings.IMPERSONATION_CODE_LIFETIME = lifetime
    sasha.code(people.dave)
    assert the_code().expires_at - the_code().created_at == timedelta(minutes=10)
    assert "django_impersonation.E006" in [e.id for e in checks.check_settings(None)]


def lose_permission(people: Any) -> None:
    people.sasha.user_permissions.remove(Permission.objects.get(codename="impersonate_user"))


def promote_to_staff(people: Any) -> None:
    people.bob.is_staff = True
    people.bob.save()


def gain_a_permission(people: Any) -> None:
    grant(people.bob, "delete_user")


def leave_the_organization(people: Any) -> None:
    people.acme.organization_users.filter(user=people.bob).delete()


def close_the_organization(people: Any) -> None:
    people.acme.is_active = False
    people.acme.save()


def deactivate(people: Any) -> None:
    people.bob.is_active = False
    people.bob.save()


def delete(people: Any) -> None:
    people.bob.delete()


def switch_off(people: Any) -> None:
    Configuration.objects.update(enabled=False)


# ABUSE 67, ABUSE 103
@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lose_permission, "no_permission"),
        (promote_to_staff, "user_is_staff"),
        (gain_a_permission, "permissions_exceed"),
        (leave_the_organization, "organization_unknown"),
        (close_the_organization, "organization_unknown"),
        (deactivate, "user_inactive"),
        (delete, "user_missing"),
        (switch_off, "disabled"),
    ],
)
def test_the_policy_is_asked_again_when_the_code_is_spent(
    people: Any, sasha: Browser, settings: Any, change: Any, refusal: str
) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    code = sasha.code(people.bob, organization=people.acme)
    change(people)

    assert sasha.redeem(code).status_code == 403

    assert the_code().used_at is not None
    assert not ImpersonationSession.objects.exists()
    assert sasha.who()["user"] == "sasha@example.com"
    denied = Event.objects.get(name=Event.Name.DENIED)
    assert (denied.code, denied.impersonator_email) == (refusal, "sasha@example.com")


# ABUSE 67
def test_an_impersonator_who_is_no_longer_staff_spends_no_code(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.dave)
    people.sasha.is_staff = False
    people.sasha.save()
    assert sasha.redeem(code).status_code == 403
    assert Event.objects.get(name=Event.Name.DENIED).code == "not_staff"


# ABUSE 69
def test_the_table_of_codes_opens_nothing(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.dave)
    stored = [str(value) for value in AuthorizationCode.objects.values_list().get() if value is not None]
    assert not any(code in value for value in stored)
    for value in [*stored, the_code().digest[:43]]:
        assert sasha.redeem(value).status_code == 400
    assert the_code().used_at is None


def test_an_unknown_code_is_refused_and_leaves_no_row(people: Any, sasha: Browser) -> None:
    assert sasha.redeem(NO_CODE).status_code == 400
    assert not Event.objects.exists()
