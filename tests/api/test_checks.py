"""Each way to install the API wrongly has a check with a hint that says what to type."""

from __future__ import annotations

import types
from io import StringIO
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.urls import include, path

from django_impersonation import keys
from django_impersonation.conf import conf
from example_project.urls import urlpatterns
from tests.test_checks import OURS, TOKENS, hint_of, reported

CLASS = "django_impersonation.api.authentication.ImpersonationAuthentication"


def pem(key: Any) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()  # type: ignore[no-any-return]


SHORT = pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))
CURVE = pem(ec.generate_private_key(ec.SECP256R1()))
ADDRESS = "https://app.example.com/callback"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"CLIENT_ID": ""}, ["E021"]),
        ({"CLIENT_ID": "a/b"}, ["E021"]),
        ({"API_KEY": ""}, ["E022"]),
        ({"API_KEY": "x" * 31}, ["E022"]),
        ({"API_KEY": "x" * 32}, []),
        ({"EVENTS_KEY": "x" * 31}, ["E023"]),
        ({"EVENTS_KEY": "x" * 32}, []),
        ({"API_KEY": "x" * 32, "EVENTS_KEY": "x" * 32}, ["E024"]),
        ({"JWT_ISSUER": ""}, ["E025"]),
        ({"JWT_SIGNING_KEY": ""}, ["E026"]),
        ({"JWT_SIGNING_KEY": "no PEM"}, ["E026"]),
        ({"JWT_SIGNING_KEY": []}, ["E026"]),
        ({"JWT_SIGNING_KEY": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"}, ["E027"]),
        ({"JWT_SIGNING_KEY": CURVE}, ["E027"]),
        ({"JWT_SIGNING_KEY": SHORT}, ["E028"]),
        ({"REDIRECT_URIS": ADDRESS}, ["E029"]),
        ({"REDIRECT_URIS": [None]}, ["E029"]),
        ({"REDIRECT_URIS": ["/callback"]}, ["E029"]),
        ({"REDIRECT_URIS": ["https:///callback"]}, ["E029"]),
        ({"REDIRECT_URIS": ["https://[::1/callback"]}, ["E029"]),
        ({"REDIRECT_URIS": [f"{ADDRESS}#part"]}, ["E029"]),
        ({"REDIRECT_URIS": ["https://*.example.com/"]}, ["E029"]),
        ({"REDIRECT_URIS": ["javascript:alert(1)"]}, ["E029"]),
        ({"REDIRECT_URIS": ["data:text/html,x"]}, ["E029"]),
        ({"REDIRECT_URIS": ["com.example.app:/callback"]}, []),
        ({"SIGN_OUT_URIS": ["nowhere"]}, ["E029"]),
        ({"REDIRECT_URIS": ["http://app.example.com/callback"]}, ["W007"]),
        ({"REDIRECT_URIS": ["http://localhost:3000/callback"]}, []),
        ({"CALLBACK_URL": ADDRESS}, ["E030"]),
        ({"CALLBACK_URL": ADDRESS, "REDIRECT_URIS": [ADDRESS]}, []),
        ({"INITIATE_LOGIN_URL": "https://app.example.com/login"}, ["E031"]),
        ({"CALLBACK_URL": ADDRESS, "REDIRECT_URIS": [ADDRESS], "INITIATE_LOGIN_URL": "/login"}, ["E031"]),
        ({"CALLBACK_URL": ADDRESS, "REDIRECT_URIS": [ADDRESS], "INITIATE_LOGIN_URL": "https://a.example/"}, []),
    ],
)
def test_settings(settings: Any, given: dict[str, Any], expected: list[str]) -> None:
    for name, value in given.items():
        setattr(settings, f"IMPERSONATION_{name}", value)
    assert reported() == expected


def test_a_strict_cookie_does_not_come_back(settings: Any) -> None:
    settings.SESSION_COOKIE_SAMESITE = "Strict"
    assert reported() == []
    settings.IMPERSONATION_REDIRECT_URIS = [ADDRESS]
    settings.IMPERSONATION_CALLBACK_URL = ADDRESS
    settings.IMPERSONATION_INITIATE_LOGIN_URL = "https://app.example.com/login"
    assert reported() == ["W009"]


def test_a_key_shared_with_django(settings: Any) -> None:
    settings.SECRET_KEY = settings.IMPERSONATION_API_KEY
    assert reported() == ["E024"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [((OURS, TOKENS), []), ((TOKENS, OURS), ["E032", "W001"]), ((OURS, TOKENS, TOKENS), ["E032"])],
)
def test_the_place_of_the_middleware(settings: Any, order: tuple[str, ...], expected: list[str]) -> None:
    i = settings.MIDDLEWARE.index(OURS)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:i], *order, *settings.MIDDLEWARE[i + 2 :]]
    assert sorted(reported()) == expected


def test_the_class_needs_the_middleware(settings: Any) -> None:
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if path != TOKENS]
    assert reported() == []
    settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": [CLASS]}
    assert reported() == ["E033"]
    assert TOKENS in hint_of("E033")


def urlconf(*patterns: Any) -> types.ModuleType:
    module = types.ModuleType("urlconf")
    module.urlpatterns = [*urlpatterns[:-1], *patterns]  # type: ignore[attr-defined]
    return module


def test_a_prefix_is_warned_of(settings: Any) -> None:
    settings.ROOT_URLCONF = urlconf(path("api/", include("django_impersonation.api.urls")))
    assert reported() == ["W008"]


def test_a_client_without_the_api(settings: Any) -> None:
    settings.ROOT_URLCONF = urlconf()
    settings.IMPERSONATION_API_KEY = ""  # nobody's business without the API
    assert reported() == []
    settings.IMPERSONATION_CALLBACK_URL = ADDRESS
    assert reported() == ["E020"]


def printed(*args: str) -> str:
    out = StringIO()
    call_command("impersonation", "newkey", *args, stdout=out)
    return out.getvalue().removesuffix("\n")


def test_newkey_prints_what_the_settings_take(settings: Any) -> None:
    first, second = printed(), printed()
    assert first != second
    assert "\n" not in first
    settings.IMPERSONATION_JWT_SIGNING_KEY = first
    assert len(conf.IMPERSONATION_JWT_SIGNING_KEY) == 1
    assert reported() == []
    for several in (first + second, [first, second], f"{first}\n{second}"):
        settings.IMPERSONATION_JWT_SIGNING_KEY = several
        assert len(conf.IMPERSONATION_JWT_SIGNING_KEY) == 2
        assert reported() == []


def test_newkey_runs_where_the_checks_fail(settings: Any) -> None:
    settings.IMPERSONATION_JWT_SIGNING_KEY = ""
    assert reported() == ["E026"]
    out = StringIO()
    call_command("impersonation", "newkey", stdout=out, skip_checks=False)
    assert "PRIVATE KEY" in out.getvalue()
    with pytest.raises(SystemCheckError):
        call_command("impersonation", "status", stdout=out, skip_checks=False)


def test_newkey_for_the_api(settings: Any) -> None:
    settings.IMPERSONATION_API_KEY, settings.IMPERSONATION_EVENTS_KEY = printed("--api"), printed("--api")
    assert reported() == []


def test_newkey_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "rsa", None)
    with pytest.raises(CommandError, match=r"django-impersonation\[api\]"):
        printed()
