"""What an impersonator may not do holds by token as by cookie, for sync views and async ones."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.models import Session
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpResponseForbidden
from django.test import AsyncClient, Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIRequestFactory

from django_impersonation import guards, validity
from django_impersonation.models import Event, ImpersonationSession
from tests.api.client import CALLBACK, ApiClient, bearer
from tests.api.urls import CardSerializer
from tests.people import Browser
from tests.urls import whoami

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

DOTS = "••••••"
COOKIES = "django_impersonation.middleware.ImpersonationMiddleware"
TOKENS = "django_impersonation.api.middleware.ImpersonationTokenMiddleware"


class Caller:
    """Somebody with cookies, with a token or with both, who calls a WSGI or an ASGI server."""

    def __init__(self, mode: str, *, token: str | None = None, cookies: SimpleCookie | None = None) -> None:
        kind = Client if mode == "sync" else AsyncClient
        self.client = kind(raise_request_exception=False)
        self.headers = {} if token is None else bearer(token)
        if cookies is not None:
            self.client.cookies = SimpleCookie({name: morsel.value for name, morsel in cookies.items()})

    def __call__(self, method: str, path: str, **kwargs: Any) -> Any:
        send = getattr(self.client, method)
        headers = self.headers | kwargs.pop("headers", {})
        ask = send if isinstance(self.client, Client) else async_to_sync(send)
        return ask(path, headers=headers, **kwargs)

    def get(self, path: str, **kwargs: Any) -> Any:
        return self("get", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> Any:
        return self("post", path, **kwargs)


class Begin:
    """Begins impersonations by each of the two ways."""

    def __init__(self, sasha: Browser, settings: Any) -> None:
        self.sasha, self.settings = sasha, settings
        settings.IMPERSONATION_REDIRECT_URIS = [CALLBACK]

    def token(self, user: Any, **kwargs: Any) -> str:
        self.settings.IMPERSONATION_CALLBACK_URL = CALLBACK
        answer = ApiClient().start(self.sasha, user, **kwargs)
        self.settings.IMPERSONATION_CALLBACK_URL = None
        return str(answer["access_token"])

    def cookies(self, user: Any, **kwargs: Any) -> SimpleCookie:
        self.sasha.start(user, **kwargs)
        return self.sasha.cookies

    def caller(self, way: str, mode: str, user: Any, **kwargs: Any) -> Caller:
        if way == "token":
            return Caller(mode, token=self.token(user, **kwargs))
        return Caller(mode, cookies=self.cookies(user, **kwargs))


@pytest.fixture
def begin(sasha: Browser, settings: Any) -> Begin:
    return Begin(sasha, settings)


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["token", "cookie"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def atomic(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)


def the_session() -> ImpersonationSession:
    return ImpersonationSession.objects.get()


def denials() -> list[tuple[str, str, str, int]]:
    found = Event.objects.filter(name=Event.Name.DENIED).order_by("position")
    return list(found.values_list("code", "impersonator_email", "user_email", "count"))


def raises(error: BaseException) -> Any:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    return fail


SASHA_AS_DAVE = ("blocked_view", "sasha@example.com", "dave@example.com")
GUARDED = ["/sensitive/", "/drf/forbidden/", "/admin/", "/accounts/password_change/", "/account/e-mail/"]
ASYNC_GUARDED = ["/asensitive/", "/account/a-e-mail/"]


# ABUSE 206
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("path", GUARDED + ASYNC_GUARDED)
def test_a_guard_refuses_impersonators(begin: Begin, people: Any, way: str, mode: str, path: str, method: str) -> None:
    caller = begin.caller(way, mode, people.dave)
    for count in (1, 2):
        answer = caller(method, path, headers={"Accept": "application/json"})
        assert answer.status_code == 403
        assert denials() == [(*SASHA_AS_DAVE, count)]
    assert answer["Cache-Control"].split(", ") in (["private", "no-store"], ["no-store", "private"])
    assert the_session().ended_at is None


# ABUSE 206, ABUSE 208
@pytest.mark.usefixtures("atomic")
@pytest.mark.parametrize("path", GUARDED)
def test_under_atomic_requests_the_refusal_stays_on_record(
    begin: Begin, people: Any, way: str, mode: str, path: str
) -> None:
    caller = begin.caller(way, mode, people.dave)
    for count in (1, 2):
        assert caller.get(path).status_code == 403
        assert denials() == [(*SASHA_AS_DAVE, count)]


# ABUSE 206
def test_a_script_is_refused_in_json_and_a_person_with_a_page(begin: Begin, people: Any, mode: str) -> None:
    error = {"error": "impersonation_forbidden"}
    by_token = begin.caller("token", mode, people.dave)
    for path in ("/sensitive/", "/asensitive/", "/admin/"):
        assert error.items() <= by_token.get(path).json().items()
    by_cookie = begin.caller("cookie", mode, people.dave)
    assert by_cookie.get("/sensitive/")["Content-Type"].startswith("text/html")
    assert error.items() <= by_cookie.get("/sensitive/", headers={"Accept": "application/json"}).json().items()


# ABUSE 206
@pytest.mark.parametrize("path", ["/sensitive/", "/asensitive/", "/drf/forbidden/", "/account/e-mail/"])
def test_a_guard_lets_others_pass(people: Any, mode: str, path: str) -> None:
    caller = Caller(mode, cookies=Browser(people.carol).cookies)
    assert caller.get(path).status_code == 200
    assert not Event.objects.exists()


# ABUSE 206
def test_a_projects_own_pattern_holds_by_token_and_may_be_removed(
    begin: Begin, people: Any, settings: Any, way: str, mode: str
) -> None:
    caller = begin.caller(way, mode, people.dave)
    assert caller.get("/wiki/edit/").status_code == 200
    settings.IMPERSONATION_BLOCKED_VIEWS = ["wiki_*", "-account_email*"]
    assert caller.get("/wiki/edit/").status_code == 403
    assert caller.get("/account/e-mail/").status_code == 200


# ABUSE 206
def test_a_permission_of_drf_says_why(begin: Begin, people: Any, way: str, mode: str) -> None:
    answer = begin.caller(way, mode, people.dave).get("/drf/forbidden/")
    assert answer.json() == {"detail": "This page is not available while you are impersonating a user."}


# ABUSE 206
def test_a_permission_of_drf_lets_the_token_of_somebody_else_pass(begin: Begin, people: Any, mode: str) -> None:
    caller = begin.caller("cookie", mode, people.dave)
    answer = caller.get("/drf/forbidden/", headers={"Authorization": "Token carol@example.com"})
    assert (answer.status_code, answer.json()["user"]) == (200, "carol@example.com")
    assert denials() == []


# ABUSE 206
def test_what_one_permission_refuses_and_another_allows_breaks_nothing(
    begin: Begin, people: Any, way: str, mode: str
) -> None:
    assert begin.caller(way, mode, people.dave).get("/drf/either/").status_code == 200
    assert not Event.objects.filter(name=Event.Name.DENIED).exists()


def set_card(user: Any) -> None:
    user.card_number = "4242 4242"
    user.save()


# ABUSE 206
def test_impersonators_see_dots_and_never_save_them(begin: Begin, people: Any, way: str, mode: str) -> None:
    set_card(people.dave)
    caller = begin.caller(way, mode, people.dave)
    assert caller.get("/drf/card/").json() == {"name": "Dave Dunn", "card_number": DOTS}
    answer = caller.get("/drf/").json()
    assert (answer["card"], answer["field"]) == (DOTS, DOTS)
    if way == "token":  # by cookie, DRF asks for a CSRF token
        put = {"data": {"name": "D", "card_number": DOTS}, "content_type": "application/json"}
        assert caller("put", "/drf/card/", **put).json() == {"name": "D", "card_number": DOTS}
        people.dave.refresh_from_db()
        assert (people.dave.name, people.dave.card_number) == ("D", "4242 4242")


def test_users_themselves_see_and_save_what_is_theirs(people: Any, mode: str) -> None:
    set_card(people.carol)
    caller = Caller(mode, cookies=Browser(people.carol).cookies)
    assert caller.get("/drf/card/").json()["card_number"] == "4242 4242"
    assert caller.get("/drf/").json()["card"] == "4242 4242"
    put = {"data": {"card_number": "5555"}, "content_type": "application/json"}
    assert caller("put", "/drf/card/", **put).json()["card_number"] == "5555"
    people.carol.refresh_from_db()
    assert people.carol.card_number == "5555"


def test_a_serializer_that_cannot_tell_who_looks_shows_dots(people: Any, rf: RequestFactory) -> None:
    set_card(people.dave)
    untagged: Any = rf.get("/")
    untagged.user = people.dave
    for context in ({}, {"request": None}, {"request": untagged}, {"request": APIRequestFactory().get("/")}):
        assert CardSerializer(people.dave, context=context).data["card_number"] == DOTS
        assert CardSerializer([people.dave], many=True, context=context).data[0]["card_number"] == DOTS


def test_a_name_that_is_no_field_is_an_error_for_everybody(people: Any, rf: RequestFactory) -> None:
    class Mistaken(CardSerializer):
        redacted_fields = ("card_numbr",)

    tagged: Any = rf.get("/")
    tagged.user, tagged.impersonation = people.dave, None
    for context in ({}, {"request": tagged}):
        with pytest.raises(TypeError, match="card_numbr"):
            _ = Mistaken(people.dave, context=context).data


# ABUSE 103
def test_an_impersonator_stays_in_the_chosen_organization(begin: Begin, people: Any, way: str, mode: str) -> None:
    caller = begin.caller(way, mode, people.bob, organization=people.acme)
    assert caller.get(f"/drf/in/{people.acme.pk}/").json()["allows"] is True
    assert caller.get(f"/drf/in/{people.globex.pk}/").json()["allows"] is False
    bob = Caller(mode, cookies=Browser(people.bob).cookies)
    assert bob.get(f"/drf/in/{people.globex.pk}/").json()["allows"] is True


# ABUSE 52
@pytest.mark.parametrize("scheme", ["Token", "Bearer"])
def test_the_token_of_somebody_else_is_theirs(begin: Begin, people: Any, mode: str, scheme: str) -> None:
    set_card(people.carol)
    caller = begin.caller("cookie", mode, people.dave)
    mine = caller.get("/drf/others/").json()
    assert (mine["user"], mine["current"]) == ("dave@example.com", the_session().pk)
    theirs = caller.get("/drf/others/", headers={"Authorization": f"{scheme} carol@example.com"}).json()
    assert theirs == {
        "user": "carol@example.com",
        "auth": "str",
        "current": None,
        "raw": None,
        "tagged": True,
        "card": "4242 4242",
        "field": "4242 4242",
        "allows": True,
    }


# ABUSE 52, ABUSE 206
def test_every_class_of_a_view_is_tagged_alike(begin: Begin, people: Any, mode: str) -> None:
    by_token = begin.caller("token", mode, people.dave)
    pk = the_session().pk
    for path in ("/drf/", "/drf/ours/", "/drf/others/"):
        answer = by_token.get(path).json()
        assert (answer["user"], answer["auth"], answer["current"]) == ("dave@example.com", "AccessToken", pk)
    by_cookie = begin.caller("cookie", mode, people.dave)
    answer = by_cookie.get("/drf/").json()
    assert (answer["user"], answer["auth"]) == ("dave@example.com", "None")
    assert answer["current"] == answer["raw"] == ImpersonationSession.objects.latest("created_at").pk
    assert by_cookie.get("/drf/ours/").status_code == 401


def test_the_class_of_drf_asks_for_no_csrf_token_by_bearer(begin: Begin, people: Any) -> None:
    token = begin.token(people.dave)
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/drf/", headers=bearer(token)).status_code == 200
    by_cookie = Client(enforce_csrf_checks=True)
    by_cookie.cookies = SimpleCookie({n: m.value for n, m in begin.cookies(people.dave).items()})
    assert by_cookie.post("/drf/").status_code == 403


# ABUSE 48, ABUSE 206
@pytest.mark.parametrize("missing", [[COOKIES], [TOKENS], [COOKIES, TOKENS]])
def test_without_both_middlewares_a_token_opens_nothing(
    begin: Begin, people: Any, settings: Any, mode: str, missing: list[str]
) -> None:
    token = begin.token(people.dave)
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if path not in missing]
    caller = Caller(mode, token=token)
    for path in ("/drf/ours/", "/api/me/"):
        assert caller.get(path).status_code == 401


# ABUSE 48, ABUSE 206
def test_in_the_wrong_order_a_token_opens_nothing(begin: Begin, people: Any, settings: Any, mode: str) -> None:
    token = begin.token(people.dave)
    order = list(settings.MIDDLEWARE)
    first, second = order.index(COOKIES), order.index(TOKENS)
    order[first], order[second] = order[second], order[first]
    settings.MIDDLEWARE = order
    runs = whoami.runs
    assert Caller(mode, token=token).get("/whoami/").status_code == 401
    assert whoami.runs == runs


# ABUSE 52
@pytest.mark.parametrize("cookie", ["carol", "carol impersonated", "sasha", "none"])
def test_a_token_of_ours_decides_whoever_the_cookies_name(begin: Begin, people: Any, mode: str, cookie: str) -> None:
    token = begin.token(people.dave)
    session = the_session()
    cookies = {
        "carol": lambda: Browser(people.carol).cookies,
        "carol impersonated": lambda: begin.cookies(people.carol, organization=people.acme),
        "sasha": lambda: begin.sasha.cookies,
        "none": SimpleCookie,
    }[cookie]()
    caller = Caller(mode, token=token, cookies=cookies)
    who = caller.get("/whoami/").json()
    assert who == {
        "user": "dave@example.com",
        "impersonation": session.pk,
        "impersonator": ["sasha@example.com", "Ticket 4711"],
        "current": session.pk,
    }
    assert caller.get("/awhoami/").json()["auser"] == "dave@example.com"
    assert caller.get("/sensitive/").status_code == 403
    assert denials() == [(*SASHA_AS_DAVE, 1)]
    session.end("stopped")
    assert caller.get("/whoami/").status_code == 401
    assert caller.post("/whoami/").status_code == 401


# ABUSE 10
@pytest.mark.parametrize("path", ["/enter/dave@example.com/", "/aenter/dave@example.com/"])
def test_a_login_of_the_same_user_by_token_leaves_no_session(begin: Begin, people: Any, mode: str, path: str) -> None:
    caller = begin.caller("token", mode, people.dave)
    before = Session.objects.count()
    assert caller.get(path).status_code == 200
    assert Session.objects.count() == before
    caller.headers = {}
    assert caller.get("/whoami/").json()["user"] == "AnonymousUser"
    assert the_session().ended_at is None


# ABUSE 10
# ABUSE 32
@pytest.mark.parametrize("beside", ["noor@example.com", "bob@example.com"])
@pytest.mark.parametrize("path", ["/enter/dave@example.com/", "/enter/carol@example.com/", "/leave/", "/aleave/"])
def test_what_is_done_by_token_leaves_the_session_beside_it_alone(
    begin: Begin, people: Any, mode: str, path: str, beside: str
) -> None:
    token = begin.token(people.dave)
    browser = Browser(people.noor if beside == "noor@example.com" else people.admin)
    if beside == "bob@example.com":
        browser.start(people.bob, organization=people.acme)
    before = {key: morsel.value for key, morsel in browser.cookies.items()}
    answer = Caller(mode, token=token, cookies=browser.cookies).get(path)
    assert answer.status_code == 200
    assert not {"sessionid", "impersonation", "impersonation_return_key"} & set(answer.cookies)
    assert {key: morsel.value for key, morsel in browser.cookies.items()} == before
    assert browser.who()["user"] == beside


# ABUSE 32
def test_a_view_by_token_sees_nothing_of_the_session_beside_it(begin: Begin, people: Any, mode: str) -> None:
    browser = Browser(people.noor)
    session = browser.session
    session["cart"] = ["Noor's"]
    session.save()
    caller = Caller(mode, token=begin.token(people.dave), cookies=browser.cookies)
    assert caller.get("/cart/").json() == {"cart": ["bought by token"]}
    assert browser.session["cart"] == ["Noor's"]


# ABUSE 23
@pytest.mark.parametrize("path", ["/leave/", "/aleave/"])
def test_a_logout_by_token_ends_the_session(begin: Begin, people: Any, mode: str, path: str) -> None:
    caller = begin.caller("token", mode, people.dave)
    assert caller.get(path).status_code == 200
    assert the_session().end_reason == "signed_out"
    assert Event.objects.filter(name=Event.Name.SESSION_REVOKED).count() == 1
    assert caller.get("/whoami/").status_code == 401


# ABUSE 10, ABUSE 23
def test_a_logout_and_a_login_by_token_leave_nobody(begin: Begin, people: Any, mode: str) -> None:
    caller = begin.caller("token", mode, people.dave)
    assert caller.get("/leave-and-enter/dave@example.com/").json()["user"] == "AnonymousUser"
    assert the_session().end_reason == "signed_out"
    caller.headers = {}
    assert caller.get("/whoami/").json()["user"] == "AnonymousUser"


# ABUSE 10
@pytest.mark.parametrize("path", ["/enter/carol@example.com/", "/aenter/carol@example.com/"])
def test_a_login_of_another_user_by_token_ends_the_session(begin: Begin, people: Any, mode: str, path: str) -> None:
    caller = begin.caller("token", mode, people.dave)
    assert caller.get(path).status_code == 200
    assert the_session().end_reason == "signed_out"
    assert caller.get("/whoami/").status_code == 401
    caller.headers = {}
    assert caller.get("/whoami/").json() == {
        "user": "AnonymousUser",
        "impersonation": None,
        "impersonator": None,
        "current": None,
    }


def queries(caller: Caller, path: str, status: int = 200, **headers: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert caller.get(path, headers=headers).status_code == status
    return [query["sql"] for query in captured]


# ABUSE 43
def test_a_request_by_token_costs_one_query(begin: Begin, people: Any, mode: str, settings: Any) -> None:
    settings.IMPERSONATION_RECORD_ACTIVITY = False
    caller = begin.caller("token", mode, people.dave)
    for path in ("/static-page/", "/whoami/", "/awhoami/", "/drf/ours/"):
        assert len(queries(caller, path)) == 1, path
    the_session().end("stopped")
    assert len(queries(caller, "/whoami/", 401)) == 1


# ABUSE 43
@pytest.mark.parametrize("header", ["", "Bearer abc", "Token abc", "Basic YTpi", "Bearer e30.e30.e30"])
def test_a_request_without_a_token_of_ours_costs_nothing(people: Any, mode: str, header: str) -> None:
    caller = Caller(mode)
    assert queries(caller, "/static-page/", Authorization=header) == []
    answer = caller.get("/static-page/", headers={"Authorization": header})
    assert "Cache-Control" not in answer
    assert "Authorization" not in answer.get("Vary", "")


# ABUSE 43
def test_a_forged_token_costs_nothing(begin: Begin, people: Any, mode: str) -> None:
    token = begin.token(people.dave)
    assert queries(Caller(mode, token=token[:-20] + "A" * 19 + "Q"), "/whoami/", 401) == []


# ABUSE 123
@pytest.mark.parametrize("path", ["/static-page/", "/whoami/", "/awhoami/", "/drf/", "/sensitive/", "/nothing/"])
def test_what_a_token_has_opened_is_kept_by_nobody(begin: Begin, people: Any, mode: str, path: str) -> None:
    caller = begin.caller("token", mode, people.dave)
    answer = caller.get(path)
    assert set(answer["Cache-Control"].split(", ")) == {"private", "no-store"}
    assert "Authorization" in answer["Vary"]
    assert "sessionid" not in answer.cookies


# ABUSE 45, ABUSE 203
@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
def test_a_database_that_does_not_answer_is_no_end(
    monkeypatch: pytest.MonkeyPatch, begin: Begin, people: Any, mode: str, error: Exception
) -> None:
    caller, runs = begin.caller("token", mode, people.dave), whoami.runs
    with monkeypatch.context() as patch:
        patch.setattr(validity, "fault", raises(error))
        for method in ("get", "post"):
            answer = caller(method, "/whoami/")
            assert answer.status_code == 503
            assert "Retry-After" in answer
            assert answer["Cache-Control"] == "private, no-store"
            assert not answer.cookies
    assert whoami.runs == runs
    assert the_session().ended_at is None
    assert caller.get("/whoami/").json()["user"] == "dave@example.com"


# ABUSE 45
def test_what_else_goes_wrong_in_the_check_opens_nothing(
    monkeypatch: pytest.MonkeyPatch, begin: Begin, people: Any, mode: str
) -> None:
    caller, runs = begin.caller("token", mode, people.dave), whoami.runs
    monkeypatch.setattr(validity, "load_user", raises(ZeroDivisionError()))
    assert caller.get("/whoami/").status_code == 500
    assert whoami.runs == runs


# ABUSE 42
class Choosy(validity.ModelBackend):
    """A project's backend with a ``get_user`` of its own."""

    asked = 0

    def get_user(self, user_id: Any) -> Any:
        type(self).asked += 1
        user = super().get_user(user_id)
        return None if user is None or user.name == "Nobody" else user


# ABUSE 42
def test_a_projects_own_get_user_is_asked_by_token_too(begin: Begin, people: Any, settings: Any, mode: str) -> None:
    settings.AUTHENTICATION_BACKENDS = ["tests.api.test_guards.Choosy"]
    begin.sasha.force_login(people.sasha, backend="tests.api.test_guards.Choosy")
    caller, before = begin.caller("token", mode, people.dave), Choosy.asked
    assert caller.get("/whoami/").json()["user"] == "dave@example.com"
    assert Choosy.asked == before + 1
    people.dave.name = "Nobody"
    people.dave.save()
    assert caller.get("/whoami/").status_code == 401
    assert the_session().end_reason == "user_changed"


# ABUSE 206
def test_a_refusal_that_was_noted_is_recorded_once(begin: Begin, people: Any, rf: RequestFactory) -> None:
    begin.token(people.dave)
    request: Any = rf.get("/")
    request.impersonation, request.user = the_session(), people.dave
    guards.note_refusal(request, request.impersonation)
    for _ in range(2):
        guards.record_refusal(request, HttpResponseForbidden())
    assert denials() == [(*SASHA_AS_DAVE, 1)]


def test_a_method_of_a_view_of_rest_framework_may_be_decorated(sasha: Browser, people: Any) -> None:
    """It gets the framework's request, and the refusal goes on record all the same."""
    sasha.start(people.dave)
    assert sasha.get("/drf/decorated/").status_code == 403
    assert Event.objects.get(name="impersonation.denied").code == "blocked_view"
    assert Browser(people.dave).get("/drf/decorated/").status_code == 200
