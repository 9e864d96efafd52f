"""What ``impersonation surface`` says is what a crawler sees, and a crawler with view-only access changes nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path, re_path
from django.views import View
from django.views.decorators.http import require_safe
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from django_impersonation.api.permissions import ForbidImpersonation
from django_impersonation.guards import allow_in_view_only, forbid_impersonation
from django_impersonation.models import ImpersonationSession
from django_impersonation.surface import Row, surface
from example_project.urls import urlpatterns as example
from tests.people import Browser

SAFE, UNSAFE = ("get", "head", "options"), ("post", "put", "patch", "delete")


def anything(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse("done")


class Graph(View):
    """As the views of GraphQL are: no method of its own for any of HTTP's."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse("done")


class Forbidden(APIView):
    permission_classes = [ForbidImpersonation]

    def post(self, request: Any) -> Response:
        return Response("done")


class Opened(Forbidden):
    """As an action of a viewset is, with permissions of its own."""


class Cards(ViewSet):
    def list(self, request: Any) -> Response:
        return Response("done")

    def create(self, request: Any) -> Response:
        return Response("done")


class Decides(Forbidden):
    def get_permissions(self) -> list[Any]:
        return []


OWN = [
    path("anything/", anything, name="anything"),
    path("reads/", require_safe(anything), name="reads"),
    path("searches/", allow_in_view_only(anything), name="searches"),
    path("declared/", anything, name="declared"),
    path("sensitive/", require_safe(forbid_impersonation(anything)), name="sensitive"),
    path("forbidden/", Forbidden.as_view(), name="forbidden"),
    path("opened/", Opened.as_view(permission_classes=[]), name="opened"),
    path("cards/", Cards.as_view({"get": "list"}), name="cards"),
    path("cards/new/", Cards.as_view({"post": "create"}), name="new-card"),
    path("decides/", Decides.as_view(), name="decides"),
    path("named/", include(([re_path(r"^(?P<number>[0-9]+)/$", anything, name="number")], "own"), namespace="space")),
    path("tokens/new/", anything, name="new_token"),
    path("graph/", Graph.as_view(), name="graph"),
]
urlpatterns = [*OWN, *example]
pytestmark = pytest.mark.urls(__name__)


def rows() -> dict[str, Row]:
    return {row.route: row for row in surface()}


def address(route: str, people: Any) -> str:
    """The route with something in its gaps."""
    filled = re.sub(r"<(\w+:)?\w*id>", str(people.bob.pk), route)
    filled = re.sub(r"<(\w+:)?\w+>", "1", re.sub(r"\(\?P<(\w+)>([^|)]*)[^)]*\)", lambda m: _sample(m[2]), filled))
    return re.sub(r"\(\?:(\w+)[^)]*\)", r"\1", filled)


def _sample(pattern: str) -> str:
    return {"[0-9]+": "7", ".*": "nowhere"}.get(pattern, pattern)


def refusal(response: Any) -> str | None:
    """The code on our page of refusal, if it is one."""
    names = [template.name for template in getattr(response, "templates", ())]
    return response.context["code"] if "django_impersonation/forbidden.html" in names else None


def session_of(session: ImpersonationSession) -> ImpersonationSession:
    return ImpersonationSession.objects.get(pk=session.pk)


def crawl(people: Any, access: str) -> dict[str, dict[str, Any]]:
    """Every view by every method, in sessions of this access: what was answered."""
    seen: dict[str, dict[str, Any]] = {}
    browser = Browser(people.sasha, raise_request_exception=False)
    session: ImpersonationSession | None = None
    for row in {row.view: row for row in surface()}.values():  # the admin has the same views for each model
        for method in (*SAFE, *UNSAFE):
            if not ImpersonationSession.objects.live():
                if session is not None and session_of(session).end_reason == "signed_out":
                    browser.cookies.clear()
                    browser.force_login(people.sasha)
                session = browser.start(people.dave, access=access)
            seen.setdefault(row.route, {})[method] = getattr(browser, method)(address(row.route, people))
    return seen


def dump() -> dict[str, list[Any]]:
    """Every row of every table that is not ours, nor that of the sessions, nor the admin's log of the prompt."""
    found = [m for m in apps.get_models() if m._meta.app_label not in ("django_impersonation", "sessions", "admin")]
    return {m._meta.label: sorted(repr(row) for row in m._base_manager.values_list(*_columns(m))) for m in found}


def _columns(model: Any) -> list[str]:
    return [field.name for field in model._meta.concrete_fields if field.name != "last_login"]  # the staff member's


def test_with_full_access_it_is_what_a_crawler_sees(people: Any) -> None:
    listed = rows()
    for route, answers in crawl(people, "full").items():
        verdict = listed[route].full
        refused = {method for method, answer in answers.items() if refusal(answer) == "blocked_view"}
        taken = {method for method in UNSAFE if answers[method].status_code not in (401, 405)}
        if verdict == "blocked":
            assert refused == set(answers), route
        elif listed[route].why == "forbid_impersonation":
            assert refused == {method for method, answer in answers.items() if answer.status_code != 405}, route
        elif verdict == "sensitive":  # REST framework's own answer
            assert {answers[method].status_code for method in UNSAFE} <= {403, 405}, route
        elif verdict == "unreachable":  # as for anybody who comes without a key or a code
            nobody = Client(raise_request_exception=False)
            for method, answer in answers.items():
                status = getattr(nobody, method)(address(route, people)).status_code
                assert answer.status_code == status or answer.status_code in (400, 403), (route, method)
        else:
            assert not refused, route
            assert bool(taken) == (verdict == "write"), (route, taken, verdict)


@pytest.mark.django_db(transaction=True)
def test_with_view_only_access_nothing_changes_whatever_is_sent(people: Any, settings: Any) -> None:
    settings.IMPERSONATION_VIEW_ONLY_VIEWS = ["declared"]
    listed, before = rows(), dump()
    for route, answers in crawl(people, "view_only").items():
        refused = {method for method, answer in answers.items() if refusal(answer) == "view_only"}
        verdict, declared = listed[route].view_only, "declared" in listed[route].why
        if verdict == "read" and listed[route].full == "write" and not declared:
            assert refused == set(UNSAFE), (route, refused)
        elif verdict != "blocked" and listed[route].full != "read":
            assert not refused & set(SAFE), route
    assert dump() == before


def test_what_it_says() -> None:
    listed = rows()
    assert {
        row.name: (row.full, row.view_only) for row in map(listed.get, [f"/{one.pattern}" for one in OWN[:10]])
    } == {
        "anything": ("write", "read"),
        "reads": ("read", "read"),
        "searches": ("write", "read"),
        "declared": ("write", "read"),
        "sensitive": ("sensitive", "sensitive"),
        "forbidden": ("sensitive", "sensitive"),
        "opened": ("write", "read"),
        "cards": ("read", "read"),
        "new-card": ("write", "read"),
        "decides": ("write", "read"),
    }
    assert listed["/named/(?P<number>[0-9]+)/"].name == "space:number"
    assert listed["/accounts/logout/"][3:] == ("write", "write", "ends the impersonation")
    assert listed["/billing/"].full == "sensitive"
    assert listed["/graph/"].full == "write"
    assert listed["/admin/"] == Row(
        "/admin/", "admin:index", "django.contrib.admin.sites.index", "blocked", "blocked", "pattern admin"
    )
    assert listed["/impersonation/callback/"].full == "unreachable"
    assert listed["/events"].full == "unreachable"


def test_a_difference_fails(tmp_path: Path, capsys: Any, settings: Any) -> None:
    file = tmp_path / "surface.json"
    call_command("impersonation", "surface", "--json")
    file.write_text(capsys.readouterr().out)
    assert len(json.loads(file.read_text())) == len(surface())
    call_command("impersonation", "surface", "--check", str(file))
    settings.IMPERSONATION_BLOCKED_VIEWS = ["anything"]
    with pytest.raises(CommandError) as caught:
        call_command("impersonation", "surface", "--check", str(file))
    changed = [line for line in str(caught.value).splitlines() if line[0] in "+-"]
    assert [(line[0], json.loads(line[2:])["full"]) for line in changed] == [("-", "write"), ("+", "blocked")]
    capsys.readouterr()
    call_command("impersonation", "surface")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == list(Row._fields)
    assert lines[1].split()[:5] == ["/anything/", "anything", "tests.test_surface.anything", "blocked", "blocked"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", None])
def test_a_file_that_is_none_is_told(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "surface.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(CommandError, match=r"surface\.json"):
        call_command("impersonation", "surface", "--check", str(file))


# ABUSE 111
def test_what_sounds_dangerous_is_warned_about_before_a_deployment(settings: Any) -> None:
    def found() -> list[str]:
        return [str(m.msg) for m in run_checks(include_deployment_checks=True) if m.id == "django_impersonation.W021"]

    (message,) = found()
    assert message.endswith(": /tokens/new/")
    settings.IMPERSONATION_BLOCKED_VIEWS = ["new_token"]
    assert found() == []
    assert not [m for m in run_checks() if m.id == "django_impersonation.W021"]
