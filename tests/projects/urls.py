"""One URLconf for all: ADMIN_PATH, TRANSLATED, SUPPORT_SITE and API choose."""

from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth import get_user_model
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404
from django.template import Context, Template
from django.urls import include, path

from django_impersonation import flows
from django_impersonation.exceptions import ImpersonationDenied

PAGE = Template("{% load django_impersonation %}<h1>{{ request.user }}</h1>{% staff_bar %}")


def seen(request: HttpRequest, user: object) -> JsonResponse:
    """The names the view works with, and what our attributes say."""
    current = flows.current(request)
    return JsonResponse(
        {
            "user": str(getattr(user, "pk", None)),
            "session": request.impersonation and request.impersonation.pk,
            "by": request.impersonator and request.impersonator.email,
            "current": current and current.pk,
        }
    )


def whoami(request: HttpRequest) -> JsonResponse:
    return seen(request, request.user)


@transaction.non_atomic_requests  # Django's own rule for async views
async def awhoami(request: HttpRequest) -> JsonResponse:
    return seen(request, await request.auser())


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE.render(Context({"request": request})))


def support(request: HttpRequest, name: str) -> HttpResponse:
    """A support tool of the project's own."""
    user = get_object_or_404(get_user_model(), **{get_user_model().USERNAME_FIELD: name})
    answer = flows.authorize(request, user=user, reason=request.POST.get("reason", ""))
    return HttpResponse(str(answer), status=403) if isinstance(answer, ImpersonationDenied) else answer


def token(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Template("<form>{% csrf_token %}</form>").render(Context({"csrf_token": get_token(request)})))


rest = [
    path("", home),
    path("whoami/", whoami),
    path("awhoami/", awhoami),
    path("token/", token),
    path("support/<str:name>/", support),
]
if apps.is_installed("django.contrib.admin"):
    from django.contrib import admin

    rest.append(path(settings.ADMIN_PATH, admin.site.urls))
    if settings.SUPPORT_SITE:
        from tests.projects.desk import support as site

        rest.append(path("support-desk/", site.urls))

urlpatterns = [
    path("impersonation/", include("django_impersonation.urls")),
    *(i18n_patterns(*rest) if settings.TRANSLATED else rest),
    *([path("", include("django_impersonation.api.urls"))] if settings.API else []),
]
