"""The reason is untrusted text that ends in records, logs, pages and the wire."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from django_impersonation import flows, policy
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession
from tests.people import Browser

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
CONTROLS = [chr(c) for c in (*range(9), *range(14, 28), *range(0x7F, 0x85), *range(0x86, 0xA0))]
INVISIBLE = [
    "",
    " ",
    "\n",
    "\t \r\n",
    "\u200b",
    "\u3164",
    "\u00ad",
    "\ufeff\u2060",
    "\u2800",
    "\u115f\u1160",
    "\uffa0",
]
INVISIBLE += ["\u0301", "\u034f", "\u180e", "\U000e0041", "\u2028", "\u3000", "\ufe0f", "\u200b \u00ad\u3164"]
anything = st.text(st.characters(), max_size=40) | st.text(
    st.sampled_from("a\u0300\u0345\u1e69\ufb2c\x00\x1b\r\n\u2028\u202e\u200b\u3164\ud800\U0001f600<&'\"{%"),
    max_size=600,
)


def cleaned(text: str) -> tuple[str, str]:
    """The reason as stored, and the code of a refusal."""
    try:
        return policy.clean_reason(text), ""
    except ImpersonationDenied as refusal:
        return "", refusal.code


def clean(reason: str) -> bool:
    """Is this a reason that may stand on record?"""
    one_line = len(reason.splitlines()) <= 1 and reason == reason.strip()
    categories = {unicodedata.category(char) for char in reason}
    visible = not reason or any(category[0] in "LNPS" for category in categories)
    nfc = unicodedata.is_normalized("NFC", reason)
    return (
        one_line
        and visible
        and nfc
        and len(reason) <= 500
        and not categories & {"Cc", "Cs"}
        and not set(BIDI) & set(reason)
    )


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("  Ticket 4711  ", "Ticket 4711"),
        ("Ticket\r\n4711\u2028see\tabove", "Ticket 4711 see above"),
        ("two  \u00a0 blanks", "two blanks"),
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
        ("\ufb2c", "\u05e9\u05bc\u05c1"),
        ("दोस्त", "दोस्त"),
        ("مشكلة في الفاتورة", "مشكلة في الفاتورة"),
        ("👩‍💻", "👩‍💻"),
        ("zero\u200bwidth", "zero\u200bwidth"),
        ("<script>alert(1)</script> {{ x }} {% y %} %s", "<script>alert(1)</script> {{ x }} {% y %} %s"),
        ("x" * 500, "x" * 500),
        ("e\u0301" * 500, "\u00e9" * 500),
    ],
)
def test_what_is_stored(text: str, stored: str) -> None:
    assert cleaned(text) == (stored, "")


@pytest.mark.parametrize("char", [*CONTROLS, *BIDI, "\ud800"], ids=ascii)
def test_what_is_refused_wherever_it_stands(char: str) -> None:
    for text in (f"a{char}b", f"{char}ab", f"ab{char}"):
        assert cleaned(text) == ("", "reason_invalid")


@pytest.mark.parametrize("text", ["x" * 501, "\ufb2c" * 167, "e\u0301" * 501, "a " * 251])
def test_what_is_too_long_once_it_is_normal(text: str) -> None:
    assert cleaned(text) == ("", "reason_invalid")


@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
def test_what_nobody_sees_is_empty(settings: Any, text: str) -> None:
    assert cleaned(text) == ("", "reason_required")
    settings.IMPERSONATION_REASON_REQUIRED = False
    assert cleaned(text) == ("", "")


@pytest.mark.parametrize(
    ("environment", "required", "status"),
    [("production", None, 200), ("staging", None, 303), ("staging", True, 200), ("production", False, 303)],
)
def test_a_reason_is_required_in_production(
    people: Any, sasha: Browser, settings: Any, environment: str, required: bool | None, status: int
) -> None:
    settings.IMPERSONATION_ENVIRONMENT = environment
    if required is not None:
        settings.IMPERSONATION_REASON_REQUIRED = required
    for reason in ("", "   ", "\u200b", "\u3164"):
        assert sasha.authorize(people.dave, reason=reason).status_code == status
    assert AuthorizationCode.objects.exists() is (status == 303)
    assert set(AuthorizationCode.objects.values_list("reason", flat=True)) <= {""}


@pytest.mark.parametrize("reason", ["a\x00b", "a\u202eb", "a\x1b[31mb", "x" * 501, "\ufb2c" * 200])
def test_the_prompt_says_what_is_wrong_with_a_reason(people: Any, sasha: Browser, reason: str) -> None:
    response = sasha.authorize(people.dave, reason=reason)
    assert response.status_code == 200
    assert response.context["form"].errors["reason"]
    assert not AuthorizationCode.objects.exists()
    assert not Event.objects.exists()


def test_the_tools_of_a_project_get_the_same_rules(people: Any, django_assert_num_queries: Any) -> None:
    request = RequestFactory().post("/")
    request.user, request.impersonation = people.sasha, None
    for reason in ("a\x00b", "a\u202eb", "", "\u200b", "x" * 501, "\ud800"):
        outcome = flows.authorize(request, user=people.dave, reason=reason)
        assert isinstance(outcome, ImpersonationDenied)
        assert outcome.code in ("reason_invalid", "reason_required")
    assert not AuthorizationCode.objects.exists()


# ABUSE 97
def test_who_may_not_is_on_record_whatever_the_reason(people: Any) -> None:
    request = RequestFactory().post("/")
    request.user, request.impersonation = people.noor, None
    outcome = flows.authorize(request, user=people.dave, reason="")
    assert isinstance(outcome, ImpersonationDenied)
    assert outcome.code == "no_permission"
    assert Event.objects.get().code == "no_permission"


def test_nul_is_refused_before_the_database_sees_it(people: Any) -> None:
    from django.db import connection

    with CaptureQueriesContext(connection) as queries:
        assert cleaned("a\x00b") == ("", "reason_invalid")
    assert not queries


@given(text=anything)
@example("\ufb2c" * 500)
@example("a" + "\u0345\u0300" * 300)
@hypothesis_settings(deadline=None, max_examples=500)
def test_no_text_whatsoever_is_stored_unclean(text: str) -> None:
    reason, code = cleaned(text)
    assert clean(reason)
    assert (code == "") == bool(reason)
    assert cleaned(reason)[0] == reason


@pytest.mark.django_db
@given(text=anything)
@example("a\x00b")
@example("\ud800")
@example("\udc80" * 501)
@hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_reason_whatsoever_breaks_the_prompt(people: Any, text: str) -> None:
    sasha = Browser(people.sasha, raise_request_exception=False)
    sendable = text.encode(errors="replace").decode()
    assert sasha.get(sasha.prompt_url(people.dave), {"reason": sendable}).status_code == 200
    response = sasha.authorize(people.dave, reason=sendable)
    assert response.status_code in (200, 303)
    for model in (AuthorizationCode, Event):
        assert all(clean(reason) for reason in model.objects.values_list("reason", flat=True))
    assert (response.status_code == 303) == bool(cleaned(sendable)[0])


@pytest.mark.django_db
@given(text=anything)
@example("<script>alert(1)</script>")
@hypothesis_settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_reason_comes_through_the_whole_story_as_it_is(
    people: Any, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    reason = cleaned(text)[0]
    if not reason:
        return
    sasha = Browser(people.sasha)
    session = sasha.start(people.dave, reason=text)
    assert session.reason == reason
    assert sasha.who()["impersonator"] == ["sasha@example.com", reason]
    assert "<script" not in sasha.get("/").content.decode().replace('<script type="module"', "")
    sasha.stop()
    assert set(Event.objects.filter(session=session).values_list("reason", flat=True)) == {reason}
    assert reason in LogEntry.objects.latest("pk").get_change_message()
    admin = Browser(people.admin)
    for page in ("impersonationsession/", "event/", f"impersonationsession/{session.pk}/change/"):
        content = admin.get(f"/admin/django_impersonation/{page}").content.decode()
        assert "<script>alert" not in content
    assert not any("\n" in record.getMessage() for record in caplog.records if record.name == "django_impersonation")
    assert ImpersonationSession.objects.get(pk=session.pk).reason == reason


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_the_reason_of_the_address_only_fills_the_form(
    people: Any, sasha: Browser, settings: Any, environment: str
) -> None:
    settings.IMPERSONATION_ENVIRONMENT = environment
    page = sasha.get(sasha.prompt_url(people.dave), {"reason": "</textarea><script>alert(1)</script>" + "x" * 9000})
    content = page.content.decode()
    assert "<script>alert" not in content
    assert page.context["form"].initial["reason"] == ("</textarea><script>alert(1)</script>" + "x" * 9000)[:500]
    assert not AuthorizationCode.objects.exists()
