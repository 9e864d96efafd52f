"""The button, the action and the prompt: whose they are, on each admin site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.contenttypes.models import ContentType
from django.urls import reverse

from django_impersonation import flows, useradmin
from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession
from tests.abuse import site_urls
from tests.people import Browser, grant

DATA = {"reason": "Ticket 4711", "organization": ""}


@pytest.fixture
def sites(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.abuse.site_urls"
    # The proxy's content type lives as long as the test's transaction.
    ContentType.objects.clear_cache()
    yield
    ContentType.objects.clear_cache()


def button(browser: Browser, user: Any) -> bool:
    response = browser.get(reverse("admin:shop_user_change", args=[user.pk]))
    assert response.status_code == 200
    return browser.prompt_url(user) in response.content.decode()


def action(browser: Browser) -> bool:
    return "impersonate_selected" in browser.get("/admin/shop/user/").content.decode()


# ABUSE 109
def test_the_button_is_for_those_who_can_use_it(people: Any, sasha: Browser) -> None:
    noor = Browser(people.noor)
    assert (button(sasha, people.dave), action(sasha)) == (True, True)
    assert (button(noor, people.dave), action(noor)) == (False, False)


# ABUSE 109
@pytest.mark.parametrize("who", ["admin", "noor", "sasha", "eve"])
def test_there_is_no_button_on_the_page_of_a_user_whom_the_policy_protects(
    people: Any, sasha: Browser, who: str
) -> None:
    assert not button(sasha, getattr(people, who))
    assert not Event.objects.exists()


# ABUSE 109
def test_there_is_no_button_while_impersonation_is_off(people: Any, sasha: Browser, settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None
    assert (button(sasha, people.dave), action(sasha)) == (False, False)
    flows.switch(True)
    assert (button(sasha, people.dave), action(sasha)) == (True, True)


# ABUSE 109
def test_there_is_no_button_within_an_impersonation(people: Any, settings: Any) -> None:
    settings.IMPERSONATION_BLOCKED_VIEWS = ["-admin"]
    admin = Browser(people.admin)
    admin.start(people.sasha)
    assert (button(admin, people.dave), action(admin)) == (False, False)


# ABUSE 97, ABUSE 110
def test_who_may_not_view_users_may_not_impersonate_them(people: Any, sasha: Browser) -> None:
    people.sasha.user_permissions.remove(people.sasha.user_permissions.get(codename="view_user"))
    assert sasha.get(sasha.prompt_url(people.dave)).status_code == 403
    assert sasha.authorize(people.dave).status_code == 403
    assert Event.objects.get().code == "no_permission"
    assert not AuthorizationCode.objects.exists()


@pytest.mark.parametrize("count", [0, 2])
def test_the_action_is_for_one_user(people: Any, sasha: Browser, count: int) -> None:
    chosen = [people.bob.pk, people.dave.pk][:count]
    data = {"action": "impersonate_selected", "_selected_action": chosen}
    response = sasha.post("/admin/shop/user/", data)
    assert "/impersonate/" not in response.get("Location", "")
    one = sasha.post("/admin/shop/user/", data | {"_selected_action": [people.dave.pk]})
    assert one["Location"] == sasha.prompt_url(people.dave)


# ABUSE 110
def test_a_proxy_on_a_site_of_its_own(people: Any, sasha: Browser, sites: None) -> None:
    prompt = f"/desk/shop/customer/{people.dave.pk}/impersonate/"
    page = sasha.get(f"/desk/shop/customer/{people.dave.pk}/change/")
    assert prompt in page.content.decode()
    form = sasha.get(prompt)
    assert form.status_code == 200
    assert f"/desk/shop/customer/{people.dave.pk}/change/" in form.content.decode()
    made = sasha.post(prompt, DATA)
    code = parse_qs(urlsplit(made["Location"]).query)["code"][0]
    assert sasha.redeem(code).status_code == 303
    assert sasha.who()["user"] == "dave@example.com"
    assert ImpersonationSession.objects.get().user == people.dave
    assert sasha.get(prompt).status_code == 403
    assert sasha.stop()["Location"] == f"/desk/shop/customer/{people.dave.pk}/change/"


# ABUSE 110
def test_whom_a_sites_queryset_hides_is_not_there(people: Any, sites: None) -> None:
    admin = Browser(people.admin)
    response = admin.post(f"/desk/shop/customer/{people.sasha.pk}/impersonate/", DATA)
    assert response.status_code == 302
    assert response["Location"].startswith("/desk/")
    assert not AuthorizationCode.objects.exists()
    assert admin.authorize(people.sasha).status_code == 303


# ABUSE 110
def test_a_projects_hook_may_say_no_to_one_user(
    people: Any, sasha: Browser, sites: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_urls.CustomerAdmin, "closed", {people.dave.pk})
    base = "/desk/shop/customer/"
    assert "impersonate/" not in sasha.get(f"{base}{people.dave.pk}/change/").content.decode()
    assert sasha.get(f"{base}{people.dave.pk}/impersonate/").status_code == 403
    assert sasha.post(f"{base}{people.dave.pk}/impersonate/", DATA).status_code == 403
    assert Event.objects.get().user_email == "dave@example.com"
    assert sasha.post(f"{base}{people.carol.pk}/impersonate/", DATA).status_code == 303


# ABUSE 110
@pytest.mark.parametrize("site", ["desk", "managers", "plain"])
def test_a_site_that_does_not_permit_it_makes_no_code(people: Any, sites: None, site: str) -> None:
    """By its ModelAdmin's permissions, by the site's own, or because it has no such prompt."""
    grant(people.sasha, "change_user")
    sasha = Browser(people.sasha)
    response = sasha.post(f"/{site}/shop/user/{people.dave.pk}/impersonate/", DATA)
    assert response.status_code in (302, 403, 404)
    assert not AuthorizationCode.objects.exists()


# ABUSE 110
def test_only_the_default_site_is_extended_unasked(people: Any) -> None:
    ours = useradmin.ImpersonationAdminMixin
    assert isinstance(useradmin.admin.site.get_model_admin(type(people.bob)), ours)
    assert not isinstance(site_urls.plain.get_model_admin(type(people.bob)), ours)
