"""Is a session still valid? Everything that can change is asked in one statement, on every request."""

from __future__ import annotations

from datetime import timedelta
from inspect import getattr_static
from typing import Any

from django.contrib.auth import get_backends, get_user_model
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.models import PermissionsMixin
from django.db.models import Exists, OuterRef, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.query_utils import DeferredAttribute
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from django_impersonation.conf import conf
from django_impersonation.models import Configuration, ImpersonationSession
from django_impersonation.policy import PERMISSION, is_active
from django_impersonation.records import age_of, auth_hashes, digest

EndReason = ImpersonationSession.EndReason
# Servers may differ by this much; a clock that was set back further must not prolong a session.
CLOCK_SKEW = timedelta(minutes=5)

_PERMISSION_METHODS = (
    "has_perm",
    "get_all_permissions",
    "get_user_permissions",
    "get_group_permissions",
    "_get_permissions",
    "_get_user_permissions",
    "_get_group_permissions",
)


def examined(session_id: str) -> QuerySet[ImpersonationSession]:
    """The one statement: the session with both people, and what the database alone can say of them.

    People are asked for through the user model's default manager too, so that those whom it hides stay hidden.
    """
    people = get_user_model()._default_manager
    conditions: dict[str, Combinable] = {
        "switched_on": _switch(),
        "user_visible": Exists(people.filter(pk=OuterRef("user_id"))),
    }
    if permissions_are_rows():
        holders = ModelBackend().with_perm(PERMISSION, is_active=None)  # type: ignore[arg-type]
        conditions["permitted"] = Exists(holders.filter(pk=OuterRef("impersonator_id")))
    else:
        conditions["impersonator_visible"] = Exists(people.filter(pk=OuterRef("impersonator_id")))
    found: QuerySet[ImpersonationSession] = ImpersonationSession.objects.filter(pk=session_id)
    return found.select_related("user", "impersonator").annotate(**conditions)


def permissions_are_rows() -> bool:
    """Do all permissions come from Django's tables? If not, the impersonator's backends are asked."""
    stock = getattr(get_user_model(), "has_perm", None) is PermissionsMixin.has_perm
    return stock and all(_is_stock(type(b)) for b in get_backends())


def is_in_memory() -> bool:
    """Once the statement was executed, can everything be told without another query?"""
    flags = [getattr_static(get_user_model(), flag, False) for flag in ("is_active", "is_staff", "is_superuser")]
    computed = any(not isinstance(flag, bool | DeferredAttribute) for flag in flags)
    return permissions_are_rows() and users_are_rows() and not computed


def users_are_rows() -> bool:
    """Does a signed-in user come from the user table as it stands, by no ``get_user`` of a project's backend?"""
    return all(
        getattr(type(b), "get_user", None) in (ModelBackend.get_user, BaseBackend.get_user)
        and getattr(type(b), "user_can_authenticate", None) in (None, ModelBackend.user_can_authenticate)
        for b in get_backends()
    )


def fault(session: Any) -> str | None:
    """Why the examined session is over, or None while it is valid. Costs a query only with special backends."""
    if session.ended_at is not None:
        return str(session.end_reason)
    now = timezone.now()
    if session.expires_at <= now or now < session.created_at - CLOCK_SKEW:
        return EndReason.EXPIRED
    if age_of(session.pk) >= (session.expires_at - session.created_at).total_seconds():
        return EndReason.EXPIRED
    if not session.switched_on:
        return EndReason.DISABLED
    user, impersonator = session.user, session.impersonator
    if user is None or not session.user_visible or not is_active(user) or _rose(session, user):
        return EndReason.USER_CHANGED
    if not _has_hash(user, session.user_hash_digest):
        return EndReason.USER_CHANGED
    if impersonator is None or not is_active(impersonator) or not getattr(impersonator, "is_staff", False):
        return EndReason.IMPERSONATOR_CHANGED
    if session.impersonator_is_superuser and not impersonator.is_superuser:
        return EndReason.IMPERSONATOR_CHANGED
    if not _has_hash(impersonator, session.impersonator_hash_digest):
        return EndReason.IMPERSONATOR_CHANGED
    return None if _permitted(session, impersonator) else EndReason.IMPERSONATOR_CHANGED


def load_user(session: ImpersonationSession) -> Any:
    """The user as this project's backends know them; None if none of them does. Stock ones cost no query."""
    for backend in get_backends():
        if getattr(type(backend), "get_user", None) is ModelBackend.get_user:
            user = session.user if backend.user_can_authenticate(session.user) else None  # type: ignore[attr-defined]
        else:
            user = backend.get_user(session.user_id) if hasattr(backend, "get_user") else None
        if user is not None:
            return user if user.pk == session.user_id else None
    return None


def _switch() -> Combinable:
    if conf.IMPERSONATION_ENABLED is not None:
        return Value(conf.IMPERSONATION_ENABLED)
    here = Configuration.objects.filter(environment=conf.IMPERSONATION_ENVIRONMENT, enabled=True)
    return Exists(here)


def _has_hash(person: Any, stored: str) -> bool:
    """Is the password still that of the start, under this SECRET_KEY or one of the fallbacks?"""
    return any(constant_time_compare(digest(current), stored) for current in auth_hashes(person))


def _rose(session: ImpersonationSession, user: Any) -> bool:
    return any(
        getattr(user, flag, False) and not getattr(session, f"user_{flag}") for flag in ("is_staff", "is_superuser")
    )


def _permitted(session: Any, impersonator: Any) -> bool:
    if hasattr(session, "permitted"):
        return bool(session.permitted)
    return bool(session.impersonator_visible and impersonator.has_perm(PERMISSION))


def _is_stock(backend: type) -> bool:
    for base in (ModelBackend, BaseBackend):
        if issubclass(backend, base):
            return all(getattr(backend, m, None) is getattr(base, m, None) for m in _PERMISSION_METHODS)
    return not any(hasattr(backend, method) for method in _PERMISSION_METHODS)
