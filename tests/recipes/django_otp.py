"""django-otp, whose admin site is the default one: staff must have shown a second factor."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient
from django.urls import path
from django_otp.decorators import otp_required
from django_otp.plugins.otp_static.models import StaticDevice
from shop.decorators import otp_or_impersonated

from tests.projects.stories import is_tagged, start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import Visitor, admin_url, make


def verified(request: HttpRequest) -> JsonResponse:
    return JsonResponse(request.user.is_verified(), safe=False)


async def averified(request: HttpRequest) -> JsonResponse:
    return JsonResponse((await request.auser()).is_verified(), safe=False)


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("secret")


urlpatterns = [
    *base,
    path("verified/", verified),
    path("averified/", averified),
    path("closed/", otp_required(page)),
    path("open/", otp_or_impersonated(page)),
]


def story() -> None:
    agent, bob = Visitor(make("agent")), make("bob")
    prompt = admin_url("impersonate", bob.pk)
    agent.open(prompt, 302)
    sign_in(agent)
    assert are_verified(agent)
    agent.open("/closed/")
    device(bob)
    session = start(agent, bob)
    is_tagged(agent, bob, session)
    assert not are_verified(agent)
    agent.open("/closed/", 302)
    agent.open("/open/")
    stop(agent, bob)
    assert are_verified(agent)
    agent.open("/closed/")
    bob_himself = Visitor(bob)
    assert not are_verified(bob_himself)
    bob_himself.open("/open/", 302)


def device(user: Any) -> StaticDevice:
    made = StaticDevice.objects.create(user=user, name="paper")
    made.token_set.create(token="000000")
    return made


def sign_in(agent: Visitor) -> None:
    """By the form of django-otp's admin site, second factor included."""
    agent.user.set_password("demo")
    agent.user.save()
    agent.logout()
    paper = {"otp_device": device(agent.user).persistent_id, "otp_token": "000000"}
    agent.submit("/admin/login/", {"username": "agent", "password": "demo", **paper}, status=302)


def are_verified(visitor: Visitor) -> bool:
    """What sync and async views see; they agree."""
    client = AsyncClient()
    client.cookies = visitor.cookies
    seen = {visitor.get("/verified/").json(), async_to_sync(client.get)("/averified/").json()}
    assert len(seen) == 1
    return seen == {True}
