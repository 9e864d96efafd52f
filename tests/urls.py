"""The example project's URLs, and pages that say what a view sees."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path

from django_impersonation import flows
from django_impersonation.guards import forbid_impersonation
from example_project.urls import urlpatterns as example


def seen(request: HttpRequest) -> dict[str, object]:
    impersonation, impersonator = request.impersonation, request.impersonator
    current = flows.current(request)
    return {
        "user": str(request.user),
        "impersonation": impersonation and impersonation.pk,
        "impersonator": impersonator and list(impersonator),
        "current": current and current.pk,
    }


def whoami(request: HttpRequest) -> JsonResponse:
    """Also the target of unsafe requests: counts how often it ran, so that a refusal can be told from a run."""
    whoami.runs += 1  # type: ignore[attr-defined]
    return JsonResponse(seen(request))


whoami.runs = 0  # type: ignore[attr-defined]


async def awhoami(request: HttpRequest) -> JsonResponse:
    user = await request.auser()
    return JsonResponse(seen(request) | {"auser": str(user)})


def static_page(request: HttpRequest) -> JsonResponse:
    """Touches neither the session nor the user."""
    return JsonResponse({"static": True})


@forbid_impersonation
def sensitive(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"sensitive": True})


@forbid_impersonation
async def asensitive(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"sensitive": True})


urlpatterns = [
    path("whoami/", whoami, name="whoami"),
    path("awhoami/", awhoami, name="awhoami"),
    path("static-page/", static_page, name="static_page"),
    path("sensitive/", sensitive, name="sensitive"),
    path("asensitive/", asensitive, name="asensitive"),
    *example,
]
