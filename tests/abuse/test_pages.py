"""Our own pages: never stored, never framed, told to nobody, and text stays text."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import reverse

from django_impersonation import flows
from django_impersonation.models import Event, ImpersonationSession
from tests.markup import Page
from tests.people import Browser

pytestmark = pytest.mark.django_db
CLICKJACKING = "django.middleware.clickjacking.XFrameOptionsMiddleware"
SHOPS_CSP = "example_project.shop.middleware.ContentSecurityPolicyMiddleware"
CONFIGURATION = "/admin/django_impersonation/configuration/"

# One of our pages each, by the browser of a support agent who may do everything here.
WAYS: dict[str, Any] = {
    "prompt": (200, lambda b, p: b.get(b.prompt_url(p.bob))),
    "prompt with errors": (200, lambda b, p: b.authorize(p.bob, reason="")),
    "prompt denied": (403, lambda b, p: b.get(b.prompt_url(p.eve))),
    "prompt without permission": (403, lambda b, p: Browser(p.noor).get(b.prompt_url(p.bob))),
    "configuration": (200, lambda b, p: b.get(CONFIGURATION)),
    "callback refused": (400, lambda b, p: b.redeem("x" * 43)),
    "callback malformed": (400, lambda b, p: b.redeem("x")),
    "callback denied": (403, lambda b, p: b.redeem(b.code(p.dave), **deactivated(p.dave))),
    "confirm": (403, lambda b, p: started(b, p, enforce_csrf_checks=True).stop()),
    "nothing to stop": (200, lambda b, p: b.stop()),
    "forbidden": (403, lambda b, p: started(b, p).get("/billing/")),
    "forbidden by list": (403, lambda b, p: started(b, p).get("/admin/")),
    "forbidden for scripts": (403, lambda b, p: started(b, p).get("/admin/", headers={"Accept": "application/json"})),
    "ended": (200, lambda b, p: over(b, p).get("/impersonation/ended/")),
    "ended, nobody": (200, lambda b, p: b.get("/impersonation/ended/")),
    "refused": (409, lambda b, p: over(b, p).post("/whoami/")),
    "refused for scripts": (401, lambda b, p: over(b, p).get("/whoami/", headers={"Sec-Fetch-Dest": "empty"})),
}
ADMINS = {"prompt", "prompt with errors", "prompt denied", "configuration"}


def deactivated(user: Any) -> dict[str, Any]:
    get_user_model().objects.filter(pk=user.pk).update(is_active=False)
    return {}


def started(browser: Browser, people: Any, **kwargs: Any) -> Browser:
    browser.start(people.bob, organization=people.acme)
    browser.handler.enforce_csrf_checks = bool(kwargs)
    return browser


def over(browser: Browser, people: Any) -> Browser:
    browser.start(people.bob, organization=people.acme).end("revoked")
    return browser


@pytest.fixture
def ada(people: Any) -> Browser:
    return Browser(people.admin)


def directives(response: Any) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in response["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


# ABUSE 74, ABUSE 123, ABUSE 128
@pytest.mark.parametrize("middleware", ["all", "no clickjacking"])
@pytest.mark.parametrize("way", WAYS)
def test_headers_of_our_pages(people: Any, ada: Browser, settings: Any, way: str, middleware: str) -> None:
    if middleware == "no clickjacking":
        settings.MIDDLEWARE = [m for m in settings.MIDDLEWARE if m not in (CLICKJACKING, SHOPS_CSP)]
    settings.X_FRAME_OPTIONS = "SAMEORIGIN"
    settings.SECURE_REFERRER_POLICY = "no-referrer"
    status, go = WAYS[way]
    response = go(ada, people)
    assert response.status_code == status
    assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))
    assert response["Referrer-Policy"] == "same-origin", "no-referrer would post Origin: null"
    assert response["X-Frame-Options"] == "DENY"
    policy = directives(response)
    assert policy["frame-ancestors"] == "'none'"
    if way not in ADMINS:
        assert policy == {
            "default-src": "'self'",
            "object-src": "'none'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }


# ABUSE 73
def test_headers_of_our_redirects(people: Any, ada: Browser) -> None:
    response = ada.authorize(people.carol)
    redirects = [response, ada.redeem(parse_qs(urlsplit(response["Location"]).query)["code"][0]), ada.stop()]
    redirects.append(over(Browser(people.sasha), people).get("/whoami/"))
    for redirect in redirects:
        assert redirect.status_code == 303
        assert redirect["Referrer-Policy"] == "no-referrer"
        assert {"private", "no-store"} <= set(redirect["Cache-Control"].split(", "))
        assert redirect.content == b""


def test_static_files_on_another_host_are_allowed_for(people: Any, ada: Browser, settings: Any) -> None:
    settings.STATIC_URL = "https://cdn.example.com/static/"
    response = ada.get("/impersonation/ended/")
    assert directives(response)["default-src"] == "'self' https://cdn.example.com"
    assert "https://cdn.example.com/static/django_impersonation/pages.css" in response.content.decode()
    settings.STATIC_URL = "//cdn.example.com/static/"
    assert directives(ada.get("/impersonation/ended/"))["default-src"] == "'self' https://cdn.example.com"


# ABUSE 127
@pytest.mark.parametrize("way", [way for way in WAYS if "scripts" not in way])
def test_our_pages_need_nothing_inline(people: Any, ada: Browser, way: str) -> None:
    page = Page(WAYS[way][1](ada, people).content.decode())
    assert page.handlers() == []
    assert page.inline_scripts == []
    for script in page.all("script"):
        assert (script["src"] or "").startswith("/static/")
    for link in page.all("link"):
        assert (link["href"] or "").startswith("/static/")
    for form in page.all("form"):
        assert form["method"] == "post"
        assert (form.get("action") or "/").startswith("/")


# -- text stays text ---------------------------------------------------------------------------------------------

EVIL = """<script>alert(1)</script>"onx='1'</body>{{ 7|add:42 }}{% now "Y" %}%s%(user)s&lt;"""


def assert_inert(response: Any, *texts: str) -> None:
    """The text is there, as text, and nothing in the page is made of it."""
    html = response.content.decode()
    page = Page(html)
    for text in texts:
        assert text in page.text, (text, page.text[-3000:])
    assert html.count("</body>") == html.count("</html>") == 1
    assert page.handlers() == []
    assert page.inline_scripts == []
    assert not [s for s in page.all("script") if not s.get("src")]
    for tag, attributes, _ in page.elements:
        assert "onx" not in " ".join(attributes), (tag, attributes)


@pytest.fixture
def evil(people: Any) -> Any:
    """Everybody and everything is called like an attack."""
    model = get_user_model()
    for name, user in (("bob", people.bob), ("sasha", people.sasha), ("admin", people.admin)):
        model.objects.filter(pk=user.pk).update(email=f"{name}{EVIL}@example.com", name=f"{name}{EVIL}")
        user.refresh_from_db()
    people.acme.name = f"Acme{EVIL}"
    people.acme.save()
    return people


# ABUSE 121
def test_bar_forbidden_confirm_and_ended_show_text(evil: Any) -> None:
    sasha = Browser(evil.sasha)
    reason = f"because{EVIL}"
    session = sasha.start(evil.bob, organization=evil.acme, reason=reason)
    everything = (evil.bob.email, evil.sasha.email, evil.acme.name, reason)
    assert_inert(sasha.get("/"), *everything)
    assert_inert(sasha.get("/billing/"), evil.bob.email)
    sasha.handler.enforce_csrf_checks = True
    assert_inert(sasha.stop(), evil.bob.email)
    session.end("revoked")
    assert_inert(sasha.post("/whoami/"))
    assert_inert(sasha.get("/impersonation/ended/"), evil.bob.email, evil.acme.name)


# ABUSE 121
def test_the_prompt_shows_text(evil: Any) -> None:
    sasha = Browser(evil.sasha)
    url = sasha.prompt_url(evil.bob)
    assert_inert(sasha.get(url, {"reason": f"because{EVIL}"}), evil.bob.email, evil.acme.name, f"because{EVIL}")
    assert_inert(sasha.authorize(evil.bob, reason=f"because{EVIL}"), evil.bob.email, f"because{EVIL}")
    assert_inert(sasha.post(url, {"reason": EVIL, "organization": EVIL}), EVIL)
    assert_inert(sasha.get(sasha.prompt_url(evil.admin)), evil.admin.email)


# ABUSE 121
def test_the_admin_shows_text(evil: Any) -> None:
    ada, reason = Browser(evil.admin), f"because{EVIL}"
    session = Browser(evil.sasha).start(evil.bob, organization=evil.acme, reason=reason)
    event = Event.objects.get(name="session.created")
    people = (evil.bob.email, evil.sasha.email)
    sessions, events = (f"admin:django_impersonation_{m}" for m in ("impersonationsession", "event"))
    assert_inert(ada.get(reverse("admin:shop_user_change", args=[evil.bob.pk])), evil.acme.name, reason, *people)
    assert_inert(ada.get(reverse("admin:shop_user_history", args=[evil.bob.pk])), reason)
    assert_inert(ada.get(reverse(f"{sessions}_changelist")), evil.acme.name, reason, *people)
    assert_inert(ada.get(reverse(f"{events}_changelist")), reason, *people)
    assert_inert(ada.get("/admin/"))
    assert_inert(ada.get(reverse(f"{sessions}_change", args=[session.pk])), evil.acme.name, reason, *people)
    assert_inert(ada.get(reverse(f"{events}_change", args=[event.pk])), evil.acme.name, reason, *people)


# ABUSE 121
def test_the_configuration_page_shows_text(evil: Any, settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None
    settings.IMPERSONATION_ENVIRONMENT = f"env{EVIL}"
    ada = Browser(evil.admin)
    ada.post(CONFIGURATION, {"enable": "1"})
    assert_inert(ada.get(CONFIGURATION), evil.admin.email, f"env{EVIL}")


# -- open redirects ----------------------------------------------------------------------------------------------

ELSEWHERE = ["https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)"]


# ABUSE 132
@pytest.mark.parametrize("address", ELSEWHERE)
def test_stop_goes_where_the_start_said(people: Any, sasha: Browser, address: str) -> None:
    sasha.start(people.carol)
    parameters = {"next": address, "return_to": address, "url": address}
    url = f"{reverse('django_impersonation:stop')}?next={address}"
    response = sasha.post(url, parameters, headers={"Referer": address, "X-Forwarded-Host": "evil.example"})
    assert (response.status_code, response["Location"]) == (303, f"/admin/shop/user/{people.carol.pk}/change/")


# ABUSE 72, ABUSE 132
@pytest.mark.parametrize("address", ELSEWHERE)
def test_the_callback_goes_where_the_code_says(people: Any, sasha: Browser, address: str) -> None:
    code = sasha.code(people.carol)
    response = sasha.get(reverse("django_impersonation:callback"), {"code": code, "next": address, "state": address})
    assert (response.status_code, response["Location"]) == (303, "/")


# ABUSE 121, ABUSE 132
@pytest.mark.parametrize(
    "address", [*ELSEWHERE, "https://testserver/admin/", "data:text/html,x", "%0d%0aX: y", "", None]
)
def test_a_support_tool_may_name_a_path_of_this_site_only(
    people: Any, rf: RequestFactory, address: str | None
) -> None:
    request: Any = rf.post("/")
    request.user, request.impersonation = people.sasha, None
    response = flows.authorize(request, user=people.carol, reason="Ticket", return_url=address)
    assert isinstance(response, HttpResponse)
    sasha = Browser(people.sasha)
    assert sasha.get(response["Location"]).status_code == 303
    back = ImpersonationSession.objects.get().return_url
    assert back in (f"/admin/shop/user/{people.carol.pk}/change/", "%0d%0aX: y")
    assert urlsplit(sasha.stop()["Location"]).netloc == ""


def test_a_support_tool_gets_its_path_back(people: Any, rf: RequestFactory) -> None:
    request: Any = rf.post("/")
    request.user, request.impersonation = people.sasha, None
    response: Any = flows.authorize(request, user=people.carol, reason="Ticket", return_url="/desk/4711/?tab=2")
    sasha = Browser(people.sasha)
    sasha.get(response["Location"])
    assert sasha.stop()["Location"] == "/desk/4711/?tab=2"
