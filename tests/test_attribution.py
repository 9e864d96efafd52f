"""Both names, without code: in whatever runs for an impersonated request, and nowhere else."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from io import StringIO
from logging.config import DictConfigurator
from threading import Thread
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth import get_user_model, login, logout
from django.contrib.auth.models import Group
from django.core.asgi import get_asgi_application
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, InterfaceError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template import engines
from django.template.response import SimpleTemplateResponse
from django.test import AsyncRequestFactory, Client
from django.urls import path
from django.utils.functional import SimpleLazyObject
from organizations.models import Organization
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.response import Response

from django_impersonation.api.authentication import ImpersonationAuthentication
from django_impersonation.attribution import attributed_to, current_impersonation, labels
from django_impersonation.context import acting, running
from django_impersonation.logs import ImpersonationFilter
from django_impersonation.middleware import ImpersonationMiddleware
from django_impersonation.models import Activity, ImpersonationSession
from tests.abuse.session_support import asynchronously, twin
from tests.api.client import CALLBACK, ApiClient, bearer, session_of
from tests.people import Browser, grant
from tests.require import lacking
from tests.test_async import AsyncBrowser
from tests.test_readme import README
from tests.urls import urlpatterns as pages

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.test_attribution")]
STOCK = "django.contrib.auth.backends.ModelBackend"
logger = logging.getLogger("tests.attribution")


def who() -> str | None:
    """The id of the session that the running code acts under."""
    session = current_impersonation()
    return session and session.pk


def answer(seen: Any) -> JsonResponse:
    return JsonResponse({"seen": seen})


# -- views: each answers with what it has seen -------------------------------------------------------------------


def plain(request: HttpRequest) -> HttpResponse:
    logger.warning("a view")
    return answer(who())


def in_a_template(request: HttpRequest) -> HttpResponse:
    """Rendered by Django after the view has returned."""
    template = engines["django"].from_string('{"seen": "{{ who }}"}')
    return SimpleTemplateResponse(template, {"who": who}, content_type="application/json")


def in_a_thread(request: HttpRequest) -> HttpResponse:
    seen: list[str | None] = []
    thread = Thread(target=lambda: seen.append(who()))
    thread.start()
    thread.join()
    return answer(seen[0])


def after_login(request: HttpRequest) -> HttpResponse:
    login(request, get_user_model().objects.get(email="carol@example.com"), backend=STOCK)
    return answer(who())


def after_logout(request: HttpRequest) -> HttpResponse:
    logout(request)
    return answer(who())


def after_replacing(request: HttpRequest) -> HttpResponse:
    """As classes of Django REST framework do it, and middleware for tokens of others."""
    request.user = get_user_model().objects.get(email="carol@example.com")
    return answer(who())


def nested(request: HttpRequest) -> HttpResponse:
    """A request to this site within a request: of nobody, and of another impersonator."""
    inner = Client().get("/plain/").json()["seen"], nested.other.get("/plain/").json()["seen"]
    return answer([*inner, who()])


def fails(request: HttpRequest) -> HttpResponse:
    logger.warning("before it raises")
    raise ValueError("a view that raises")


def missing(request: HttpRequest) -> HttpResponse:
    raise Http404


def write_entries(request: HttpRequest) -> HttpResponse:
    """As an admin of one's own may do it: words of one's own, one row and several."""
    write = LogEntry.objects.log_actions
    write(request.user.pk, Organization.objects.filter(name="Acme"), CHANGE, "Renamed.", single_object=True)
    write(request.user.pk, Organization.objects.order_by("name"), CHANGE, [{"changed": {"fields": ["Slug", "Name"]}}])
    first = LogEntry.objects.earliest("pk")
    first.action_time = first.action_time
    first.save()
    return HttpResponse()


def eager(request: HttpRequest) -> HttpResponse:
    """A task that runs at once, in the request that has sent it."""
    with attributed_to(labels().get("impersonation_id")):
        seen = who()
        if "promote" in request.GET:
            get_user_model().objects.filter(email="bob@example.com").update(is_staff=True)
    return answer([seen, who()])


class Body:
    """What a streamed body has seen, also when it was closed early."""

    closed: list[str | None] = []
    over = asyncio.Event()


def stream() -> Iterator[str]:
    try:
        for _ in range(3):
            yield f"{who()}\n"
    finally:
        Body.closed.append(who())
        Organization.objects.filter(name="Globex").update(name="Changed")


async def astream() -> AsyncIterator[str]:
    try:
        for _ in range(3):
            yield f"{await sync_to_async(who)()}\n"
    finally:
        Body.closed.append(who())
        Body.over.set()


def streamed(request: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(stream())


async def astreamed(request: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(astream())


async def aplain(request: HttpRequest) -> HttpResponse:
    logger.warning("an async view")
    return answer(who())


async def in_sync_to_async(request: HttpRequest) -> HttpResponse:
    return answer(await sync_to_async(who)())


async def in_a_thread_of_its_own(request: HttpRequest) -> HttpResponse:
    return answer(await sync_to_async(who, thread_sensitive=False)())


async def in_to_thread(request: HttpRequest) -> HttpResponse:
    return answer(await asyncio.to_thread(who))


async def in_a_task(request: HttpRequest) -> HttpResponse:
    async def later() -> str | None:
        await asyncio.sleep(0)
        return who()

    return answer(await asyncio.create_task(later()))


async def afails(request: HttpRequest) -> HttpResponse:
    raise ValueError("a view that raises")


@api_view()
@authentication_classes([ImpersonationAuthentication])
def by_token(request: Any) -> Response:
    return Response({"seen": who()})


class Loading:
    """What another middleware may do to ``request.user``: load it by the database, whenever it is asked for."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        user = request.user
        if request.path.startswith("/lazy/"):
            request.user = SimpleLazyObject(lambda: get_user_model().objects.get(pk=user.pk))
        return self.get_response(request)


SYNC = (plain, in_a_template)
ASYNC = (aplain, in_sync_to_async, in_a_thread_of_its_own, in_to_thread, in_a_task)
ENDS = (after_login, after_logout, after_replacing)
OTHERS = (in_a_thread, *ENDS, nested, fails, missing, streamed, astreamed, afails, eager)
urlpatterns = [
    *(path(f"{view.__name__}/", view) for view in (*SYNC, *ASYNC, *OTHERS)),
    path("by-token/", by_token),
    path("lazy/", plain),
    path("write-entries/", write_entries),
    *pages,
]


class Heard(logging.Handler):
    """Keeps what a formatter would be given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.addFilter(ImpersonationFilter())

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def said(self) -> list[tuple[str, str, str]]:
        return [(one.name, one.impersonator, one.impersonation_id) for one in self.records]


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler = Heard()
    names = ("tests.attribution", "django.request", "django.db.backends")
    for name in names:
        logging.getLogger(name).addHandler(handler)
    yield handler
    for name in names:
        logging.getLogger(name).removeHandler(handler)


@pytest.fixture
def session(people: Any, sasha: Browser) -> ImpersonationSession:
    """Sasha as Bob, in the browser ``sasha``."""
    return sasha.start(people.bob, organization=people.acme)


# -- where it is known -------------------------------------------------------------------------------------------


def test_the_code_of_a_request_knows(session: ImpersonationSession, sasha: Browser) -> None:
    for view in (*SYNC, *ASYNC):
        assert sasha.get(f"/{view.__name__}/").json() == {"seen": session.pk}, view
        assert asynchronously(sasha, "get", f"/{view.__name__}/").json() == {"seen": session.pk}, view
        assert who() is None, view


def test_by_token(people: Any, sasha: Browser, settings: Any) -> None:
    settings.IMPERSONATION_REDIRECT_URIS = [CALLBACK]
    settings.IMPERSONATION_CALLBACK_URL = CALLBACK
    told = ApiClient().start(sasha, people.dave)
    headers = bearer(told["access_token"])
    for page in ("/by-token/", "/plain/", "/aplain/"):
        assert Client().get(page, headers=headers).json() == {"seen": session_of(told).pk}
    assert Client().get("/by-token/").json() == {"seen": None}


def test_a_body_that_is_streamed_knows(session: ImpersonationSession, sasha: Browser) -> None:
    Body.closed.clear()
    assert list(sasha.get("/streamed/")) == [f"{session.pk}\n".encode()] * 3
    assert who() is None

    async def read() -> list[bytes]:
        return [chunk async for chunk in await AsyncBrowser(sasha.cookies).client.get("/astreamed/")]

    assert async_to_sync(read)() == [f"{session.pk}\n".encode()] * 3
    assert Body.closed == [session.pk] * 2


def first_chunk(response: Any) -> bytes:
    """Reads no more than that, and closes the response as Django's client does: without the test's connection."""
    chunk: bytes = next(iter(response))
    response._iterator.close()
    return chunk


def test_a_body_that_is_closed_early_knows(session: ImpersonationSession, sasha: Browser) -> None:
    Body.closed.clear()
    assert first_chunk(sasha.get("/streamed/")) == f"{session.pk}\n".encode()
    assert Body.closed == [session.pk]
    assert Organization.objects.filter(name="Changed").exists()
    assert who() is None


@pytest.mark.django_db(transaction=True)
def test_a_view_only_body_that_is_closed_early_writes_nothing(people: Any, sasha: Browser) -> None:
    session = sasha.start(people.bob, organization=people.acme, access="view_only")
    Body.closed.clear()
    assert first_chunk(sasha.get("/streamed/")) == f"{session.pk}\n".encode()
    assert Body.closed == [session.pk]
    assert not Organization.objects.filter(name="Changed").exists()


@pytest.mark.django_db(transaction=True)
def test_a_client_that_leaves_while_an_async_body_is_streamed(session: ImpersonationSession, sasha: Browser) -> None:
    """As servers do it: the client reads one chunk and is gone."""
    Body.closed.clear()
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in sasha.cookies.items() if morsel.value)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/astreamed/",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"cookie", cookies.encode())],
    }

    async def leave() -> None:
        chunks: list[bytes] = []
        sent, gone, Body.over = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not sent.is_set():
                sent.set()
                return {"type": "http.request", "body": b""}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body":
                chunks.append(message["body"])
                gone.set()
                await asyncio.Event().wait()  # nobody takes it any more

        async with asyncio.timeout(15):
            await get_asgi_application()(scope, receive, send)
            await Body.over.wait()
        assert chunks == [f"{session.pk}\n".encode()]

    async_to_sync(leave)()
    assert Body.closed == [session.pk]


# -- where it is not ---------------------------------------------------------------------------------------------


def test_nobody_else_is_named(people: Any, session: ImpersonationSession, sasha: Browser) -> None:
    carol = Browser(people.carol)
    for view in (*SYNC, *ASYNC):
        sasha.get("/plain/")  # on the same thread, a moment ago
        assert carol.get(f"/{view.__name__}/").json()["seen"] in (None, "None"), view
        assert asynchronously(carol, "get", f"/{view.__name__}/").json()["seen"] in (None, "None"), view
    assert who() is None
    assert labels() == {}


@pytest.mark.parametrize("view", [*ENDS, in_a_thread])
def test_not_any_more(session: ImpersonationSession, sasha: Browser, view: Any) -> None:
    assert sasha.get(f"/{view.__name__}/").json() == {"seen": None}


def test_a_request_within_a_request_gives_the_outer_one_back(
    people: Any, session: ImpersonationSession, sasha: Browser
) -> None:
    nested.other = Browser(people.admin)  # type: ignore[attr-defined]
    other = nested.other.start(people.carol)  # type: ignore[attr-defined]
    assert sasha.get("/nested/").json() == {"seen": [None, other.pk, session.pk]}


@pytest.mark.parametrize("view", [fails, afails])
def test_a_view_that_raises_leaves_nothing_behind(
    session: ImpersonationSession, sasha: Browser, heard: Heard, view: Any
) -> None:
    sasha.raise_request_exception = False
    assert sasha.get(f"/{view.__name__}/").status_code == 500
    assert who() is None
    error = next(said for said in heard.said() if said[0] == "django.request")
    assert error == ("django.request", "sasha@example.com", session.pk)
    assert Activity.objects.latest("pk").status == 500


def test_a_cancelled_request_leaves_nothing_behind() -> None:
    async def cancelled() -> Any:
        begun = asyncio.Event()

        async def view(request: HttpRequest) -> HttpResponse:
            assert running() is request
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        request = AsyncRequestFactory().get("/")
        request.session = request.user = None
        shared = contextvars.copy_context()
        task = asyncio.create_task(ImpersonationMiddleware(view)(request), context=shared)
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return shared.run(running)

    assert async_to_sync(cancelled)() is None


# -- logs --------------------------------------------------------------------------------------------------------


def test_log_records(people: Any, session: ImpersonationSession, sasha: Browser, heard: Heard) -> None:
    logger.warning("before")
    sasha.get("/plain/")
    sasha.get("/aplain/")
    Browser(people.carol).get("/plain/")
    logger.warning("after")
    both, nobody = ("sasha@example.com", session.pk), ("", "")
    said = [(by, id_) for name, by, id_ in heard.said() if name == logger.name]
    assert said == [nobody, both, both, nobody, nobody]


def test_the_readmes_example_writes_both_as_json(session: ImpersonationSession, sasha: Browser) -> None:
    if find_spec("pythonjsonlogger") is None:
        lacking("python-json-logger is not installed")
    section = README.split("### … have both names in logs")[1]
    given: dict[str, Any] = {}
    exec(section.split("```python\n")[2].split("```")[0], given)
    configurator = DictConfigurator(given["LOGGING"])
    (handler,) = given["LOGGING"]["handlers"].values()
    written = StringIO()
    stream = logging.StreamHandler(written)
    stream.setFormatter(configurator.configure_formatter(given["LOGGING"]["formatters"][handler["formatter"]]))
    for name in handler["filters"]:
        stream.addFilter(configurator.configure_filter(given["LOGGING"]["filters"][name]))
    logger.addHandler(stream)
    try:
        sasha.get("/plain/")
        logger.warning('a "quoted" word')
    finally:
        logger.removeHandler(stream)
    both = {"labels.impersonator": "sasha@example.com", "labels.impersonation_id": session.pk}
    neither = {"labels.impersonator": "", "labels.impersonation_id": ""}
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert lines == [{"message": "a view", **both}, {"message": 'a "quoted" word', **neither}]


def test_what_django_says_of_a_request_that_is_over(
    people: Any, session: ImpersonationSession, sasha: Browser, heard: Heard
) -> None:
    for browser, by in ((sasha, ("sasha@example.com", session.pk)), (Browser(people.carol), ("", ""))):
        assert browser.get("/missing/").status_code == 404
        assert [said[1:] for said in heard.said() if said[0] == "django.request"][-1] == by


def test_a_user_who_is_being_loaded_is_not_asked_for_again(
    session: ImpersonationSession, sasha: Browser, heard: Heard, settings: Any
) -> None:
    """The statement that loads the user is logged, and so asks who is acting; so does the guard of every statement."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.test_attribution.Loading"]
    connection.force_debug_cursor = True
    level, sql = logging.DEBUG, logging.getLogger("django.db.backends")
    before, _ = sql.level, sql.setLevel(level)
    try:
        assert twin(sasha).get("/lazy/").json() == {"seen": session.pk}
    finally:
        sql.setLevel(before)
        connection.force_debug_cursor = False
    assert ("django.db.backends", "sasha@example.com", session.pk) in heard.said()


def test_a_user_who_cannot_be_loaded_has_not_taken_over(session: ImpersonationSession) -> None:
    """A record of the log is written all the same: in an async view, and when the database is gone."""
    for error in (SynchronousOnlyOperation, DatabaseError, InterfaceError):
        user = SimpleLazyObject(mock.Mock(side_effect=error))
        with acting(SimpleNamespace(impersonation=session, user=user)):
            assert who() == session.pk, error


# -- tasks -------------------------------------------------------------------------------------------------------


def test_a_worker_names_the_session_of_the_headers(people: Any, session: ImpersonationSession) -> None:
    session.end("stopped")
    with attributed_to(session.pk):
        assert labels() == {"impersonator": "sasha@example.com", "impersonation_id": session.pk}
        with attributed_to(None):
            assert who() == session.pk
    assert who() is None
    for unknown in (None, "", "session_unknown"):
        with attributed_to(unknown):
            assert who() is None
    with pytest.raises(ValueError, match="task"), attributed_to(session.pk):
        raise ValueError("a task")
    assert who() is None


@pytest.mark.django_db(transaction=True)
def test_a_task_within_a_request_stays_within_it(people: Any, session: ImpersonationSession, sasha: Browser) -> None:
    """It names the same session, clears nothing, and writes no more than the view may."""
    assert sasha.get("/eager/").json() == {"seen": [session.pk, session.pk]}
    assert Browser(people.carol).get("/eager/").json() == {"seen": [None, None]}
    assert sasha.get("/eager/?promote").status_code == 403
    people.bob.refresh_from_db()
    assert not people.bob.is_staff


# -- the admin's log ---------------------------------------------------------------------------------------------


@pytest.fixture
def ada(people: Any, settings: Any) -> tuple[Browser, str]:
    """The superuser as Noor, who may change groups, in an admin that is not blocked; and the signature."""
    settings.IMPERSONATION_BLOCKED_VIEWS = ["-admin"]
    grant(people.noor, *(f"{what}_group" for what in ("view", "add", "change", "delete")))
    browser = Browser(people.admin)
    session = browser.start(people.noor)
    return browser, f"Impersonated by admin@example.com ({session.pk})."


def logged() -> list[str]:
    """But for what we write ourselves when an impersonation is requested."""
    entries = LogEntry.objects.exclude(content_type__model="user").order_by("pk")
    return [entry.get_change_message() for entry in entries]


def test_entries_of_the_admin_name_both(ada: Any) -> None:
    """One by one in the form, with the structured messages of Django; and several at once by the action."""
    browser, signature = ada
    groups = "/admin/auth/group/"
    for name in ("Cooks", "Waiters"):
        assert browser.post(f"{groups}add/", {"name": name}).status_code == 302
    cooks, waiters = Group.objects.filter(name__in=["Cooks", "Waiters"]).order_by("name")
    assert browser.post(f"{groups}{cooks.pk}/change/", {"name": "Chefs"}).status_code == 302
    delete = {"action": "delete_selected", "_selected_action": [cooks.pk, waiters.pk], "post": "yes"}
    assert browser.post(groups, delete).status_code == 302
    assert not Group.objects.filter(pk__in=[cooks.pk, waiters.pk]).exists()
    assert LogEntry.objects.filter(action_flag=DELETION, user__email="noor@example.com").count() == 2
    assert logged() == [
        f"Added. {signature}",
        f"Added. {signature}",
        f"Changed Name. {signature}",
        *[signature] * 2,  # Django has nothing to add to what is deleted
    ]


def test_entries_by_code_name_both_once(people: Any, session: ImpersonationSession, sasha: Browser) -> None:
    """What is loaded from the database, and saved again, is not signed a second time."""
    LogEntry.objects.all().delete()
    sasha.get("/write-entries/")
    signature = f"Impersonated by sasha@example.com ({session.pk})."
    assert logged() == [f"Renamed. {signature}", *[f"Changed Slug and Name. {signature}"] * 2]
    assert set(LogEntry.objects.values_list("user__email", flat=True)) == {"bob@example.com"}


def test_entries_of_others_are_as_they_were(people: Any, session: ImpersonationSession, sasha: Browser) -> None:
    LogEntry.objects.all().delete()
    sasha.get("/plain/")
    Browser(people.carol).get("/write-entries/")
    assert logged() == ["Renamed.", *["Changed Slug and Name."] * 2]
    assert json.loads(LogEntry.objects.latest("pk").change_message) == [{"changed": {"fields": ["Slug", "Name"]}}]
    LogEntry(user=people.carol, action_flag=ADDITION).save()
    assert logged()[-1] == ""
