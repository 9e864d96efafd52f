"""Where a browser is sent.

Addresses come from settings and from views of ours; any other was checked to be a path of this site.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.admin.utils import quote
from django.http import HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode

from django_impersonation.conf import conf


class SeeOther(HttpResponseRedirect):
    """Follow with GET, tell nobody where from (the address may hold a code), keep no copy."""

    status_code = 303

    def __init__(self, url: str, *, registered: bool = False) -> None:
        if registered:  # by the deployment, in its settings: an app on a phone has a scheme of its own
            self.allowed_schemes = [urlsplit(url).scheme, *self.allowed_schemes]
        super().__init__(url, headers={"Referrer-Policy": "no-referrer", "Cache-Control": "private, no-store"})


class Found(SeeOther):
    """The same, in answer to a GET."""

    status_code = 302


def with_query(url: str, **parameters: str) -> str:
    """The address with these parameters behind those that it has."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


def landing_url() -> str:
    """Where an impersonation begins."""
    if conf.IMPERSONATION_LANDING_URL is not None:
        return resolve_url(conf.IMPERSONATION_LANDING_URL)
    # Not Django's default for it: few projects have a page at /accounts/profile/.
    chosen = settings.is_overridden("LOGIN_REDIRECT_URL")  # type: ignore[misc]
    return resolve_url(settings.LOGIN_REDIRECT_URL) if chosen else get_script_prefix()


def return_url(user: Any, wanted: str | None) -> str:
    """Where *Stop* leads: the setting, what was wanted if it is a path of this site, else the user's admin page."""
    if conf.IMPERSONATION_RETURN_URL is not None:
        return resolve_url(conf.IMPERSONATION_RETURN_URL)
    if (
        wanted
        and len(wanted) <= 2000
        and "\x00" not in wanted
        and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    ):
        return wanted
    try:
        return reverse(f"admin:{user._meta.app_label}_{user._meta.model_name}_change", args=[quote(user.pk)])
    except NoReverseMatch:
        return get_script_prefix()


def login_url() -> str:
    """Where the impersonator signs in again."""
    try:
        return reverse("admin:login")
    except NoReverseMatch:
        return resolve_url(settings.LOGIN_URL)
