"""What the tests about sessions and identity share: ways to ask, jars of cookies, and what went on record."""

from __future__ import annotations

from html import unescape
from importlib import import_module
from re import findall
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.test import AsyncClient

from django_impersonation import sessions
from django_impersonation.models import Event, ImpersonationSession
from tests.people import Browser
from tests.urls import whoami

ENDED, STOP, LOGIN = "/impersonation/ended/", "/impersonation/stop/", "/admin/login/"
NOBODY = "AnonymousUser"
JSON = {"Accept": "application/json"}
SERVER_ENGINES = ("db", "cached_db", "cache", "file")


def store(key: str | None = None) -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore(key)


def twin(browser: Browser) -> Browser:
    """Another tab: the same jar of cookies."""
    other = Browser()
    other.cookies = browser.cookies
    return other


def thief(browser: Browser, *names: str) -> Browser:
    """Another browser, with copies of these cookies."""
    other = Browser()
    for name in names:
        other.cookies[name] = browser.cookies[name].value
    return other


def forget_dead_cookies(browser: Browser) -> None:
    """As real browsers do; Django's client goes on sending them, with an empty value."""
    for name in [name for name, morsel in browser.cookies.items() if morsel["max-age"] == 0]:
        del browser.cookies[name]


def is_deleted(response: Any, name: str) -> bool:
    return name in response.cookies and response.cookies[name]["max-age"] == 0


def asynchronously(browser: Browser, method: str, path: str, data: Any = None, **kwargs: Any) -> Any:
    """A request through the ASGI handler, with this browser's cookies."""
    client = AsyncClient()
    client.cookies = browser.cookies
    return async_to_sync(getattr(client, method))(path, data, **kwargs)


def post(browser: Browser, path: str, data: Any = None) -> Any:
    """Views whose names begin so are async."""
    return asynchronously(browser, "post", path, data) if path.startswith("/a") else browser.post(path, data)


def rewrite(changed: Browser, /, **changes: Any) -> None:
    """Change what the browser's session holds, behind everybody's back."""
    session = changed.session
    session.update(changes)
    session.save()
    changed.cookies["sessionid"] = session.session_key


def token_in(response: Any) -> str:
    """The CSRF token of a page's first form."""
    return unescape(findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', response.content.decode())[0])


def ends(session: ImpersonationSession) -> list[str]:
    """The reasons of the end events of this session, oldest first."""
    names = [Event.Name.SESSION_REVOKED, Event.Name.EXPIRED]
    found = Event.objects.filter(session=session.pk, name__in=names).order_by("position")
    for event in found:
        assert (event.name == Event.Name.EXPIRED) == (event.code == "expired")
    return [event.code for event in found]


def reason(session: ImpersonationSession) -> str:
    session.refresh_from_db()
    return session.end_reason


def assert_refused(browser: Browser) -> None:
    """The browser's impersonation is over: no request of any kind reaches a view."""
    before = whoami.runs
    page = browser.get("/whoami/")
    assert (page.status_code, page["Location"]) == (303, ENDED)
    assert browser.get("/whoami/", headers=JSON).status_code == 401
    assert browser.post("/whoami/").status_code == 409
    assert browser.post("/whoami/", headers=JSON).status_code == 409
    assert asynchronously(browser, "get", "/awhoami/").status_code == 303
    assert asynchronously(browser, "post", "/awhoami/").status_code == 409
    assert whoami.runs == before


def assert_nobody(browser: Browser) -> None:
    """Views run, for nobody."""
    assert browser.who() == {"user": NOBODY, "impersonation": None, "impersonator": None, "current": None}


def return_key(browser: Browser) -> str:
    return str(browser.cookies[sessions.RETURN_KEY].value)


class OwnUsers(ModelBackend):
    """A project's backend with a ``get_user`` of its own."""

    asked: list[Any] = []
    answer: Any = "the user"

    def get_user(self, user_id: Any) -> Any:
        self.asked.append(str(user_id))
        return super().get_user(user_id) if self.answer == "the user" else self.answer


class OwnPermissions(ModelBackend):
    """A project's backend with a ``has_perm`` of its own."""

    holders: set[str] = set()

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return str(user_obj) in self.holders


class BarePermissions:
    """The same, built on nothing of Django's."""

    def get_user(self, user_id: Any) -> Any:
        return get_user_model().objects.filter(pk=user_id).first()

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return str(user_obj) in OwnPermissions.holders
