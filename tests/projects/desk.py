"""A second admin site, whose admin of users hides some of them."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.models import User

from django_impersonation.admin import ImpersonationAdminMixin


class HidingAdmin(ImpersonationAdminMixin, ModelAdmin):
    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).exclude(username="hidden")


support = AdminSite(name="support")
support.register(User, HidingAdmin)
