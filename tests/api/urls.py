"""The pages of ``tests.urls``, and views that a project with REST framework has."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import alogin, alogout, get_user_model, login, logout
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import RequestContext, Template
from django.urls import path
from django.utils.decorators import method_decorator
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_impersonation import flows
from django_impersonation.api.authentication import ImpersonationAuthentication
from django_impersonation.api.permissions import ForbidImpersonation
from django_impersonation.api.serializers import RedactedSerializerMixin
from django_impersonation.guards import forbid_impersonation
from django_impersonation.organizations import allows
from example_project.shop.models import User
from tests.urls import seen
from tests.urls import urlpatterns as usual

STOCK = "django.contrib.auth.backends.ModelBackend"
CARD = Template("{% load django_impersonation %}{{ request.user.card_number|redact:request }}")


class TokenOfOthers(BaseAuthentication):
    """As ``rest_framework.authtoken``: "Token" or "Bearer", and an e-mail address in the place of the key."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        scheme, _, email = request.headers.get("Authorization", "").partition(" ")
        found = User.objects.filter(email=email).first() if scheme in ("Token", "Bearer") else None
        return None if found is None else (found, f"token of {email}")


class Api(APIView):
    renderer_classes = (JSONRenderer,)
    permission_classes: Any = (IsAuthenticated,)
    authentication_classes: Any = (ImpersonationAuthentication, SessionAuthentication)

    def get(self, request: Request, **kwargs: Any) -> Response:
        current = flows.current(request)
        raw = flows.current(request._request)
        return Response(
            {
                "user": str(request.user),
                "auth": str(request.auth and type(request.auth).__name__),
                "current": current and current.pk,
                "raw": raw and raw.pk,
                "tagged": request.impersonation is not None,
                "card": CARD.render(RequestContext(request._request)),
                "field": CardSerializer(request.user, context={"request": request}).data["card_number"],
                "allows": allows(request, kwargs.get("organization", "0")),
            }
        )

    post = get


class Ours(Api):
    authentication_classes = (ImpersonationAuthentication,)


class Others(Api):
    authentication_classes = (TokenOfOthers, ImpersonationAuthentication, SessionAuthentication)


class Forbidden(Api):
    authentication_classes = (TokenOfOthers, ImpersonationAuthentication, SessionAuthentication)
    permission_classes = (IsAuthenticated, ForbidImpersonation)


class Decorated(Api):
    get = method_decorator(forbid_impersonation)(Api.get)


class EitherWay(Api):
    """A project that combines permissions."""

    permission_classes = (ForbidImpersonation | IsAuthenticated,)

    def get(self, request: Request, **kwargs: Any) -> Response:
        logout(request._request)
        return Response({})


class CardSerializer(RedactedSerializerMixin, serializers.ModelSerializer):
    redacted_fields = ("card_number",)

    class Meta:
        model = User
        fields = ("name", "card_number")


class Card(Api):
    def get(self, request: Request, **kwargs: Any) -> Response:
        return Response(CardSerializer(request.user, context={"request": request}).data)

    def put(self, request: Request) -> Response:
        serializer = CardSerializer(request.user, request.data, partial=True, context={"request": request})
        serializer.is_valid(raise_exception=True)
        serializer.save()
        return Response(serializer.data)


def enter(request: HttpRequest, email: str) -> JsonResponse:
    login(request, get_user_model().objects.get(email=email), backend=STOCK)
    return JsonResponse(seen(request))


async def aenter(request: HttpRequest, email: str) -> JsonResponse:
    await alogin(request, await get_user_model().objects.aget(email=email), backend=STOCK)
    return JsonResponse({})


def cart(request: HttpRequest) -> JsonResponse:
    """Puts something into the session, and says what is in it."""
    request.session["cart"] = [*request.session.get("cart", ()), "bought by token"]
    return JsonResponse({"cart": request.session["cart"]})


def leave(request: HttpRequest) -> JsonResponse:
    logout(request)
    return JsonResponse(seen(request))


async def aleave(request: HttpRequest) -> JsonResponse:
    await alogout(request)
    return JsonResponse({})


def leave_and_enter(request: HttpRequest, email: str) -> JsonResponse:
    logout(request)
    return enter(request, email)


def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ran")


async def aplain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ran")


urlpatterns = [
    path("drf/", Api.as_view()),
    path("drf/ours/", Ours.as_view()),
    path("drf/others/", Others.as_view()),
    path("drf/forbidden/", Forbidden.as_view()),
    path("drf/decorated/", Decorated.as_view()),
    path("drf/either/", EitherWay.as_view()),
    path("drf/card/", Card.as_view()),
    path("drf/in/<str:organization>/", Api.as_view()),
    path("enter/<str:email>/", enter),
    path("aenter/<str:email>/", aenter),
    path("cart/", cart),
    path("leave/", leave),
    path("aleave/", aleave),
    path("leave-and-enter/<str:email>/", leave_and_enter),
    path("account/e-mail/", plain, name="account_email"),
    path("account/a-e-mail/", aplain, name="account_email_verification_sent"),
    path("wiki/edit/", plain, name="wiki_edit"),
    *usual,
]
