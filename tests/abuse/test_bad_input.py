"""Garbage at every door of ours: never a server error, and nothing half done."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession
from tests.people import Browser

pytestmark = pytest.mark.django_db
quick = hypothesis_settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

GARBAGE = [
    "",
    "\x00",
    "'",
    '"',
    "%00",
    "%s",
    "-1",
    "0",
    "9" * 30,
    "1e9",
    "nan",
    "null",
    "[]",
    "a" * 5000,
    "../..",
    "\u202e",
]
GARBAGE += [
    "\ufeff",
    "ٱ",
    "1 OR 1=1",
    "<script>",
    "{{7*7}}",
    "session_" + "0" * 26,
    "session_" + "Z" * 26,
    "\r\nSet-Cookie: a=b",
]
BRIEFLY = ["", "\x00", "'", "9" * 30, "1e9", "[]", "a" * 5000]
text = st.sampled_from(GARBAGE) | st.text(max_size=30).map(lambda s: s.encode(errors="replace").decode())
cookie = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=';,"\\'), max_size=60)
CALLBACK, STOP, ENDED = "/impersonation/callback/", "/impersonation/stop/", "/impersonation/ended/"
LISTS = ["impersonationsession/", "event/", "configuration/"]
# What the lists' own filters, search and paging read, and fields that one may put into the address.
PARAMETERS = [
    "q",
    "p",
    "o",
    "e",
    "all",
    "status",
    "end_reason__exact",
    "name__exact",
    "created_at__year",
    "user_pk",
    "id",
]
PARAMETERS += [
    "created_at__month",
    "created_at__day",
    "created_at__gte",
    "user__password",
    "session__id",
    "_to_field",
    "_popup",
]
PARAMETERS += [
    "impersonator__password__startswith",
    "position",
    "count__in",
    "ended_at__isnull",
    "x__y",
    "secret_digest",
]


def rows() -> tuple[int, int, int]:
    return AuthorizationCode.objects.count(), ImpersonationSession.objects.count(), Event.objects.count()


def browser(staff: Any = None) -> Browser:
    return Browser(staff, raise_request_exception=False)


@given(parameters=st.dictionaries(st.sampled_from(["code", "next", "state", "x"]) | text, text, max_size=4))
@example({"code": "a" * 43})
@example({"code": "a" * 42 + "\n"})
@example({"code": "é" * 43})
@quick
def test_the_callback_with_anything(people: Any, parameters: dict[str, str]) -> None:
    for staff in (people.sasha, None):
        assert browser(staff).get(CALLBACK, parameters).status_code == 400
    assert rows() == (0, 0, 0)


@given(
    data=st.dictionaries(
        st.sampled_from(["reason", "organization", "user", "return_url", "next"]) | text, text, max_size=5
    )
)
@quick
def test_the_prompt_with_anything(people: Any, data: dict[str, str]) -> None:
    before = rows()
    response = browser(people.sasha).post(f"/admin/shop/user/{people.bob.pk}/impersonate/", data)
    # 400 is Django's own answer to a field whose name is longer than all headers may be.
    assert response.status_code in (200, 400)
    assert rows() == before == (0, 0, 0)


@given(organization=text | st.integers().map(str) | st.floats().map(str) | st.uuids().map(str))
@quick
def test_only_an_organization_of_the_user_makes_a_code(people: Any, organization: str) -> None:
    own = {str(people.acme.pk), str(people.globex.pk)}
    response = browser(people.sasha).post(
        f"/admin/shop/user/{people.bob.pk}/impersonate/", {"reason": "x", "organization": organization}
    )
    assert response.status_code == (303 if organization.strip() in own else 200)
    assert set(AuthorizationCode.objects.values_list("organization_id", flat=True)) <= own


@given(key=text)
@example("\x00")
@example("a/b/impersonate")
@example("_5F")
@quick
def test_the_prompt_for_anybody(people: Any, key: str) -> None:
    address = f"/admin/shop/user/{quote(key, safe='')}/impersonate/"
    for method in ("get", "post"):
        response = getattr(browser(people.sasha), method)(address, {"reason": "x"})
        assert response.status_code < 500
    assert rows() == (0, 0, 0)


@given(
    data=st.dictionaries(text, text, max_size=3),
    marker=cookie | st.sampled_from(GARBAGE[-4:-1]),
    key=cookie,
    own=cookie,
)
@example({}, "session_" + "0" * 26, "x", "")
@example({"csrfmiddlewaretoken": "x"}, "", "", "x" * 60)
@quick
def test_stop_and_ended_with_any_cookie(people: Any, data: dict[str, str], marker: str, key: str, own: str) -> None:
    for staff in (people.sasha, None):
        other = browser(staff)
        other.cookies["impersonation"] = marker
        other.cookies["impersonation_return_key"] = key
        if staff is None:
            other.cookies["sessionid"] = own
        assert other.get(ENDED).status_code < 500
        assert other.get("/whoami/").status_code == 200
        assert other.post(STOP, data).status_code == 200
        assert other.get(STOP).status_code == 405
        assert other.who()["user"] == (str(staff) if staff else "AnonymousUser")
    assert rows() == (0, 0, 0)


@pytest.mark.parametrize(
    "marker", ["x", "session_", "session_" + "0" * 25, "session_" + "I" * 26, "event_" + "0" * 26]
)
def test_a_marker_that_cannot_be_one_asks_the_database_nothing(
    people: Any, django_assert_num_queries: Any, marker: str
) -> None:
    other = browser()
    other.cookies["impersonation"] = marker
    with django_assert_num_queries(0):
        assert other.get("/static-page/").status_code == 200
    assert other.cookies["impersonation"].value == ""


@given(data=st.dictionaries(text, text, max_size=3), origin=cookie, token=cookie)
@quick
def test_a_stop_that_is_not_the_browsers_own_leaves_the_session(
    people: Any, data: dict[str, str], origin: str, token: str
) -> None:
    strict = Browser(people.sasha, enforce_csrf_checks=False)
    session = strict.start(people.dave)
    checked = Browser(enforce_csrf_checks=True, raise_request_exception=False)
    checked.cookies = strict.cookies
    headers = {"HTTP_ORIGIN": f"https://{origin}", "HTTP_X_CSRFTOKEN": token}
    response = checked.post(STOP, data | {"csrfmiddlewaretoken": token}, **headers)
    assert response.status_code == 403
    session.refresh_from_db()
    assert session.ended_at is None
    assert strict.who()["user"] == "dave@example.com"


@given(
    query=st.dictionaries(st.sampled_from(PARAMETERS) | text, text, min_size=1, max_size=3),
    path=st.sampled_from(LISTS),
)
@quick
def test_the_lists_with_any_parameters(people: Any, query: dict[str, str], path: str) -> None:
    response = browser(people.admin).get(f"/admin/django_impersonation/{path}", query)
    assert response.status_code < 500
    assert rows() == (0, 0, 0)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("name", PARAMETERS)
def test_each_parameter_of_a_list_with_garbage(people: Any, path: str, name: str) -> None:
    admin = browser(people.admin)
    statuses = {
        value: admin.get(f"/admin/django_impersonation/{path}", {name: value}).status_code for value in BRIEFLY
    }
    assert {value: status for value, status in statuses.items() if status >= 500} == {}


@pytest.mark.parametrize(
    "parameter", ["impersonator__password__startswith", "user__password__startswith", "user__card_number"]
)
def test_a_list_is_no_oracle_for_what_users_keep_secret(people: Any, sasha: Browser, parameter: str) -> None:
    assert sasha.get("/admin/django_impersonation/impersonationsession/", {parameter: "a"}).status_code == 400


@pytest.mark.parametrize(
    "parameter", ["secret_digest__startswith", "return_key_digest__startswith", "impersonator_hash_digest__startswith"]
)
def test_a_list_is_no_oracle_for_digests(people: Any, sasha: Browser, parameter: str) -> None:
    response = sasha.get("/admin/django_impersonation/impersonationsession/", {parameter: "a"})
    assert response.status_code in (302, 400)


@pytest.mark.parametrize("model", ["impersonationsession", "event"])
@pytest.mark.parametrize("key", BRIEFLY[1:])
def test_a_row_that_is_not_there(people: Any, model: str, key: str) -> None:
    admin = browser(people.admin)
    for page in ("change", "history", "delete"):
        address = f"/admin/django_impersonation/{model}/{quote(key, safe='')}/{page}/"
        assert admin.get(address).status_code < 500
        assert admin.post(address, {"post": "yes"}).status_code < 500


@pytest.mark.parametrize("action", ["revoke", "delete_selected", "", "x"])
@pytest.mark.parametrize("selected", [[], ["\x00"], ["'"], ["x" * 500], ["session_" + "0" * 26] * 3])
def test_actions_on_what_is_not_there(people: Any, sasha: Browser, action: str, selected: list[str]) -> None:
    session = sasha.start(people.dave)
    data = {"action": action, "_selected_action": selected, "index": "0"}
    address = "/admin/django_impersonation/impersonationsession/"
    assert browser(people.admin).post(address, data).status_code < 500
    session.refresh_from_db()
    assert session.ended_at is None


@given(agent=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=400), address=text)
@example("\x00" * 300, "fe80::1%eth0")
@example("", "unix:")
@example("é" * 300, "::ffff:10.0.0.1")
@quick
def test_any_browser_from_anywhere(people: Any, agent: str, address: str) -> None:
    sasha = Browser(people.sasha)
    response = sasha.redeem(sasha.code(people.dave), HTTP_USER_AGENT=agent, REMOTE_ADDR=address)
    assert response.status_code == 303
    session = ImpersonationSession.objects.get(pk=response.cookies["impersonation"].value)
    assert len(session.user_agent) <= 255
    assert "\x00" not in session.user_agent
    assert sasha.stop().status_code == 303


def test_no_other_header_than_the_connections_is_believed(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.dave)
    spoofed = {"HTTP_X_FORWARDED_FOR": "6.6.6.6", "HTTP_X_REAL_IP": "6.6.6.6", "HTTP_FORWARDED": "for=6.6.6.6"}
    sasha.redeem(code, REMOTE_ADDR="192.0.2.1", **spoofed)
    assert ImpersonationSession.objects.get().ip_address == "192.0.2.1"
