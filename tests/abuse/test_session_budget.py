"""What a request costs: nothing more for everybody else, and for an impersonation what a signed-in request costs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils.functional import SimpleLazyObject

from django_impersonation import sessions, validity
from django_impersonation.models import ImpersonationSession
from example_project.shop.models import User
from tests.abuse.session_support import (
    ENDED,
    asynchronously,
    ends,
    forget_dead_cookies,
    is_deleted,
    rewrite,
    store,
    twin,
)
from tests.people import Browser
from tests.urls import whoami

pytestmark = pytest.mark.urls("tests.abuse.session_urls")

OURS = "django_impersonation.middleware.ImpersonationMiddleware"
SYNC_ONLY = "example_project.shop.middleware.ContentSecurityPolicyMiddleware"
# An ordinary signed-in request: its user, and its session where that is in the database.
COSTS = {"db": 2, "cached_db": 1, "cache": 1, "file": 1, "signed_cookies": 1}
WAYS = {"sync": ("/plain/", Browser.get), "async": ("/aplain/", lambda b, path: asynchronously(b, "get", path))}


def without_ours(settings: Any) -> None:
    """From here on, for new clients: each loads its middleware once."""
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if path != OURS]


def measure(way: str, browser: Browser, path: str = "") -> tuple[int, Any]:
    usual, ask = WAYS[way]
    with CaptureQueriesContext(connection) as queries:
        response = ask(browser, path or usual)
    assert response.status_code == 200
    return len(queries), response


# ABUSE 43
@pytest.mark.parametrize("way", WAYS)
def test_ordinary_request_costs_what_it_did(way: str, engine: str, people: Any, settings: Any) -> None:
    carol = Browser(people.carol)
    count, response = measure(way, carol)
    without_ours(settings)
    before, untouched = measure(way, twin(carol))
    assert (count, response.headers) == (before, untouched.headers)
    assert count == COSTS[engine]
    assert response.json() == {"user": "carol@example.com"}


# ABUSE 43
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("recorded", [False, True], ids=["without activity", "with activity"])
def test_impersonated_request_costs_what_an_ordinary_one_does(
    recorded: bool, way: str, engine: str, sasha: Browser, people: Any, settings: Any
) -> None:
    """And one insert and one update for its activity."""
    settings.IMPERSONATION_RECORD_ACTIVITY = recorded
    cost = COSTS[engine] + (2 if recorded else 0)
    sasha.start(people.bob, organization=people.acme)
    for _ in range(2):
        count, response = measure(way, sasha)
        assert response.json() == {"user": "bob@example.com"}
        assert count == cost
    assert measure(way, sasha, "/static-page/")[0] == cost


# ABUSE 43
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("who", ["anonymous", "carol", "sasha before", "sasha after"])
def test_page_without_session_stays_without(
    who: str, way: str, engine: str, sasha: Browser, people: Any, settings: Any
) -> None:
    browser = {"anonymous": Browser(), "carol": Browser(people.carol)}.get(who, sasha)
    if who == "sasha after":
        sasha.start(people.dave)
        sasha.stop()
        forget_dead_cookies(sasha)
    count, response = measure(way, browser, "/static-page/")
    assert count == 0
    request = response.wsgi_request if way == "sync" else response.asgi_request
    assert not request.session.accessed
    assert "Cookie" not in response["Vary"]
    assert "Cache-Control" not in response
    assert not response.cookies
    without_ours(settings)
    assert measure(way, twin(browser), "/static-page/")[1].headers == response.headers


# ABUSE 43
def test_attributes_are_set_on_every_request(engine: str, people: Any) -> None:
    assert Browser().who() == {
        "user": "AnonymousUser",
        "impersonation": None,
        "impersonator": None,
        "current": None,
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", ["", "/static-page/"])
def test_impersonated_page_is_kept_by_nobody(path: str, way: str, engine: str, sasha: Browser, people: Any) -> None:
    sasha.start(people.dave)
    response = measure(way, sasha, path)[1]
    assert set(response["Cache-Control"].split(", ")) == {"private", "no-store"}
    assert "Cookie" in response["Vary"]


# ABUSE 43
def test_refusal_after_an_end_writes_nothing(engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    session.end("revoked")
    for ask in (lambda: sasha.get("/whoami/"), lambda: sasha.post("/whoami/"), lambda: sasha.get(ENDED)):
        with CaptureQueriesContext(connection) as queries:
            ask()
        assert not [q["sql"] for q in queries if "django_impersonation" in q["sql"] and not _reads(q["sql"])]
    assert ends(session) == ["revoked"]


def _reads(sql: str) -> bool:
    return sql.startswith(("SELECT", "SAVEPOINT", "RELEASE"))


@pytest.fixture
def hops(monkeypatch: Any, settings: Any) -> Counter[str]:
    """The functions that are sent to a thread, by their full names."""
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if path != SYNC_ONLY]
    found: Counter[str] = Counter()
    call = SyncToAsync.__call__

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        function = getattr(self.func, "func", self.func)
        found[f"{function.__module__}.{function.__qualname__}"] += 1
        return await call(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", counted)
    return found


# ABUSE 43
@pytest.mark.parametrize("path", ["/aplain/", "/static-page/"])
def test_request_without_marker_takes_no_thread_of_ours(
    path: str, engine: str, people: Any, settings: Any, hops: Counter[str]
) -> None:
    carol = Browser(people.carol)
    asynchronously(carol, "get", path)
    seen = dict(hops)
    hops.clear()
    without_ours(settings)
    asynchronously(carol, "get", path)
    assert seen == dict(hops) != {}


# ABUSE 43
def test_impersonated_request_takes_three_threads_of_ours(
    engine: str, sasha: Browser, people: Any, hops: Counter[str]
) -> None:
    asynchronously(Browser(people.carol), "get", "/aplain/")
    ordinary = hops.total()
    sasha.start(people.dave)
    hops.clear()
    assert asynchronously(sasha, "get", "/aplain/").json() == {"user": "dave@example.com"}
    ours = {name: count for name, count in hops.items() if not name.startswith("django.")}
    assert ours == {
        "django_impersonation.resolution._resolve": 1,
        "django_impersonation.conduct.enter": 1,
        "django_impersonation.conduct.leave": 1,
        "django_impersonation.context._within": 1,  # in the place of Django's own, which closes the response
    }
    assert 0 < hops.total() <= ordinary + 2


class LazyUser:
    """A project's middleware whose user loads something more when it is first looked at."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: Any) -> None:
        from asgiref.sync import markcoroutinefunction

        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: Any) -> Any:
        pk = request.user.pk
        request.user = SimpleLazyObject(lambda: User.objects.filter(pk=pk).first() or AnonymousUser())
        return await self.get_response(request)


# ABUSE 14
def test_lazy_user_of_another_middleware_is_not_loaded_in_the_event_loop(
    engine: str, sasha: Browser, people: Any, settings: Any
) -> None:
    sasha.start(people.dave)
    lazy = f"{__name__}.LazyUser"
    settings.MIDDLEWARE = [path for path in settings.MIDDLEWARE if path != SYNC_ONLY]
    settings.MIDDLEWARE.insert(settings.MIDDLEWARE.index(OURS) + 1, lazy)
    assert asynchronously(sasha, "get", "/quiet/").json() == {"quiet": True}
    assert asynchronously(sasha, "get", "/admin/").status_code == 403


def break_examine(monkeypatch: Any) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(validity, "examine", fail)


def break_store(monkeypatch: Any) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(type(store()), "load", fail)
    monkeypatch.setattr(type(store()), "aload", fail)


# ABUSE 45, ABUSE 203
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("broken", [break_examine, break_store])
def test_database_error_is_no_end(
    broken: Any, way: str, engine: str, sasha: Browser, people: Any, monkeypatch: Any
) -> None:
    session = sasha.start(people.dave)
    before = {name: morsel.value for name, morsel in sasha.cookies.items()}
    ask, runs = WAYS[way][1], whoami.runs
    with monkeypatch.context() as patch:
        broken(patch)
        response = ask(sasha, "/whoami/")
        assert response.status_code == 503
        assert "no-store" in response["Cache-Control"]
        assert response["Retry-After"] == "5"
        assert sasha.post("/whoami/").status_code == 503
    assert whoami.runs == runs
    assert {name: morsel.value for name, morsel in sasha.cookies.items()} == before
    assert sasha.who()["impersonation"] == session.pk
    assert ends(session) == []
    sasha.stop()
    assert sasha.who()["user"] == "sasha@example.com"


# ABUSE 45, ABUSE 203
@pytest.mark.parametrize("way", WAYS)
def test_end_that_cannot_be_recorded_is_recorded_later(
    way: str, engine: str, sasha: Browser, people: Any, monkeypatch: Any
) -> None:
    session = sasha.start(people.dave)
    people.sasha.user_permissions.clear()

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("read only")

    runs = whoami.runs
    with monkeypatch.context() as patch:
        patch.setattr(ImpersonationSession, "end", fail)
        assert WAYS[way][1](sasha, "/whoami/").status_code == 503
    assert WAYS[way][1](sasha, "/whoami/").status_code == 303
    assert whoami.runs == runs
    assert ends(session) == ["impersonator_changed"]


# ABUSE 45
def test_broken_session_store_makes_nobody(engine: str, people: Any, monkeypatch: Any) -> None:
    sasha = Browser(people.sasha, raise_request_exception=False)
    session, runs = sasha.start(people.dave), whoami.runs

    def fail(*args: Any) -> None:
        raise ConnectionError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(type(store()), "load", fail)
        response = sasha.get("/whoami/")
    assert response.status_code == 500
    assert not is_deleted(response, sessions.MARKER)
    assert whoami.runs == runs
    rewrite(sasha)
    assert sasha.who()["impersonation"] == session.pk
