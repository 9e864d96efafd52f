"""Who acts as whom: authorize, authenticate_with_code, start, resolve, current, stop. No other code decides it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from django_impersonation import context, resolution, sessions
from django_impersonation.addresses import login_url
from django_impersonation.codes import authenticate_with_code, authorize, check, deny, invalid_grant
from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.grants import create_session
from django_impersonation.models import AuthorizationCode, Configuration, Event, ImpersonationSession
from django_impersonation.records import digest
from django_impersonation.resolution import aresolve, forget, over, resolve
from django_impersonation.signals import impersonation_started

__all__ = [
    "aresolve",
    "authenticate_with_code",
    "authorize",
    "check",
    "current",
    "deny",
    "invalid_grant",
    "login_url",
    "over",
    "resolve",
    "revoke",
    "start",
    "stop",
    "switch",
]

logger = logging.getLogger("django_impersonation")
current: Callable[[Any], ImpersonationSession | None] = context.current


@sensitive_variables("secret")
def start(request: HttpRequest, grant: AuthorizationCode) -> ImpersonationSession:
    """Begin the session of a code that was spent, in this browser.

    Session, event and the link to the code are written in one transaction, or nothing is: then ``InvalidGrant``
    is raised, and the code is burned. A receiver of ``impersonation_started`` that raises ends the session.
    """
    own, impersonator, secret = request.session, request.user, secrets.token_urlsafe(32)
    try:
        if own.modified:  # what this request has put into it is the impersonator's
            own.save()
        with transaction.atomic(using=Event.objects.db):
            impersonation = create_session(
                request,
                grant,
                impersonator=impersonator,
                secret_digest=digest(secret),
                return_key_digest=digest(own.session_key or ""),
            )
            sessions.begin(request, impersonation, grant.user, secret)
    except Exception as error:  # whatever happened: the code is spent, and a client that retries won't be helped
        request.session = own
        if isinstance(error, ImpersonationDenied):
            deny(request, user=grant.user, refusal=error)
        else:
            logger.exception("an impersonation could not be started")
        raise invalid_grant() from error
    resolution.tag(request, impersonation, grant.user)
    logger.info("%s started: %r as %r", impersonation.pk, impersonation.impersonator_pk, impersonation.user_pk)
    try:
        impersonation_started.send(ImpersonationSession, request=request, impersonation=impersonation)
    except BaseException:
        impersonation.end(ImpersonationSession.EndReason.REVOKED, request=request)
        request.session.flush()
        request.session = own
        sessions.set_user(request, impersonator)
        forget(request)
        raise
    return impersonation


@sensitive_variables("key")
def stop(request: HttpRequest, *, sign_out: bool) -> str | None:
    """End the impersonation of this browser and give the impersonator their own session back.

    Returns the address to go to, or None if there was nothing to stop. Signs out instead if ``sign_out`` or
    ``IMPERSONATION_ON_STOP`` say so, if the user had logged out, or if the parked session is not good any more.
    """
    key = request.COOKIES.get(sessions.RETURN_KEY)
    session = getattr(request, "impersonation", None) or _parked_beside(request, key)
    if session is None:
        sessions.discard(request)
        return None
    session.end(ImpersonationSession.EndReason.STOPPED, request=request)
    back = (
        session.has_return_key(key)
        and session.end_reason != ImpersonationSession.EndReason.SIGNED_OUT
        and (not sessions.is_ordinary(request) or sessions.is_parked(request, session))
    )
    sessions.discard(request)
    sign_out = sign_out or conf.IMPERSONATION_ON_STOP != "restore"
    restored = back and sessions.unpark(request, session, sign_out=sign_out)
    forget(request)
    logger.info("%s stopped: %s", session.pk, "restored" if restored else "signed out")
    return session.return_url if restored else login_url()


def switch(enabled: bool, *, by: Any = None) -> bool:
    """Switch impersonation on or off for this environment; off ends every session and voids every code.

    Returns False if it was so already. Raises ``ImpersonationDenied`` where the deployment's settings decide.
    """
    if conf.IMPERSONATION_ENABLED is not None:
        raise ImpersonationDenied(_("IMPERSONATION_ENABLED decides in this deployment."), "fixed")
    with transaction.atomic(using=Event.objects.db):
        position = Configuration.objects.advance()
        row = Configuration.objects.filter(environment=conf.IMPERSONATION_ENVIRONMENT).exclude(enabled=enabled)
        if not row.update(enabled=enabled, changed_at=timezone.now(), changed_by="" if by is None else str(by)[:255]):
            return False
        name = Event.Name.ENABLED if enabled else Event.Name.DISABLED
        Event.objects.record(name, position=position, **Event.describe(impersonator=by))
        if not enabled:
            AuthorizationCode.objects.void()
            ImpersonationSession.objects.end(ImpersonationSession.EndReason.DISABLED)
    return True


def revoke(found: Any, *, codes: Any = None, request: HttpRequest | None = None) -> int:
    """End these sessions, void these codes and those of the people who began the sessions; returns how many ended."""
    with transaction.atomic(using=Event.objects.db):
        Configuration.objects.advance()
        found = found.filter(ended_at=None)
        people = {session.impersonator_id for session in found} - {None}
        AuthorizationCode.objects.filter(impersonator__in=people).void()
        if codes is not None:
            codes.void()
        return int(found.end(ImpersonationSession.EndReason.REVOKED, request=request))


def _parked_beside(request: HttpRequest, key: str | None) -> ImpersonationSession | None:
    """The session beside which the browser's own one was parked; until an hour after its end."""
    if not key:
        return None
    ended = over(request)
    if ended is not None and ended.has_return_key(key):
        return ended
    since = timezone.now() - timedelta(seconds=sessions.AFTERMATH)
    found: ImpersonationSession | None = ImpersonationSession.objects.filter(
        return_key_digest=digest(key), expires_at__gt=since
    ).first()
    return found
