"""What impersonators see dots for: ``IMPERSONATION_REDACTED_FIELDS`` says it once, templates and serializers ask."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.apps import apps

from django_impersonation import flows
from django_impersonation.conf import conf

REDACTED = "••••••"


def hides(request: Any) -> bool:
    """Does this request get dots? So does one that the middleware has not seen: nobody can tell who looks."""
    return not hasattr(request, "impersonation") or flows.current(request) is not None


def redact(value: Any, request: Any) -> Any:
    return REDACTED if hides(request) else value


def redacted_fields(model: type[Any]) -> frozenset[str]:
    """The names that the setting has for this model, or for one that it inherits from."""
    labels = {base._meta.label_lower for base in model.__mro__ if hasattr(base, "_meta") and not base._meta.abstract}
    named = _named(tuple(conf.IMPERSONATION_REDACTED_FIELDS))
    return frozenset(field for label, field in named if label in labels)


def unknown() -> list[str]:
    """What the setting names and no model has. An attribute will do: a property may be as sensitive as a field."""
    return [".".join(entry) for entry in _named(tuple(conf.IMPERSONATION_REDACTED_FIELDS)) if not _has(*entry)]


def _has(label: str, name: str) -> bool:
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        return False
    return hasattr(model, name) or any(field.name == name for field in model._meta.get_fields())


@lru_cache(maxsize=8)
def _named(entries: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    parts = (entry.rpartition(".") for entry in entries)
    return tuple((label.lower(), field) for label, _, field in parts)
