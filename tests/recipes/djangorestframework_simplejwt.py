"""djangorestframework-simplejwt: tokens of the users' own beside those of impersonators."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import include, path
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt import views
from rest_framework_simplejwt.tokens import RefreshToken

from django_impersonation import flows
from django_impersonation.models import ImpersonationSession
from tests.projects.stories import start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, make
from tests.recipes.tokens import access_token, bearer


class Who(APIView):
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        current = flows.current(request)
        return Response([str(request.user), current and current.impersonator_email])


class Pair(views.TokenObtainPairView):
    """A project's own, under a name of its own."""


urlpatterns = [
    *base,
    path("who/", Who.as_view()),
    path("pair/", views.TokenObtainPairView.as_view()),
    path("own/", Pair.as_view()),
    path("refresh/", views.TokenRefreshView.as_view()),
    path("blacklist/", views.TokenBlacklistView.as_view()),
    path("sliding/", views.TokenObtainSlidingView.as_view()),
    path("", include("django_impersonation.api.urls")),
]


def story() -> None:
    agent, bob, carl = Visitor(make("agent", email="agent@example.com")), make("bob"), make("carl")
    for user in (bob, carl):
        user.set_password("demo")
        user.save()
    own = mint(Client())
    token = access_token(agent, bob)
    assert who(own) == ["bob", None]
    assert who(token) == ["bob", "agent@example.com"]
    assert Client().get("/who/", headers=bearer("foreign")).status_code == 401
    refused(Client(headers=bearer(token)), bob)
    start(agent, bob)
    refused(agent, bob)
    assert agent.get("/who/", headers=bearer(own)).json() == ["bob", "agent@example.com"]
    assert agent.get("/who/", headers=bearer(mint(Client(), "carl"))).json() == ["carl", None]
    stop(agent, bob)
    ImpersonationSession.objects.filter(client_id="client_shop").end()
    assert Client().get("/who/", headers=bearer(token)).status_code == 401
    assert who(own) == ["bob", None]


def mint(client: Client, name: str = "bob") -> str:
    answer = client.post("/pair/", {"username": name, "password": "demo"})
    assert answer.status_code == 200, answer.content
    return str(answer.json()["access"])


def who(token: str) -> Any:
    return Client().get("/who/", headers=bearer(token)).json()


def refused(client: Client, user: Any) -> None:
    login = {"username": "bob", "password": "demo"}
    refresh = {"refresh": str(RefreshToken.for_user(user))}
    for address in ("/pair/", "/own/", "/sliding/"):
        assert client.post(address, login).status_code == 403, address
    for address in ("/refresh/", "/blacklist/"):
        assert client.post(address, refresh).status_code == 403, address
