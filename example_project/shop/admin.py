from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from example_project.shop.forms import ShopUserChangeForm, ShopUserCreationForm
from example_project.shop.models import User


@admin.register(User)
class ShopUserAdmin(UserAdmin):  # type: ignore[type-arg]
    """Django's own UserAdmin, told that users have an e-mail address and no username.

    The card number is left out: staff who may see users shall not see it.
    """

    form = ShopUserChangeForm
    add_form = ShopUserCreationForm
    ordering = ("email",)
    list_display = ("email", "name", "is_active", "is_staff")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    search_fields = ("email", "name")
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("email", "password", "name")}),
        (
            "Permissions",
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {"classes": ("wide",), "fields": ("email", "name", "usable_password", "password1", "password2")},
        ),
    )
