"""The story on an ASGI server: async views, guards and logins, and many requests in one event loop."""

from __future__ import annotations

import asyncio
from http.cookies import SimpleCookie
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, alogin, alogout, get_user_model, login
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, AsyncRequestFactory
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.views import View

from django_impersonation import flows, middleware, sessions, validity
from django_impersonation.guards import forbid_impersonation
from django_impersonation.middleware import ImpersonationMiddleware
from django_impersonation.models import Event, ImpersonationSession
from tests.people import Browser
from tests.urls import asensitive
from tests.urls import urlpatterns as usual

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.test_async")]
STOCK = "django.contrib.auth.backends.ModelBackend"


async def told(request: HttpRequest) -> dict[str, Any]:
    """What an async view sees. ``request.user`` of an ordinary request is for Django's sync views only."""
    auser = str(await request.auser())
    current = flows.current(request)
    return {
        "user": str(request.user) if request.impersonation else auser,
        "auser": auser,
        "impersonation": request.impersonation and request.impersonation.pk,
        "impersonator": request.impersonator and list(request.impersonator),
        "current": current and current.pk,
    }


async def awho(request: HttpRequest) -> JsonResponse:
    return JsonResponse(await told(request))


async def a_login(request: HttpRequest, how: str, email: str) -> HttpResponse:
    user = await get_user_model().objects.aget(email=email)
    if how == "alogin":
        await alogin(request, user, backend=STOCK)
    else:
        await sync_to_async(login)(request, user, backend=STOCK)
    return await awho(request)


async def a_logout(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return await awho(request)


async def slow(request: HttpRequest) -> JsonResponse:
    """Lets every other request go first, some times over, and looks again."""
    looks = []
    for _ in range(5):
        looks.append(await told(request))
        await asyncio.sleep(0)
    assert all(look == looks[0] for look in looks)
    return JsonResponse(looks[0])


async def counted(request: HttpRequest) -> HttpResponse:
    counted.runs += 1
    return HttpResponse()


counted.runs = 0


@method_decorator(forbid_impersonation, name="dispatch")
class Closed(View):
    """As the README says of classes; Django awaits its ``dispatch``, which is no coroutine function."""

    async def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse({"closed": False})


class Misused(View):
    """The decorator is for functions; here it would ask the view for its impersonation."""

    @forbid_impersonation
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("opened")

    @forbid_impersonation
    async def aget(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("opened")


urlpatterns = [
    path("closed/", Closed.as_view()),
    path("login/<str:how>/<str:email>/", a_login),
    path("logout/", a_logout),
    path("awho/", awho),
    path("slow/", slow),
    path("counted/", counted),
    path("account/e-mail/", counted, name="account_email"),
    *usual,
]


class AsyncBrowser:
    """``Browser`` on an ASGI server; its methods are to be called without ``await``."""

    def __init__(self, cookies: SimpleCookie | None = None) -> None:
        self.client = AsyncClient()
        if cookies is not None:
            self.client.cookies = SimpleCookie({name: morsel.value for name, morsel in cookies.items()})

    @property
    def cookies(self) -> SimpleCookie:
        return self.client.cookies

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return async_to_sync(self.client.get)(*args, **kwargs)

    def post(self, *args: Any, **kwargs: Any) -> Any:
        return async_to_sync(self.client.post)(*args, **kwargs)


@pytest.fixture
def bob(people: Any, engine: str) -> tuple[AsyncBrowser, ImpersonationSession]:
    """Sasha's browser, which went the whole way to Bob on the ASGI server."""
    browser = AsyncBrowser()
    async_to_sync(browser.client.aforce_login)(people.sasha)
    prompt = reverse("admin:shop_user_impersonate", args=[people.bob.pk])
    response = browser.post(prompt, {"reason": "Ticket 4711", "organization": people.acme.pk})
    assert response.status_code == 303
    assert browser.get(response["Location"]).status_code == 303
    return browser, ImpersonationSession.objects.get(pk=browser.cookies["impersonation"].value)


def expected(session: ImpersonationSession) -> dict[str, Any]:
    return {
        "user": "bob@example.com",
        "auser": "bob@example.com",
        "impersonation": session.pk,
        "impersonator": ["sasha@example.com", "Ticket 4711"],
        "current": session.pk,
    }


# ABUSE 14
def test_story(people: Any, bob: Any) -> None:
    browser, session = bob
    assert browser.get("/awho/").json() == expected(session)
    assert browser.get("/whoami/").json().items() <= expected(session).items()
    response = browser.post(reverse("django_impersonation:stop"))
    assert response["Location"] == f"/admin/shop/user/{people.bob.pk}/change/"
    me = browser.get("/awho/").json()
    assert (me["user"], me["auser"], me["impersonation"]) == ("sasha@example.com", "sasha@example.com", None)
    session = ImpersonationSession.objects.get()
    assert (session.status, session.end_reason) == ("revoked", "stopped")


def test_guards(bob: Any) -> None:
    browser, _ = bob
    for guarded in ("/asensitive/", "/sensitive/", "/closed/"):
        assert browser.get(guarded).status_code == 403
    counted.runs = 0
    assert browser.get("/account/e-mail/").status_code == 403
    assert counted.runs == 0
    assert browser.get("/admin/").status_code == 403
    denied = Event.objects.get(name="impersonation.denied")
    assert (denied.code, denied.user_email, denied.count) == ("blocked_view", "bob@example.com", 5)


def test_guards_let_others_in(people: Any, monkeypatch: Any) -> None:
    browser = AsyncBrowser(Browser(people.carol).cookies)
    asked: list[Any] = []
    monkeypatch.setattr(flows, "current", asked.append)
    assert browser.get("/asensitive/").json() == {"sensitive": True}
    assert not asked, "who has no impersonation costs no thread"
    assert browser.get("/closed/").json() == {"closed": False}
    monkeypatch.undo()
    assert browser.get("/account/e-mail/").status_code == 200


# ABUSE 52
def test_guards_ask_who_the_user_is_now(people: Any, bob: Any) -> None:
    """Somebody else may have taken the user's place since the middleware."""
    request = AsyncRequestFactory().get("/")
    request.user, request.impersonation = people.carol, bob[1]
    assert async_to_sync(asensitive)(request).status_code == 200
    request.user = people.bob
    assert async_to_sync(asensitive)(request).status_code == 403


# ABUSE 8, ABUSE 51
@pytest.mark.parametrize("reason", ["revoked", "expired"])
def test_over(bob: Any, reason: str) -> None:
    browser, session = bob
    if reason == "revoked":
        session.end(reason)
    else:
        ImpersonationSession._base_manager.update(expires_at=session.created_at)
    counted.runs = 0
    assert browser.post("/counted/").status_code == 409
    response = browser.get("/counted/")
    assert (response.status_code, response["Location"]) == (303, reverse("django_impersonation:ended"))
    response = browser.get("/counted/", headers={"Sec-Fetch-Dest": "empty"})
    assert (response.status_code, response.json()["error"]) == (401, "impersonation_ended")
    assert counted.runs == 0
    name = "session.revoked" if reason == "revoked" else "impersonation.expired"
    assert Event.objects.filter(name=name, code=reason, session=session).count() == 1
    assert browser.get(reverse("django_impersonation:ended")).status_code == 200
    assert browser.get("/awho/").json()["auser"] == "AnonymousUser"


# ABUSE 10
@pytest.mark.parametrize("how", ["login", "alogin"])
def test_login_of_the_same_user_stays_tagged(bob: Any, how: str) -> None:
    browser, session = bob
    response = browser.get(f"/login/{how}/bob@example.com/")
    assert response.json() == expected(session)
    assert response.cookies["sessionid"]["max-age"] <= 3600
    assert browser.client.session[BACKEND_SESSION_KEY] == sessions.INERT_BACKEND
    assert browser.get("/awho/").json() == expected(session)


@pytest.mark.parametrize("how", ["login", "alogin"])
def test_login_of_another_user_ends_it(bob: Any, how: str) -> None:
    browser, _ = bob
    carol = {"user": "carol@example.com", "auser": "carol@example.com"}
    nobody = {"impersonation": None, "impersonator": None, "current": None}
    response = browser.get(f"/login/{how}/carol@example.com/")
    assert response.json() == carol | nobody
    assert response.cookies["impersonation"].value == response.cookies["impersonation_return_key"].value == ""
    assert ImpersonationSession.objects.get().end_reason == "signed_out"
    assert browser.get("/awho/").json() == carol | nobody


# ABUSE 23
def test_logout_ends_it(bob: Any) -> None:
    browser, _ = bob
    response = browser.get("/logout/")
    assert (response.json()["user"], response.json()["auser"]) == ("AnonymousUser", "AnonymousUser")
    assert response.cookies["impersonation"].value == response.cookies["impersonation_return_key"].value == ""
    assert ImpersonationSession.objects.get().end_reason == "signed_out"
    assert browser.get("/awho/").json()["auser"] == "AnonymousUser"


# ABUSE 45, ABUSE 203
def test_a_database_error_is_no_end(bob: Any) -> None:
    browser, session = bob
    counted.runs = 0
    with mock.patch.object(validity, "examine", side_effect=DatabaseError):
        response = browser.get("/counted/")
    assert (response.status_code, response["Retry-After"], counted.runs) == (503, "5", 0)
    assert not response.cookies
    assert browser.get("/awho/").json() == expected(session)


# ABUSE 43
def test_it_costs_what_an_ordinary_request_costs(people: Any, django_assert_num_queries: Any) -> None:
    sasha, carol = Browser(people.sasha), Browser(people.carol)
    sasha.start(people.bob, organization=people.acme)
    for cookies, queries in ((sasha.cookies, 4), (carol.cookies, 2)):  # two for its activity
        with django_assert_num_queries(queries):
            assert AsyncBrowser(cookies).get("/awho/").status_code == 200
    with django_assert_num_queries(0):
        assert "Cookie" not in AsyncBrowser().get("/static-page/")["Vary"]


def test_a_request_without_a_marker_hops_to_no_thread(rf: Any) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        assert request.impersonation is request.impersonator is None
        return HttpResponse(status=204)

    ours = ImpersonationMiddleware(view)
    assert iscoroutinefunction(ours)
    assert iscoroutinefunction(ours.process_view)
    assert not iscoroutinefunction(ImpersonationMiddleware(lambda request: HttpResponse()).process_view)
    request = AsyncRequestFactory().get("/")
    request.session, request.user = None, None  # whoever looks into the session fails here
    hop = mock.Mock(side_effect=AssertionError("a thread"))
    with mock.patch.object(middleware, "sync_to_async", hop):
        assert async_to_sync(ours)(request).status_code == 204
        assert async_to_sync(ours.process_view)(request, view, (), {}) is None


def test_nobody_is_mixed_up(people: Any) -> None:
    """80 requests at once: two impersonators, an ordinary user and nobody, in one event loop."""
    sasha, admin, dave = Browser(people.sasha), Browser(people.admin), Browser(people.dave)
    first = sasha.start(people.bob, organization=people.acme)
    second = admin.start(people.carol, reason="Ticket 4712")
    actors = [
        (sasha.cookies, "bob@example.com", first.pk, ["sasha@example.com", "Ticket 4711"]),
        (admin.cookies, "carol@example.com", second.pk, ["admin@example.com", "Ticket 4712"]),
        (dave.cookies, "dave@example.com", None, None),
        (SimpleCookie(), "AnonymousUser", None, None),
    ]

    async def one(number: int) -> None:
        cookies, user, session, impersonator = actors[number % len(actors)]
        url = ("/slow/", "/awho/", "/whoami/", "/asensitive/")[number // len(actors) % 4]
        response = await AsyncBrowser(cookies).client.get(url)
        if url == "/asensitive/":
            assert response.status_code == (403 if session else 200)
            return
        seen = response.json()
        assert seen.pop("auser", user) == user
        assert seen == {"user": user, "impersonation": session, "impersonator": impersonator, "current": session}

    async def all_at_once() -> None:
        # All run to their end, also when one fails: a cancelled request would leave its thread behind.
        failures = await asyncio.gather(*map(one, range(80)), return_exceptions=True)
        assert not [failure for failure in failures if failure is not None]

    async_to_sync(all_at_once)()
    assert set(ImpersonationSession.objects.live()) == {first, second}


def test_the_guard_on_a_method_says_so(rf: Any) -> None:
    with pytest.raises(TypeError, match="method_decorator"):
        Misused.as_view()(rf.get("/"))
    with pytest.raises(TypeError, match="method_decorator"):
        async_to_sync(Misused().aget)(rf.get("/"))
