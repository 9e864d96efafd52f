"""System checks of the settings' values; those of the installation are in ``django_impersonation.checks``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from difflib import get_close_matches
from fnmatch import translate
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch
from django.utils.functional import Promise
from django.utils.http import url_has_allowed_host_and_scheme

from django_impersonation.blocked import DEFAULT_BLOCKED_VIEWS
from django_impersonation.conf import Settings, conf
from django_impersonation.guards import names_of
from django_impersonation.surface import every_view


def error(number: int, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"django_impersonation.E{number:03}")


def warning(number: int, message: str, hint: str) -> checks.Warning:
    return checks.Warning(message, hint=hint, id=f"django_impersonation.W{number:03}")


def check_settings(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    yield from _check_names()
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
    if not are_names(getattr(settings, "IMPERSONATION_BLOCKED_VIEWS", ())):
        hint = 'Set IMPERSONATION_BLOCKED_VIEWS to a list of strings, for example ["billing:*", "shop.views.Export"].'
        yield error(11, "IMPERSONATION_BLOCKED_VIEWS is not a list of patterns.", hint)
    if not conf.IMPERSONATION_ENVIRONMENT or len(conf.IMPERSONATION_ENVIRONMENT) > 100:
        hint = 'Set IMPERSONATION_ENVIRONMENT to a name such as "production" or "staging".'
        yield error(12, "IMPERSONATION_ENVIRONMENT is no text of 1 to 100 characters; without, all is off.", hint)
    for name in ("IMPERSONATION_LANDING_URL", "IMPERSONATION_RETURN_URL"):
        url = getattr(conf, name)
        if url is not None and not _is_address(url):
            hint = f'Set {name} to a path such as "/", an https:// address or the name of a URL pattern.'
            yield error(13, f"{name} is not an address.", hint)


def check_patterns(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """A pattern with a slip of the pen protects nothing, and nothing else would say so."""
    patterns = getattr(settings, "IMPERSONATION_BLOCKED_VIEWS", ())
    if not patterns or not are_names(patterns):
        return
    names = {name for match in every_view() for name in names_of(match)}
    for pattern in patterns:
        if pattern.startswith("-") and pattern[1:] not in (*DEFAULT_BLOCKED_VIEWS, *patterns):
            hint = "Write it as it stands in django_impersonation/blocked.py, with a minus before it."
            yield warning(11, f'"{pattern}" in IMPERSONATION_BLOCKED_VIEWS takes nothing out.', hint)
        elif not pattern.startswith("-") and not any(map(re.compile(translate(pattern)).fullmatch, names)):
            hint = "Write the name of a URL pattern with its namespace, an app name, or the dotted path of a view."
            yield warning(11, f'"{pattern}" in IMPERSONATION_BLOCKED_VIEWS matches no view of ROOT_URLCONF.', hint)


def are_names(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(text, str) and text.strip("-") for text in value)


def _check_names() -> Iterable[CheckMessage]:
    prefix = "IMPERSONATION_"
    known = [name.removeprefix(prefix) for name in vars(Settings) if name.startswith(prefix)]
    for name in (name.removeprefix(prefix) for name in dir(settings) if name.startswith(prefix)):
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"Did you mean {prefix}{near[0]}?" if near else "The README has a table of all settings."
            yield warning(10, f"{prefix}{name} is no setting of django_impersonation and does nothing.", hint)


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
