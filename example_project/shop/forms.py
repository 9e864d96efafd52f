from __future__ import annotations

from django import forms
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm

from example_project.shop.models import User


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at runtime
    class Meta:
        model = User
        fields = ("name",)


class ShopUserCreationForm(AdminUserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("email", "name")


class ShopUserChangeForm(UserChangeForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = "__all__"
