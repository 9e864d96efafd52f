"""System checks of what impersonators may read, change and open."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.urls import NoReverseMatch, reverse

from django_impersonation import lasting, redaction
from django_impersonation.conf import conf
from django_impersonation.settings_checks import are_names, error, warning
from django_impersonation.surface import unblocked

LISTS = {
    "IMPERSONATION_VIEW_ONLY_VIEWS": '["shop:search"]',
    "IMPERSONATION_VIEW_ONLY_TABLES": '["shop_visit"]',
    "IMPERSONATION_CREDENTIALS": '["shop.ApiKey", "-authtoken.Token"]',
    "IMPERSONATION_REDACTED_FIELDS": '["shop.User.card_number"]',
}
CHOICES = {"IMPERSONATION_DEFAULT_ACCESS": ("full", "view_only"), "IMPERSONATION_VIEW_ONLY": ("enforce", "observe")}
SHOWN = 10


def check_access(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    for name, (default, other) in CHOICES.items():
        if getattr(settings, name, default) not in (default, other):
            yield error(40, f"{name} has an unknown value.", f'Set it to "{default}" or to "{other}".')
    for name, example in LISTS.items():
        if not are_names(getattr(settings, name, ())):
            yield error(
                41, f"{name} is not a list of names.", f"Set {name} to a list of strings, for example {example}."
            )
    for name, missing in (
        ("IMPERSONATION_CREDENTIALS", lasting.unknown()),
        ("IMPERSONATION_REDACTED_FIELDS", redaction.unknown()),
    ):
        if missing:
            hint = 'Write "app.Model" or "app.Model.field", as the models are called.'
            yield error(42, f"{name} names what does not exist: {', '.join(missing)}.", hint)
    if conf.IMPERSONATION_VIEW_ONLY_TABLES:
        yield warning(
            20,
            "With IMPERSONATION_VIEW_ONLY_TABLES, view-only sessions are kept by the words of the statements alone.",
            "Empty it, if you can: then the database's own read-only mode also stops functions that write.",
        )


def check_surface(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """For ``check --deploy``: a guess, by names."""
    try:
        reverse("django_impersonation:stop")
    except NoReverseMatch:  # there is an error for that
        return
    found = unblocked()
    if found:
        listed = ", ".join(row.route for row in found[:SHOWN]) + (", …" if len(found) > SHOWN else "")
        hint = "Put @forbid_impersonation on them, name them in IMPERSONATION_BLOCKED_VIEWS, or silence this warning."
        yield warning(
            21, f"By their names, these hand out what outlives a session, and are not blocked: {listed}", hint
        )
