"""Unfold, whose admin classes take the place of Django's."""

from __future__ import annotations

from django.contrib import admin
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

from django_impersonation.admin import ImpersonationAdminMixin
from django_impersonation.models import Event, ImpersonationSession
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import User
from tests.recipes.themes import every_page

urlpatterns = [*base]


def story() -> None:
    assert isinstance(admin.site, UnfoldAdminSite)
    for model in (User, ImpersonationSession, Event):
        assert isinstance(admin.site.get_model_admin(model), ModelAdmin)
    assert isinstance(admin.site.get_model_admin(User), ImpersonationAdminMixin)
    pages = every_page("unfold/css/styles.css")
    for name in ("users", "sessions"):  # Unfold's script shows the button that runs an action
        assert 'x-model="action"' in pages[name], name
