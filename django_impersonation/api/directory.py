"""What the project itself knows, for reading: customers, and the organizations behind the project's function."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet

from django_impersonation.api.pagination import lookup
from django_impersonation.conf import conf
from django_impersonation.models import ImpersonationSession
from django_impersonation.organizations import Organization
from django_impersonation.records import email_field

logger = logging.getLogger("django_impersonation")


def customers() -> QuerySet[Any]:
    """Everybody but staff and superusers, as the user model's default manager shows them."""
    people: QuerySet[Any] = get_user_model()._default_manager.all()
    for flag in ("is_staff", "is_superuser"):
        if _has_field(flag):
            people = people.filter((flag, False))
    return people


def is_customer(user: Any) -> bool:
    """Neither staff nor superuser, also where the user model computes it."""
    return not (getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))


def person(user_id: str, *, everybody: bool = False) -> Any:
    """The customer, or anybody, with this key; None if there is none."""
    user = lookup(get_user_model()._default_manager.all(), user_id)
    return user if user is not None and (everybody or is_customer(user)) else None


def with_email(people: QuerySet[Any], email: str) -> QuerySet[Any]:
    """Those with this address in any case, and perhaps others, whom ``has_email`` tells apart."""
    return people.filter((f"{email_field(people.model)}__iexact", email))


def has_email(user: Any, email: str) -> bool:
    """Databases take more for equal than mail servers do: an i without its dot, and on MariaDB every accent."""
    return str(getattr(user, email_field(type(user)))).casefold() == email.casefold()


def organization(organization_id: str) -> tuple[Organization, Any] | None:
    """The organization with this id and the project's own object, if there is one.

    The function behind ``IMPERSONATION_ORGANIZATIONS`` knows those of a user. Where it answers with a queryset,
    its model is asked; else, what the sessions have on record.
    """
    hook, anybody = conf.IMPERSONATION_ORGANIZATIONS, customers().first()
    try:
        source = hook(anybody) if hook is not None and anybody is not None else ()
    except Exception:  # of this one customer it knows nothing
        logger.exception("IMPERSONATION_ORGANIZATIONS failed")
        source = ()
    if isinstance(source, QuerySet):
        row = lookup(source.model._default_manager.all(), organization_id)
        return None if row is None else (Organization(id=str(row.pk), name=str(row)), row)
    known = ImpersonationSession.objects.filter(organization_id=organization_id).first()
    if known is None or known.organization_id != organization_id:  # MariaDB takes "acme" and "ACME" for equal
        return None
    return Organization(id=organization_id, name=known.organization_name), None


def _has_field(name: str) -> bool:
    try:
        get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True
