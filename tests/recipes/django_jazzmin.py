"""Jazzmin, whose templates take the place of Django's."""

from __future__ import annotations

from tests.projects.urls import urlpatterns as base
from tests.recipes.themes import every_page

urlpatterns = [*base]


def story() -> None:
    every_page("jazzmin/css/main.css")
