"""The organization of an impersonation: read from the project, at the prompt and again when the code is spent."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import Value
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from organizations.models import Organization as ShopOrganization
from organizations.models import OrganizationUser

from django_impersonation import flows, organizations
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession
from django_impersonation.organizations import Organization
from tests.people import Browser, make_organizations

HERE = "tests.abuse.test_organizations"
TAKEN: list[int] = []
WRONG = [
    "",
    "0",
    "-1",
    "7.0",
    "{acme}.0",
    " {acme}x",
    "0{acme}",
    "+{acme}",
    "x",
    "\x00",
    "9" * 40,
    "x" * 256,
    "null",
    "d6f1b1c0-0000-4000-8000-000000000000",
    "{other}",
    "{gone}",
    "{closed}",
    "٣",
    "1e0",
    "[]",
    "Acme",
    "{user}",
]


def none(user: Any) -> list[Any]:
    return []


def one(user: Any) -> list[Any]:
    return [Organization(id="north", name="North")]


def two(user: Any) -> Iterator[Any]:
    yield Organization(id="north", name="North")
    yield Organization(id="south", name="South")


def numbered(user: Any) -> list[Any]:
    return [Organization(id=7, name="Seven")]  # type: ignore[arg-type]


def much_too_long(user: Any) -> list[Any]:
    return [Organization(id="x" * 300, name="y" * 300)]


def own_model(user: Any) -> Any:
    """The project's own model, here with keys as text: any queryset will do."""
    return Group.objects.filter(user=user).annotate(kind=Value("group")).order_by("-name")


def fails(user: Any) -> list[Any]:
    raise ZeroDivisionError


def fails_late(user: Any) -> Iterator[Any]:
    yield Organization(id="north", name="North")
    raise ZeroDivisionError


def refuses(user: Any) -> list[Any]:
    raise ImpersonationDenied("This customer opted out.", "opted_out")


def gives_none(user: Any) -> None:
    return None


def endless(user: Any) -> Iterator[Any]:
    for n in count(1):
        TAKEN.append(n)
        yield Organization(id=f"org{n}", name=f"Organization {n}")


def opted_out(*, impersonator: Any, user: Any, organization: Organization | None) -> bool:
    """A policy of the project's: nobody of ours in Globex, which did not consent."""
    if organization is not None and organization.name == "Globex":
        raise ImpersonationDenied("Globex has opted out of impersonation.", "opted_out")
    return True


def chosen(browser: Browser, user: Any, organization_id: Any) -> Any:
    return browser.post(browser.prompt_url(user), {"reason": "Ticket 4711", "organization": organization_id})


def session() -> tuple[str, str]:
    row = ImpersonationSession.objects.get()
    return row.organization_id, row.organization_name


def test_django_organizations(people: Any, sasha: Browser) -> None:
    assert list(organizations.django_organizations(people.bob)) == [people.acme, people.globex]
    assert list(organizations.django_organizations(people.dave)) == []
    sasha.start(people.bob, organization=people.globex)
    assert session() == (str(people.globex.pk), "Globex")


def test_the_only_organization_is_taken_without_a_question(people: Any, sasha: Browser) -> None:
    assert "organization" not in sasha.get(sasha.prompt_url(people.carol)).context["form"].fields
    sasha.start(people.carol)
    assert session() == (str(people.acme.pk), "Acme")


def test_who_has_no_organization_is_impersonated_without(people: Any, sasha: Browser) -> None:
    sasha.start(people.dave)
    assert session() == ("", "")


def test_groups(people: Any, sasha: Browser, settings: Any) -> None:
    settings.IMPERSONATION_ORGANIZATIONS = "django_impersonation.organizations.groups"
    west, east = Group.objects.create(name="West"), Group.objects.create(name="East")
    people.dave.groups.add(west, east)
    assert list(organizations.groups(people.dave)) == [east, west]
    assert sasha.authorize(people.dave).status_code == 200
    sasha.start(people.dave, organization=west)
    assert session() == (str(west.pk), "West")


def test_a_queryset_of_ones_own(people: Any, sasha: Browser, settings: Any) -> None:
    settings.IMPERSONATION_ORGANIZATIONS = f"{HERE}.own_model"
    west, east = Group.objects.create(name="West"), Group.objects.create(name="East")
    people.dave.groups.add(west, east)
    choices = sasha.get(sasha.prompt_url(people.dave)).context["form"].fields["organization"].choices
    assert [name for _, name in choices][1:] == ["West", "East"]
    sasha.start(people.dave, organization=east)
    assert session() == (str(east.pk), "East")


def test_an_iterable_of_organizations(people: Any, sasha: Browser, settings: Any) -> None:
    settings.IMPERSONATION_ORGANIZATIONS = f"{HERE}.two"
    assert chosen(sasha, people.dave, "south").status_code == 303
    assert AuthorizationCode.objects.get().organization_name == "South"


# ABUSE 103
@pytest.mark.parametrize("wrong", WRONG)
def test_no_code_for_an_organization_that_is_not_the_users(people: Any, sasha: Browser, wrong: str) -> None:
    other = ShopOrganization.objects.create(name="Initech", slug="initech")
    other.add_user(people.sasha)
    closed = ShopOrganization.objects.create(name="Closed", slug="closed", is_active=False)
    closed.add_user(people.bob)
    ids = {"acme": people.acme.pk, "other": other.pk, "closed": closed.pk, "gone": 999, "user": people.bob.pk}
    response = chosen(sasha, people.bob, wrong.format(**ids))
    assert response.status_code == 200
    assert response.context["form"].errors["organization"]
    assert not AuthorizationCode.objects.exists()
    assert not Event.objects.exists()


# ABUSE 103
@pytest.mark.parametrize("wrong", WRONG)
def test_no_tool_of_a_project_gets_one_either(people: Any, wrong: str) -> None:
    """Without the form in between, as it is when the code is spent."""
    ids = {"acme": people.acme.pk, "other": 998, "closed": 997, "gone": 999, "user": people.bob.pk}
    request = RequestFactory().post("/")
    request.user, request.impersonation = people.sasha, None
    outcome = flows.authorize(request, user=people.bob, reason="x", organization=wrong.format(**ids))
    assert isinstance(outcome, ImpersonationDenied)
    assert outcome.code == ("organization_unknown" if wrong else "organization_required")
    assert not AuthorizationCode.objects.exists()
    assert Event.objects.get().code == outcome.code


# ABUSE 103
def test_two_organizations_at_once_are_none(people: Any, sasha: Browser) -> None:
    response = chosen(sasha, people.bob, [people.acme.pk, people.globex.pk])
    assert response.status_code == 200
    assert response.context["form"].errors["organization"]
    assert not AuthorizationCode.objects.exists()


# ABUSE 103
@pytest.mark.parametrize("left", ["globex", "both"])
def test_an_organization_that_was_left_while_the_form_was_open_is_not_replaced_by_another(
    people: Any, sasha: Browser, left: str
) -> None:
    """Chosen was Globex. Acme, the only one that is left, is not what the agent asked for."""
    sasha.get(sasha.prompt_url(people.bob))
    OrganizationUser.objects.filter(user=people.bob, organization=people.globex).delete()
    if left == "both":
        OrganizationUser.objects.filter(user=people.bob).delete()
    assert chosen(sasha, people.bob, people.globex.pk).status_code in (200, 403)
    assert not AuthorizationCode.objects.exists()


# ABUSE 103, ABUSE 67
def test_an_organization_that_was_left_meanwhile_spends_the_code_for_nothing(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.bob, organization=people.globex)
    OrganizationUser.objects.filter(user=people.bob, organization=people.globex).delete()
    assert sasha.redeem(code).status_code == 403
    assert not ImpersonationSession.objects.exists()
    assert Event.objects.get(name=Event.Name.DENIED).code == "organization_unknown"


# ABUSE 105
@pytest.mark.parametrize(
    ("hook", "code"),
    [
        (f"{HERE}.fails", "organizations_failed"),
        (f"{HERE}.fails_late", "organizations_failed"),
        (f"{HERE}.gives_none", "organizations_failed"),
        (f"{HERE}.missing", "organizations_failed"),
        ("no.such.module", "organizations_failed"),
        (f"{HERE}.refuses", "opted_out"),
    ],
)
def test_a_hook_that_fails_is_a_refusal(people: Any, sasha: Browser, settings: Any, hook: str, code: str) -> None:
    settings.IMPERSONATION_ORGANIZATIONS = hook
    assert sasha.get(sasha.prompt_url(people.dave)).status_code == 403
    assert not Event.objects.exists()
    assert sasha.authorize(people.dave).status_code == 403
    assert not AuthorizationCode.objects.exists()
    denied = Event.objects.get()
    assert (denied.code, denied.impersonator_email, denied.user_email) == (
        code,
        "sasha@example.com",
        "dave@example.com",
    )


# ABUSE 105
def test_a_hook_that_fails_when_the_code_is_spent_is_a_refusal(people: Any, sasha: Browser, settings: Any) -> None:
    code = sasha.code(people.bob, organization=people.acme)
    settings.IMPERSONATION_ORGANIZATIONS = f"{HERE}.fails"
    assert sasha.redeem(code).status_code == 403
    assert not ImpersonationSession.objects.exists()


@pytest.mark.parametrize("hook", ["numbered", "much_too_long"])
def test_what_a_hook_gives_is_text_of_a_length(people: Any, sasha: Browser, settings: Any, hook: str) -> None:
    settings.IMPERSONATION_ORGANIZATIONS = f"{HERE}.{hook}"
    sasha.raise_request_exception = False
    response = sasha.authorize(people.dave)
    if hook == "numbered":
        assert response.status_code == 303
        assert sasha.get(response["Location"]).status_code == 303
        assert session() == ("7", "Seven")
    else:
        assert response.status_code == 403
        assert not AuthorizationCode.objects.exists()


def test_a_policy_may_refuse_one_organization(people: Any, sasha: Browser, settings: Any) -> None:
    settings.IMPERSONATION_POLICY = f"{HERE}.opted_out"
    response = sasha.authorize(people.bob, organization=people.globex)
    assert response.status_code == 403
    assert "Globex has opted out" in response.content.decode()
    assert not AuthorizationCode.objects.exists()
    denied = Event.objects.get()
    assert (denied.code, denied.user_email) == ("opted_out", "bob@example.com")
    assert sasha.authorize(people.bob, organization=people.acme).status_code == 303


def test_a_policy_may_refuse_an_organization_between_code_and_start(
    people: Any, sasha: Browser, settings: Any
) -> None:
    code = sasha.code(people.bob, organization=people.globex)
    settings.IMPERSONATION_POLICY = f"{HERE}.opted_out"
    assert sasha.redeem(code).status_code == 403
    assert not ImpersonationSession.objects.exists()


# ABUSE 144
def test_five_thousand_organizations_cost_no_more_than_three(people: Any, sasha: Browser) -> None:
    def cost(method: str) -> tuple[int, Any]:
        with CaptureQueriesContext(connection) as queries:
            response = (
                sasha.get(sasha.prompt_url(people.bob))
                if method == "get"
                else chosen(sasha, people.bob, people.globex.pk)
            )
        for query in queries:
            sql = query["sql"]
            assert "organizations_organization" not in sql or "LIMIT" in sql
        return len(queries), response

    few = cost("get")[0], cost("post")[0]
    make_organizations([f"Org {n:04}" for n in range(5000)], people.bob)
    get, page = cost("get")
    post, made = cost("post")
    assert get <= few[0]
    assert post <= few[1]
    assert page.content.decode().count("<option") == 100
    assert len(page.content) < 40_000
    assert made.status_code == 303
    assert AuthorizationCode.objects.latest("pk").organization_name == "Globex"
    assert chosen(sasha, people.bob, "999999").status_code == 200


# ABUSE 144
def test_of_an_endless_hook_no_more_is_read_than_is_shown(people: Any, sasha: Browser, settings: Any) -> None:
    settings.IMPERSONATION_ORGANIZATIONS = f"{HERE}.endless"
    TAKEN.clear()
    assert sasha.get(sasha.prompt_url(people.dave)).status_code == 200
    assert len(TAKEN) == 101


def test_an_impersonator_stays_in_the_chosen_organization(people: Any, sasha: Browser) -> None:
    row = sasha.start(people.bob, organization=people.acme)
    request = RequestFactory().get("/")
    request.user, request.impersonation = people.bob, row
    assert organizations.allows(request, people.acme.pk)
    assert not organizations.allows(request, people.globex.pk)
    request.user = people.carol
    assert organizations.allows(request, people.globex.pk)
    request.user, request.impersonation = people.bob, None
    assert organizations.allows(request, people.globex.pk)
