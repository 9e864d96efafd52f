from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import include, path

PAGE = engines["django"].from_string(
    Path(__file__).with_name("page.html").read_text().replace("BAR", settings.CONTESTANT.bar)
)
ORDERS = [{"number": f"A-{n}", "day": date(2026, 1, n), "total": n * 10.01} for n in range(1, 21)]

if "impersonate" in settings.INSTALLED_APPS:
    from impersonate.admin import UserAdminImpersonateMixin

    admin.site.unregister(get_user_model())
    admin.site.register(get_user_model(), type("NewUserAdmin", (UserAdminImpersonateMixin, UserAdmin), {}))


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE.render({"orders": ORDERS}, request))


async def apage(request: Any) -> HttpResponse:
    return HttpResponse(PAGE.render({"orders": ORDERS, "user": await request.auser()}, request))


def fixed(request: HttpRequest) -> HttpResponse:
    """Asks for neither the user nor the session."""
    return HttpResponse("User-agent: *")


urlpatterns = [
    path("", page),
    path("async/", apage),
    path("fixed/", fixed),
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    *[path(route, include(module)) for route, module in settings.CONTESTANT.urls],
    path("admin/", admin.site.urls),
]
