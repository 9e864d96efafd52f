"""Which organizations a user belongs to: one function of the project's, behind ``IMPERSONATION_ORGANIZATIONS``.

It takes the user and returns a queryset of the project's own model, or an iterable of ``Organization``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationDenied

logger = logging.getLogger("django_impersonation")
Answer = TypeVar("Answer")
MAX_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Organization:
    id: str
    name: str


def organizations_for(user: Model, *, limit: int) -> list[Organization]:
    """The user's organizations, at most ``limit`` of them and in the hook's order.

    Raises ``ImpersonationDenied`` when the project's function fails.
    """

    def first(source: Iterable[Any]) -> list[Organization]:
        if isinstance(source, QuerySet):
            source = source[:limit]
        return [_wrap(item) for item in islice(source, limit)]

    return _ask(user, first)


def organization_for(user: Model, organization_id: str) -> Organization | None:
    """The organization with exactly this id, if the user is in it; raises like ``organizations_for``."""
    if not organization_id or len(organization_id) > MAX_LENGTH or "\x00" in organization_id:
        return None

    def find(source: Iterable[Any]) -> Organization | None:
        if isinstance(source, QuerySet):
            try:
                source = list(source.filter(pk=organization_id)[:1])
            except (ValueError, OverflowError, ValidationError):
                return None
        # Compared as text: the database would take " 7" or "7.0" for 7.
        return next((o for o in map(_wrap, source) if o.id == organization_id), None)

    return _ask(user, find)


def allows(request: HttpRequest, organization_id: object) -> bool:
    """May this request enter the organization? An impersonator stays in the one that was chosen at the start.

    For the project's own organization switcher, beside its check of the user's membership.
    """
    impersonation = getattr(request, "impersonation", None)
    if impersonation is None or conf.IMPERSONATION_ORGANIZATIONS is None:
        return True
    if not impersonation.is_for(getattr(request, "user", None)):
        return True
    return bool(impersonation.organization_id == str(organization_id))


def django_organizations(user: Model) -> QuerySet[Any]:
    """Adapter for the package django-organizations."""
    model = apps.get_model("organizations", "Organization")
    found: QuerySet[Any] = model._default_manager.filter(users=user, is_active=True)
    return found.order_by("name")


def groups(user: Any) -> QuerySet[Any]:
    """Adapter for projects whose organizations are Django's own groups."""
    found: QuerySet[Any] = user.groups.order_by("name")
    return found


def _ask(user: Model, question: Callable[[Iterable[Any]], Answer]) -> Answer:
    try:
        hook = conf.IMPERSONATION_ORGANIZATIONS
        return question(() if hook is None else hook(user))
    except ImpersonationDenied:
        raise
    except Exception as error:  # the project's code: whatever it raises, nobody is impersonated
        logger.exception("IMPERSONATION_ORGANIZATIONS failed")
        raise ImpersonationDenied(
            _("The organizations of this user could not be read."), "organizations_failed"
        ) from error


def _wrap(item: Any) -> Organization:
    key, name = (item.id, item.name) if isinstance(item, Organization) else (item.pk, item)
    if not 0 < len(str(key)) <= MAX_LENGTH:
        raise ValueError("an organization's id has 1 to 255 characters")
    return Organization(id=str(key), name=str(name))
