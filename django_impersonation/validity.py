"""Is a session still valid? Everything that can change is asked in one statement, on every request."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.contrib.auth import get_backends, get_user_model
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.models import Permission, PermissionsMixin
from django.db import models
from django.db.models import Exists, OuterRef, QuerySet, Value
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from django_impersonation.conf import conf
from django_impersonation.models import Configuration, ImpersonationSession
from django_impersonation.policy import PERMISSION, is_active, needed
from django_impersonation.prepared import Prepared
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


def examine(session_id: str) -> ImpersonationSession | None:
    """The session with both people, and what the database alone can say of them, in one statement.

    People are asked for through the user model's default manager too, so that those whom it hides stay hidden.
    """
    alias, enabled, here = ImpersonationSession.objects.db, conf.IMPERSONATION_ENABLED, conf.IMPERSONATION_ENVIRONMENT
    permissions = tuple(needed(view_only=False)) if permissions_are_rows() else ()
    if _hides_nobody():
        row = _prepared(alias, get_user_model(), permissions, enabled, here).get(session_id)
    else:
        row = _statement(session_id, alias, permissions, enabled, here).first()
    return row  # type: ignore[return-value]


def _hides_nobody() -> bool:
    """Has the default manager no condition of its own, which might look at the clock or the thread?"""
    return type(get_user_model()._default_manager).get_queryset is models.Manager.get_queryset


@lru_cache(maxsize=32)
def _prepared(alias: str, user_model: Any, *conditions: Any) -> Prepared:
    """One for each state of the settings; the user model is part of the key alone."""
    return Prepared(_statement(Prepared.GAP, alias, *conditions))


def _statement(
    session_id: str, alias: str, permissions: tuple[str, ...], enabled: bool | None, environment: str
) -> QuerySet[Any]:
    people = get_user_model()._default_manager
    switch = Configuration.objects.filter(environment=environment, enabled=True)
    conditions: dict[str, Any] = {
        "switched_on": Exists(switch) if enabled is None else Value(enabled),
        "user_visible": Exists(people.filter(pk=OuterRef("user_id"))),
        "impersonator_visible": Exists(people.filter(pk=OuterRef("impersonator_id"))),
    }
    for permission in permissions:
        held = _holds(permission, "user_permissions", "") | _holds(permission, "groups", "group__")
        conditions[permission.replace(".", "_")] = held
    found: QuerySet[ImpersonationSession] = ImpersonationSession.objects.using(alias).filter(pk=session_id)
    return found.select_related("user", "impersonator").annotate(**conditions)


def _holds(permission: str, field: str, path: str) -> Exists:
    """Has the impersonator the permission, by this field of the user model?

    One question for each field: ``ModelBackend.with_perm`` joins all holders of both, for every row.
    """
    label, codename = permission.split(".")
    relation: Any = get_user_model()._meta.get_field(field)
    held = Permission.objects.filter(codename=codename, content_type__app_label=label)
    return Exists(held.filter((path + relation.related_query_name(), OuterRef("impersonator_id"))))


def permissions_are_rows() -> bool:
    """Do all permissions come from Django's tables? If not, the impersonator's backends are asked."""
    stock = getattr(get_user_model(), "has_perm", None) is PermissionsMixin.has_perm
    return stock and all(_is_stock(type(b)) for b in get_backends())


def fault(session: Any) -> str | None:
    """Why the examined session is over, or None while it is valid. Costs a query only with special backends."""
    if session.ended_at is not None:
        return str(session.end_reason)
    now = timezone.now()
    if session.expires_at <= now or now < session.created_at - CLOCK_SKEW:
        return EndReason.EXPIRED
    # By the id's own clock: with USE_TZ off, that of the columns may be set back an hour.
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


def _has_hash(person: Any, stored: str) -> bool:
    """Is the password still that of the start, under this SECRET_KEY or one of the fallbacks?"""
    return any(constant_time_compare(digest(current), stored) for current in auth_hashes(person))


def _rose(session: ImpersonationSession, user: Any) -> bool:
    return any(
        getattr(user, flag, False) and not getattr(session, f"user_{flag}") for flag in ("is_staff", "is_superuser")
    )


def _permitted(session: Any, impersonator: Any) -> bool:
    if not session.impersonator_visible:
        return False
    permissions = needed(view_only=session.view_only)
    if hasattr(session, PERMISSION.replace(".", "_")):
        return impersonator.is_superuser or all(getattr(session, p.replace(".", "_")) for p in permissions)
    return all(map(impersonator.has_perm, permissions))


def _is_stock(backend: type) -> bool:
    for base in (ModelBackend, BaseBackend):
        if issubclass(backend, base):
            return all(getattr(backend, m, None) is getattr(base, m, None) for m in _PERMISSION_METHODS)
    return not any(hasattr(backend, method) for method in _PERMISSION_METHODS)
