"""django-ninja: operations, sync and async, by cookie and by token."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import include, path
from shop.api import api
from shop.payments import router

from django_impersonation.guards import forbid_impersonation
from django_impersonation.models import ImpersonationSession
from tests.projects.stories import start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make
from tests.recipes.tokens import access_token, bearer


def seen(request: HttpRequest) -> dict[str, Any]:
    return {
        "auth": str(request.auth),
        "user": str(request.user),
        "by": request.impersonator and request.impersonator.email,
    }


@api.get("/who")
def who(request: HttpRequest) -> Any:
    return seen(request)


@api.get("/awho")
async def awho(request: HttpRequest) -> Any:
    return seen(request)


@api.get("/acard")
@forbid_impersonation
async def acard(request: HttpRequest) -> Any:
    return seen(request)


api.add_router("", router)
urlpatterns = [*base, path("api/", api.urls), path("", include("django_impersonation.api.urls"))]


def story() -> None:
    agent, bob = Visitor(make("agent", email="agent@example.com")), Visitor(make("bob"))
    may(bob, {})
    start(agent, bob.user)
    may_not(agent, {})
    stop(agent, bob.user)
    token = bearer(access_token(agent, bob.user))
    may_not(Visitor(), token)
    assert Visitor().post("/api/balance", headers=token).status_code == 200  # no cookie, so no CSRF token
    ImpersonationSession.objects.filter(client_id="client_shop").end()
    assert Visitor().get("/api/who", headers=token).status_code == 401
    foreign(agent, bob)


def may(visitor: Visitor, headers: Any) -> None:
    for address in ("/api/who", "/api/awho"):
        assert visitor.get(address, headers=headers).json() == {"auth": "bob", "user": "bob", "by": None}
    for address in ("/api/card", "/api/acard", "/api/transfer", "/api/balance"):
        assert visitor.get(address, headers=headers).status_code == 200, address


def may_not(visitor: Visitor, headers: Any) -> None:
    tagged = {"auth": "bob", "user": "bob", "by": "agent@example.com"}
    for address in ("/api/who", "/api/awho"):
        assert visitor.get(address, headers=headers).json() == tagged
    assert visitor.get("/api/balance", headers=headers).status_code == 200
    for address in ("/api/card", "/api/acard", "/api/transfer"):
        refusal = visitor.get(address, headers={"Accept": "application/json"} | headers)
        assert (refusal.status_code, refusal.json()["error"]) == (403, "impersonation_forbidden"), address


def foreign(agent: Visitor, bob: Visitor) -> None:
    """A token that is not ours opens nothing, and neither does a form of another site in an impersonated browser."""
    assert Visitor().get("/api/who", headers=bearer("foreign")).status_code == 401
    start(agent, bob.user)
    assert agent.post("/api/transfer").status_code == 403
    assert agent.post("/api/balance").status_code == 403
    assert agent.post("/api/balance", headers=bearer("foreign")).status_code == 403
    stop(agent, bob.user)
