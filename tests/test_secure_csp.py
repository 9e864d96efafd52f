"""Django's own Content-Security-Policy, new in 6.0: ours adds to it where pages are the admin's."""

from __future__ import annotations

import re
from typing import Any

import django
import pytest
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client
from django.urls import path, reverse

from tests.csp import NONCE, SELF, enforce
from tests.people import Browser
from tests.urls import urlpatterns as usual

pytestmark = [
    pytest.mark.skipif(django.VERSION < (6, 0), reason="SECURE_CSP is new in Django 6.0"),
    pytest.mark.urls("tests.test_secure_csp"),
]
POLICY = {
    "default-src": [SELF],
    "script-src": [SELF, NONCE],
    "style-src": [SELF, NONCE],
    "img-src": [SELF, "data:"],
    "frame-ancestors": [SELF, "https://partner.example"],
}
BAR = "{% load django_impersonation %}{% staff_bar %}"


def bar(request: HttpRequest) -> HttpResponse:
    return HttpResponse(engines["django"].from_string(BAR).render({}, request))


urlpatterns = [path("bar/", bar), *usual]


@pytest.fixture(autouse=True)
def secure_csp(settings: Any) -> None:
    enforce(settings, POLICY)


def directives(response: Any) -> dict[str, str]:
    """The policy of a response, without the nonce."""
    policy = re.sub(r" 'nonce-[^']+'", "", response["Content-Security-Policy"])
    split = (part.strip().partition(" ") for part in policy.split(";"))
    return {name: value for name, _, value in split}


# ABUSE 128
@pytest.mark.parametrize("page", ["prompt", "refusal", "configuration"])
def test_pages_in_the_admin_keep_the_policy_and_are_never_framed(people: Any, page: str) -> None:
    url = {
        "prompt": reverse("admin:shop_user_impersonate", args=[people.bob.pk]),
        "refusal": reverse("admin:shop_user_impersonate", args=[people.eve.pk]),
        "configuration": reverse("admin:django_impersonation_configuration_changelist"),
    }[page]
    response = Browser(people.admin).get(url)
    assert response.status_code == (403 if page == "refusal" else 200)
    found = directives(response)
    assert found.pop("frame-ancestors") == "'none'"
    usual = directives(Browser(people.admin).get(reverse("admin:index")))
    assert usual.pop("frame-ancestors") == "'self' https://partner.example"
    assert found == usual
    assert found["img-src"] == "'self' data:"


# ABUSE 128
def test_our_own_pages_have_a_policy_of_their_own(people: Any, sasha: Browser) -> None:
    sasha.start(people.carol)
    for response in (sasha.get("/sensitive/"), Client().get(reverse("django_impersonation:ended"))):
        assert response["Content-Security-Policy"] == (
            "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
        )


# ABUSE 127
def test_the_bar_has_the_nonce_of_the_response(people: Any, sasha: Browser) -> None:
    """Also where nothing before it in the page has asked for the nonce, which Django makes when it is used."""
    sasha.start(people.carol)
    response = sasha.get("/bar/")
    page = response.content.decode()
    nonces = re.findall(r'<(link|script) [^>]*nonce="([^"]+)"', page)
    assert [tag for tag, _ in nonces] == ["link", "script"]
    (nonce,) = {nonce for _, nonce in nonces}
    for directive in ("script-src", "style-src"):
        assert f"{directive} 'self' 'nonce-{nonce}'" in response["Content-Security-Policy"]


def test_others_need_no_nonce(people: Any) -> None:
    """A page without a bar reads no nonce on our account, so that Django makes none."""
    assert "nonce" not in Browser(people.carol).get("/bar/")["Content-Security-Policy"]


# ABUSE 127
@pytest.mark.parametrize("page", ["prompt", "user", "configuration", "sessions"])
def test_what_we_add_to_the_admin_has_the_nonce(people: Any, settings: Any, page: str) -> None:
    """A policy may name the nonce and not 'self': so does the admin of Django 6.1 itself, that of 6.0 does not."""
    settings.SECURE_CSP = {"script-src": [NONCE], "style-src": [NONCE]}
    url = {
        "prompt": reverse("admin:shop_user_impersonate", args=[people.bob.pk]),
        "user": reverse("admin:shop_user_change", args=[people.bob.pk]),
        "configuration": reverse("admin:django_impersonation_configuration_changelist"),
        "sessions": reverse("admin:django_impersonation_impersonationsession_changelist"),
    }[page]
    body = Browser(people.admin).get(url).content.decode()
    assert "django_impersonation/admin.css" in body
    assert not [file for file in bare(body) if django.VERSION >= (6, 1) or "django_impersonation" in file]


def bare(page: str) -> set[str]:
    """The files that a page loads without a nonce."""
    tags = re.findall(r'<(?:script|link rel="stylesheet") [^>]*>', page)
    assert tags
    return {found[1] for tag in tags if 'nonce="' not in tag and (found := re.search(r'(?:src|href)="([^"]+)"', tag))}
