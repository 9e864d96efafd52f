"""Who gets a view-only session, what it may send, and how it says what it is: by cookie and by token."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.response import Response
from rest_framework.views import APIView

from django_impersonation import flows
from django_impersonation.api import verification
from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.guards import allow_in_view_only
from django_impersonation.models import Activity, AuthorizationCode, Event, ImpersonationSession
from example_project.shop.models import User
from tests.abuse.session_support import asynchronously
from tests.api.client import CALLBACK, ApiClient, bearer
from tests.api.test_guards import Begin
from tests.people import Browser, grant
from tests.urls import urlpatterns as pages


def search(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"method": request.method, "users": User.objects.count()})


async def asearch(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"method": request.method})


class Search(View):
    def post(self, request: HttpRequest) -> JsonResponse:
        return search(request)


@method_decorator(allow_in_view_only, name="dispatch")
class AllowedSearch(Search):
    pass


class Rest(APIView):
    authentication_classes = ()

    def post(self, request: Any) -> Response:
        return Response({"method": request.method})


@method_decorator(allow_in_view_only, name="dispatch")
class AllowedRest(Rest):
    pass


@allow_in_view_only
@api_view(["POST"])
@authentication_classes([])
def rest_function(request: Any) -> Response:
    return Response({"method": request.method})


def write(request: HttpRequest) -> HttpResponse:
    User.objects.update(name="Changed")
    return HttpResponse("done")


def authorize(request: HttpRequest, access: str) -> HttpResponse:
    view_only = {"view_only": True, "full": False}.get(access)
    user = User.objects.get(email="dave@example.com")
    outcome = flows.authorize(request, user=user, reason="Ticket 4711", view_only=view_only)
    return HttpResponse(outcome.code, status=403) if isinstance(outcome, ImpersonationDenied) else outcome


class Override:
    """Of the project's: what is sent as POST may be meant as something else."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        request.method = request.headers.get("X-HTTP-Method-Override", request.method)
        return self.get_response(request)


urlpatterns = [
    path("closed/", search, name="closed"),
    path("aclosed/", asearch),
    path("class-closed/", Search.as_view()),
    path("rest-closed/", Rest.as_view()),
    path("function/", allow_in_view_only(search)),
    path("async/", allow_in_view_only(asearch)),
    path("class/", AllowedSearch.as_view()),
    path("rest/", AllowedRest.as_view()),
    path("rest-function/", rest_function),
    path("write/", allow_in_view_only(write)),
    path("authorize/<access>/", authorize),
    *pages,
]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
ALLOWED = ["/function/", "/async/", "/class/", "/rest/", "/rest-function/"]
CLOSED = ["/closed/", "/aclosed/", "/class-closed/", "/rest-closed/"]
JSON = {"Accept": "application/json"}


@pytest.fixture
def begin(sasha: Browser, settings: Any) -> Begin:
    return Begin(sasha, settings)


@pytest.fixture
def viewing(people: Any, sasha: Browser) -> Browser:
    sasha.start(people.dave, access="view_only")
    return sasha


@pytest.fixture
def strict(settings: Any) -> None:
    """View only is the default, and full access a permission of its own."""
    settings.IMPERSONATION_DEFAULT_ACCESS = "view_only"


@pytest.mark.parametrize("way", ["cookie", "token"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_may_be_sent(begin: Begin, people: Any, way: str, mode: str) -> None:
    caller = begin.caller(way, mode, people.dave, access="view_only")
    for address in ALLOWED:
        assert caller.post(address).status_code == 200, address
    for address in CLOSED:
        for method in ("post", "put", "patch", "delete"):
            answer = caller(method, address, headers=JSON)
            assert (answer.status_code, answer.json()["error"]) == (403, "impersonation_forbidden"), address
            assert "view only" in answer.json()["error_description"]
    denied = Event.objects.get(name="impersonation.denied")
    assert (denied.code, denied.count) == ("view_only", 16)
    assert Activity.objects.filter(status=403).count() == 16


def test_a_decorator_opens_one_address_and_not_its_view(viewing: Browser) -> None:
    """``search`` stands at two."""
    assert viewing.post("/function/").status_code == 200
    assert viewing.post("/closed/").status_code == 403
    assert not hasattr(search, "allow_in_view_only")


@pytest.mark.parametrize(
    ("pattern", "address"),
    [
        ("closed", "/closed/"),
        (f"{__name__}.search", "/closed/"),
        (f"{__name__}.Search", "/class-closed/"),
        (f"{__name__}.Rest", "/rest-closed/"),
    ],
)
def test_a_setting_opens_what_is_not_yours(viewing: Browser, settings: Any, pattern: str, address: str) -> None:
    settings.IMPERSONATION_VIEW_ONLY_VIEWS = [pattern]
    assert viewing.post(address).status_code == 200
    assert viewing.post("/write/").status_code == 403


@pytest.mark.parametrize(("sent", "meant"), [("post", "GET"), ("get", "POST"), ("get", "DELETE"), ("delete", "HEAD")])
def test_no_header_makes_an_unsafe_method_safe(viewing: Browser, settings: Any, sent: str, meant: str) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.Override"]
    browser = Browser()
    browser.cookies = viewing.cookies
    assert getattr(browser, sent)("/closed/", headers={"X-HTTP-Method-Override": meant}).status_code == 403
    assert browser.get("/closed/", headers={"X-HTTP-Method-Override": "HEAD"}).status_code == 200


def test_a_method_in_small_letters_is_the_same_method(viewing: Browser) -> None:
    assert viewing.generic("get", "/closed/").status_code == 200
    assert viewing.generic("post", "/closed/").status_code == 403
    assert viewing.generic("ANYTHING", "/closed/").status_code == 403


# ABUSE 206
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
def test_by_token_nothing_is_written(begin: Begin, people: Any, atomic: bool, monkeypatch: Any) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
    caller = begin.caller("token", "sync", people.dave, access="view_only")
    answer = caller.post("/write/")
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/json")
    assert not User.objects.filter(name="Changed").exists()
    assert caller.get("/closed/").status_code == 200


def test_tokens_say_it(people: Any, sasha: Browser, settings: Any) -> None:
    settings.IMPERSONATION_REDIRECT_URIS, settings.IMPERSONATION_CALLBACK_URL = [CALLBACK], CALLBACK
    api = ApiClient()

    def claims(answer: Any) -> tuple[Any, bool]:
        claim = jwt.decode(answer["access_token"], options={"verify_signature": False}).get("view_only")
        assert api.get("/closed/", headers=bearer(answer["access_token"])).status_code == 200
        status = api.post("/closed/", headers=bearer(answer["access_token"])).status_code
        assert status == (403 if claim else 200)
        keys = jwt.PyJWKSet.from_dict(api.get(f"/sso/jwks/{conf.IMPERSONATION_CLIENT_ID}").json())

        class Keys:
            def get_signing_key_from_jwt(self, token: str) -> Any:
                return keys[jwt.get_unverified_header(token)["kid"]]

        seen = verification.verify(
            answer["access_token"],
            Keys(),
            issuer=conf.IMPERSONATION_JWT_ISSUER,
            client_id=conf.IMPERSONATION_CLIENT_ID,
        )
        return claim, seen.view_only

    first = api.start(sasha, people.dave, access="view_only")
    assert claims(first) == (True, True)
    assert claims(api.refresh(first["refresh_token"]).json()) == (True, True)
    assert claims(api.start(sasha, people.dave, access="full")) == (None, False)


def radios(html: str) -> list[str]:
    return [value for value in ("full", "view_only") if f'value="{value}"' in html and 'name="access"' in html]


def test_the_prompt_offers_both(people: Any, sasha: Browser) -> None:
    html = sasha.get(sasha.prompt_url(people.dave)).content.decode()
    assert radios(html) == ["full", "view_only"]
    assert html.count("checked") == 1
    assert not sasha.start(people.dave, access="").view_only  # the default
    sasha.stop()
    assert not sasha.start(people.dave, access="full").view_only
    sasha.stop()
    assert sasha.start(people.dave, access="view_only").view_only


def test_the_prompt_takes_nothing_else(people: Any, sasha: Browser) -> None:
    response = sasha.authorize(people.dave, access="everything")
    assert response.status_code == 200
    assert response.context["form"].errors["access"]
    assert not AuthorizationCode.objects.exists()


@pytest.mark.usefixtures("strict")
def test_without_the_permission_there_is_no_choice(people: Any, sasha: Browser) -> None:
    assert radios(sasha.get(sasha.prompt_url(people.dave)).content.decode()) == []
    for access in ("full", "view_only", "", "everything"):
        assert sasha.start(people.dave, access=access).view_only
        sasha.stop()


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("who", ["sasha", "admin"])
def test_with_the_permission_there_is_one(people: Any, who: str) -> None:
    """A superuser has it, as he has them all."""
    grant(people.sasha, "impersonate_with_full_access")
    browser = Browser(getattr(people, who))
    assert radios(browser.get(browser.prompt_url(people.dave)).content.decode()) == ["full", "view_only"]
    assert browser.start(people.dave).view_only  # the default
    browser.stop()
    session = browser.start(people.dave, access="full")
    assert not session.view_only
    assert browser.post("/closed/").status_code == 200


def lose(user: Any) -> None:
    user.user_permissions.remove(Permission.objects.get(codename="impersonate_with_full_access"))


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_full_access_ends_with_its_permission(people: Any, sasha: Browser, mode: str) -> None:
    grant(people.sasha, "impersonate_with_full_access")
    session = sasha.start(people.dave, access="full")
    lose(people.sasha)
    answer = sasha.get("/closed/") if mode == "sync" else asynchronously(sasha, "get", "/closed/")
    assert (answer.status_code, answer["Location"]) == (303, "/impersonation/ended/")
    session.refresh_from_db()
    assert session.end_reason == "impersonator_changed"


@pytest.mark.usefixtures("strict")
def test_view_only_does_not_need_it(people: Any, sasha: Browser) -> None:
    grant(people.sasha, "impersonate_with_full_access")
    sasha.start(people.dave, access="view_only")
    lose(people.sasha)
    assert sasha.get("/closed/").status_code == 200


@pytest.mark.usefixtures("strict")
def test_a_code_for_full_access_is_asked_again(people: Any, sasha: Browser) -> None:
    grant(people.sasha, "impersonate_with_full_access")
    code = sasha.code(people.dave, access="full")
    lose(people.sasha)
    assert sasha.redeem(code).status_code == 403
    assert not ImpersonationSession.objects.exists()
    assert Event.objects.get(name="impersonation.denied").code == "no_full_access"


def test_a_stricter_setting_ends_what_is_open(people: Any, sasha: Browser, settings: Any) -> None:
    """Whoever has full access and no permission for it."""
    session = sasha.start(people.dave, access="full")
    settings.IMPERSONATION_DEFAULT_ACCESS = "view_only"
    assert sasha.get("/closed/").status_code == 303
    session.refresh_from_db()
    assert session.end_reason == "impersonator_changed"


def test_a_tool_of_the_projects_chooses(people: Any, sasha: Browser, settings: Any) -> None:
    def access(wanted: str) -> Any:
        answer = sasha.post(f"/authorize/{wanted}/")
        if answer.status_code == 403:
            return answer.content.decode()
        return AuthorizationCode.objects.latest("created_at").view_only

    assert [access("view_only"), access("full"), access("default")] == [True, False, False]
    settings.IMPERSONATION_DEFAULT_ACCESS = "view_only"
    assert [access("view_only"), access("full"), access("default")] == [True, "no_full_access", True]


def test_the_bar_and_the_record_say_so(people: Any, sasha: Browser) -> None:
    session = sasha.start(people.dave, access="view_only")
    assert "View only" in sasha.get("/").content.decode()
    sasha.stop()
    assert all(Event.objects.exclude(name="impersonation.denied").values_list("view_only", flat=True))
    page = f"/admin/django_impersonation/impersonationsession/{session.pk}/change/"
    assert "view only" in Browser(people.admin).get(page).content.decode().lower()
    sasha.start(people.dave, access="full")
    assert "View only" not in sasha.get("/").content.decode()


def test_the_refusal_is_a_page_with_a_way_out(viewing: Browser) -> None:
    html = viewing.post("/closed/").content.decode()
    assert "view only" in html
    assert 'action="/impersonation/stop/"' in html


@pytest.mark.parametrize("engine", ["db", "signed_cookies"], indirect=True)
def test_stop_and_the_users_own_logout_work(engine: str, people: Any, sasha: Browser) -> None:
    session = sasha.start(people.dave, access="view_only")
    assert sasha.stop().status_code == 303
    assert sasha.who()["user"] == "sasha@example.com"
    session.refresh_from_db()
    assert session.end_reason == "stopped"
    session = sasha.start(people.dave, access="view_only")
    assert sasha.post("/accounts/logout/").status_code == 302
    assert sasha.who()["user"] == "AnonymousUser"
    session.refresh_from_db()
    assert session.end_reason == "signed_out"


def test_a_client_may_not_be_talked_into_more(people: Any, sasha: Browser, settings: Any) -> None:
    """The token endpoint takes no access from whoever redeems the code."""
    settings.IMPERSONATION_REDIRECT_URIS, settings.IMPERSONATION_CALLBACK_URL = [CALLBACK], CALLBACK
    code = sasha.code(people.dave, access="view_only")
    answer = ApiClient().redeem(code, view_only=False, access="full").json()
    assert ImpersonationSession.objects.get().view_only
    assert jwt.decode(answer["access_token"], options={"verify_signature": False})["view_only"] is True
