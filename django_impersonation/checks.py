"""System checks: every way to install this wrongly, with a hint that says what to type."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.admin.sites import all_sites
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware, RemoteUserMiddleware
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.shortcuts import resolve_url
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.urls import LocalePrefixPattern, NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse
from django.utils.functional import Promise
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.module_loading import import_string

from django_impersonation import sessions
from django_impersonation.conf import DEFAULT_POLICY, conf
from django_impersonation.middleware import ImpersonationMiddleware
from django_impersonation.useradmin import ImpersonationAdminMixin, user_models

OURS = "django_impersonation.middleware.ImpersonationMiddleware"
DJANGOS = "django.contrib.auth.middleware.AuthenticationMiddleware"


def register_all() -> None:
    register(check_middleware, Tags.security)
    register(check_settings, Tags.security)
    register(check_urls, Tags.urls)
    register(check_backends, Tags.security)
    register(check_templates, Tags.templates)
    register(check_user_model, Tags.models)
    register(check_admin, Tags.admin)
    register(check_api, Tags.security)


def error(number: int, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"django_impersonation.E{number:03}")


def warning(number: int, message: str, hint: str) -> checks.Warning:
    return checks.Warning(message, hint=hint, id=f"django_impersonation.W{number:03}")


def check_middleware(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    ours, djangos = places_of(ImpersonationMiddleware), places_of(AuthenticationMiddleware)
    place = f'Put "{OURS}" into MIDDLEWARE once, on the line after "{DJANGOS}".'
    if not ours:
        yield error(1, "The impersonation middleware is not installed.", place)
    elif len(ours) > 1:
        yield error(2, "The impersonation middleware is installed more than once.", place)
    elif not djangos or djangos[0] > ours[0]:
        yield error(3, "The impersonation middleware stands before AuthenticationMiddleware.", place)
    elif ours[0] != djangos[0] + 1:
        yield warning(1, "The impersonation middleware does not stand directly after AuthenticationMiddleware.", place)
    if places_of(RemoteUserMiddleware):
        yield error(
            4,
            "RemoteUserMiddleware signs the staff member in again on every request, over the impersonated user.",
            "Remove RemoteUserMiddleware from MIDDLEWARE, or django_impersonation from INSTALLED_APPS.",
        )


def check_settings(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    yield from _check_lifetime("IMPERSONATION_SESSION_LIFETIME", timedelta(minutes=60), 5)
    yield from _check_lifetime("IMPERSONATION_CODE_LIFETIME", timedelta(minutes=10), 6)
    for name, number in (("IMPERSONATION_POLICY", 7), ("IMPERSONATION_ORGANIZATIONS", 8)):
        try:
            getattr(conf, name)
        except ImportError as flaw:
            hint = f'Set {name} to the dotted path of a function, for example "shop.support.{name[14:].lower()}".'
            yield error(number, f"{name} cannot be imported: {flaw}", hint)
    if conf.IMPERSONATION_ON_STOP not in ("restore", "sign_out"):
        yield error(9, "IMPERSONATION_ON_STOP has an unknown value.", 'Set it to "restore" or to "sign_out".')
    if not isinstance(getattr(settings, "IMPERSONATION_ENABLED", None), bool | None):
        yield error(10, "IMPERSONATION_ENABLED is no boolean and counts as off.", "Set it to True, False or None.")
    patterns = getattr(settings, "IMPERSONATION_BLOCKED_VIEWS", ())
    if not isinstance(patterns, list | tuple) or not all(isinstance(p, str) and p.strip("-") for p in patterns):
        hint = 'Set IMPERSONATION_BLOCKED_VIEWS to a list of strings, for example ["billing:*", "-password_reset*"].'
        yield error(11, "IMPERSONATION_BLOCKED_VIEWS is not a list of patterns.", hint)
    if not conf.IMPERSONATION_ENVIRONMENT or len(conf.IMPERSONATION_ENVIRONMENT) > 100:
        hint = 'Set IMPERSONATION_ENVIRONMENT to a name such as "production" or "staging".'
        yield error(12, "IMPERSONATION_ENVIRONMENT is empty or longer than 100 characters.", hint)
    for name in ("IMPERSONATION_LANDING_URL", "IMPERSONATION_RETURN_URL"):
        url = getattr(conf, name)
        if url is not None and not _is_address(url):
            hint = f'Set {name} to a path such as "/", an https:// address or the name of a URL pattern.'
            yield error(13, f"{name} is not an address.", hint)


def check_urls(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    try:
        reverse("django_impersonation:stop")
    except NoReverseMatch:
        hint = 'Add path("impersonation/", include("django_impersonation.urls")) to your URLconf.'
        yield error(14, "The URLs of django_impersonation are not included.", hint)
        return
    translated = [p for p in get_resolver().url_patterns if isinstance(p.pattern, LocalePrefixPattern)]
    if any(getattr(p, "app_name", None) == "django_impersonation" for top in translated for p in _resolvers(top)):
        yield error(
            15,
            "The URLs of django_impersonation stand inside i18n_patterns: the cookie that leads back belongs to "
            "one path, which would change with the language.",
            'Move include("django_impersonation.urls") out of i18n_patterns().',
        )


def check_backends(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    if sessions.INERT_BACKEND in settings.AUTHENTICATION_BACKENDS:
        yield error(
            16,
            "An impersonated session must mean nothing without the middleware, and this backend gives it a meaning.",
            f'Remove "{sessions.INERT_BACKEND}" from AUTHENTICATION_BACKENDS.',
        )
    if not apps.is_installed("django.contrib.sessions"):
        hint = 'Add "django.contrib.sessions" to INSTALLED_APPS and its SessionMiddleware to MIDDLEWARE.'
        yield warning(2, "django.contrib.sessions is not installed.", hint)
    if {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME} & {sessions.MARKER, sessions.RETURN_KEY}:
        hint = "Give SESSION_COOKIE_NAME and CSRF_COOKIE_NAME other values."
        yield error(17, "A cookie of Django's has the name of one of ours.", hint)


def check_templates(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    processors = [p for e in engines.all() if isinstance(e, DjangoTemplates) for p in e.engine.context_processors]
    if "django.template.context_processors.request" not in processors:
        hint = 'Add "django.template.context_processors.request" to the context processors in TEMPLATES.'
        yield warning(3, "{% staff_bar %} finds no request in the templates, so there is no bar.", hint)


def check_user_model(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    missing = [name for name in ("is_staff", "has_perm") if not hasattr(get_user_model(), name)]
    if missing:
        hint = "Add django.contrib.auth.models.PermissionsMixin and a field is_staff to your user model."
        yield error(18, f"The user model has no {' and no '.join(missing)}: nobody can be allowed.", hint)
    policy = getattr(settings, "IMPERSONATION_POLICY", DEFAULT_POLICY)
    if not missing and policy == DEFAULT_POLICY and not hasattr(get_user_model(), "get_all_permissions"):
        hint = 'Set IMPERSONATION_POLICY = "django_impersonation.policy.customers", or to a function of your own.'
        yield warning(6, "The default policy compares permissions, and the user model has none.", hint)


def check_admin(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    names = [config.name for config in apps.get_app_configs()]
    if "django.contrib.admin" not in names:
        return
    if names.index("django.contrib.admin") > names.index("django_impersonation"):
        hint = 'Move "django_impersonation" below "django.contrib.admin" in INSTALLED_APPS.'
        yield error(19, "django_impersonation is listed before django.contrib.admin.", hint)
        return
    registered = [(s, m) for s in list(all_sites) for m in user_models() if s.is_registered(m)]
    mixin = "django_impersonation.admin.ImpersonationAdminMixin"
    if not registered:
        yield warning(
            4,
            "The user model is not registered in the admin, so nothing there offers to impersonate a user.",
            f"Register it with a ModelAdmin that inherits from {mixin}, or call flows.authorize from a view of yours.",
        )
    for site, model in registered:
        if not isinstance(site.get_model_admin(model), ImpersonationAdminMixin):
            yield warning(
                5,
                f"The admin of {model._meta.label} on the site {site.name!r} does not offer to impersonate a user.",
                f"Let {type(site.get_model_admin(model)).__name__} inherit from {mixin} first.",
            )


def check_api(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    try:
        reverse("django_impersonation_api:authenticate")
    except NoReverseMatch:
        if conf.IMPERSONATION_CALLBACK_URL is not None:
            hint = 'Add path("", include("django_impersonation.api.urls")) to your URLconf, or remove the setting.'
            yield error(20, "IMPERSONATION_CALLBACK_URL is set, and the API's URLs are not included.", hint)
        return
    # By name, as its packages are installed only where its URLs can be included.
    yield from import_module("django_impersonation.api.checks").check_all()


def _check_lifetime(name: str, most: timedelta, number: int) -> Iterable[CheckMessage]:
    value = getattr(settings, name, most)
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    whole = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not whole or not 0 < seconds <= most.total_seconds():
        limit = int(most.total_seconds())
        hint = f"Set {name} to seconds or a timedelta, more than 0 and at most {limit} seconds."
        yield error(number, f"{name} is not a duration within its limits.", hint)


def _is_address(url: object) -> bool:
    if not (isinstance(url, str | Promise) and url):
        return False
    try:
        if str(url).startswith(("https://", "http://")):
            return True
        return url_has_allowed_host_and_scheme(resolve_url(str(url)), allowed_hosts=None)
    except NoReverseMatch:
        return False


def places_of(middleware: type) -> list[int]:
    """Where in MIDDLEWARE the class stands, or one that inherits from it."""
    loaded = [_import(path) for path in settings.MIDDLEWARE]
    return [i for i, item in enumerate(loaded) if isinstance(item, type) and issubclass(item, middleware)]


def _import(path: str) -> object:
    try:
        return import_string(path)
    except ImportError:  # Django's own start says so better
        return None


def _resolvers(pattern: URLPattern | URLResolver) -> Iterable[URLPattern | URLResolver]:
    yield pattern
    for child in getattr(pattern, "url_patterns", ()):
        yield from _resolvers(child)
