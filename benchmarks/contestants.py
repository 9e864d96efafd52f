"""Who takes part: each package as its own README says, with the way in and out that its buttons and links take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from django.urls import reverse

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """``start`` and ``stop`` get the admin's browser and the user; ``stop`` leaves it as ``start`` found it."""

    apps: tuple[str, ...] = ()
    middleware: str | None = None
    middleware_behind: str | None = None  # the last one, unless it says otherwise
    context_processors: tuple[str, ...] = ()
    urls: tuple[tuple[str, str], ...] = ()
    bar: str = ""  # in the page's template
    bar_shows: str = ""
    settings: tuple[tuple[str, Any], ...] = ()
    list_shows: str = ""  # in the admin's list of users
    auser: str = "Bob Baker"  # whom `await request.auser()` names while impersonating
    start: Callable[[Any, Any], Any]
    stop: Callable[[Any, Any], Any]


def start_ours(browser: Any, user: Any) -> None:
    """The prompt, its form with a reason, and the callback."""
    prompt = reverse("admin:auth_user_impersonate", args=[user.pk])
    browser.get(prompt)
    browser.get(browser.post(prompt, {"reason": "Ticket 4711"})["Location"])


BASELINE = Contestant(
    start=lambda browser, user: browser.post(reverse("login"), {"username": user.username, "password": "demo"}),
    stop=lambda browser, user: browser.post(reverse("logout")),
)
OURS = Contestant(
    apps=("django_impersonation",),
    middleware="django_impersonation.middleware.ImpersonationMiddleware",
    middleware_behind=AUTHENTICATION,
    urls=(("impersonation/", "django_impersonation.urls"),),
    bar="{% load django_impersonation %}{% staff_bar %}",
    bar_shows="impersonation-bar",
    list_shows="impersonate_selected",
    start=start_ours,
    stop=lambda browser, user: browser.post(reverse("django_impersonation:stop")),
)
CONTESTANTS = {
    "baseline": BASELINE,
    # The same in another process: what is not 1 here is noise.
    "baseline-again": BASELINE,
    # Nobody else records what is done.
    "django-impersonation": replace(OURS, settings=(("IMPERSONATION_RECORD_ACTIVITY", False),)),
    "with-activity": OURS,
    "django-hijack": Contestant(
        apps=("hijack", "hijack.contrib.admin"),
        middleware="hijack.middleware.HijackUserMiddleware",  # it also puts the bar into the page
        urls=(("hijack/", "hijack.urls"),),
        bar_shows="djhj-notification",
        list_shows="data-hijack-user",
        start=lambda browser, user: browser.post(reverse("hijack:acquire"), {"user_pk": user.pk, "next": "/"}),
        stop=lambda browser, user: browser.post(reverse("hijack:release"), {"next": "/"}),
    ),
    "django-impersonate": Contestant(
        apps=("impersonate",),
        middleware="impersonate.middleware.ImpersonateMiddleware",
        middleware_behind=AUTHENTICATION,
        urls=(("impersonate/", "impersonate.urls"),),
        # It has no bar; these are the lines of its README.
        bar="{% if request.user.is_impersonate %}{{ request.user }} ({{ request.impersonator }})"
        '<a href="{% url "impersonate-stop" %}">Stop</a>{% endif %}',
        bar_shows="bob (admin)",
        list_shows=">Impersonate</a>",
        auser="Ada Admin",
        start=lambda browser, user: browser.get(reverse("impersonate-start", args=[user.pk])),
        stop=lambda browser, user: browser.get(reverse("impersonate-stop")),
    ),
    "django-loginas": Contestant(
        apps=("loginas",),
        # It has no bar; its README offers this variable.
        context_processors=("loginas.context_processors.impersonated_session_status",),
        urls=(("admin/", "loginas.urls"),),
        bar='{% if is_impersonated_session %}<a href="{% url "loginas-logout" %}">Log out</a>{% endif %}',
        bar_shows="Log out",
        start=lambda browser, user: browser.post(reverse("loginas-user-login", args=[user.pk])),
        stop=lambda browser, user: browser.get(reverse("loginas-logout")),
    ),
}
