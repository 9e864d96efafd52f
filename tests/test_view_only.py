"""A view-only session changes nothing: not by its methods, and not by what a view's code does below HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient
from django.urls import path
from organizations.models import Organization

from django_impersonation.exceptions import ImpersonationDenied, WriteRefused
from django_impersonation.guards import allow_in_view_only
from django_impersonation.models import Activity, Event
from example_project.shop.models import User
from tests.people import Browser
from tests.urls import urlpatterns as pages


def save() -> None:
    user = User.objects.get(email="bob@example.com")
    user.name = "Changed"
    user.save()


def update() -> None:
    User.objects.update(name="Changed")


def bulk() -> None:
    Organization.objects.bulk_create([Organization(name="Changed", slug="changed")])


def delete() -> None:
    Organization.objects.filter(name="Globex").delete()


def raw() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_user SET name = 'Changed'")


def hidden() -> None:
    """A comment first, an odd case, and a harmless statement before it."""
    with connection.cursor() as cursor:
        cursor.execute("/* SELECT */ uPdAtE shop_user SET name = 'Changed'")


def many() -> None:
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE shop_user SET name = %s", [("Changed",)])


def in_a_transaction() -> None:
    with transaction.atomic():
        update()


def in_a_common_table() -> None:
    gone = "WITH gone AS (UPDATE shop_user SET name = 'Changed' RETURNING 1) SELECT * FROM gone"
    with connection.cursor() as cursor:
        cursor.execute(gone if connection.vendor == "postgresql" else "UPDATE shop_user SET name = 'Changed'")


def drivers_own() -> None:
    """The driver's cursor, of which Django knows nothing."""
    cursor = connection.connection.cursor()
    cursor.execute("UPDATE shop_user SET name = 'Changed'")
    cursor.close()


def in_a_thread() -> None:
    async_to_sync(asyncio.to_thread)(closing(update))


def closing(step: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            step()
        finally:
            connections.close_all()

    return run


WAYS = [save, update, bulk, delete, raw, hidden, many, in_a_transaction, in_a_common_table, drivers_own, in_a_thread]


def page(step: Callable[[], None]) -> Callable[[HttpRequest], HttpResponse]:
    @allow_in_view_only
    def view(request: HttpRequest) -> HttpResponse:
        step()
        return HttpResponse("done")

    return view


def apage(step: Callable[[], None]) -> Callable[[HttpRequest], Any]:
    @allow_in_view_only
    async def view(request: HttpRequest) -> HttpResponse:
        await sync_to_async(step)()
        return HttpResponse("done")

    return view


def swallow(request: HttpRequest) -> HttpResponse:
    try:
        update()
    except ImpersonationDenied:
        return HttpResponse("swallowed")
    return HttpResponse("done")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def body() -> Any:
        yield b"begun "
        update()
        yield b"done"

    return StreamingHttpResponse(body())


def read(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"users": User.objects.count(), "method": request.method})


urlpatterns = [
    *(path(f"{step.__name__}/", page(step)) for step in WAYS),
    *(path(f"a{step.__name__}/", apage(step)) for step in WAYS if step is not in_a_thread),
    path("swallow/", swallow),
    path("stream/", stream),
    path("read/", read, name="read"),
    path("search/", allow_in_view_only(read), name="search"),
    *pages,
]
pytestmark = pytest.mark.urls(__name__)


def state() -> Any:
    return sorted(User.objects.values_list("email", "name")), sorted(Organization.objects.values_list("name"))


def begin(people: Any) -> Browser:
    sasha = Browser(people.sasha, raise_request_exception=False)
    session = sasha.start(people.dave, access="view_only")
    assert session.view_only
    return sasha


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", WAYS, ids=lambda step: step.__name__)
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
def test_nothing_is_written(people: Any, step: Any, method: str, atomic: bool, monkeypatch: Any) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
    sasha, before = begin(people), state()
    response = getattr(sasha, method)(f"/{step.__name__}/")
    assert state() == before
    assert response.status_code == 403, response.content
    assert "view only" in response.content.decode()
    assert Event.objects.get(name="impersonation.denied").code == "view_only"
    assert Activity.objects.latest("pk").status == 403
    assert sasha.get("/read/").json()["users"] == 7
    step()  # the same code, after the request
    assert state() != before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", [save, raw, drivers_own], ids=lambda step: step.__name__)
def test_nothing_is_written_by_an_async_view(people: Any, step: Any) -> None:
    sasha, before = begin(people), state()
    client = AsyncClient(raise_request_exception=False)
    client.cookies = sasha.cookies
    response = async_to_sync(client.get)(f"/a{step.__name__}/")
    assert response.status_code == 403, response.content
    assert state() == before
    step()
    assert state() != before


@pytest.mark.django_db(transaction=True)
def test_what_a_view_swallows_is_refused_and_on_record(people: Any) -> None:
    sasha, before = begin(people), state()
    response = sasha.get("/swallow/")
    assert response.content == b"swallowed"
    assert state() == before
    assert Event.objects.get(name="impersonation.denied").code == "view_only"


@pytest.mark.django_db(transaction=True)
def test_nothing_is_written_while_a_body_is_streamed(people: Any) -> None:
    sasha, before = begin(people), state()
    response = sasha.get("/stream/")
    with pytest.raises(WriteRefused):
        list(response)
    assert state() == before
    assert Event.objects.get(name="impersonation.denied").code == "view_only"
