"""The switch, and the ways from a user's page into an impersonation. The records are in test_admin_records.py."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.urls import reverse

from django_impersonation.models import AuthorizationCode, Configuration, Event, ImpersonationSession
from tests.people import Browser, grant

pytestmark = pytest.mark.django_db
CONFIGURATION = "/admin/django_impersonation/configuration/"
USERS = "/admin/shop/user/"


def text(response: Any, status: int = 200) -> str:
    assert response.status_code == status, (response.status_code, response.headers)
    return str(response.content.decode())


def page_of(user: Any) -> str:
    return reverse("admin:shop_user_change", args=[user.pk])


def messages(response: Any) -> list[str]:
    return [str(m) for m in response.context["messages"]]


def impersonate_selected(browser: Browser, *users: Any, **kwargs: Any) -> Any:
    data = {"index": "0", "action": "impersonate_selected", "_selected_action": [u.pk for u in users]}
    return browser.post(USERS, data, **kwargs)


@pytest.fixture
def switch(settings: Any) -> None:
    """The admin's switch decides, and is off."""
    settings.IMPERSONATION_ENABLED = None


@pytest.fixture
def ada(people: Any) -> Browser:
    return Browser(people.admin)


# -- the switch --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("switch")
def test_switching_on_and_off(people: Any, ada: Browser, sasha: Browser) -> None:
    html = text(ada.get(CONFIGURATION))
    assert "is <strong>disabled</strong>" in html
    assert "Enable impersonation" in html
    assert "Disable impersonation" not in html
    response = ada.post(CONFIGURATION, {"enable": "1"}, follow=True)
    assert messages(response) == ["Impersonation is on now."]
    html = text(response)
    assert "is <strong>enabled</strong> in the environment <bdi>production</bdi>" in html
    assert "by <bdi>admin@example.com</bdi>" in html
    assert "0 sessions are live" in html
    session = sasha.start(people.carol)
    assert "1 session is live" in text(ada.get(CONFIGURATION))
    Browser(people.admin).code(people.dave)
    response = ada.post(CONFIGURATION, {"enable": "0"}, follow=True)
    assert messages(response) == ["Impersonation is off now."]
    session.refresh_from_db()
    assert session.end_reason == "disabled"
    assert not AuthorizationCode.objects.usable().exists()
    events = Event.objects.filter(name__in=["impersonation.enabled", "impersonation.disabled"]).order_by("position")
    assert [(e.name, e.impersonator) for e in events] == [
        ("impersonation.enabled", people.admin),
        ("impersonation.disabled", people.admin),
    ]


@pytest.mark.usefixtures("switch")
def test_each_change_of_the_switch_is_in_the_log_of_the_admin_once(people: Any, ada: Browser) -> None:
    ada.post(CONFIGURATION, {"enable": "1"})
    ada.post(CONFIGURATION, {"enable": "1"})
    ada.post(CONFIGURATION, {"enable": "0"})
    entries = LogEntry.objects.filter(content_type__model="configuration").order_by("pk")
    assert [e.get_change_message() for e in entries] == ["Impersonation is on now.", "Impersonation is off now."]
    assert {e.user_id for e in entries} == {people.admin.pk}


@pytest.mark.usefixtures("switch")
@pytest.mark.parametrize("data", [{}, {"enable": ""}, {"enable": "2"}, {"enable": "true"}, {"enable": "on"}])
def test_anything_else_changes_nothing(ada: Browser, data: dict[str, str]) -> None:
    assert messages(ada.post(CONFIGURATION, data, follow=True)) == ["Nothing was changed."]
    assert not Configuration.objects.enabled()
    assert Event.objects.count() == 0


@pytest.mark.usefixtures("switch")
@pytest.mark.parametrize("method", ["get", "head", "options", "put", "patch", "delete"])
def test_only_a_post_changes_the_switch(ada: Browser, method: str) -> None:
    getattr(ada, method)(f"{CONFIGURATION}?enable=1")
    assert not Configuration.objects.filter(enabled=True).exists()
    assert Event.objects.count() == 0


@pytest.mark.usefixtures("switch")
def test_switching_needs_a_csrf_token(people: Any) -> None:
    browser = Browser(people.admin, enforce_csrf_checks=True)
    assert browser.post(CONFIGURATION, {"enable": "1"}).status_code == 403
    assert not Configuration.objects.enabled()


@pytest.mark.parametrize("fixed", [True, False])
def test_where_the_deployment_decides(ada: Browser, settings: Any, fixed: bool) -> None:
    settings.IMPERSONATION_ENABLED = fixed
    html = text(ada.get(CONFIGURATION))
    assert f"is <strong>{'enabled' if fixed else 'disabled'}</strong>" in html
    assert "<code>IMPERSONATION_ENABLED</code> decides this" in html
    assert 'name="enable"' not in html
    response = ada.post(CONFIGURATION, {"enable": "0" if fixed else "1"}, follow=True)
    assert messages(response) == ["IMPERSONATION_ENABLED decides in this deployment."]
    assert Configuration.objects.enabled() is fixed
    assert Event.objects.count() == LogEntry.objects.count() == 0


@pytest.mark.usefixtures("switch")
def test_who_may_see_and_who_may_switch(people: Any) -> None:
    noor = Browser(people.noor)
    assert noor.get(CONFIGURATION).status_code == 403
    assert noor.post(CONFIGURATION, {"enable": "1"}).status_code == 403
    assert CONFIGURATION not in text(noor.get("/admin/"))
    grant(people.noor, "view_configuration")
    html = text(noor.get(CONFIGURATION))
    assert "You do not have permission to change this." in html
    assert 'name="enable"' not in html
    assert noor.post(CONFIGURATION, {"enable": "1"}).status_code == 403
    assert not Configuration.objects.enabled()
    people.noor.user_permissions.clear()
    grant(people.noor, "configure_impersonation")
    assert CONFIGURATION in text(noor.get("/admin/"))
    assert 'name="enable"' in text(noor.get(CONFIGURATION))
    noor.post(CONFIGURATION, {"enable": "1"})
    assert Configuration.objects.enabled()


def test_nobody_else_comes_near(people: Any) -> None:
    for browser in (Browser(), Browser(people.bob)):
        assert browser.get(CONFIGURATION).status_code == 302
        assert browser.post(CONFIGURATION, {"enable": "1"}).status_code == 302


@pytest.mark.usefixtures("switch")
def test_while_it_is_off_nothing_offers_to_impersonate(people: Any, sasha: Browser) -> None:
    assert "mpersonate selected" not in text(sasha.get(USERS))
    assert "/impersonate/" not in text(sasha.get(page_of(people.carol)))
    response = impersonate_selected(sasha, people.carol)
    assert "/impersonate/" not in response.get("Location", "")
    assert "Impersonation is switched off for this environment." in text(
        sasha.get(sasha.prompt_url(people.carol)), 403
    )
    assert "Impersonation is switched off" in text(sasha.authorize(people.carol), 403)
    assert AuthorizationCode.objects.count() == 0
    Configuration.objects.create(environment="staging", enabled=True)
    assert "/impersonate/" not in text(sasha.get(page_of(people.carol))), "another environment's switch"


# -- the action and the button ----------------------------------------------------------------------------------------


def test_the_action_leads_to_the_prompt_of_the_one_user(people: Any, sasha: Browser) -> None:
    assert "Impersonate selected user" in text(sasha.get(USERS))
    response = impersonate_selected(sasha, people.carol)
    assert (response.status_code, response["Location"]) == (302, sasha.prompt_url(people.carol))


def test_the_action_wants_exactly_one_user(people: Any, sasha: Browser) -> None:
    response = impersonate_selected(sasha, people.carol, people.dave, follow=True)
    assert messages(response) == ["Select exactly one user to impersonate."]
    response = impersonate_selected(sasha, follow=True)
    assert len(messages(response)) == 1
    response = sasha.post(
        USERS,
        {"action": "impersonate_selected", "select_across": "1", "_selected_action": [people.carol.pk]},
        follow=True,
    )
    assert messages(response) == ["Select exactly one user to impersonate."]
    assert AuthorizationCode.objects.count() == ImpersonationSession.objects.count() == 0


# ABUSE 109
def test_neither_action_nor_button_without_the_permission(people: Any) -> None:
    noor = Browser(people.noor)
    assert "mpersonate selected" not in text(noor.get(USERS))
    assert "/impersonate/" not in text(noor.get(page_of(people.carol)))
    assert "/impersonate/" not in impersonate_selected(noor, people.carol).get("Location", "")


def test_the_button_leads_to_the_prompt(people: Any, sasha: Browser) -> None:
    assert f'<a href="{sasha.prompt_url(people.carol)}">Impersonate</a>' in text(sasha.get(page_of(people.carol)))
    assert "/impersonate/" not in text(Browser(people.admin).get(reverse("admin:shop_user_add")))


# -- the prompt --------------------------------------------------------------------------------------------------


def test_the_prompt_of_a_user_with_one_organization_asks_for_the_reason_only(people: Any, sasha: Browser) -> None:
    html = text(sasha.get(sasha.prompt_url(people.carol)))
    assert "You will be signed in as <strong><bdi>carol@example.com</bdi></strong> for up to 60 minutes." in html
    assert 'name="reason"' in html
    assert 'name="organization"' not in html
    assert sasha.start(people.carol).organization_name == "Acme"
    assert Browser(people.sasha).start(people.dave).organization_id == ""


def test_the_prompt_of_a_user_with_several_asks_which(people: Any, sasha: Browser) -> None:
    html = text(sasha.get(sasha.prompt_url(people.bob)))
    assert [f"{o.pk}" in html for o in (people.acme, people.globex)] == [True, True]
    assert html.count("<option") == 3
    response = sasha.authorize(people.bob)
    assert response.context["form"].errors == {"organization": ["This field is required."]}
    assert sasha.start(people.bob, organization=people.globex).organization_name == "Globex"


@pytest.mark.parametrize(("environment", "status"), [("production", 200), ("staging", 303)])
def test_the_reason_is_required_in_production(
    people: Any, sasha: Browser, settings: Any, environment: str, status: int
) -> None:
    settings.IMPERSONATION_ENVIRONMENT = environment
    prompt = sasha.get(sasha.prompt_url(people.carol))
    assert prompt.context["form"].fields["reason"].required is (status == 200)
    assert ('<label for="id_reason" class="required">' in text(prompt)) is (status == 200)
    assert sasha.authorize(people.carol, reason="").status_code == status
    assert AuthorizationCode.objects.count() == (status == 303)


def test_the_address_may_bring_the_reason_along(people: Any, sasha: Browser) -> None:
    html = text(sasha.get(sasha.prompt_url(people.carol), {"reason": "Ticket <4711>"}))
    assert "Ticket &lt;4711&gt;</textarea>" in html
    html = text(sasha.get(sasha.prompt_url(people.carol), {"reason": "x" * 5000}))
    assert "x" * 500 + "</textarea>" in html
    assert "x" * 501 not in html
    assert AuthorizationCode.objects.count() == 0, "nothing starts by a link"


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_denial_says_why_and_shows_no_form(people: Any, sasha: Browser, method: str) -> None:
    response = getattr(sasha, method)(sasha.prompt_url(people.admin), {"reason": "Ticket"})
    html = text(response, 403)
    assert "Superusers cannot be impersonated." in html
    assert 'name="reason"' not in html
    assert page_of(people.admin) in html
    assert Event.objects.filter(name="impersonation.denied", code="user_is_superuser").count() == (method == "post")


# ABUSE 97
def test_without_the_permission_the_prompt_is_closed(people: Any) -> None:
    noor = Browser(people.noor)
    assert "You do not have permission to impersonate users." in text(noor.get(noor.prompt_url(people.carol)), 403)
    assert Event.objects.count() == 0
    assert noor.authorize(people.carol).status_code == 403
    denied = Event.objects.get()
    assert (denied.name, denied.code, denied.user) == ("impersonation.denied", "no_permission", people.carol)
    assert AuthorizationCode.objects.count() == 0


def test_a_projects_own_condition_closes_button_and_prompt(people: Any, sasha: Browser, monkeypatch: Any) -> None:
    def only_dave(self: Any, request: Any, obj: Any = None) -> bool:
        return obj is None or obj.pk == people.dave.pk

    monkeypatch.setattr(type(site.get_model_admin(get_user_model())), "has_impersonate_permission", only_dave)
    assert sasha.prompt_url(people.dave) in text(sasha.get(page_of(people.dave)))
    assert "/impersonate/" not in text(sasha.get(page_of(people.carol)))
    assert sasha.get(sasha.prompt_url(people.carol)).status_code == 403
    assert sasha.authorize(people.carol).status_code == 403
    assert AuthorizationCode.objects.count() == 0
    assert Event.objects.get().code == "no_permission"
    assert sasha.authorize(people.dave).status_code == 303


@pytest.mark.parametrize("key", ["nonsense", "00000000-0000-0000-0000-000000000000", "1", "%00"])
def test_a_user_who_does_not_exist(people: Any, sasha: Browser, key: str) -> None:
    for response in (
        sasha.get(f"{USERS}{key}/impersonate/"),
        sasha.post(f"{USERS}{key}/impersonate/", {"reason": "x"}),
    ):
        assert (response.status_code, response["Location"]) == (302, "/admin/")


def test_a_request_is_in_the_log_of_the_admin_with_its_reason(people: Any, sasha: Browser) -> None:
    sasha.code(people.carol, reason="Ticket 4711")
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (people.sasha, str(people.carol.pk))
    assert entry.get_change_message() == "Impersonation requested. Reason: Ticket 4711"
    assert "Reason: Ticket 4711" in text(sasha.get(reverse("admin:shop_user_history", args=[people.carol.pk])))
    sasha.authorize(people.admin)
    assert LogEntry.objects.count() == 1, "a denied attempt is an event, not a change"
