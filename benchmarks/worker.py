"""One contestant's process: answers each line ``[measure, offset, count]`` with the median seconds of that block."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http.cookies import SimpleCookie
from io import StringIO
from statistics import median
from time import perf_counter, process_time
from typing import Any
from unittest.mock import patch

import django
from asgiref.sync import SyncToAsync
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db.backends.utils import CursorWrapper
from django.test import AsyncRequestFactory, Client, RequestFactory

WARM_UP = 10


def deeper(levels: int, call: Callable[[], Any]) -> Any:
    """Call it from this many frames further down."""
    return deeper(levels - 1, call) if levels else call()


class DeepExecutor(ThreadPoolExecutor):
    """The thread in which async requests run their sync parts, from as far down as everything else."""

    offset = 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(deeper, self.offset, partial(function, *args, **kwargs))


class Site:
    """The project with its people, and for each measure a callable that does it once and returns the seconds."""

    def __init__(self) -> None:
        self.contestant = settings.CONTESTANT
        self.executor = SyncToAsync.single_thread_executor = DeepExecutor(max_workers=1)
        self.sync, self.asynchronous, self.loop = WSGIHandler(), ASGIHandler(), asyncio.new_event_loop()
        ada, self.bob = make_people()
        own, admin, impersonating, self.browser = Client(), Client(), Client(), Client()
        own.force_login(self.bob)
        for browser in (admin, impersonating, self.browser):
            browser.force_login(ada)
        if not self.contestant.apps:  # the baseline's way in is to sign in
            self.browser.logout()
        self.contestant.start(impersonating, self.bob)
        for browser in (own, impersonating):
            browser.get("/")  # takes the messages of the start, and the CSRF cookie
        seen = self.contestant.bar_shows
        self.pages = {
            "anonymous": self.page("/", Client(), "Sign in"),
            "signed-in user": self.page("/", own, "Bob Baker"),
            "signed-in user, fixed text": self.page("/fixed/", own, "User-agent"),
            "impersonated": self.page("/", impersonating, "Bob Baker", seen),
            "impersonated, async": self.page("/async/", impersonating, self.contestant.auser, seen, is_async=True),
            "admin's list of 100 users": self.page(
                "/admin/auth/user/", admin, "100 users", self.contestant.list_shows
            ),
        }
        self.measures = self.pages | {part: partial(self.there_and_back, part) for part in ("start", "stop")}

    def page(self, path: str, browser: Client, *shows: str, is_async: bool = False) -> Callable[[], float]:
        factory = AsyncRequestFactory() if is_async else RequestFactory()
        sent = {name: cookie.value for name, cookie in browser.cookies.items() if cookie["path"] in ("", "/")}
        factory.cookies = SimpleCookie({name: value for name, value in sent.items() if value})
        answer = self.answer_async if is_async else self.sync.get_response

        def measure() -> float:
            request = factory.get(path)
            started = process_time()
            response = answer(request)
            seconds = process_time() - started
            check(response, *shows)
            return seconds

        return measure

    def answer_async(self, request: Any) -> Any:
        return self.loop.run_until_complete(self.asynchronous.get_response_async(request))

    def there_and_back(self, part: str) -> float:
        times = [perf_counter()]
        for step in (self.contestant.start, self.contestant.stop):
            step(self.browser, self.bob)
            times.append(perf_counter())
        return times[1] - times[0] if part == "start" else times[2] - times[1]

    def prepare(self) -> dict[str, int]:
        """See that start and stop do what they should, warm everything up, and count the queries of the pages."""
        before = "Ada Admin" if self.contestant.apps else "Sign in"
        for step, shows in ((self.contestant.start, "Bob Baker"), (self.contestant.stop, before)):
            step(self.browser, self.bob)
            check(self.browser.get("/"), shows)
        for measure in [*self.measures.values()] * WARM_UP:
            measure()
        queries, execute = {}, CursorWrapper.execute
        for name, measure in self.pages.items():
            with patch.object(CursorWrapper, "execute", autospec=True, side_effect=execute) as executed:
                measure()
            queries[name] = executed.call_count
        return queries

    def block(self, name: str, offset: int, count: int) -> float:
        self.executor.offset = offset
        gc.collect()
        return median(deeper(offset, self.measures[name]) for _ in range(count))


def make_people() -> list[Any]:
    call_command("migrate", verbosity=0)
    user, people = get_user_model(), get_user_model().objects
    if not people.exists():
        people.create_superuser("admin", "admin@example.com", "demo", first_name="Ada", last_name="Admin")
        people.create_user("bob", "bob@example.com", "demo", first_name="Bob", last_name="Baker")
        people.bulk_create(user(username=f"user{n}", email=f"user{n}@example.com") for n in range(98))
        if "django_impersonation" in settings.INSTALLED_APPS:
            call_command("impersonation", "enable", stdout=StringIO())
    return [people.get(username=name) for name in ("admin", "bob")]


def check(response: Any, *shows: str) -> None:
    assert response.status_code == 200, response.status_code
    for text in shows:
        assert text in response.text, f"no {text!r} in {response.text}"


def main() -> None:
    django.setup()
    site = Site()
    print(json.dumps(site.prepare()), flush=True)
    gc.freeze()
    for question in sys.stdin:
        print(site.block(*json.loads(question)), flush=True)


if __name__ == "__main__":
    main()
