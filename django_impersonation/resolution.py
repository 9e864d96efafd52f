"""Every request: is somebody impersonated, still and by this browser? One judgement, for sync and async alike."""

from __future__ import annotations

import time
from datetime import timedelta
from enum import Enum
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils import timezone

from django_impersonation import context, sessions, validity
from django_impersonation.models import ImpersonationSession

EndReason = ImpersonationSession.EndReason
Ending = tuple[ImpersonationSession, str]


class Verdict(Enum):
    """What the marker cookie of a request turned out to mean."""

    NONE = "no marker"
    FORGET = "a marker that is not this browser's: delete it and go on"
    OVER = "an impersonation that is over: refuse the request"
    VALID = "an impersonated request"


def resolve(request: Any) -> Verdict:
    """Set the request's attributes; where the impersonation turned out to be over, put its end on record.

    Raises ``DatabaseError``: that is no end, and nothing was changed.
    """
    session_id = _begin(request)
    return _resolve(request, session_id) if session_id else _without(session_id)


async def aresolve(request: Any) -> Verdict:
    """``resolve`` for async requests: one thread for its queries, and none without a marker."""
    session_id = _begin(request)
    return await sync_to_async(_resolve)(request, session_id) if session_id else _without(session_id)


def over(request: HttpRequest) -> ImpersonationSession | None:
    """The session whose end this request ran into."""
    return getattr(request, "_impersonation_over", None)


def forget(request: Any) -> None:
    """From here on the request is nobody's impersonation, and its response deletes both cookies."""
    request.impersonation = request.impersonator = None
    request._impersonation_forgotten = True


def tag(request: Any, session: ImpersonationSession, user: Any) -> None:
    """From here on the request is the user's, and says so."""
    sessions.set_user(request, user)
    request.impersonation, request.impersonator = session, session.by
    # A client's session lives in no browser: there is nothing to put back after a login.
    request._impersonation_kept = None if session.client_id else sessions.keep(request)


def on_login(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    """Somebody signs in: while impersonating, the same user stays tagged, and another one ends it."""
    request = context.djangos(request)
    session = getattr(request, "impersonation", None)
    if not hasattr(request, "impersonation") and hasattr(request, "session") and context.acting_session() is not None:
        request.session.flush()  # the code has made a request of its own, for a browser or a device elsewhere
        return
    left = getattr(request, "_impersonation_left", None)
    acted = session or left
    if acted is not None and not acted.is_for(user):
        request._impersonation_taken_over = True
    if session is not None and not session.is_for(user):
        on_logout(sender, request, user)
    elif session is not None:
        sessions.renew(request, session, request._impersonation_kept)
    elif left is not None and left.user_id == user.pk:
        # Logged out and in again within a request: whoever did it never knew the user's password.
        sessions.renew(request, left, request._impersonation_kept)
        sessions.set_user(request, AnonymousUser())
    elif hasattr(request, "session"):
        request._impersonation_signed = True
        sessions.disown(request)


def on_logout(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    """The user's own logout ends the impersonation, with no way back: he who logs out wants to be nobody."""
    request = context.djangos(request)
    session = getattr(request, "impersonation", None)
    if session is not None:
        session.end(EndReason.SIGNED_OUT, request=request)
        forget(request)
        request._impersonation_left = session


def _begin(request: Any) -> str | None:
    request.impersonation = request.impersonator = None
    # Placed before Django's own middleware there is no session to read: nobody is impersonated.
    return sessions.marker(request) if hasattr(request, "session") and hasattr(request, "user") else None


def _without(session_id: str | None) -> Verdict:
    return Verdict.NONE if session_id is None else Verdict.FORGET


def _resolve(request: Any, session_id: str) -> Verdict:
    verdict, ending = _judge(request, validity.examine(session_id))
    if ending is not None:
        session, reason = ending
        session.end(reason, request=request)
    return verdict


def _judge(request: Any, session: ImpersonationSession | None) -> tuple[Verdict, Ending | None]:
    """The verdict, and the end that has to be recorded."""
    if session is None or session.client_id:  # a client's session lives in no browser
        return Verdict.FORGET, None
    ours = sessions.is_its_own(request, session)
    parked = sessions.is_parked(request, session)
    if not ours and not parked and (sessions.is_ordinary(request) or _is_old(session)):
        return Verdict.FORGET, None
    reason = validity.fault(session)
    if ours and reason is None:
        reason = _mismatch(request, session)
        if reason is None:
            return Verdict.VALID, None
    if parked and reason is None and sessions.has_parked_key(request, session):
        reason = EndReason.STOPPED
    request._impersonation_over = session
    sessions.set_user(request, AnonymousUser())
    return Verdict.OVER, None if reason is None else (session, reason)


def _mismatch(request: Any, session: ImpersonationSession) -> str | None:
    """What only this browser's session can tell; if nothing is wrong with it, the request is the user's."""
    user = validity.load_user(session)
    if user is None or sessions.user_key(request) != sessions.key_of(user):
        return EndReason.USER_CHANGED
    if not time.time() < sessions.marks(request).get("until", 0):
        return EndReason.EXPIRED
    tag(request, session, user)
    return None


def _is_old(session: ImpersonationSession) -> bool:
    return timezone.now() > session.expires_at + timedelta(seconds=sessions.AFTERMATH)
