"""System checks of the API; ``django_impersonation.checks`` asks them where its URLs are included."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.urls import get_script_prefix, reverse

from django_impersonation.api.middleware import ImpersonationTokenMiddleware
from django_impersonation.api.tokens import load_private_key
from django_impersonation.checks import OURS, places_of
from django_impersonation.conf import conf
from django_impersonation.keys import BITS
from django_impersonation.middleware import ImpersonationMiddleware
from django_impersonation.settings_checks import error, warning

SHORTEST_KEY = 32  # characters
TOKENS = "django_impersonation.api.middleware.ImpersonationTokenMiddleware"
CLASS = "django_impersonation.api.authentication.ImpersonationAuthentication"


def check_all() -> Iterable[CheckMessage]:
    yield from _check_keys()
    yield from _check_signing_keys()
    yield from _check_addresses()
    yield from _check_installation()


def _check_keys() -> Iterable[CheckMessage]:
    new = 'Set it to what "manage.py impersonation newkey --api" prints.'
    if not re.fullmatch(r"[A-Za-z0-9._~-]{1,255}", conf.IMPERSONATION_CLIENT_ID):
        hint = 'Set IMPERSONATION_CLIENT_ID to a name of letters, digits, "_" and "-", for example "client_shop".'
        yield error(21, "IMPERSONATION_CLIENT_ID is missing or cannot be part of an address.", hint)
    if len(conf.IMPERSONATION_API_KEY) < SHORTEST_KEY:
        yield error(22, f"IMPERSONATION_API_KEY is missing or shorter than {SHORTEST_KEY} characters.", new)
    if 0 < len(conf.IMPERSONATION_EVENTS_KEY) < SHORTEST_KEY:
        yield error(23, f"IMPERSONATION_EVENTS_KEY is shorter than {SHORTEST_KEY} characters.", new)
    secrets = [conf.IMPERSONATION_API_KEY, conf.IMPERSONATION_EVENTS_KEY, settings.SECRET_KEY]
    given = [secret for secret in secrets if secret]
    if len(set(given)) < len(given):
        hint = "Give each of them a value of its own."
        yield error(24, "IMPERSONATION_API_KEY, IMPERSONATION_EVENTS_KEY and SECRET_KEY share a value.", hint)
    if not conf.IMPERSONATION_JWT_ISSUER:
        hint = 'Set IMPERSONATION_JWT_ISSUER to the address of this site, for example "https://shop.example.com".'
        yield error(25, "IMPERSONATION_JWT_ISSUER is missing.", hint)


def _check_signing_keys() -> Iterable[CheckMessage]:
    hint = 'Set IMPERSONATION_JWT_SIGNING_KEY to what "manage.py impersonation newkey" prints.'
    pems = conf.IMPERSONATION_JWT_SIGNING_KEY
    if not pems:
        yield error(26, "IMPERSONATION_JWT_SIGNING_KEY holds no key in PEM.", hint)
    for pem in pems:
        try:
            key = load_private_key(pem)
        except ImproperlyConfigured as flaw:
            yield error(27, f"{flaw}.", hint)
            continue
        if key.key_size < BITS:
            yield error(28, f"IMPERSONATION_JWT_SIGNING_KEY has a key of {key.key_size} bits.", hint)


def _check_addresses() -> Iterable[CheckMessage]:
    for name in ("IMPERSONATION_REDIRECT_URIS", "IMPERSONATION_SIGN_OUT_URIS"):
        listed = getattr(settings, name, ())
        whole = isinstance(listed, list | tuple) and all(isinstance(url, str) for url in listed)
        if not whole or not all(_is_registrable(url) for url in listed):
            hint = f'Set {name} to a list of whole addresses, for example ["https://app.example.com/callback"].'
            yield error(29, f"{name} is not a list of absolute addresses without a fragment or a wildcard.", hint)
        for url in filter(_is_registrable, listed if whole else ()):
            if url.startswith("http://") and urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1"):
                hint = "Use https: what is sent to this address can be read on the way."
                yield warning(7, f"{name} has an address without encryption: {url}", hint)
    callback, initiate = conf.IMPERSONATION_CALLBACK_URL, conf.IMPERSONATION_INITIATE_LOGIN_URL
    if callback is not None and callback not in conf.IMPERSONATION_REDIRECT_URIS:
        hint = "Add it to IMPERSONATION_REDIRECT_URIS, letter by letter."
        yield error(30, "IMPERSONATION_CALLBACK_URL is not registered.", hint)
    if initiate is not None and (callback is None or not _is_registrable(str(initiate))):
        hint = "Set it to the whole address of the client's sign-in route, and IMPERSONATION_CALLBACK_URL beside it."
        yield error(31, "IMPERSONATION_INITIATE_LOGIN_URL has no use as it is.", hint)
    elif initiate is not None and settings.SESSION_COOKIE_SAMESITE == "Strict":
        hint = 'Set SESSION_COOKIE_SAMESITE to "Lax", or IMPERSONATION_INITIATE_LOGIN_URL to None.'
        yield warning(9, "Not every browser brings a Strict cookie back from a sign-in route on another site.", hint)


def _is_registrable(address: str) -> bool:
    """RFC 6749 section 3.1.2: absolute, without a fragment; and nothing that a browser would run."""
    try:
        url = urlsplit(address)
    except ValueError:
        return False
    web = url.scheme in ("http", "https")
    private = "." in url.scheme or "-" in url.scheme or "+" in url.scheme  # RFC 8252 section 7.1
    return (bool(url.netloc) if web else private) and not url.fragment and "*" not in url.netloc


def _check_installation() -> Iterable[CheckMessage]:
    cookies, tokens = places_of(ImpersonationMiddleware), places_of(ImpersonationTokenMiddleware)
    default = [str(path) for path in getattr(settings, "REST_FRAMEWORK", {}).get("DEFAULT_AUTHENTICATION_CLASSES", ())]
    place = f'Put "{TOKENS}" into MIDDLEWARE once, on the line after "{OURS}".'
    if len(tokens) > 1 or (tokens and cookies and tokens[0] < cookies[0]):
        yield error(32, "ImpersonationTokenMiddleware stands in a wrong place, or twice.", place)
    if not tokens and CLASS in default:
        yield error(33, "ImpersonationAuthentication reads what ImpersonationTokenMiddleware sets.", place)
    if reverse("django_impersonation_api:authenticate") != f"{get_script_prefix()}user_management/authenticate":
        hint = 'Add path("", include("django_impersonation.api.urls")) to your root URLconf instead.'
        yield warning(8, "The API is not at the root of its host: some SDKs drop the prefix of a path.", hint)
