"""What an impersonator must not reach, by whatever name. None of the packages that are named is needed here."""

from __future__ import annotations

from functools import partial, wraps
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.admin import AdminSite
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient
from django.urls import ResolverMatch, include, path
from django.utils.http import urlencode
from django.views import View

from django_impersonation.guards import is_blocked
from django_impersonation.models import Event
from tests.abuse.packages import CLASSES, FUNCTIONS, NAMES, OTHERS
from tests.people import Browser
from tests.urls import urlpatterns as site


def named(dotted: str, kind: type = View) -> Any:
    """A class that says it lives at this path."""
    module, _, name = dotted.rpartition(".")
    return type(name, (kind,), {"__module__": module, "get": lambda self, request: HttpResponse("inside")})


def function(dotted: str) -> Any:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("inside")

    view.__module__, _, view.__qualname__ = dotted.rpartition(".")
    return view


def match(view: Any, name: str = "shop_page", *, apps: tuple[str, ...] = ()) -> ResolverMatch:
    return ResolverMatch(view, (), {}, name, list(apps), list(apps))


APPS = ["admin", "headless", "idp", "oauth2_provider", "oidc_provider", "social", "two_factor", "passkeys", "hijack"]


# ABUSE 111, ABUSE 112, ABUSE 113, ABUSE 114
@pytest.mark.parametrize("dotted", CLASSES)
def test_a_sensitive_class_is_blocked_under_any_name_and_as_a_subclass(dotted: str) -> None:
    original = named(dotted)
    mine = type("Mine", (original,), {"__module__": "shop.views"})
    mine_again = type("MineAgain", (mine,), {"__module__": "shop.views"})
    assert not is_blocked(match(named("shop.views.Original").as_view()))
    assert is_blocked(match(original.as_view()))
    assert is_blocked(match(mine.as_view()))
    assert is_blocked(match(login_required(mine_again.as_view())))


# ABUSE 112, ABUSE 114
@pytest.mark.parametrize("dotted", FUNCTIONS)
def test_a_sensitive_function_is_blocked_under_any_name(dotted: str) -> None:
    assert is_blocked(match(function(dotted)))
    assert is_blocked(match(login_required(function(dotted))))


# ABUSE 111, ABUSE 114
@pytest.mark.parametrize("name", NAMES)
def test_a_view_of_the_projects_own_is_blocked_under_a_well_known_name(name: str) -> None:
    view = function("shop.views.something")
    assert is_blocked(match(view, name))


# ABUSE 111, ABUSE 114
@pytest.mark.parametrize("name", NAMES)
def test_a_well_known_name_is_blocked_inside_a_namespace_too(name: str) -> None:
    assert is_blocked(match(function("shop.views.something"), name, apps=("accounts",)))


# ABUSE 108, ABUSE 111, ABUSE 113
@pytest.mark.parametrize("app", APPS)
def test_everything_in_a_sensitive_app_is_blocked_however_deep(app: str) -> None:
    view = function("shop.views.something")
    assert is_blocked(match(view, apps=(app,)))
    assert is_blocked(match(view, apps=("tenant", app, "inner")))
    assert not is_blocked(match(view, apps=("tenant", f"{app}istration", "inner")))


# ABUSE 111
def test_a_partial_of_a_sensitive_view_is_blocked() -> None:
    assert is_blocked(match(partial(auth.PasswordChangeView.as_view(), extra=1)))
    assert is_blocked(match(partial(function("social_django.views.disconnect"), extra=1)))
    assert not is_blocked(match(partial(function("shop.views.something"), extra=1)))


# ABUSE 112, ABUSE 113
@pytest.mark.parametrize("dotted", OTHERS)
def test_other_packages_of_the_same_kinds_are_blocked(dotted: str) -> None:
    last = dotted.rpartition(".")[2]
    assert is_blocked(match(named(dotted).as_view() if last[0].isupper() else function(dotted)))


# ABUSE 112
def test_an_operation_of_ninja_is_blocked_behind_the_one_view_of_its_path() -> None:
    def view_of(*views: Any) -> Any:
        operations = SimpleNamespace(operations=[SimpleNamespace(view_func=view) for view in views])
        method = "GET"  # what else the closure holds has no operations

        def view(request: HttpRequest) -> Any:
            return method, operations

        view.__module__ = "ninja.operation"
        return view

    harmless, sensitive = function("shop.api.orders"), function("social_django.views.disconnect")
    assert is_blocked(match(view_of(harmless, sensitive)))
    assert not is_blocked(match(view_of(harmless)))
    closed = view_of(sensitive)
    closed.__module__ = "shop.views"
    assert not is_blocked(match(closed)), "what others keep in a closure is no business of ours"


@pytest.mark.parametrize(
    ("view", "name"),
    [
        (auth.LoginView.as_view(), "login"),
        (auth.LogoutView.as_view(), "logout"),
        (function("shop.views.home"), "home"),
        (function("shop.views.plans"), "no_mfa_needed"),
        (function("shop.views.profile"), "profile"),
        (function("shop.socialaccount.views.wall"), "feed"),
        (named("allauth.account.views.LogoutView").as_view(), "account_logout"),
        (named("shop.views.PasswordManagerProductView").as_view(), "product"),
    ],
)
def test_ordinary_pages_stay_open(view: Any, name: str) -> None:
    assert not is_blocked(match(view, name))


# ABUSE 112
def test_a_project_adds_and_removes_patterns(settings: Any) -> None:
    settings.IMPERSONATION_BLOCKED_VIEWS = ["tokens:*", "shop.views.Api*", "-password_change*"]
    assert is_blocked(match(function("shop.views.create"), "create", apps=("tokens",)))
    assert is_blocked(match(named("shop.views.ApiKeys").as_view()))
    assert not is_blocked(match(function("shop.views.password"), "password_change"))
    assert is_blocked(match(auth.PasswordChangeView.as_view(), "password_change")), "the class is a pattern of its own"
    assert is_blocked(match(function("shop.views.password"), "password_reset"))


def test_our_own_views_can_never_be_blocked(settings: Any) -> None:
    settings.IMPERSONATION_BLOCKED_VIEWS = ["*"]
    view = function("django_impersonation.views.stop")
    assert not is_blocked(match(view, "stop", apps=("django_impersonation",)))
    assert is_blocked(match(view, "stop", apps=("shop",)))


# -- the same over HTTP -----------------------------------------------------------------------------------------

backoffice = AdminSite(name="backoffice")


class NewPassword(auth.PasswordChangeView):
    pass


def logged(view: Any) -> Any:
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return view(request, *args, **kwargs)

    return wrapper


async def async_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("inside")


async_page.__module__ = "knox.views"
consent = named("oauth2_provider.views.base.AuthorizationView")

urlpatterns = [
    path("me/secret/", logged(NewPassword.as_view(template_name="shop/form.html")), name="secret"),
    path("o/", include(([path("authorize/", consent.as_view(), name="authorize")], "oauth2_provider"))),
    path("sso/", consent.as_view(), name="sso"),
    path("social/connect/", function("social_django.views.complete"), name="connect"),
    path("token/", async_page, name="token"),
    path("backoffice/", backoffice.urls),
    *site,
]


# ABUSE 111, ABUSE 112, ABUSE 113, ABUSE 114
@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    "address", ["/me/secret/", "/o/authorize/", "/sso/", "/social/connect/", "/token/", "/backoffice/"]
)
def test_a_blocked_page_is_refused_with_a_way_out_and_an_event(people: Any, sasha: Browser, address: str) -> None:
    session = sasha.start(people.bob, organization=people.acme)
    response = sasha.get(address)
    assert response.status_code == 403
    assert b"inside" not in response.content
    assert f'action="{"/impersonation/stop/"}"' in response.content.decode()
    denied = Event.objects.get(name="impersonation.denied")
    assert (denied.code, denied.impersonator, denied.user) == ("blocked_view", people.sasha, people.bob)
    assert sasha.who()["impersonation"] == session.pk


# ABUSE 111
@pytest.mark.urls(__name__)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
def test_no_method_reaches_a_blocked_view(people: Any, sasha: Browser, method: str) -> None:
    people.bob.set_password("demo")
    people.bob.save()
    before = people.bob.password
    sasha.start(people.bob, organization=people.acme)
    data = {"old_password": "demo", "new_password1": "Stolen-4711", "new_password2": "Stolen-4711"}
    response = sasha.generic(method, "/me/secret/", urlencode(data), "application/x-www-form-urlencoded")
    assert response.status_code == 403
    people.bob.refresh_from_db()
    assert people.bob.password == before


@pytest.mark.urls(__name__)
def test_blocked_pages_are_open_to_the_users_themselves(people: Any) -> None:
    bob = Browser(people.bob)
    assert bob.get("/sso/").content == b"inside"
    assert bob.get("/me/secret/").status_code == 200
    assert bob.get("/token/").content == b"inside"
    assert Event.objects.count() == 0


# ABUSE 112
@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Dest": "empty"}, {"HX-Request": "true"}, {"Accept": "application/json"}]
)
def test_scripts_get_json(people: Any, sasha: Browser, headers: dict[str, str]) -> None:
    sasha.start(people.bob, organization=people.acme)
    response = sasha.get("/token/", headers=headers)
    assert response.status_code == 403
    assert response.json()["error"] == "impersonation_forbidden"


# ABUSE 112
@pytest.mark.urls(__name__)
@pytest.mark.parametrize("address", ["/token/", "/sso/", "/asensitive/"])
def test_asynchronous_requests_are_refused_too(people: Any, sasha: Browser, address: str) -> None:
    sasha.start(people.bob, organization=people.acme)
    client = AsyncClient()
    client.cookies = sasha.cookies
    response = async_to_sync(client.get)(address)
    assert response.status_code == 403
    assert b"Stop impersonating" in response.content
    assert Event.objects.get(name="impersonation.denied").code == "blocked_view"


# ABUSE 112
@pytest.mark.parametrize("address", ["/sensitive/", "/asensitive/", "/billing/"])
def test_the_decorator_refuses_what_no_list_knows(people: Any, sasha: Browser, address: str) -> None:
    assert Browser(people.bob).get(address).status_code == 200
    sasha.start(people.bob, organization=people.acme)
    response = sasha.get(address)
    assert response.status_code == 403
    assert b"Stop impersonating" in response.content
    assert Event.objects.get(name="impersonation.denied").code == "blocked_view"


# ABUSE 108
@pytest.mark.urls(__name__)
def test_impersonated_staff_lend_their_pages_and_not_the_admin(people: Any) -> None:
    ada = Browser(people.admin)
    session = ada.start(people.sasha)
    prompt = ada.prompt_url(people.bob)
    sessions = "/admin/django_impersonation/impersonationsession/"
    for address in [
        "/admin/",
        "/backoffice/",
        prompt,
        sessions,
        "/admin/django_impersonation/event/",
        "/admin/nowhere/",
    ]:
        assert ada.get(address).status_code == 403, address
    assert ada.post(prompt, {"reason": "again"}).status_code == 403
    assert ada.post(sessions, {"action": "revoke", "_selected_action": session.pk}).status_code == 403
    assert ada.post("/admin/django_impersonation/configuration/", {"enable": "0"}).status_code == 403
    assert ada.post("/admin/logout/").status_code == 403
    assert ada.who()["current"] == session.pk
    assert not Event.objects.filter(name="impersonation.requested", impersonator=people.sasha).exists()
    denied = Event.objects.get(name="impersonation.denied")
    assert (denied.code, denied.count, denied.impersonator) == ("blocked_view", 10, people.admin)
