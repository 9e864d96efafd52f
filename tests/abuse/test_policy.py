"""Who may impersonate whom: asked as a function, at the prompt and by a tool of the project's own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_impersonation import checks, policy
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession
from tests.people import Browser, grant

HERE = "tests.abuse.test_policy"


def refusal(impersonator: Any, user: Any) -> str:
    """The stable code of the refusal, or "" where it is allowed."""
    try:
        policy.check(impersonator=impersonator, user=user)
    except ImpersonationDenied as denied:
        return denied.code if str(denied) else "no sentence"
    return ""


def says_none(**kwargs: Any) -> None:
    return None


def says_yes(**kwargs: Any) -> str:
    return "yes"


def says_one(**kwargs: Any) -> int:
    return 1


def says_no(**kwargs: Any) -> bool:
    return False


def says_true(**kwargs: Any) -> bool:
    return True


def fails(**kwargs: Any) -> bool:
    raise ZeroDivisionError


def wants_other_arguments(staff: Any, customer: Any) -> bool:
    return True


def refuses_with_a_sentence(**kwargs: Any) -> bool:
    raise ImpersonationDenied("Ask Bob first.", "ask_first")


# ABUSE 97
@pytest.mark.parametrize("reason", ["Ticket 4711", ""])
def test_staff_without_permission_are_refused_and_on_record(people: Any, reason: str) -> None:
    noor = Browser(people.noor)
    assert noor.authorize(people.dave, reason=reason).status_code == 403
    assert not AuthorizationCode.objects.exists()
    denied = Event.objects.get()
    assert (denied.name, denied.code) == ("impersonation.denied", "no_permission")
    assert (denied.impersonator_email, denied.user_email) == ("noor@example.com", "dave@example.com")


# ABUSE 97
def test_to_ask_is_silent(people: Any, sasha: Browser) -> None:
    noor = Browser(people.noor)
    assert noor.get(noor.prompt_url(people.dave)).status_code == 403
    assert sasha.get(sasha.prompt_url(people.admin)).status_code == 403
    assert not Event.objects.exists()


# ABUSE 97
@pytest.mark.parametrize("who", ["bob", None])
def test_who_is_not_staff_does_not_reach_the_prompt(people: Any, who: str | None) -> None:
    browser = Browser(getattr(people, who or "", None))
    assert browser.authorize(people.dave).status_code == 302
    assert not AuthorizationCode.objects.exists()


# ABUSE 98
def test_staff_and_superusers_are_not_for_staff(people: Any, sasha: Browser) -> None:
    grant(people.sasha, *Permission.objects.values_list("codename", flat=True))
    sasha_ = type(people.sasha).objects.get(pk=people.sasha.pk)
    assert refusal(sasha_, people.admin) == "user_is_superuser"
    assert refusal(sasha_, people.noor) == "user_is_staff"
    other = type(people.admin).objects.create_superuser("root@example.com", "demo")
    assert refusal(people.admin, other) == "user_is_superuser"
    for user in (people.admin, people.noor):
        assert sasha.authorize(user).status_code == 403
    assert not AuthorizationCode.objects.exists()
    assert set(Event.objects.values_list("code", flat=True)) == {"user_is_superuser", "user_is_staff"}


# ABUSE 98
def test_a_superuser_who_is_not_marked_as_staff_is_still_a_superuser(people: Any) -> None:
    people.dave.is_superuser = True
    assert refusal(people.sasha, people.dave) == "user_is_superuser"
    assert refusal(people.admin, people.dave) == "user_is_superuser"


# ABUSE 98
def test_superusers_may_take_staff(people: Any) -> None:
    assert refusal(people.admin, people.sasha) == ""
    assert refusal(people.admin, people.bob) == ""


# ABUSE 99
@pytest.mark.parametrize("through_group", [False, True])
def test_nobody_gains_a_permission(people: Any, sasha: Browser, through_group: bool) -> None:
    if through_group:
        group = Group.objects.create(name="Editors")
        group.permissions.add(Permission.objects.get(codename="delete_user"))
        people.dave.groups.add(group)
    else:
        grant(people.dave, "delete_user")
    dave = type(people.dave).objects.get(pk=people.dave.pk)
    assert refusal(people.sasha, dave) == "permissions_exceed"
    response = sasha.authorize(dave)
    assert response.status_code == 403
    assert "shop.delete_user" in response.content.decode()
    assert refusal(people.admin, dave) == ""
    grant(people.sasha, "delete_user")
    assert refusal(type(dave).objects.get(pk=people.sasha.pk), dave) == ""


# ABUSE 100
def test_no_other_permission_will_do(people: Any) -> None:
    every = Permission.objects.exclude(codename="impersonate_user").values_list("codename", flat=True)
    grant(people.noor, *every)
    noor = type(people.noor).objects.get(pk=people.noor.pk)
    assert noor.has_perm("shop.change_user")
    assert refusal(noor, people.dave) == "no_permission"
    assert Browser(noor).authorize(people.dave).status_code == 403


# ABUSE 100
def test_the_permission_without_staff_will_not_do(people: Any) -> None:
    grant(people.carol, "impersonate_user", "view_user")
    assert refusal(type(people.carol).objects.get(pk=people.carol.pk), people.dave) == "not_staff"


# ABUSE 101
def test_self_and_inactive_are_refused_and_a_user_without_password_is_not(people: Any, sasha: Browser) -> None:
    assert refusal(people.sasha, people.sasha) == "self"
    assert refusal(people.admin, people.admin) == "self"
    assert refusal(people.sasha, people.eve) == "user_inactive"
    assert refusal(people.admin, people.eve) == "user_inactive"
    people.dave.set_unusable_password()
    people.dave.save()
    assert refusal(people.sasha, people.dave) == ""
    assert sasha.start(people.dave).user == people.dave
    people.noor.is_active = False
    assert refusal(people.noor, people.dave) == "impersonator_inactive"


# ABUSE 101
def test_an_inactive_actor_with_a_live_session_gets_nowhere(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.dave)
    type(people.sasha).objects.filter(pk=people.sasha.pk).update(is_active=False)
    assert sasha.authorize(people.carol).status_code == 302
    assert sasha.redeem(code).status_code == 400
    assert not ImpersonationSession.objects.exists()


# ABUSE 105
@pytest.mark.parametrize(
    ("function", "code"),
    [
        (f"{HERE}.says_none", "policy"),
        (f"{HERE}.says_yes", "policy"),
        (f"{HERE}.says_one", "policy"),
        (f"{HERE}.says_no", "policy"),
        (f"{HERE}.fails", "policy_failed"),
        (f"{HERE}.wants_other_arguments", "policy_failed"),
        (f"{HERE}.refuses_with_a_sentence", "ask_first"),
        (f"{HERE}.HERE", "policy_failed"),
        (f"{HERE}.missing", "policy_failed"),
        ("no.such.module", "policy_failed"),
        ("", "policy_failed"),
        (None, "policy_failed"),
        (f"{HERE}.says_true", ""),
    ],
)
def test_only_true_allows(people: Any, sasha: Browser, settings: Any, function: str | None, code: str) -> None:
    settings.IMPERSONATION_POLICY = function
    assert refusal(people.sasha, people.dave) == code
    assert policy.can_impersonate(impersonator=people.sasha, user=people.dave) is (code == "")
    assert sasha.authorize(people.dave).status_code == (403 if code else 303)
    assert AuthorizationCode.objects.count() == (0 if code else 1)
    assert [event.code for event in Event.objects.filter(name=Event.Name.DENIED)] == ([code] if code else [])


# ABUSE 105
@pytest.mark.parametrize("function", [f"{HERE}.missing", f"{HERE}.HERE", "no.such.module", "nodot", "", None])
@pytest.mark.parametrize(
    ("setting", "error"), [("IMPERSONATION_POLICY", "E007"), ("IMPERSONATION_ORGANIZATIONS", "E008")]
)
def test_a_hook_that_leads_nowhere_is_a_check_error(
    settings: Any, function: str | None, setting: str, error: str
) -> None:
    if (setting, function) == ("IMPERSONATION_ORGANIZATIONS", None):
        function = "also.nowhere"
    setattr(settings, setting, function)
    assert f"django_impersonation.{error}" in [e.id for e in checks.check_settings(None)]


# ABUSE 105
@pytest.mark.parametrize("who", ["sasha", "noor", "bob", "eve"])
def test_a_project_cannot_relax_what_always_holds(people: Any, settings: Any, who: str) -> None:
    settings.IMPERSONATION_POLICY = f"{HERE}.says_true"
    codes = {refusal(getattr(people, who), user) for user in (people.dave, people.eve, getattr(people, who))}
    assert (
        codes
        == {
            "sasha": {"", "user_inactive", "self"},
            "noor": {"no_permission"},
            "bob": {"not_staff"},
            "eve": {"impersonator_inactive"},
        }[who]
    )


# ABUSE 98
def test_customers_is_a_policy_without_the_subset_rule(people: Any, settings: Any) -> None:
    settings.IMPERSONATION_POLICY = "django_impersonation.policy.customers"
    grant(people.dave, "delete_user")
    dave = type(people.dave).objects.get(pk=people.dave.pk)
    assert refusal(people.sasha, dave) == ""
    assert {refusal(people.admin, user) for user in (people.noor, people.sasha)} == {"user_is_staff"}
    dave.is_superuser = True
    assert refusal(people.admin, dave) == "user_is_staff"


# ABUSE 208
def test_nobody_floods_the_record(people: Any) -> None:
    noor = Browser(people.noor)
    for _ in range(5):
        noor.authorize(people.dave)
    noor.authorize(people.carol)
    daves = Event.objects.filter(user_pk=str(people.dave.pk))
    assert (daves.get().count, Event.objects.count()) == (5, 2)
    Event._base_manager.update(created_at=timezone.now() - timedelta(seconds=61))
    noor.authorize(people.dave)
    assert sorted(daves.values_list("count", flat=True)) == [1, 5]


# ABUSE 109, ABUSE 143
def test_a_changelist_costs_no_query_for_a_row(people: Any, sasha: Browser) -> None:
    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert sasha.get("/admin/shop/user/").status_code == 200
        return len(queries)

    cost()
    few = cost()
    user = type(people.bob)
    user.objects.bulk_create(user(email=f"user{n}@example.com") for n in range(1000))
    assert cost() == few
