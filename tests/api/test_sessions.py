"""A client's sessions: listed and revoked by who holds the key, and ended by the user's own sign-out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from django_impersonation.models import Event, ImpersonationSession
from django_impersonation.signals import impersonation_ended
from tests.abuse.racing import race
from tests.api.client import ApiClient, bearer
from tests.people import Browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("direct")]

LOGOUT = "/user_management/sessions/logout"
REVOKE = "/user_management/sessions/revoke"
HOME = "http://localhost:3000"  # where a logout leads, in the example's settings
OTHER = "https://app.example.com/signed-out"
JSON = "application/json"
NOT_FOUND = {"message": "Not found.", "code": "entity_not_found"}
UNKNOWN = "session_" + "0" * 26


@pytest.fixture
def begun(api: ApiClient, sasha: Browser, people: Any) -> dict[str, Any]:
    answer: dict[str, Any] = api.start(sasha, people.dave)
    return answer


@pytest.fixture
def session(begun: Any) -> ImpersonationSession:
    return ImpersonationSession.objects.get()


def sessions_of(user: Any) -> str:
    return f"/user_management/users/{getattr(user, 'pk', user)}/sessions"


def listed(api: ApiClient, user: Any, **query: Any) -> dict[str, Any]:
    answer = api.with_key("get", sessions_of(user), data=query)
    assert answer.status_code == 200, answer.content
    return answer.json()  # type: ignore[no-any-return]


def revoke(api: ApiClient, session_id: Any, **kwargs: Any) -> Any:
    return api.with_key("post", REVOKE, data={"session_id": session_id}, content_type=JSON, **kwargs)


def log_out(browser: Any, session_id: str | None, **query: str) -> Any:
    asked = query if session_id is None else {"session_id": session_id, **query}
    return browser.get(LOGOUT, asked)


def leads_to(response: Any, address: str) -> bool:
    assert response.status_code == 302, response.content
    assert response["Cache-Control"] == "private, no-store"
    assert response["Referrer-Policy"] == "no-referrer"
    assert response.content == b""
    assert not response.cookies
    return bool(response["Location"] == address)


def is_alive(api: ApiClient, begun: dict[str, Any]) -> bool:
    """Are its tokens good for anything?"""
    alive = api.get("/api/me/", headers=bearer(begun["access_token"])).status_code == 200
    refreshed = api.refresh(begun["refresh_token"])
    assert (refreshed.status_code == 200) == alive
    return alive


def ends() -> list[tuple[str, str]]:
    found = Event.objects.filter(name__in=[Event.Name.SESSION_REVOKED, Event.Name.EXPIRED]).order_by("position")
    return list(found.values_list("name", "code"))


def expire(session: ImpersonationSession) -> None:
    ImpersonationSession.objects.filter(pk=session.pk)._amend(expires_at=timezone.now() - timedelta(seconds=1))


def written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def several(user: Any, count: int, *, first: int = 1, prefix: str = "session_0") -> list[str]:
    """Live sessions as a user, oldest first; their ids."""
    until = timezone.now() + timedelta(minutes=9)
    described = ImpersonationSession.describe(user=user) | {"client_id": "client_demo", "expires_at": until}
    ids = [f"{prefix}{n:025}" for n in range(first, first + count)]
    ImpersonationSession.objects.bulk_create(ImpersonationSession(id=pk, **described) for pk in ids)
    return ids


# The object


def test_a_session_is_described_by_every_key(api: ApiClient, sasha: Browser, people: Any) -> None:
    code = sasha.code(people.bob, organization=people.acme)
    api.redeem(code, ip_address="2001:db8::7", user_agent="Front end/1.0")
    session = ImpersonationSession.objects.get()
    (described,) = listed(api, people.bob)["data"]
    assert described == {
        "object": "session",
        "id": session.pk,
        "user_id": str(people.bob.pk),
        "organization_id": str(people.acme.pk),
        "impersonator": {"email": "sasha@example.com", "reason": "Ticket 4711"},
        "ip_address": "2001:db8::7",
        "user_agent": "Front end/1.0",
        "auth_method": "impersonation",
        "status": "active",
        "expires_at": written(session.expires_at),
        "ended_at": None,
        "created_at": written(session.created_at),
        "updated_at": written(session.created_at),
    }
    assert re.fullmatch(r"session_[0-9A-HJKMNP-TV-Z]{26}", described["id"])
    for name in ("created_at", "expires_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", described[name])


def test_what_does_not_apply_is_left_out(api: ApiClient, sasha: Browser, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_REASON_REQUIRED = False
    api.redeem(sasha.code(people.dave, reason=""), headers={"User-Agent": ""})
    ImpersonationSession.objects.all()._amend(ip_address=None)
    (described,) = listed(api, people.dave)["data"]
    assert "organization_id" not in described
    assert described["impersonator"] == {"email": "sasha@example.com", "reason": ""}
    assert (described["ip_address"], described["user_agent"]) == (None, None)


def test_a_session_that_was_revoked_says_when(api: ApiClient, session: ImpersonationSession, people: Any) -> None:
    (before,) = listed(api, people.dave)["data"]
    after = revoke(api, session.pk).json()
    session.refresh_from_db()
    assert session.ended_at is not None
    changes = {"status": "revoked", "ended_at": written(session.ended_at), "updated_at": written(session.ended_at)}
    assert after == before | changes


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_times_are_in_utc_wherever_the_site_is(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, zone: str
) -> None:
    settings.TIME_ZONE = zone
    with timezone.override(zone):
        api.start(sasha, people.dave)
        (described,) = listed(api, people.dave)["data"]
    session = ImpersonationSession.objects.get()
    assert described["created_at"] == written(session.created_at)
    assert described["expires_at"] == written(session.expires_at)


def test_hostile_text_is_text(api: ApiClient, sasha: Browser, people: Any) -> None:
    hostile = '</script><script>alert(1)</script>"\\'
    api.redeem(sasha.code(people.dave, reason=hostile), user_agent=hostile)
    answer = api.with_key("get", sessions_of(people.dave))
    assert answer["Content-Type"] == JSON
    assert answer["X-Content-Type-Options"] == "nosniff"
    (described,) = answer.json()["data"]
    assert (described["impersonator"]["reason"], described["user_agent"]) == (hostile, hostile)


# The list


def test_a_list_is_an_envelope(api: ApiClient, begun: Any, people: Any) -> None:
    answer = listed(api, people.dave)
    assert set(answer) == {"object", "data", "list_metadata"}
    assert answer["object"] == "list"
    assert answer["list_metadata"] == {"before": None, "after": None}
    assert len(answer["data"]) == 1


def test_who_has_no_session_has_an_empty_list(api: ApiClient, begun: Any, people: Any) -> None:
    empty = {"object": "list", "data": [], "list_metadata": {"before": None, "after": None}}
    for user in (people.carol, people.eve, people.sasha, people.admin):
        assert listed(api, user) == empty


def test_only_live_sessions_as_this_user_are_listed(api: ApiClient, sasha: Browser, people: Any) -> None:
    gone = [api.start(sasha, people.dave) for _ in range(3)]
    ids = list(ImpersonationSession.objects.order_by("pk").values_list("pk", flat=True))
    ImpersonationSession.objects.get(pk=ids[0]).end("stopped")
    expire(ImpersonationSession.objects.get(pk=ids[1]))
    api.start(sasha, people.carol)
    assert [row["id"] for row in listed(api, people.dave)["data"]] == [ids[2]]
    assert is_alive(api, gone[2])
    ImpersonationSession.objects.get(pk=ids[2]).end("replayed")
    assert listed(api, people.dave)["data"] == []


def test_sessions_in_browsers_and_as_staff_are_listed_as_well(
    api: ApiClient, begun: Any, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.IMPERSONATION_CALLBACK_URL = None
    ours = sasha.start(people.dave)
    staff = Browser(people.admin).start(people.noor)
    assert ours.pk in [row["id"] for row in listed(api, people.dave)["data"]]
    assert len(listed(api, people.dave)["data"]) == 2
    assert [row["id"] for row in listed(api, people.noor)["data"]] == [staff.pk]


# ABUSE 3
def test_a_user_who_was_deleted_is_found_by_the_record(api: ApiClient, begun: Any, people: Any) -> None:
    key = people.dave.pk
    people.dave.delete()
    (described,) = listed(api, key)["data"]
    assert described["user_id"] == str(key)
    assert revoke(api, described["id"]).json()["status"] == "revoked"
    assert listed(api, key)["data"] == []


def pages(api: ApiClient, user: Any, **query: Any) -> list[list[str]]:
    """The ids of all pages, as a client goes through them."""
    found, after = [], None
    while True:
        answer = listed(api, user, **query, **({"after": after} if after else {}))
        assert answer["list_metadata"]["before"] is None
        found.append([row["id"] for row in answer["data"]])
        after = answer["list_metadata"]["after"]
        if after is None:
            return found
        assert after == found[-1][-1]


@pytest.mark.parametrize("order", [None, "desc", "asc"])
def test_pages_follow_each_other_without_a_gap(api: ApiClient, people: Any, order: str | None) -> None:
    several(people.carol, 4, first=500)
    ids = several(people.dave, 103)
    asked = {} if order is None else {"order": order}
    wanted = ids if order == "asc" else ids[::-1]
    for limit, sizes in ((None, [10] * 10 + [3]), (1, None), (50, [50, 50, 3]), (100, [100, 3])):
        found = pages(api, people.dave, **asked, **({} if limit is None else {"limit": limit}))
        assert [row for page in found for row in page] == wanted
        assert [len(page) for page in found] == (sizes or [1] * 103)


@pytest.mark.parametrize("count", [1, 2, 10, 20])
def test_a_page_that_is_just_full_is_the_last(api: ApiClient, people: Any, count: int) -> None:
    several(people.dave, count)
    assert [len(page) for page in pages(api, people.dave, limit=count)] == [count]
    assert [len(page) for page in pages(api, people.dave, limit=max(1, count - 1))] == (
        [1] if count == 1 else [count - 1, 1]
    )


def test_what_happens_between_two_pages_moves_no_other(api: ApiClient, people: Any) -> None:
    """The session that the cursor names has ended, one on each side too, and a new one has begun."""
    ids = several(people.dave, 12)[::-1]
    first = listed(api, people.dave, limit=4)
    for gone in (ids[3], ids[0], ids[5]):
        assert revoke(api, gone).status_code == 200
    several(people.dave, 1, first=99)
    second = listed(api, people.dave, limit=4, after=first["list_metadata"]["after"])
    assert [row["id"] for row in second["data"]] == [ids[4], *ids[6:9]]


def test_behind_the_last_is_nothing(api: ApiClient, people: Any) -> None:
    ids = several(people.dave, 3)
    empty = {"object": "list", "data": [], "list_metadata": {"before": None, "after": None}}
    assert listed(api, people.dave, after=ids[0]) == empty
    assert listed(api, people.dave, after=ids[-1], order="asc") == empty


@pytest.mark.parametrize(
    "query",
    [
        *(
            {"limit": limit}
            for limit in ("0", "101", "-1", "1.0", "1e1", "", " 1", "+1", "٣", "0x1", "true", "9" * 30)
        ),
        *({"order": order} for order in ("", "ASC", "descending", "id", "-created_at", "normal", "\u202e")),
        *({"after": after} for after in (UNKNOWN, "true", "1", "None", "' OR 1=1 --", "x" * 5000, "é", "\x00")),
        {"before": "session_00000000000000000000000001"},
        {"before": ""},
        {"x": "\x00"},
    ],
    ids=lambda query: ascii(query)[:40],
)
def test_a_page_that_is_none_is_unprocessable(api: ApiClient, people: Any, query: dict[str, str]) -> None:
    several(people.dave, 3)
    answer = api.with_key("get", sessions_of(people.dave), data=query)
    assert answer.status_code == 422
    assert answer.json().keys() == {"code", "message"}
    assert answer.json()["code"] == "invalid_request_parameters"


def test_a_cursor_is_an_id_of_this_very_list(api: ApiClient, people: Any) -> None:
    several(people.carol, 1, first=5)
    (mine,) = several(people.dave, 1, first=6, prefix="session_A")
    for after in ("session_00000000000000000000000005", mine.lower(), f" {mine}", f"{mine} ", mine[:-1], f"{mine}\n"):
        assert api.with_key("get", sessions_of(people.dave), data={"after": after}).status_code == 422
    assert listed(api, people.dave, after=mine)["data"] == []


def test_an_empty_cursor_is_the_beginning(api: ApiClient, people: Any) -> None:
    (mine,) = several(people.dave, 1)
    assert [row["id"] for row in listed(api, people.dave, after="")["data"]] == [mine]


@pytest.mark.parametrize(
    "key",
    [
        *("true", "True", "1", "0", "-1", "null", "None", "nan", "1e9", "9" * 30, "[]", "{}", "*", "%25", "'", "%22"),
        *("%20", "me", "..%20", "%C3%A9", "dave@example.com", "x" * 3000, "1%20OR%201=1", "%E2%80%AE", "__all__"),
        "00000000-0000-4000-8000-000000000000",
    ],
    ids=lambda key: key[:40],
)
def test_a_user_that_is_none_is_not_found(api: ApiClient, begun: Any, key: str) -> None:
    answer = api.with_key("get", sessions_of(key))
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


def test_a_key_is_compared_letter_by_letter(api: ApiClient, begun: Any, people: Any) -> None:
    """A database reads a UUID in many ways, and one of them in capitals too."""
    key = str(people.dave.pk)
    for other in (key.upper(), key.replace("-", ""), f"%20{key}", f"{key}%20", f"{key}%0A", f"%7B{key}%7D", key[:-1]):
        answer = api.with_key("get", sessions_of(other))
        assert (answer.status_code, answer.json()) == (404, NOT_FOUND), other


# Keys

NO_KEYS: dict[str, Any] = {
    "none": {},
    "wrong": {"Authorization": "Bearer key_wrong"},
    "empty": {"Authorization": "Bearer "},
    "only the scheme": {"Authorization": "Bearer"},
    "the events key": {"Authorization": "Bearer key_of_events"},
    "the client's name": {"Authorization": "Bearer client_demo"},
    "not ASCII": {"Authorization": "Bearer ключ"},
    "None": {"Authorization": "Bearer None"},
    "another header": {"X-Api-Key": "THE KEY"},
    "another scheme": {"Authorization": "Basic THE KEY"},
    "no scheme": {"Authorization": "THE KEY"},
    "two": {"Authorization": "Bearer THE KEY key_wrong"},
    "almost": {"Authorization": "Bearer THE KEYx"},
    "in small letters": {"Authorization": "Bearer the key"},
}
BEHIND_THE_KEY = [
    ("get", "/user_management/users"),
    ("get", "/user_management/users/{user}"),
    ("get", "/user_management/users/{user}/sessions"),
    ("get", "/user_management/users/no-such-user/sessions"),
    ("get", "/user_management/organization_memberships?user_id={user}"),
    ("get", "/organizations/1"),
    ("post", "/user_management/sessions/revoke"),
]


# ABUSE 94
@pytest.mark.parametrize("name", NO_KEYS)
def test_nothing_is_opened_without_the_key(
    api: ApiClient, session: ImpersonationSession, people: Any, settings: Any, name: str
) -> None:
    settings.IMPERSONATION_EVENTS_KEY = "key_of_events"
    key = settings.IMPERSONATION_API_KEY
    headers = {
        header: value.replace("THE KEY", key).replace("the key", key.swapcase())
        for header, value in NO_KEYS[name].items()
    }
    for method, path in BEHIND_THE_KEY:
        sent = {"data": {"session_id": session.pk}, "content_type": JSON} if method == "post" else {}
        answer = getattr(api, method)(path.format(user=people.dave.pk), headers=headers, **sent)
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"}), path
        assert answer["WWW-Authenticate"] == "Bearer"
    session.refresh_from_db()
    assert session.ended_at is None


# ABUSE 94
def test_the_events_key_opens_the_events_alone(api: ApiClient, begun: Any, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_EVENTS_KEY = "key_of_events"
    assert api.with_key("get", "/events?events=session.created", key="key_of_events").status_code == 200
    assert api.redeem("x" * 43, client_secret="key_of_events").json()["error"] == "invalid_client"


# ABUSE 94
@pytest.mark.parametrize("key", ["", " ", "None"])
def test_keys_that_are_not_set_open_nothing(api: ApiClient, people: Any, settings: Any, key: str) -> None:
    settings.IMPERSONATION_API_KEY = settings.IMPERSONATION_EVENTS_KEY = ""
    for method, path in (*BEHIND_THE_KEY, ("get", "/events?events=session.created")):
        answer = api.with_key(method, path.format(user=people.dave.pk), key=key)
        assert answer.status_code == 401, path


# ABUSE 94
def test_neither_a_token_nor_a_cookie_takes_the_place_of_the_key(
    api: ApiClient, begun: Any, session: ImpersonationSession, people: Any, settings: Any
) -> None:
    assert api.get(sessions_of(people.dave), headers=bearer(begun["access_token"])).status_code == 401
    assert api.get(sessions_of(people.dave), {"api_key": settings.IMPERSONATION_API_KEY}).status_code == 401
    for browser in (Browser(people.admin), Browser(people.dave)):
        assert browser.get(sessions_of(people.dave)).status_code == 401
        assert browser.post(REVOKE, {"session_id": session.pk}).status_code == 401
    assert is_alive(api, begun)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_scheme_has_no_case(api: ApiClient, people: Any, settings: Any, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {settings.IMPERSONATION_API_KEY}"}
    assert api.get(sessions_of(people.dave), headers=headers).status_code == 200


# Revoking


# ABUSE 51, ABUSE 83
def test_a_revoked_session_is_over_at_once(
    api: ApiClient, begun: Any, sasha: Browser, session: ImpersonationSession, people: Any
) -> None:
    other = api.start(sasha, people.carol)
    assert is_alive(api, begun)
    answer = revoke(api, session.pk)
    assert (answer.status_code, answer.json()["status"]) == (200, "revoked")
    assert answer["Cache-Control"] == "no-store"
    assert not is_alive(api, begun)
    assert is_alive(api, other)
    assert ends() == [("session.revoked", "revoked")]
    session.refresh_from_db()
    assert session.end_reason == "revoked"


def test_a_form_revokes_as_well(api: ApiClient, begun: Any, session: ImpersonationSession) -> None:
    answer = api.with_key(
        "post", REVOKE, data=f"session_id={session.pk}", content_type="application/x-www-form-urlencoded"
    )
    assert answer.json()["status"] == "revoked"
    assert not is_alive(api, begun)


# ABUSE 51
def test_a_session_in_a_browser_is_revoked_as_well(api: ApiClient, sasha: Browser, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_CALLBACK_URL = None
    session = sasha.start(people.dave)
    answer = revoke(api, session.pk).json()
    assert (answer["id"], answer["status"]) == (session.pk, "revoked")
    assert sasha.post("/whoami/").status_code == 409
    assert ends() == [("session.revoked", "revoked")]
    assert sasha.stop().status_code == 303
    assert sasha.who()["user"] == "sasha@example.com"


# ABUSE 26, ABUSE 136
@pytest.mark.parametrize("how", ["stopped", "revoked", "replayed", "signed_out"])
def test_what_has_ended_stays_as_it_ended(api: ApiClient, begun: Any, session: ImpersonationSession, how: str) -> None:
    session.end(how)
    first = revoke(api, session.pk)
    assert (first.status_code, first.json()["status"]) == (200, "revoked")
    assert first.json()["ended_at"] == written(session.ended_at or timezone.now())
    assert revoke(api, session.pk).json() == first.json()
    session.refresh_from_db()
    assert session.end_reason == how
    assert ends() == [("session.revoked", how)]
    assert not is_alive(api, begun)


# ABUSE 136
def test_a_session_whose_time_was_over_has_expired(api: ApiClient, begun: Any, session: ImpersonationSession) -> None:
    expire(session)
    session.refresh_from_db()
    for _ in range(2):
        answer = revoke(api, session.pk).json()
        assert (answer["status"], answer["ended_at"]) == ("expired", written(session.expires_at))
    assert ends() == [("impersonation.expired", "expired")]
    assert not is_alive(api, begun)


# ABUSE 51
def test_with_a_session_the_codes_of_its_impersonator_are_void(
    api: ApiClient, begun: Any, session: ImpersonationSession, sasha: Browser, people: Any
) -> None:
    code, adas = sasha.code(people.carol), Browser(people.admin).code(people.carol)
    revoke(api, session.pk)
    assert api.redeem(code).status_code == 400
    assert api.redeem(adas).status_code == 200
    again = sasha.code(people.carol)
    revoke(api, session.pk)  # it has ended before: this says nothing of what was begun since
    assert api.redeem(again).status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, None, 0, 1, 1.5, [], ["x"], {}, {"id": 1}, "", [UNKNOWN]),
        *("\x00", "session_\x00", "\ud800", "session_\udfff"),  # no database has such a text
    ],
    ids=ascii,
)
def test_an_id_that_is_no_text_is_unprocessable(api: ApiClient, session: ImpersonationSession, value: Any) -> None:
    answer = revoke(api, value)
    assert answer.status_code == 422
    assert answer.json().keys() == {"code", "message"}
    session.refresh_from_db()
    assert session.ended_at is None


@pytest.mark.parametrize(
    "value",
    [
        *(UNKNOWN, "true", "True", "1", "0", "null", "session_", "*", "%", "_" * 34, "' OR 1=1 --", "é", "\u202e"),
        *("x" * 5000, "🙂"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_an_id_of_nothing_is_not_found(api: ApiClient, session: ImpersonationSession, value: str) -> None:
    answer = revoke(api, value)
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)
    assert ends() == []


def test_an_id_is_compared_letter_by_letter(api: ApiClient, begun: Any, session: ImpersonationSession) -> None:
    for other in (session.pk.lower(), session.pk.upper(), f" {session.pk}", f"{session.pk} ", f"{session.pk}\n"):
        assert revoke(api, other).status_code == 404
        assert leads_to(log_out(Browser(), other), HOME)
    assert is_alive(api, begun)


@pytest.mark.parametrize("body", ["[]", '"x"', "1", "true", "null", '["session_id"]', "{}", ""])
def test_a_body_that_is_no_object_is_unprocessable(api: ApiClient, body: str) -> None:
    answer = api.with_key("post", REVOKE, data=body, content_type=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request_parameters")


@pytest.mark.parametrize(
    ("body", "kind"),
    [("{", JSON), ("[" * 15_000, JSON), (b"\xff", JSON), ("x" * 17_000, JSON), ("{}", "text/plain")],
)
def test_a_body_that_cannot_be_read_is_a_bad_request(api: ApiClient, body: Any, kind: str) -> None:
    answer = api.with_key("post", REVOKE, data=body, content_type=kind)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_an_id_in_the_address_revokes_nothing(api: ApiClient, begun: Any, session: ImpersonationSession) -> None:
    """Addresses are in logs, and anybody can make somebody visit one."""
    answer = api.with_key("post", f"{REVOKE}?session_id={session.pk}", data="{}", content_type=JSON)
    assert answer.status_code == 422
    for method in ("get", "head", "put", "patch", "delete"):
        assert api.with_key(method, f"{REVOKE}?session_id={session.pk}").status_code == 405
    assert is_alive(api, begun)


# ABUSE 136
@pytest.mark.django_db(transaction=True)
def test_a_session_that_many_end_at_once_has_one_end(
    begun: Any, api: ApiClient, session: ImpersonationSession, people: Any
) -> None:
    steps: list[Any] = [lambda: revoke(ApiClient(), session.pk)] * 8
    steps += [lambda: log_out(Browser(), session.pk)] * 8
    answers = race(*steps)
    assert [answer.status_code for answer in answers] == [200] * 8 + [302] * 8
    (end,) = ends()
    assert end in [("session.revoked", "revoked"), ("session.revoked", "signed_out")]
    session.refresh_from_db()
    assert {answer.json()["ended_at"] for answer in answers[:8]} == {written(session.ended_at or timezone.now())}
    assert not is_alive(api, begun)


# ABUSE 51, ABUSE 136
@pytest.mark.django_db(transaction=True)
def test_tokens_that_are_refreshed_during_a_revocation_are_dead_after_it(
    api: ApiClient, begun: Any, session: ImpersonationSession
) -> None:
    refreshes = [lambda: ApiClient().refresh(begun["refresh_token"])] * 6
    answers = race(*refreshes, lambda: revoke(ApiClient(), session.pk))
    assert answers[-1].json()["status"] == "revoked"
    assert {answer.status_code for answer in answers[:-1]} <= {200, 400}
    for answer in answers[:-1]:
        assert answer.status_code == 400 or not is_alive(api, answer.json())
    assert ends() == [("session.revoked", "revoked")]


# Signing out


# ABUSE 83
def test_a_sign_out_ends_the_session_and_leads_home(
    api: ApiClient, begun: Any, sasha: Browser, session: ImpersonationSession, people: Any
) -> None:
    other = api.start(sasha, people.carol)
    assert leads_to(log_out(Browser(), session.pk), HOME)
    assert not is_alive(api, begun)
    assert is_alive(api, other)
    assert ends() == [("session.revoked", "signed_out")]
    assert revoke(api, session.pk).json()["status"] == "revoked"


# ABUSE 26, ABUSE 136
def test_a_second_sign_out_is_none(api: ApiClient, begun: Any, session: ImpersonationSession) -> None:
    for _ in range(3):
        assert leads_to(log_out(Browser(), session.pk), HOME)
    assert ends() == [("session.revoked", "signed_out")]


def test_what_has_ended_before_the_sign_out_stays_as_it_ended(
    api: ApiClient, begun: Any, session: ImpersonationSession
) -> None:
    expire(session)
    assert leads_to(log_out(Browser(), session.pk), HOME)
    assert ends() == [("impersonation.expired", "expired")]
    assert not is_alive(api, begun)


@pytest.mark.parametrize(
    "address",
    [
        HOME,
        OTHER,
        "https://app.example.com/signed-out?from=support&x=%2F",
        "com.example.app:/signed-out",
        "my-app://signed-out",
    ],
)
def test_a_sign_out_leads_to_any_registered_address(
    begun: Any, session: ImpersonationSession, settings: Any, address: str
) -> None:
    settings.IMPERSONATION_SIGN_OUT_URIS = [HOME, OTHER, address]
    assert leads_to(log_out(Browser(), session.pk, return_to=address), address)
    assert ends() == [("session.revoked", "signed_out")]


NOT_REGISTERED = [
    "",
    "/",
    "//localhost:3000",
    "https://evil.example/",
    "http://localhost:3000/",
    "http://localhost:3000/x",
    "http://localhost:3000?",
    "http://localhost:3000#x",
    "http://localhost:30001",
    "http://localhost",
    "https://localhost:3000",
    "HTTP://localhost:3000",
    "http://LOCALHOST:3000",
    "http://user@localhost:3000",
    "http://localhost:3000@evil.example/",
    "http://localhost:3000.evil.example/",
    "http://evil.example/http://localhost:3000",
    "http://127.0.0.1:3000",
    "http://localhost:3000\r\nSet-Cookie: x=y",
    "http://localhost:3000\n",
    " http://localhost:3000",
    "http:\\\\localhost:3000",
    "\x00",
    "javascript:alert(1)",
    "data:text/html,x",
    "https://app.example.com/callback",
]


# ABUSE 132
@pytest.mark.parametrize("address", NOT_REGISTERED, ids=ascii)
def test_a_sign_out_leads_to_no_other_address(
    begun: Any, session: ImpersonationSession, settings: Any, address: str
) -> None:
    for registered, home in (([HOME, OTHER], HOME), ([OTHER, HOME], OTHER), ([], "/")):
        settings.IMPERSONATION_SIGN_OUT_URIS = registered
        assert leads_to(log_out(Browser(), session.pk, return_to=address), home)
        assert leads_to(log_out(Browser(), UNKNOWN, return_to=address), home)
    assert ends() == [("session.revoked", "signed_out")]


# ABUSE 132
def test_of_two_addresses_none_is_a_way_round_the_list(begun: Any, session: ImpersonationSession) -> None:
    for first, second in ((HOME, "https://evil.example/"), ("https://evil.example/", HOME)):
        address = f"{LOGOUT}?session_id={session.pk}&return_to={first}&return_to={second}"
        assert leads_to(Browser().get(address), HOME)


# ABUSE 132
def test_where_nothing_is_registered_a_sign_out_stays_on_this_site(
    api: ApiClient, begun: Any, session: ImpersonationSession, settings: Any
) -> None:
    settings.IMPERSONATION_SIGN_OUT_URIS = []
    assert leads_to(log_out(Browser(), session.pk), "/")
    assert not is_alive(api, begun)


@pytest.mark.parametrize("session_id", [None, "", "\x00", "session_\x00"])
def test_a_sign_out_from_nothing_is_unprocessable(
    begun: Any, api: ApiClient, session: ImpersonationSession, session_id: str | None
) -> None:
    for query in ({}, {"return_to": HOME}, {"return_to": "https://evil.example/"}, {"id": session.pk}):
        answer = log_out(Browser(), session_id, **query)
        assert answer.status_code == 422
        assert answer.json() == {"code": "invalid_request_parameters", "message": "session_id is required"}
        assert answer["Cache-Control"] == "private, no-store"
        assert answer["X-Request-ID"].startswith("req_")
        assert "Location" not in answer
    assert is_alive(api, begun)


@pytest.mark.parametrize(
    "session_id",
    [*(UNKNOWN, "true", "1", "*", "%", "' OR 1=1 --", "é", "\u202e", "x" * 5000, "🙂", " ", "session_" + "%" * 26)],
    ids=lambda value: ascii(value)[:40],
)
def test_a_sign_out_from_an_unknown_session_leads_home_as_well(
    begun: Any, api: ApiClient, session: ImpersonationSession, session_id: str
) -> None:
    assert leads_to(log_out(Browser(), session_id), HOME)
    assert leads_to(log_out(Browser(), session_id, return_to=HOME), HOME)
    assert is_alive(api, begun)


# ABUSE 19, ABUSE 202
def test_a_session_of_this_sites_own_browsers_does_not_end_here(sasha: Browser, people: Any, settings: Any) -> None:
    """Its id is in the marker cookie and proves nothing; *Stop* is a form with a token."""
    settings.IMPERSONATION_CALLBACK_URL = None
    session = sasha.start(people.dave)
    for browser in (Browser(), Browser(people.dave), Browser(people.admin), sasha):
        response = log_out(browser, session.pk)
        assert (response.status_code, response["Location"]) == (302, HOME)
    assert ends() == []
    assert sasha.who()["user"] == "dave@example.com"


def test_whoever_visits_stays_who_they_are(begun: Any, sasha: Browser, session: ImpersonationSession) -> None:
    """The client's session is no session of the browser that happens to sign out of it."""
    assert leads_to(log_out(sasha, session.pk), HOME)
    assert sasha.who()["user"] == "sasha@example.com"
    assert sasha.get("/admin/").status_code == 200


# ABUSE 60
@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", "prefetch;anonymous-client-ip"])
def test_a_prefetch_signs_nobody_out(begun: Any, api: ApiClient, session: ImpersonationSession, purpose: str) -> None:
    response = Browser().get(LOGOUT, {"session_id": session.pk}, headers={"Sec-Purpose": purpose})
    assert leads_to(response, HOME)
    assert is_alive(api, begun)
    assert leads_to(log_out(Browser(), session.pk), HOME)
    assert not is_alive(api, begun)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("method", ["head", "post", "put", "patch", "delete", "options", "trace"])
def test_only_a_visit_signs_out(
    begun: Any, api: ApiClient, session: ImpersonationSession, method: str, strict: bool
) -> None:
    browser = Browser(enforce_csrf_checks=strict)
    response = getattr(browser, method)(f"{LOGOUT}?session_id={session.pk}")
    assert (response.status_code, response["Allow"]) == (405, "GET")
    assert response["Content-Type"] == JSON
    assert "Location" not in response
    assert is_alive(api, begun)


@pytest.mark.django_db(transaction=True)
def test_receivers_are_told_of_a_sign_out_once(begun: Any, session: ImpersonationSession) -> None:
    told: list[Any] = []

    def receiver(request: Any, impersonation: Any, **kwargs: Any) -> None:
        told.append((request.path, impersonation.pk, impersonation.end_reason))

    impersonation_ended.connect(receiver)
    try:
        for _ in range(2):
            log_out(Browser(), session.pk)
    finally:
        impersonation_ended.disconnect(receiver)
    assert told == [(LOGOUT, session.pk, "signed_out")]


# ABUSE 25
def test_under_login_required_nothing_asks_for_a_login(
    api: ApiClient, begun: Any, session: ImpersonationSession, people: Any, settings: Any
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    client = ApiClient()
    assert len(listed(client, people.dave)["data"]) == 1
    assert revoke(client, UNKNOWN).status_code == 404
    assert leads_to(log_out(Browser(), session.pk), HOME)
    assert not is_alive(api, begun)


# ABUSE 58
@pytest.mark.django_db(transaction=True)
def test_under_atomic_requests_an_end_is_committed_at_once(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, sasha: Browser, people: Any
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    end, seen = ImpersonationSession.end, []

    def look(*args: Any, **kwargs: Any) -> bool:
        seen.append(len(connection.savepoint_ids) + connection.in_atomic_block)
        return end(*args, **kwargs)

    monkeypatch.setattr(ImpersonationSession, "end", look)
    begun = [api.start(sasha, people.dave) for _ in range(2)]
    first, second = ImpersonationSession.objects.values_list("pk", flat=True)
    assert leads_to(log_out(Browser(), first), HOME)
    assert revoke(api, second).status_code == 200
    assert seen == [0, 1]  # none, and the one of flows.revoke
    assert not any(is_alive(api, answer) for answer in begun)


@pytest.mark.parametrize("error", [OperationalError("secret detail"), InterfaceError("secret detail")])
def test_a_database_that_does_not_answer_signs_nobody_out_and_says_so(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, begun: Any, session: ImpersonationSession, error: Exception
) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(ImpersonationSession, "end", fails)
        for answer in (log_out(Browser(), session.pk), revoke(api, session.pk)):
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert answer["Retry-After"] == "1"
            assert b"secret detail" not in answer.content
    assert is_alive(api, begun)
    assert leads_to(log_out(Browser(), session.pk), HOME)
    assert not is_alive(api, begun)
