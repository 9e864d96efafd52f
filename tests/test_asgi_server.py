"""A real ASGI server, real sockets: the story, and everybody at once in one process without a mix-up."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from threading import Thread
from typing import Any, NamedTuple

import httpx2
import pytest
import uvicorn
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path, reverse

from django_impersonation.attribution import current_impersonation
from django_impersonation.logs import ImpersonationFilter
from django_impersonation.models import Event, ImpersonationSession
from tests.abuse.session_support import token_in
from tests.api.client import CALLBACK, ApiClient, bearer, session_of
from tests.people import Browser
from tests.test_async import urlpatterns as usual

# `nox -s soak` sends ten times as many.
REQUESTS = 10_000 if os.environ.get("DJANGO_IMPERSONATION_FULL") == "1" else 1_000
AT_ONCE = 24
# For all requests, in seconds: a server that hangs fails the test.
PATIENCE = 900
NOBODY = "AnonymousUser"

pytestmark = [pytest.mark.urls("tests.test_asgi_server"), pytest.mark.django_db(transaction=True)]


def named() -> dict[str, Any]:
    """What code knows that is given no request, and what a record of the log says."""
    record = logging.makeLogRecord({})
    ImpersonationFilter().filter(record)
    session = current_impersonation()
    return {"named": session and session.pk, "logged": [record.impersonator, record.impersonation_id]}


def by_context(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": str(request.user), **named()})


async def aby_context(request: HttpRequest) -> JsonResponse:
    """Here, in a task and in two kinds of threads, while others have their turn."""
    looks = await asyncio.gather(*(look() for look in (sync_to_async(named), partial(asyncio.to_thread, named))))
    await asyncio.sleep(0)
    assert looks == [named(), named()]
    return JsonResponse({"user": str(await request.auser()), **named()})


urlpatterns = [path("by-context/", by_context), path("aby-context/", aby_context), *usual]


@pytest.fixture
def server(transactional_db: None) -> Iterator[str]:
    """The address of a uvicorn in a thread of this process, so that it uses the tests' database."""
    config = uvicorn.Config(get_asgi_application(), port=0, lifespan="off", log_config=None, access_log=False)
    socket = config.bind_socket()
    running = uvicorn.Server(config)
    thread = Thread(target=running.run, args=([socket],))
    thread.start()
    yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    running.should_exit = True
    thread.join(60)
    socket.close()
    assert not thread.is_alive()


async def submit(client: httpx2.AsyncClient, page: str, url: str = "", **fields: str) -> Any:
    """Open a page and send its first form, or the same token elsewhere."""
    opened = await client.get(page)
    assert opened.status_code == 200
    return await client.post(url or page, data={"csrfmiddlewaretoken": token_in(opened), **fields})


def test_story(server: str, people: Any) -> None:
    async def story() -> None:
        async with httpx2.AsyncClient(base_url=server, trust_env=False, timeout=60) as client:
            signed_in = await submit(client, "/admin/login/", username="sasha@example.com", password="demo")
            assert signed_in.status_code == 302
            own = client.cookies["sessionid"]

            prompt = reverse("admin:shop_user_impersonate", args=[people.bob.pk])
            begun = await submit(client, prompt, reason="Ticket 4711", organization=str(people.acme.pk))
            assert begun.status_code == 303
            landed = await client.get(begun.headers["Location"])
            assert (landed.status_code, landed.headers["Location"]) == (303, "/")
            session = client.cookies["impersonation"]
            seen = {
                "user": "bob@example.com",
                "auser": "bob@example.com",
                "impersonation": session,
                "impersonator": ["sasha@example.com", "Ticket 4711"],
                "current": session,
            }
            assert (await client.get("/awho/")).json() == seen
            assert (await client.get("/slow/")).json() == seen
            assert (await client.get("/asensitive/")).status_code == 403
            assert (await client.get("/billing/")).status_code == 403
            home = await client.get("/")
            assert "Acme" in home.text
            assert "no-store" in home.headers["Cache-Control"]

            stopped = await submit(client, "/", reverse("django_impersonation:stop"))
            assert stopped.status_code == 303
            assert "impersonation" not in client.cookies
            assert client.cookies["sessionid"] != own
            assert (await client.get(stopped.headers["Location"])).status_code == 200
            nobody_else = {"impersonation": None, "impersonator": None, "current": None}
            sasha = {"user": "sasha@example.com", "auser": "sasha@example.com"}
            assert (await client.get("/awho/")).json() == sasha | nobody_else
            assert (await client.get("/asensitive/")).status_code == 200

    asyncio.run(story())
    (session,) = ImpersonationSession.objects.all()
    assert session.end_reason == "stopped"
    assert list(Event.objects.order_by("position").values_list("name", flat=True)) == [
        "impersonation.requested",
        "session.created",
        "impersonation.denied",
        "session.revoked",
    ]


class Somebody(NamedTuple):
    """Who sends a request, by cookie or token, and as whom every view must see it."""

    name: str
    cookies: dict[str, str]
    headers: dict[str, str]
    user: str
    session: ImpersonationSession | None = None

    @property
    def impersonator(self) -> list[str] | None:
        return self.session and [self.session.impersonator_email, self.session.reason]

    def check(self, url: str, response: httpx2.Response) -> None:
        if url == "/asensitive/":
            assert response.status_code == (403 if self.session else 200)
        elif url == "/api/me/" and self.user == NOBODY:
            assert response.status_code == 401
        elif url == "/api/me/":
            by = response.json()["impersonator"]
            told = response.json()["user"]["email"], by and [by["email"], by["reason"]]
            assert told == (self.user, self.impersonator)
        elif "by-context" in url:
            pk, email = (self.session.pk, self.session.impersonator_email) if self.session else (None, "")
            assert response.json() == {"user": self.user, "named": pk, "logged": [email, pk or ""]}
        else:
            seen = response.json()
            pk = self.session and self.session.pk
            assert seen.pop("auser", self.user) == self.user
            assert seen == {
                "user": self.user,
                "impersonation": pk,
                "impersonator": self.impersonator,
                "current": pk,
            }


def jar(browser: Browser) -> dict[str, str]:
    return {name: browser.cookies[name].value for name in ("sessionid", "impersonation") if name in browser.cookies}


@pytest.fixture
def everybody(people: Any, settings: Any) -> list[Somebody]:
    """Two impersonators, whom they impersonate, ordinary users, nobody, and tokens with and without cookies."""
    sasha, admin = Browser(people.sasha), Browser(people.admin)
    as_bob = sasha.start(people.bob, organization=people.acme)
    as_carol = admin.start(people.carol, reason="Ticket 4712")
    everybody = [
        Somebody("sasha as bob", jar(sasha), {}, "bob@example.com", as_bob),
        Somebody("admin as carol", jar(admin), {}, "carol@example.com", as_carol),
        Somebody("nobody", {}, {}, NOBODY),
    ]
    for name in ("bob", "carol", "dave", "noor", "sasha"):
        cookies = jar(Browser(getattr(people, name)))
        everybody.append(Somebody(name, cookies, {}, f"{name}@example.com"))
    settings.IMPERSONATION_REDIRECT_URIS = [CALLBACK]
    settings.IMPERSONATION_CALLBACK_URL = CALLBACK
    for staff, user, beside in ((people.sasha, people.dave, "bob"), (people.admin, people.bob, "carol")):
        organization = people.globex if user == people.bob else ""
        answer = ApiClient().start(Browser(staff), user, organization=organization, reason=f"Token for {user}")
        session, token = session_of(answer), bearer(answer["access_token"])
        everybody.append(Somebody(f"token of {staff} for {user}", {}, token, user.email, session))
        cookies = jar(Browser(getattr(people, beside)))
        everybody.append(Somebody(f"the same beside {beside}", cookies, token, user.email, session))
    return everybody


def test_nobody_is_mixed_up(server: str, everybody: list[Somebody]) -> None:
    pages = ("/awho/", "/slow/", "/whoami/", "/api/me/", "/asensitive/", "/by-context/", "/aby-context/")
    turns = [(everybody[number % len(everybody)], pages[number % len(pages)]) for number in range(REQUESTS)]
    random.Random(4711).shuffle(turns)
    failures: list[str] = []
    answered: Counter[str] = Counter()

    async def work(waiting: Iterator[tuple[Somebody, str]], client: httpx2.AsyncClient) -> None:
        for somebody, url in waiting:
            cookies = "; ".join(f"{name}={value}" for name, value in somebody.cookies.items())
            response = await client.get(url, headers={**somebody.headers, **({"Cookie": cookies} if cookies else {})})
            client.cookies.clear()  # a connection is everybody's, a jar is nobody's
            answered[somebody.name] += 1
            try:
                somebody.check(url, response)
            except (AssertionError, KeyError, ValueError) as error:
                failures.append(f"{somebody.name} at {url}: {response.status_code} {response.text[:300]} {error}")

    async def all_at_once() -> None:
        waiting = iter(turns)
        limits = httpx2.Limits(max_connections=AT_ONCE)
        async with (
            asyncio.timeout(PATIENCE),
            httpx2.AsyncClient(base_url=server, trust_env=False, timeout=60, limits=limits) as client,
        ):
            await asyncio.gather(*(work(waiting, client) for _ in range(AT_ONCE)))

    asyncio.run(all_at_once())
    assert failures == []
    assert sum(answered.values()) == REQUESTS
    assert set(answered) == {somebody.name for somebody in everybody}
    assert ImpersonationSession.objects.live().count() == 4
