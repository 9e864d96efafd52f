"""From a code that was spent to a session: the session, its event and the link to the code in one transaction."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.models import AuthorizationCode, Configuration, Event, ImpersonationSession
from django_impersonation.records import auth_hashes, digest


@sensitive_variables()
def create_session(
    request: HttpRequest, grant: AuthorizationCode, *, impersonator: Any, **fields: Any
) -> ImpersonationSession:
    """Write the session of a code that was spent, in the caller's transaction; raises ``ImpersonationDenied``.

    The switch is read under the lock, and a code that was replayed or voided meanwhile starts nothing.
    """
    position = Configuration.objects.advance()
    if not Configuration.objects.enabled():
        raise ImpersonationDenied(_("Impersonation is switched off for this environment."), "disabled")
    now = timezone.now()
    described = {
        "ip_address": ip_address(request.META.get("REMOTE_ADDR")),
        "user_agent": request.headers.get("User-Agent", ""),
        **fields,
    }
    described["user_agent"] = described["user_agent"][:255].replace("\x00", "")
    session: ImpersonationSession = ImpersonationSession.objects.create(
        created_at=now,
        expires_at=now + conf.IMPERSONATION_SESSION_LIFETIME,
        return_url=grant.return_url,
        client_id=grant.client_id,
        impersonator_hash_digest=grant.impersonator_hash_digest,
        user_hash_digest=digest(next(auth_hashes(grant.user))),
        impersonator_is_superuser=getattr(impersonator, "is_superuser", False),
        user_is_staff=getattr(grant.user, "is_staff", False),
        user_is_superuser=getattr(grant.user, "is_superuser", False),
        **described,
        **grant.deed(),
    )
    unspoiled = AuthorizationCode.objects.filter(pk=grant.pk, replayed_at=None, voided_at=None)
    if not unspoiled.update(session=session):
        raise ImpersonationDenied("", "invalid_code")
    Event.objects.record(Event.Name.SESSION_CREATED, position=position, session=session, **grant.deed())
    return session


def ip_address(text: object) -> str | None:
    """The address in its usual form; None for what is none. What other headers say is no evidence."""
    try:
        return str(ipaddress.ip_address(str(text).partition("%")[0]))
    except ValueError:
        return None
