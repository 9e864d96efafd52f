"""A second admin site beside the first, with user admins of its own."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.sites import all_sites
from django.http import HttpRequest
from django.test.utils import isolate_apps
from django.urls import path

from django_impersonation.admin import ImpersonationAdminMixin
from example_project.shop.admin import ShopUserAdmin
from example_project.shop.models import User
from tests.urls import urlpatterns as tests_urls

with isolate_apps("example_project.shop"):

    class Customer(User):
        class Meta:
            proxy = True
            app_label = "shop"


class CustomerAdmin(ImpersonationAdminMixin, ShopUserAdmin):
    """The proxy's admin: customers only, and nobody in ``closed``."""

    closed: set[Any] = set()

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(is_staff=False)

    def has_impersonate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_impersonate_permission(request, obj) and (obj is None or obj.pk not in self.closed)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("shop.view_user")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NobodysUserAdmin(ImpersonationAdminMixin, ShopUserAdmin):
    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ManagersSite(AdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and request.user.email == "admin@example.com"


desk = AdminSite(name="desk")
desk.register(Customer, CustomerAdmin)
desk.register(User, NobodysUserAdmin)
managers = ManagersSite(name="managers")
managers.register(User, type("ManagersUserAdmin", (ImpersonationAdminMixin, ShopUserAdmin), {}))
plain = AdminSite(name="plain")
plain.register(User, ShopUserAdmin)
all_sites.discard(plain)  # the system checks would find fault with it in every test

urlpatterns = [
    path("desk/", desk.urls),
    path("managers/", managers.urls),
    path("plain/", plain.urls),
    *tests_urls,
]
