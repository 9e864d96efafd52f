from __future__ import annotations

from typing import Any

from django.contrib import admin

from tests.projects.proxies.models import Customer


@admin.register(Customer)
class CustomerAdmin(admin.ModelAdmin):
    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).filter(is_staff=False)
