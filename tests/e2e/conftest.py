"""A real Chromium in front of the example project; whatever goes wrong on a page fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import django
import pytest
from django.conf import settings
from django.utils.module_loading import import_string
from playwright.sync_api import Browser, Page, sync_playwright

from example_project.shop.middleware import ContentSecurityPolicyMiddleware
from tests.csp import DJANGOS, NONCE, SELF, enforce
from tests.e2e.browsing import Visitor
from tests.require import lacking

# Pictures for the docs are taken on demand: SCREENSHOTS=1 pytest tests/e2e/test_screenshots.py
collect_ignore = [] if os.environ.get("SCREENSHOTS") == "1" else ["test_screenshots.py"]

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-quic",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One browser for this package's tests; gone before other tests run, and its event loop with it."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        lacking("there is no Chromium here; on Debian: apt-get install --no-install-recommends chromium")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's loop runs in this thread, and Django would take the tests' own queries for async code.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(
            executable_path=path,
            args=ARGUMENTS,
            # Playwright switches it off; people have it.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop's policy also holds for the admin, where our own pages must not need more either.

    And Django's, where a test asks for it: the server has read MIDDLEWARE long before.
    """

    def call(self: ContentSecurityPolicyMiddleware, request: Any) -> Any:
        inner = import_string(DJANGOS)(self.get_response) if DJANGOS in settings.MIDDLEWARE else self.get_response
        response = inner(request)
        own = response.headers.get("Content-Security-Policy")
        response.headers["Content-Security-Policy"] = ", ".join(filter(None, ["default-src 'self'", own]))
        return response

    monkeypatch.setattr(ContentSecurityPolicyMiddleware, "__call__", call)


@pytest.fixture
def nonces(settings: Any, live_server: Any) -> None:
    """Where Django has a policy of its own, that one as well: it lets in what bears the nonce, and the shop's files.

    The admin of 6.0 has no nonces yet; 5.2 has no such policy.
    """
    if django.VERSION >= (6, 0):
        others = [f"{live_server.url}/static/shop/"] if django.VERSION >= (6, 1) else [SELF]
        files = {kind: [NONCE, *others] for kind in ("script-src", "style-src")}
        enforce(settings, {"default-src": [SELF], **files})


@pytest.fixture
def people(chromium: Browser, transactional_db: None, people: Any) -> Any:
    """The example's people; Bob has a card, as in the demo."""
    people.bob.card_number = "4242 4242 4242 4242"
    people.bob.save()
    return people


@pytest.fixture
def visit(chromium: Browser, live_server: Any, people: Any) -> Iterator[Callable[..., Page]]:
    """``visit(sasha)``: a new browser profile in which she is signed in; ``visit(sasha, as_=bob)``: and is Bob.

    At the end no page may have logged an error, broken its policy, opened a dialog or asked another host.
    """
    visitors: list[Visitor] = []

    def visit(user: Any = None, *, as_: Any = None, reason: str = "Ticket 4711", **options: Any) -> Page:
        visitor = Visitor(chromium, live_server.url, **options)
        visitors.append(visitor)
        if user is not None:
            visitor.sign_in(user, as_=as_, reason=reason)
        return visitor.context.new_page()

    yield visit
    for visitor in visitors:
        visitor.context.close()
    assert [problem for visitor in visitors for problem in visitor.problems()] == []
