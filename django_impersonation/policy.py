"""Who may impersonate whom: one question, one default answer, refusals that say why."""

from __future__ import annotations

import logging
import unicodedata
from typing import Any

from django.utils.translation import gettext as _

from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.organizations import Organization

logger = logging.getLogger("django_impersonation")

PERMISSION = "django_impersonation.impersonate_user"
# Needed for more than view-only sessions, where those are the default.
FULL_ACCESS = "django_impersonation.impersonate_with_full_access"
REASON_LENGTH = 500

# Letters to Unicode, nothing to the eye.
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check(*, impersonator: Any, user: Any, organization: Organization | None = None, view_only: bool = True) -> None:
    """Raise ``ImpersonationDenied`` unless ``impersonator`` may act as ``user``.

    First what no project can relax, then the function behind ``IMPERSONATION_POLICY``. Any answer of that
    function but True, and any exception, is a refusal.
    """
    if not is_active(impersonator):
        raise ImpersonationDenied(_("Your account is not active."), "impersonator_inactive")
    if not getattr(impersonator, "is_staff", False):
        raise ImpersonationDenied(_("Only staff may impersonate users."), "not_staff")
    if not impersonator.has_perm(PERMISSION):
        raise ImpersonationDenied(_("You do not have permission to impersonate users."), "no_permission")
    if not view_only and not all(map(impersonator.has_perm, needed(view_only=False))):
        raise ImpersonationDenied(_("You may impersonate users in view-only sessions."), "no_full_access")
    if impersonator.pk == user.pk:
        raise ImpersonationDenied(_("You cannot impersonate yourself."), "self")
    if not is_active(user):
        raise ImpersonationDenied(_("This user is not active, so nobody can sign in as them."), "user_inactive")
    try:
        allowed = conf.IMPERSONATION_POLICY(impersonator=impersonator, user=user, organization=organization)
    except ImpersonationDenied:
        raise
    except Exception as error:  # the project's code: whatever it raises is a no
        logger.exception("IMPERSONATION_POLICY failed")
        raise ImpersonationDenied(_("The impersonation policy could not be evaluated."), "policy_failed") from error
    if allowed is not True:
        raise ImpersonationDenied(_("The policy of this site does not allow it."), "policy")


def needed(*, view_only: bool) -> list[str]:
    """The permissions for such a session. Where view only is the default, full access is a permission of its own."""
    full = not view_only and conf.IMPERSONATION_DEFAULT_ACCESS != "full"
    return [PERMISSION, FULL_ACCESS] if full else [PERMISSION]


def can_impersonate(*, impersonator: Any, user: Any, organization: Organization | None = None) -> bool:
    try:
        check(impersonator=impersonator, user=user, organization=organization)
    except ImpersonationDenied:
        return False
    return True


def contained(*, impersonator: Any, user: Any, organization: Organization | None = None) -> bool:
    """The default: never superusers, staff only for superusers, and nobody who may do more than the impersonator."""
    superuser = getattr(impersonator, "is_superuser", False)
    if getattr(user, "is_superuser", False):
        raise ImpersonationDenied(_("Superusers cannot be impersonated."), "user_is_superuser")
    if getattr(user, "is_staff", False) and not superuser:
        raise ImpersonationDenied(_("Only a superuser may impersonate staff."), "user_is_staff")
    missing = [] if superuser else sorted(user.get_all_permissions() - impersonator.get_all_permissions())
    if missing:
        more = ", …" if len(missing) > 20 else ""
        raise ImpersonationDenied(
            _("This user may do what you may not: %(permissions)s.") % {"permissions": ", ".join(missing[:20]) + more},
            "permissions_exceed",
        )
    return True


def customers(*, impersonator: Any, user: Any, organization: Organization | None = None) -> bool:
    """Never superusers or staff. For sites whose customers hold permissions that agents lack."""
    if getattr(user, "is_superuser", False) or getattr(user, "is_staff", False):
        raise ImpersonationDenied(_("Only customers can be impersonated."), "user_is_staff")
    return True


def is_active(user: Any) -> bool:
    """As Django's ``ModelBackend``: a user model without the attribute has active users only."""
    return bool(getattr(user, "is_active", True))


def clean_reason(text: str) -> str:
    """The reason as it goes on record: one line, NFC, visible, at most 500 characters; "" for an empty one.

    Raises ``ImpersonationDenied``.
    """
    reason = unicodedata.normalize("NFC", " ".join(str(text).split()))
    if any(unicodedata.category(char) in ("Cc", "Cs") or char in _BIDI for char in reason):
        raise ImpersonationDenied(_("The reason contains characters that are not allowed."), "reason_invalid")
    if len(reason) > REASON_LENGTH:
        raise ImpersonationDenied(
            _("The reason is longer than %(length)d characters.") % {"length": REASON_LENGTH},
            "reason_invalid",
        )
    if not any(unicodedata.category(char)[0] in "LNPS" and char not in _BLANKS for char in reason):
        reason = ""
    if not reason and conf.IMPERSONATION_REASON_REQUIRED:
        raise ImpersonationDenied(_("Say why you need to sign in as this user."), "reason_required")
    return reason
