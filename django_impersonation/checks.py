"""System checks: every way to install this wrongly, with a hint that says what to type."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.admin.sites import all_sites
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware, RemoteUserMiddleware
from django.core.checks import CheckMessage, Tags, register
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.urls import LocalePrefixPattern, NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse
from django.utils.module_loading import import_string

from django_impersonation import sessions
from django_impersonation.conf import DEFAULT_POLICY, conf
from django_impersonation.middleware import ImpersonationMiddleware
from django_impersonation.settings_checks import check_patterns, check_settings, error, warning
from django_impersonation.useradmin import ImpersonationAdminMixin, user_models

OURS = "django_impersonation.middleware.ImpersonationMiddleware"
DJANGOS = "django.contrib.auth.middleware.AuthenticationMiddleware"


def register_all() -> None:
    register(check_middleware, Tags.security)
    register(check_settings, Tags.security)
    register(check_urls, Tags.urls)
    register(check_patterns, Tags.urls)
    register(check_backends, Tags.security)
    register(check_templates, Tags.templates)
    register(check_user_model, Tags.models)
    register(check_admin, Tags.admin)
    register(check_api, Tags.security)


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
