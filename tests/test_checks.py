"""Each check is reported when and only when it should be, and its hint says what to type."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from django.apps import apps
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.contrib.auth import authenticate, get_user_model
from django.core.checks import ERROR, WARNING, CheckMessage, run_checks
from django.http import HttpRequest
from django.urls import include, path, reverse_lazy

from django_impersonation import checks, sessions, settings_checks
from django_impersonation.api import checks as api_checks
from django_impersonation.conf import conf

OURS = "django_impersonation.middleware.ImpersonationMiddleware"
DJANGOS = "django.contrib.auth.middleware.AuthenticationMiddleware"
TOKENS = "django_impersonation.api.middleware.ImpersonationTokenMiddleware"


def ours() -> list[CheckMessage]:
    return [m for m in run_checks() if (m.id or "").startswith("django_impersonation.")]


def reported() -> list[str]:
    """The ids of all our messages, without the part that they share."""
    return ids(ours())


def ids(found: list[CheckMessage]) -> list[str]:
    for message in found:
        assert isinstance(message.id, str)
        kind = message.id.rpartition(".")[2][0]
        assert message.level == {"E": ERROR, "W": WARNING}[kind]
        assert message.hint, message
    return [str(m.id).rpartition(".")[2] for m in found]


def hint_of(short: str) -> str:
    return next(str(m.hint) for m in run_checks() if m.id == f"django_impersonation.{short}")


def without(middleware: list[str], *names: str) -> list[str]:
    return [name for name in middleware if name not in names]


def forever(**kwargs: Any) -> bool:
    return True


def test_the_tests_own_project_is_clean() -> None:
    assert reported() == []


def test_ids_are_unique_and_without_gaps() -> None:
    numbers: dict[str, set[int]] = {"E": set(), "W": set()}
    count = {"E": 0, "W": 0}
    trees = [ast.parse(Path(str(module.__file__)).read_text()) for module in (checks, settings_checks, api_checks)]
    for call in (n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Call)):
        function = getattr(call.func, "id", "")
        kind = {"error": "E", "warning": "W", "_check_lifetime": "E"}.get(function)
        number = call.args[2 if function == "_check_lifetime" else 0] if kind else None
        if kind and isinstance(number, ast.Constant):
            numbers[kind].add(number.value)
            count[kind] += 1
    numbers["E"] |= {7, 8}  # these two share a loop
    assert numbers["E"] == set(range(1, 34))
    assert numbers["W"] == set(range(1, 12))
    assert count == {"E": 31, "W": 12}  # W011 is said of two kinds of patterns


# ABUSE 48
@pytest.mark.parametrize(
    ("middleware", "expected"),
    [
        ([DJANGOS], ["E001"]),
        ([DJANGOS, OURS, OURS], ["E002"]),
        ([OURS, DJANGOS], ["E003"]),
        ([OURS], ["E003"]),
        ([DJANGOS, "django.contrib.messages.middleware.MessageMiddleware", OURS], ["W001"]),
        ([DJANGOS, "tests.test_checks.MyImpersonationMiddleware", OURS], ["E002"]),
        ([DJANGOS, "tests.test_checks.MyImpersonationMiddleware"], []),
        (["tests.test_checks.MyAuthenticationMiddleware", OURS], []),
        ([DJANGOS, OURS, "no.such.Middleware"], []),
    ],
)
def test_middleware(settings: Any, middleware: list[str], expected: list[str]) -> None:
    rest = without(settings.MIDDLEWARE, OURS, DJANGOS, TOKENS, "django.contrib.messages.middleware.MessageMiddleware")
    settings.SILENCED_SYSTEM_CHECKS = ["admin.E408", "admin.E409"]
    settings.MIDDLEWARE = [*rest, *middleware]
    assert reported() == expected
    for short in expected:
        assert f'"{OURS}"' in hint_of(short)
        assert f'"{DJANGOS}"' in hint_of(short)


class MyImpersonationMiddleware(checks.ImpersonationMiddleware):
    pass


class MyAuthenticationMiddleware(checks.AuthenticationMiddleware):
    pass


# ABUSE 47
@pytest.mark.parametrize("name", ["RemoteUserMiddleware", "PersistentRemoteUserMiddleware"])
def test_remote_user(settings: Any, name: str) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"django.contrib.auth.middleware.{name}"]
    assert reported() == ["E004"]
    assert "Remove RemoteUserMiddleware from MIDDLEWARE" in hint_of("E004")


LIFETIMES: list[Any] = [0, -1, "60", True, None, timedelta(0), timedelta(days=1), float("inf"), float("nan")]
ADDRESSES: list[Any] = [None, "/", "home", "https://app.example.com/"]
NO_ADDRESSES = [
    "",
    1,
    "no-such-name",
    "//evil.example",
    "/\\evil.example",
    "javascript:alert(1)//",
    "data:text/html,/",
]
ORGANIZATIONS = "django_impersonation.organizations.groups"
POLICY = "django_impersonation.policy.customers"


# ABUSE 61, ABUSE 105
@pytest.mark.parametrize(
    ("name", "good", "bad", "short", "typed"),
    [
        ("SESSION_LIFETIME", [1, 3600, timedelta(minutes=60)], [*LIFETIMES, 3601], "E005", "3600"),
        ("CODE_LIFETIME", [1, 600, timedelta(minutes=1)], [*LIFETIMES, 601], "E006", "600"),
        ("POLICY", [POLICY, forever], ["no.such", "json", "json.no", "", None], "E007", '"shop.support.policy"'),
        ("ORGANIZATIONS", [None, ORGANIZATIONS], ["no.such", "json.no"], "E008", '"shop.support.organizations"'),
        ("ON_STOP", ["restore", "sign_out"], ["stop", "", None], "E009", '"sign_out"'),
        ("ENABLED", [None, True, False], ["True", 1, 0, ""], "E010", "True, False or None"),
        ("BLOCKED_VIEWS", [[], ("home",), ["-admin"]], ["billing", [1], [""], ["-"], {"a"}], "E011", '["billing:*"'),
        ("ENVIRONMENT", ["staging", "x" * 100], ["", "x" * 101, None, 1], "E012", '"production"'),
        ("LANDING_URL", ADDRESSES, NO_ADDRESSES, "E013", '"/"'),
        ("RETURN_URL", ADDRESSES, NO_ADDRESSES, "E013", '"/"'),
    ],
)
def test_settings(settings: Any, name: str, good: list[Any], bad: list[Any], short: str, typed: str) -> None:
    for value in good:
        setattr(settings, f"IMPERSONATION_{name}", value)
        assert reported() == [], repr(value)
    for value in bad:
        setattr(settings, f"IMPERSONATION_{name}", value)
        found = ours()
        assert ids(found) == [short], repr(value)
        assert f"IMPERSONATION_{name}" in str(found[0].msg)
        assert typed in str(found[0].hint)


@pytest.mark.parametrize("name", ["LANDING_URL", "RETURN_URL"])
def test_an_address_may_be_lazy(settings: Any, name: str) -> None:
    """As LOGIN_REDIRECT_URL often is."""
    setattr(settings, f"IMPERSONATION_{name}", reverse_lazy("home"))
    assert reported() == []


def test_an_environment_without_a_name_is_off(settings: Any) -> None:
    """A variable that the environment lacks, say. It must not be an environment called "None"."""
    for enabled in (None, True):
        settings.IMPERSONATION_ENABLED = enabled
        settings.IMPERSONATION_ENVIRONMENT = None
        assert (conf.IMPERSONATION_ENVIRONMENT, conf.IMPERSONATION_ENABLED) == ("", False)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("IMPERSONATION_BLOCKED_VIEW", "Did you mean IMPERSONATION_BLOCKED_VIEWS?"),
        ("IMPERSONATION_ENABLE", "Did you mean IMPERSONATION_ENABLED?"),
        ("IMPERSONATION_X", "The README has a table of all settings."),
    ],
)
def test_a_name_that_is_none_of_ours(settings: Any, name: str, hint: str) -> None:
    setattr(settings, name, None)
    assert reported() == ["W010"]
    assert hint_of("W010") == hint


@pytest.mark.parametrize(
    ("pattern", "clean"),
    [
        ("billing", True),
        ("bill*", True),
        ("admin:login", True),
        ("django.contrib.auth.views.LoginView", True),
        ("django.views.generic.*.View", True),
        ("billings", False),
        ("shop:billing", False),
        ("LoginView", False),
        ("-password_change*", True),
        ("-password_change", False),
        ("-billing", False),
    ],
)
def test_a_pattern_that_does_nothing(settings: Any, pattern: str, clean: bool) -> None:
    settings.IMPERSONATION_BLOCKED_VIEWS = [pattern]
    assert reported() == ([] if clean else ["W011"])
    assert clean or any(f'"{pattern}"' in str(message.msg) for message in run_checks())


def test_a_pattern_of_ones_own_may_be_taken_out_again(settings: Any) -> None:
    """Settings of one environment may add to those of another."""
    settings.IMPERSONATION_BLOCKED_VIEWS = ["billing", "-billing"]
    assert reported() == []


def urlconf(*patterns: Any) -> Any:
    """A URLconf may be a tuple of patterns; get_resolver() wants one that can be a key."""
    return (path("admin/", admin.site.urls), *patterns)


OUR_URLS = include("django_impersonation.urls")
NOWHERE = urlconf()
TRANSLATED = urlconf(*i18n_patterns(path("impersonation/", OUR_URLS)))
DEEP = urlconf(*i18n_patterns(path("x/", include([path("y/", OUR_URLS)]))))


@pytest.mark.parametrize(
    ("urls", "short"), [(NOWHERE, "E014"), (TRANSLATED, "E015"), (DEEP, "E015")], ids=["no", "i18n", "deep"]
)
def test_urls(settings: Any, urls: Any, short: str) -> None:
    settings.ROOT_URLCONF = urls
    assert reported() == [short]
    assert 'include("django_impersonation.urls")' in hint_of(short)


def test_the_inert_backend_is_no_backend(settings: Any) -> None:
    backend = "django_impersonation.sessions.InertBackend"
    settings.AUTHENTICATION_BACKENDS = [backend]
    assert reported() == ["E016"]
    assert f'Remove "{backend}"' in hint_of("E016")
    # And even so it lets nobody in.
    assert authenticate(None, username="admin@example.com", password="demo") is None
    assert sessions.InertBackend().get_user(1) is None


def test_sessions_not_installed(settings: Any) -> None:
    with mock.patch.object(apps, "is_installed", lambda name: name != "django.contrib.sessions"):
        found = list(checks.check_backends(None))
    assert [m.id for m in found] == ["django_impersonation.W002"]
    assert '"django.contrib.sessions"' in str(found[0].hint)


@pytest.mark.parametrize("name", ["SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME"])
@pytest.mark.parametrize("cookie", ["impersonation", "impersonation_return_key"])
def test_a_cookie_with_our_name(settings: Any, name: str, cookie: str) -> None:
    setattr(settings, name, cookie)
    assert reported() == ["E017"]
    assert name in hint_of("E017")


def test_no_request_in_templates(settings: Any) -> None:
    options = {"context_processors": ["django.contrib.auth.context_processors.auth"]}
    settings.TEMPLATES = [settings.TEMPLATES[0] | {"OPTIONS": options}]
    assert "W003" in reported()
    assert '"django.template.context_processors.request"' in hint_of("W003")


@pytest.mark.parametrize("missing", ["is_staff", "has_perm"])
def test_a_user_model_that_cannot_be_allowed_anything(missing: str) -> None:
    model = SimpleNamespace(**{name: True for name in ("is_staff", "has_perm") if name != missing})
    with mock.patch.object(checks, "get_user_model", return_value=model):
        found = list(checks.check_user_model(None))
    assert [m.id for m in found] == ["django_impersonation.E018"]
    assert missing in found[0].msg
    assert "PermissionsMixin" in str(found[0].hint)


def test_listed_before_the_admin() -> None:
    configs = sorted(apps.get_app_configs(), key=lambda c: c.name != "django_impersonation")
    with mock.patch.object(apps, "get_app_configs", return_value=configs):
        assert reported() == ["E019"]
        assert 'Move "django_impersonation" below "django.contrib.admin"' in hint_of("E019")


def test_no_admin_of_users() -> None:
    with mock.patch.object(checks, "all_sites", {admin.AdminSite(name="empty")}):
        assert reported() == ["W004"]
        assert "ImpersonationAdminMixin" in hint_of("W004")
        assert "flows.authorize" in hint_of("W004")


def test_an_admin_of_users_that_offers_nothing() -> None:
    class PlainAdmin(admin.ModelAdmin):
        def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
            return True

    site = admin.AdminSite(name="second")
    site.register(get_user_model(), PlainAdmin)
    with mock.patch.object(checks, "all_sites", {admin.site, site}):
        assert reported() == ["W005"]
        assert "Let PlainAdmin inherit from django_impersonation.admin.ImpersonationAdminMixin" in hint_of("W005")
    admin.sites.all_sites.discard(site)  # it would live until the garbage is collected
    assert reported() == []
