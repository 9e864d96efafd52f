"""Pages that do to a session what projects do: sign in, sign out, change a password, write, leave messages."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import (
    alogin,
    alogout,
    aupdate_session_auth_hash,
    get_user_model,
    login,
    logout,
    update_session_auth_hash,
)
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import Context, Template
from django.urls import path
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from django_impersonation import flows
from tests.urls import urlpatterns as usual

BACKEND = "django.contrib.auth.backends.ModelBackend"


def plain(request: HttpRequest) -> JsonResponse:
    """Who a view sees, for stacks without our middleware."""
    return JsonResponse({"user": str(request.user)})


async def aplain(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": str(await request.auser())})


async def quiet(request: HttpRequest) -> JsonResponse:
    """Touches neither the session nor the user."""
    return JsonResponse({"quiet": True})


def sign_in(request: HttpRequest) -> JsonResponse:
    """A registration or reset page that signs its user in."""
    user = get_user_model().objects.get(email=request.POST["email"])
    if password := request.POST.get("password"):
        user.set_password(password)
        user.save()
    login(request, user, backend=BACKEND)
    return JsonResponse({"user": str(request.user), "impersonation": bool(request.impersonation)})


async def asign_in(request: HttpRequest) -> JsonResponse:
    user = await get_user_model().objects.aget(email=request.POST["email"])
    if password := request.POST.get("password"):
        user.set_password(password)
        await user.asave()
    await alogin(request, user, backend=BACKEND)
    auser = await request.auser()
    return JsonResponse({"user": str(auser), "impersonation": bool(request.impersonation)})


def sign_out(request: HttpRequest) -> JsonResponse:
    logout(request)
    return JsonResponse({"user": str(request.user), "impersonation": bool(request.impersonation)})


class SignOut(APIView):
    """With the request of Django REST framework, which is another object."""

    authentication_classes = [SessionAuthentication]

    def post(self, request: Any) -> Response:
        logout(request)
        return Response({"user": str(request.user), "impersonation": bool(request._request.impersonation)})


def sign_in_elsewhere(request: HttpRequest) -> HttpResponse:
    """Signs a device in that shows a code; its key goes there."""
    device = HttpRequest()
    device.session = import_module(settings.SESSION_ENGINE).SessionStore()
    login(device, request.user, backend=BACKEND)
    device.session.save()
    return HttpResponse(device.session.session_key)


async def asign_out(request: HttpRequest) -> JsonResponse:
    await alogout(request)
    auser = await request.auser()
    return JsonResponse({"user": str(auser), "impersonation": bool(request.impersonation)})


def new_password(request: HttpRequest) -> JsonResponse:
    """A project's own page for it, which no default pattern blocks; it keeps its user signed in."""
    request.user.set_password("new")
    request.user.save()
    update_session_auth_hash(request, request.user)
    return JsonResponse({})


async def anew_password(request: HttpRequest) -> JsonResponse:
    user = await request.auser()
    user.set_password("new")
    await user.asave()
    await aupdate_session_auth_hash(request, user)
    return JsonResponse({})


def meanwhile() -> None:
    """What happens in another tab while ``busy`` is at work."""


def busy(request: HttpRequest) -> JsonResponse:
    """Takes its time, and writes to the session in the end."""
    user = str(request.user)
    meanwhile()
    request.session["late"] = True
    return JsonResponse({"user": user})


def say(request: HttpRequest) -> JsonResponse:
    messages.info(request, f"for {request.user}")
    return JsonResponse({})


def heard(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"messages": [str(message) for message in messages.get_messages(request)]})


def data(request: HttpRequest) -> JsonResponse:
    return JsonResponse({key: value for key, value in request.session.items() if not key.startswith("_")})


def device(request: Any) -> JsonResponse:
    """For stacks with django-otp's middleware."""
    return JsonResponse({"user": str(request.user), "verified": bool(request.user.is_verified())})


def form(request: HttpRequest) -> HttpResponse:
    page = Template("<form>{% csrf_token %}</form>").render(Context({"csrf_token": _token(request)}))
    return HttpResponse(page)


def _token(request: HttpRequest) -> str:
    from django.middleware.csrf import get_token

    return get_token(request)


class Api(APIView):
    """Knows users by their password, or by the session."""

    authentication_classes = (BasicAuthentication, SessionAuthentication)
    renderer_classes = (JSONRenderer,)

    def get(self, request: Any) -> Response:
        bar = Template("{% load django_impersonation %}{% staff_bar %}").render(Context({"request": request}))
        return Response(
            {
                "user": str(request.user),
                "outer": bool(flows.current(request)),
                "inner": bool(flows.current(request._request)),
                "bar": bool(bar.strip()),
            }
        )


urlpatterns = [
    path("plain/", plain),
    path("aplain/", aplain),
    path("quiet/", quiet),
    path("static/plain/", plain),
    path("static/aplain/", aplain),
    path("sign-in/", sign_in),
    path("asign-in/", asign_in),
    path("drf-sign-out/", SignOut.as_view()),
    path("sign-in-elsewhere/", sign_in_elsewhere),
    path("sign-out/", sign_out),
    path("asign-out/", asign_out),
    path("new-password/", new_password),
    path("anew-password/", anew_password),
    path("busy/", busy),
    path("say/", say),
    path("heard/", heard),
    path("data/", data),
    path("device/", device),
    path("form/", form),
    path("api/", Api.as_view()),
    *usual,
]
