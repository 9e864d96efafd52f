"""How a code is made and carried: methods, addresses, headers, and where it must not be found."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.http import HttpResponse
from django.test import RequestFactory

from django_impersonation import flows
from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession
from django_impersonation.signals import impersonation_started
from tests.people import Browser, grant

CALLBACK = "/impersonation/callback/"


def raises(error: BaseException) -> Any:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    return fail


# ABUSE 70
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000"])
def test_a_spoofed_host_gets_no_code(people: Any, sasha: Browser, settings: Any, host: str) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    data = {"reason": "Ticket 4711", "organization": ""}
    for headers in ({"HTTP_HOST": host}, {"HTTP_X_FORWARDED_HOST": host}):
        response = sasha.post(sasha.prompt_url(people.dave), data, **headers)
        assert response.status_code == 303
        assert response["Location"].startswith("/impersonation/callback/?code=")
        started = sasha.get(response["Location"], **headers)
        assert started["Location"] == "/"
        assert urlsplit(sasha.stop(**headers)["Location"]).netloc == ""


# ABUSE 70
def test_a_proxys_host_header_changes_no_address(people: Any, sasha: Browser, settings: Any) -> None:
    settings.ALLOWED_HOSTS, settings.USE_X_FORWARDED_HOST = ["*"], True
    response = sasha.post(sasha.prompt_url(people.dave), {"reason": "x"}, HTTP_X_FORWARDED_HOST="evil.example")
    assert response["Location"].startswith("/impersonation/callback/?code=")


# ABUSE 72
@pytest.mark.parametrize("name", ["next", "return_to", "return_url", "landing_url", "redirect_uri"])
def test_the_callback_goes_where_the_code_says(people: Any, sasha: Browser, name: str) -> None:
    code = sasha.code(people.dave)
    response = sasha.get(CALLBACK, {"code": code, name: "https://evil.example/"})
    assert (response.status_code, response["Location"]) == (303, "/")
    again = sasha.get(CALLBACK, {"code": code, name: "//evil.example"})
    assert (again.status_code, again["Location"]) == (303, "/")
    assert "evil" not in sasha.stop()["Location"]


# ABUSE 73
def test_redirects_with_and_after_a_code_are_not_kept_and_name_no_referrer(people: Any, sasha: Browser) -> None:
    made = sasha.authorize(people.dave)
    spent = sasha.get(made["Location"])
    again = sasha.get(made["Location"])
    for response in (made, spent, again):
        assert response.status_code == 303
        assert response["Referrer-Policy"] == "no-referrer"
        assert "no-store" in response["Cache-Control"]
        assert response.content == b""
    assert "code" not in spent["Location"]


# ABUSE 73
def test_a_refused_code_is_not_shown(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.dave)
    for response in (
        Browser().redeem(code),
        Browser(people.noor).redeem(code),
        sasha.get(CALLBACK, {"code": code + "x"}),
    ):
        assert response.status_code == 400
        assert code not in response.content.decode()
        assert "no-store" in response["Cache-Control"]


# ABUSE 73, ABUSE 138
def test_no_logger_names_a_code(people: Any, sasha: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    code = sasha.code(people.dave)
    Browser(people.noor).redeem(code)
    sasha.redeem(code)
    sasha.redeem(code)
    Browser(people.noor).redeem(code)
    ours = [record for record in caplog.records if record.name == "django_impersonation"]
    assert ours
    assert not any(code in record.getMessage() for record in caplog.records if record.name != "django.db.backends")


# ABUSE 73
def test_no_error_report_names_a_code(people: Any, sasha: Browser, settings: Any) -> None:
    settings.ADMINS = [("Ops", "ops@example.com")]
    fail = raises(ZeroDivisionError())
    impersonation_started.connect(fail)
    sasha.raise_request_exception = False
    code = sasha.code(people.dave)
    whole = f"{CALLBACK}?code={code}"
    try:
        response = sasha.redeem(code, RAW_URI=whole, REQUEST_URI=whole)  # as gunicorn and uWSGI do
    finally:
        impersonation_started.disconnect(fail)
    assert response.status_code == 500
    assert code not in response.content.decode()
    [report] = mail.outbox
    text = f"{report.subject} {report.body} {report.alternatives}"
    assert "RAW_URI" in text
    assert "REQUEST_URI" in text
    assert code not in text


# ABUSE 74
@pytest.mark.parametrize("project", ["no-referrer", "same-origin", None])
def test_our_pages_let_their_forms_name_their_origin(
    people: Any, sasha: Browser, settings: Any, project: str | None
) -> None:
    """A form on a page without referrer posts ``Origin: null``, and Django's CSRF check refuses that."""
    settings.SECURE_REFERRER_POLICY = project
    prompt = sasha.get(sasha.prompt_url(people.dave))
    sasha.start(people.dave)
    strict = Browser(enforce_csrf_checks=True)
    strict.cookies = sasha.cookies
    confirm = strict.stop()
    blocked = strict.get("/billing/")
    ended = Browser().get("/impersonation/ended/")
    for response, status in ((prompt, 200), (confirm, 403), (blocked, 403), (ended, 200)):
        assert response.status_code == status
        assert response["Referrer-Policy"] == "same-origin"
    token = confirm.context["csrf_token"]
    data = {"csrfmiddlewaretoken": str(token)}
    assert strict.stop(data=data, HTTP_ORIGIN="null").status_code == 403
    assert ImpersonationSession.objects.get().ended_at is None
    assert strict.stop(data=data, HTTP_ORIGIN="http://testserver").status_code == 303
    assert ImpersonationSession.objects.get().end_reason == "stopped"


# ABUSE 77
@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_only_a_post_makes_a_code(people: Any, sasha: Browser, method: str) -> None:
    getattr(sasha, method)(sasha.prompt_url(people.dave) + "?reason=x")
    request = getattr(RequestFactory(), method)("/")
    request.user, request.impersonation = people.sasha, None
    response = flows.authorize(request, user=people.dave, reason="Ticket 4711")
    assert isinstance(response, HttpResponse)
    assert (response.status_code, response["Allow"]) == (405, "POST")
    assert not AuthorizationCode.objects.exists()
    assert not Event.objects.exists()


# ABUSE 77
def test_a_stale_form_makes_no_code(people: Any) -> None:
    strict = Browser(people.sasha, enforce_csrf_checks=True)
    strict.get(strict.prompt_url(people.dave))
    data = {"reason": "Ticket 4711", "csrfmiddlewaretoken": "a" * 64}
    assert strict.post(strict.prompt_url(people.dave), data).status_code == 403
    assert strict.post(strict.prompt_url(people.dave), {"reason": "Ticket 4711"}).status_code == 403
    assert not AuthorizationCode.objects.exists()


# ABUSE 77
def test_of_two_codes_for_one_user_the_later_one_works(people: Any, sasha: Browser) -> None:
    grant(people.noor, "impersonate_user")
    others = Browser(people.noor).code(people.dave)
    carols = sasha.code(people.carol)
    first, second = sasha.code(people.dave), sasha.code(people.dave)
    assert sasha.redeem(first).status_code == 400
    assert not AuthorizationCode.objects.exclude(used_at=None).exists()
    assert sasha.redeem(second).status_code == 303
    usable = AuthorizationCode.objects.usable()
    assert {(c.impersonator, c.user) for c in usable} == {(people.noor, people.dave), (people.sasha, people.carol)}
    assert len({others, carols, first, second}) == 4


# ABUSE 60
@pytest.mark.parametrize("headers", [{"HTTP_SEC_PURPOSE": "prefetch"}, {"HTTP_SEC_PURPOSE": "prefetch;prerender"}])
def test_a_prefetch_spends_nothing(people: Any, sasha: Browser, headers: dict[str, str]) -> None:
    code = sasha.code(people.dave)
    assert sasha.redeem(code, **headers).status_code == 400
    assert AuthorizationCode.objects.get().used_at is None
    assert sasha.redeem(code).status_code == 303


@pytest.mark.parametrize("method", ["head", "post", "options", "put", "delete"])
def test_only_a_get_spends_a_code(people: Any, sasha: Browser, method: str) -> None:
    code = sasha.code(people.dave)
    assert getattr(sasha, method)(f"{CALLBACK}?code={code}").status_code == 405
    assert AuthorizationCode.objects.get().used_at is None


@pytest.mark.parametrize(
    "query", ["", "?code=", "?code=short", "?code=%00", "?code={0}&code={0}", "?code={0}%0A", "?code={0}x"]
)
def test_a_malformed_code_asks_the_database_nothing(people: Any, django_assert_num_queries: Any, query: str) -> None:
    with django_assert_num_queries(0):
        response = Browser().get(CALLBACK + query.format("a" * 43))
    assert response.status_code == 400
