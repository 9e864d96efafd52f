"""What an impersonator asked for is on record, before the view runs: nothing gets by, and nothing secret gets in."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.views import PasswordResetConfirmView
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone

from django_impersonation import admin
from django_impersonation.activity import ActivityManager
from django_impersonation.models import Activity, ImpersonationSession
from django_impersonation.records import ImmutableRecord
from example_project.shop.models import User
from tests.abuse.session_support import asynchronously, twin
from tests.api.test_guards import Begin
from tests.people import Browser, grant
from tests.urls import urlpatterns as pages


def rows() -> list[Any]:
    return list(Activity.objects.values_list("method", "path", "view_name", "status"))


def last() -> Any:
    return rows()[-1]


def seen_within(request: HttpRequest, **kwargs: Any) -> JsonResponse:
    """The record, while the view runs."""
    return JsonResponse({"rows": rows()})


def raises(error: type[BaseException]) -> Any:
    def view(request: HttpRequest) -> HttpResponse:
        User.objects.filter(email="carol@example.com").update(name="Changed")
        raise error("no")

    return view


async def aview(request: HttpRequest) -> HttpResponse:
    return HttpResponse("done")


class Answers:
    """A middleware of the project's, which answers by itself."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return HttpResponseRedirect("/elsewhere/") if request.path == "/answered/" else self.get_response(request)


class Closed:
    """A middleware that says "we will be back soon"."""

    def __init__(self, get_response: Any) -> None: ...

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=503)


class TakesOver:
    """A middleware that signs requests in by a header, as the project's own tokens do."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        if "X-User" in request.headers:
            request.user = get_user_model().objects.get(email=request.headers["X-User"])
        return self.get_response(request)


urlpatterns = [
    path("within/", seen_within, name="within"),
    path("within/<path:rest>", seen_within, name="within"),
    path("fails/", raises(ValueError), name="fails"),
    path("dies/", raises(SystemExit), name="dies"),
    path("async/", aview, name="async"),
    path("reset/<uidb64>/<token>/", PasswordResetConfirmView.as_view(), name="password_reset_confirm"),
    *i18n_patterns(path("renew/<uidb64>/<token>/", PasswordResetConfirmView.as_view())),
    path("login-required/", permission_required("shop.nothing")(seen_within), name="closed"),
    *pages,
]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.fixture
def begin(sasha: Browser, settings: Any) -> Begin:
    return Begin(sasha, settings)


@pytest.fixture
def session(people: Any, sasha: Browser) -> ImpersonationSession:
    sasha.raise_request_exception = False
    return sasha.start(people.dave)


# ABUSE 206
@pytest.mark.parametrize("way", ["cookie", "token"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_request_is_on_record_before_its_view_runs(begin: Begin, people: Any, way: str, mode: str) -> None:
    caller = begin.caller(way, mode, people.dave)
    assert rows() == []  # neither the prompt nor the callback: nobody was impersonated there
    answer = caller.get("/within/?secret=4711", headers={"X-Secret": "4711"})
    assert answer.json() == {"rows": [["GET", "/within/", "within", None]]}
    assert rows() == [("GET", "/within/", "within", 200)]
    caller("post", "/within/", data={"secret": "4711"})
    caller("head", "/within/")
    caller.get("/async/")
    assert rows()[1:] == [
        ("POST", "/within/", "within", 200),
        ("HEAD", "/within/", "within", 200),
        ("GET", "/async/", "async", 200),
    ]
    stored = repr(list(Activity.objects.values()))
    assert "4711" not in stored
    assert Activity.objects.filter(session=ImpersonationSession.objects.get()).count() == 4
    assert Activity.objects.filter(created_at__lte=timezone.now(), created_at__isnull=False).count() == 4


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
def test_it_stays_when_the_view_fails(sasha: Browser, session: Any, atomic: bool, monkeypatch: Any) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
    assert sasha.get("/fails/").status_code == 500
    assert rows() == [("GET", "/fails/", "fails", 500)]
    assert User.objects.filter(name="Changed").exists() is not atomic


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
def test_it_stays_open_when_the_process_dies(sasha: Browser, session: Any, atomic: bool, monkeypatch: Any) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
    with pytest.raises(SystemExit):
        sasha.get("/dies/")
    assert rows() == [("GET", "/dies/", "dies", None)]
    assert sasha.get("/within/").status_code == 200


def test_requests_that_reach_no_view(sasha: Browser, session: Any, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.Answers"]
    for address in ("/nowhere/", "/answered/", "/within"):
        twin(sasha).get(address)
    strict = Browser(enforce_csrf_checks=True)
    strict.cookies = sasha.cookies
    strict.post("/within/")
    assert rows() == [
        ("GET", "/nowhere/", "", 404),
        ("GET", "/answered/", "", 302),
        ("GET", "/within", "", 404),  # before APPEND_SLASH
        ("POST", "/within/", "within", 403),
    ]


def test_a_request_that_another_middleware_gives_to_somebody_else(sasha: Browser, session: Any, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.TakesOver"]
    browser = twin(sasha)
    assert browser.get("/sensitive/", headers={"X-User": "carol@example.com"}).status_code == 200
    assert rows() == []
    assert browser.get("/sensitive/", headers={"X-User": session.user_email}).status_code == 403


def test_what_a_decorator_refuses(sasha: Browser, session: Any) -> None:
    sasha.get("/login-required/")
    sasha.get("/sensitive/")
    assert [row[1:] for row in rows()] == [("/login-required/", "closed", 302), ("/sensitive/", "sensitive", 403)]


@pytest.mark.parametrize("way", ["blocked", "without its slash", "CSRF"])
def test_what_opens_a_blocked_view_is_not_on_record(sasha: Browser, session: Any, way: str) -> None:
    """The address of a password reset is as good as a password: the user may have sent it to the support."""
    browser = Browser(enforce_csrf_checks=way == "CSRF")
    browser.cookies = sasha.cookies
    address = "/reset/MQ/c0ffee-4711/"
    browser.post(address) if way == "CSRF" else browser.get(address.rstrip("/") if "slash" in way else address)
    method, shown, name, status = last()
    assert shown == "/reset/<uidb64>/<token>/"
    assert (method, status) == {"blocked": ("GET", 403), "without its slash": ("GET", 404), "CSRF": ("POST", 403)}[way]
    assert name == ("" if "slash" in way else "password_reset_confirm")


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize(
    ("address", "pattern", "status"),
    [
        ("/reset/MQ/c0ffee-4711/", "/reset/<uidb64>/<token>/", 403),
        ("/reset/MQ/c0ffee-4711", "/reset/<uidb64>/<token>/", 404),
        ("/de/renew/MQ/c0ffee-4711/", "/de/renew/<uidb64>/<token>/", 403),
        ("/renew/MQ/c0ffee-4711/", "/de/renew/<uidb64>/<token>/", 404),  # before the redirect to the language
        ("/renew/MQ/c0ffee-4711", "/de/renew/<uidb64>/<token>/", 404),
        ("/within/c0ffee-4711/", "/within/c0ffee-4711/", 200),
    ],
)
def test_nor_where_no_view_is_reached(
    sasha: Browser, session: Any, settings: Any, address: str, pattern: str, status: int, closed: bool
) -> None:
    if closed:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.Closed"]
    twin(sasha).get(address, headers={"Accept-Language": "de"})
    _, shown, _, answered = last()
    assert (shown, answered) == (pattern, 503 if closed else status)


def test_stop_and_logout(sasha: Browser, session: Any, people: Any) -> None:
    sasha.stop()
    assert last() == ("POST", "/impersonation/stop/", "django_impersonation:stop", 303)
    second = sasha.start(people.dave)
    sasha.post("/accounts/logout/")
    assert last()[1:] == ("/accounts/logout/", "logout", 302)
    second.refresh_from_db()
    assert second.end_reason == "signed_out"
    assert Activity.objects.count() == 2
    sasha.get("/within/")
    assert Activity.objects.count() == 2


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_ordinary_requests_are_not(people: Any, mode: str) -> None:
    carol = Browser(people.carol)
    with CaptureQueriesContext(connection) as queries:
        carol.get("/static-page/") if mode == "sync" else asynchronously(carol, "get", "/static-page/")
    assert len(queries) == 0
    assert rows() == []


def test_it_may_be_turned_off(sasha: Browser, session: Any, settings: Any) -> None:
    settings.IMPERSONATION_RECORD_ACTIVITY = False
    assert sasha.get("/within/").status_code == 200
    sasha.get("/nowhere/")
    assert rows() == []
    settings.IMPERSONATION_RECORD_ACTIVITY = 0  # no way to say so
    sasha.get("/within/")
    assert len(rows()) == 1


@pytest.mark.parametrize(
    "strange",
    [
        "\x00",
        "x" * 16_000,
        "käse/☃",
        "\udcff\ud800",
        "\u202emoc.elpmaxe",
        "%00%0d%0a",
        "<script>alert(1)</script>",
        "\u202d",
    ],
    ids=["NUL", "long", "not ASCII", "surrogates", "right to left", "encoded", "script", "bidi"],
)
def test_strange_paths(sasha: Browser, session: Any, strange: str) -> None:
    """As a server gives it: bytes of any kind. What is stored is ASCII, and fits."""
    given = strange.encode("utf-8", "surrogatepass").decode("latin-1")
    answer = sasha.generic("GET", "/within/x", PATH_INFO=f"/within/{given}")
    assert answer.status_code == 200
    (shown,) = Activity.objects.values_list("path", flat=True)
    assert shown.startswith("/within/")
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 500


def test_of_a_long_path_beginning_and_end_are_on_record(sasha: Browser, session: Any) -> None:
    """``./`` leads to the same file, as often as one likes."""
    sasha.get("/within/" + "./" * 250 + "payroll/[...]/secret.txt")
    shown = last()[1]
    assert len(shown) == 500
    assert shown.startswith("/within/./")
    assert shown.endswith("/./payroll/%5B...%5D/secret.txt")
    assert shown.count("[...]") == 1
    sasha.get("/within/" + "x" * 492)
    assert last()[1] == "/within/" + "x" * 492


def test_strange_methods_and_names(sasha: Browser, session: Any) -> None:
    sasha.generic("PROPFIND\x00\udcff" + "x" * 50, "/within/")
    method, _, _, status = last()
    assert (method[:11], len(method), status) == ("PROPFIND%00", 20, 200)
    made = Activity.objects.record(session=session, method="GET", path="/", view_name="a\x00\ud800" + "x" * 300)
    assert len(Activity.objects.get(pk=made.pk).view_name) == 255


@pytest.mark.parametrize("way", ["cookie", "token"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_cannot_be_put_on_record_does_not_run(begin: Begin, people: Any, way: str, mode: str) -> None:
    caller = begin.caller(way, mode, people.dave)
    caller.get("/static-page/")  # the statement that examines the session is put together once
    view = mock.Mock(side_effect=AssertionError("it ran"))
    with (
        mock.patch.object(ActivityManager, "create", side_effect=DatabaseError("full")),
        mock.patch.object(User.objects, "filter", view),
    ):
        answer = caller.get("/fails/")
        missed = caller.get("/nowhere/")
    assert (answer.status_code, missed.status_code, view.called) == (503, 503, False)
    assert "Retry-After" in answer.headers
    assert caller.get("/within/").status_code == 200  # the session is as it was


def test_the_answer_goes_out_when_only_its_status_cannot_be_written(sasha: Browser, session: Any) -> None:
    with mock.patch.object(Activity, "complete", side_effect=DatabaseError("full")):
        assert sasha.get("/within/").status_code == 200
    assert last()[-1] is None


def test_no_row_is_changed_or_deleted(sasha: Browser, session: Any, people: Any) -> None:
    sasha.get("/within/")
    row = Activity.objects.get()
    row.path = "/harmless/"
    attempts: list[Any] = [
        row.save,
        row.delete,
        lambda: row.save(force_update=True),
        lambda: Activity.objects.update(path="/harmless/"),
        lambda: Activity.objects.all().delete(),
        lambda: Activity.objects.bulk_update([row], ["path"]),
        lambda: Activity.objects.update_or_create(pk=row.pk, defaults={"path": "/harmless/"}),
        lambda: Activity.objects.bulk_create(
            [row], update_conflicts=True, update_fields=["path"], unique_fields=["pk"]
        ),
        lambda: session.activities.all().delete(),
        lambda: session.activities.update(path="/harmless/"),
        session.delete,
    ]
    for attempt in attempts:
        with pytest.raises(ImmutableRecord), transaction.atomic():
            attempt()
    row.complete(500)  # it has its status
    people.dave.delete()
    people.sasha.delete()
    assert rows() == [("GET", "/within/", "within", 200)]


def test_purge_removes_them_with_their_session(people: Any, sasha: Browser, session: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("django_impersonation.records.BATCH", 1)
    sasha.get("/within/")
    sasha.stop()
    other = sasha.start(people.dave)
    sasha.get("/within/")
    sasha.stop()
    call_command("impersonation", "purge", stdout=StringIO())
    assert Activity.objects.count() == 4
    ImpersonationSession._base_manager.filter(pk=session.pk).update(ended_at="2020-01-01T00:00:00Z")
    session.events.model._base_manager.filter(session=session).update(created_at="2020-01-01T00:00:00Z")
    call_command("impersonation", "purge", "--keep-days", "2", stdout=StringIO())
    assert set(Activity.objects.values_list("session", flat=True)) == {other.pk}


def test_the_admin_shows_a_session_and_what_was_asked_for(people: Any, sasha: Browser, session: Any) -> None:
    sasha.get("/within/<script>alert(1)</script>")
    sasha.get("/nowhere/\u202eevil")
    sasha.stop()
    page = Browser(people.admin).get(f"/admin/django_impersonation/impersonationsession/{session.pk}/change/")
    html = page.content.decode()
    assert "<script>alert(1)" not in html
    assert "\u202d" not in html
    for shown in ("/within/%3Cscript%3E", "/nowhere/", "%E2%80%AEevil", "404", "django_impersonation:stop"):
        assert shown.replace("%3C", "&lt;").replace("%3E", "&gt;") in html or shown in html, shown
    assert html.index("/within/") < html.index("/nowhere/") < html.index("django_impersonation:stop")


def test_the_admin_stops_and_says_so(people: Any, sasha: Browser, session: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(admin, "SHOWN", 3)
    ada, address = Browser(people.admin), f"/admin/django_impersonation/impersonationsession/{session.pk}/change/"
    counts = []
    for more in (3, 1, 40):
        for number in range(more):
            Activity.objects.record(session=session, method="GET", path=f"/page-{number}/")
        with CaptureQueriesContext(connection) as queries:
            html = ada.get(address).content.decode()
        counts.append((len(queries), html.count("/page-"), "impersonation show" in html))
    assert counts == [(counts[0][0], 3, False), (counts[0][0], 3, True), (counts[0][0], 3, True)]


def test_nobody_sees_it_without_the_permission(people: Any, session: Any) -> None:
    address = f"/admin/django_impersonation/impersonationsession/{session.pk}/change/"
    assert Browser(people.noor).get(address).status_code == 403
    grant(people.noor, "view_impersonationsession")
    assert Browser(people.noor).get(address).status_code == 200
    assert Browser(people.noor).get("/admin/django_impersonation/activity/").status_code == 404


def show(*arguments: str) -> str:
    output = StringIO()
    call_command("impersonation", "show", *arguments, stdout=output)
    return output.getvalue()


def test_the_command_shows_it(sasha: Browser, session: Any) -> None:
    sasha.get("/within/")
    sasha.get("/nowhere/\x1b[2J")
    text = show(session.pk)
    assert "sasha@example.com" in text
    assert "Ticket 4711" in text
    assert "200  GET     /within/  within" in text
    assert "\x1b" not in text
    first, *others = [json.loads(line) for line in show(session.pk, "--json").splitlines()]
    assert (first["object"], first["id"], first["impersonator"]) == ("session", session.pk, "sasha@example.com")
    assert first["view_only"] is False
    assert [(row["object"], row["method"], row["path"], row["status"]) for row in others] == [
        ("activity", "GET", "/within/", 200),
        ("activity", "GET", "/nowhere/%1B%5B2J", 404),
    ]
    with pytest.raises(CommandError, match="no session"):
        show("session_none")


def test_two_tabs_of_one_session(sasha: Browser, session: Any) -> None:
    twin(sasha).get("/within/")
    sasha.get("/within/")
    assert len(rows()) == 2
