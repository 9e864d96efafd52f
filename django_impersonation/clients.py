"""A front end on another host: it spends the code and refreshes what it got (RFC 6749, RFC 7636).

Knows nothing of HTTP, JSON or JWT: ``django_impersonation.api`` does.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from typing import Any, NamedTuple

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from django_impersonation import codes, policy, validity
from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationDenied, InvalidGrant
from django_impersonation.grants import create_session
from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession, RefreshToken
from django_impersonation.records import base64url, digest
from django_impersonation.signals import impersonation_started

logger = logging.getLogger("django_impersonation")
EndReason = ImpersonationSession.EndReason


class Grant(NamedTuple):
    """What a client gets: the session with both people, valid a moment ago, and the newest refresh token."""

    session: ImpersonationSession
    user: Any
    refresh_token: str


@sensitive_variables()
def authorize(request: HttpRequest, *, client_id: str, redirect_uri: str, code_challenge: str = "") -> str:
    """The code of the impersonation that the request's user has begun at the prompt, for this client and address.

    One conditional UPDATE makes the pending code a real one, so that it happens once. Raises ``InvalidGrant`` if
    nothing is pending, and ``ImpersonationDenied`` when the policy says no.
    """
    secret = request.session.get(codes.PENDING)
    if not request.user.is_authenticated or not isinstance(secret, str):
        raise codes.invalid_grant()
    pending = AuthorizationCode.objects.usable().filter(
        digest=digest(secret),
        pending=True,
        impersonator=request.user.pk,
        client_id=client_id,
        redirect_uri=redirect_uri,
    )
    waiting = pending.select_related("user").first()
    if waiting is None:
        raise codes.invalid_grant()
    try:
        if waiting.user is None:
            raise ImpersonationDenied(_("This user no longer exists."), "user_missing")
        codes.check(
            request, user=waiting.user, organization=_organization(waiting, waiting.user), view_only=waiting.view_only
        )
    except ImpersonationDenied as refusal:
        codes.deny(request, user=waiting.user, refusal=refusal)
        raise
    code = secrets.token_urlsafe(32)
    expires_at = timezone.now() + conf.IMPERSONATION_CODE_LIFETIME
    if not pending.update(pending=False, digest=digest(code), code_challenge=code_challenge, expires_at=expires_at):
        raise codes.invalid_grant()
    del request.session[codes.PENDING]
    return code


@sensitive_variables()
def authenticate_with_code(
    request: HttpRequest, code: str, *, client_id: str, code_verifier: str, redirect_uri: str | None, **fields: Any
) -> Grant:
    """Spend a code of this client and begin its session; ``fields`` say where its user is.

    Raises ``InvalidGrant``, the same for every flaw. Must run in autocommit, as what it spends stays spent.
    """
    found = AuthorizationCode.objects.filter(digest=digest(code))
    bound = {"code_challenge": challenge_of(code_verifier)}
    if redirect_uri is not None:
        bound["redirect_uri"] = redirect_uri
    usable = found.usable().filter(client_id=client_id, pending=False, **bound)
    # Compared as text as well: MariaDB takes an address in capitals for the same. Neither ever changes.
    if any(bound.values()) and found.values(*bound).first() != bound:
        usable = usable.none()
    if not usable.update(used_at=timezone.now(), spent_from=digest(client_id)):
        known = found.select_related("impersonator", "user").first()
        actor = known and known.impersonator
        # No spender has a Reload here: every second use is a replay.
        raise codes.rejected(request, known, "", actor=actor or AnonymousUser())
    try:
        return _begin(request, found.select_related("impersonator", "user").get(), fields)
    except InvalidGrant:
        raise
    except Exception as error:  # the code is spent: a client that retries would not be helped
        logger.exception("a code was spent in vain")
        raise codes.invalid_grant() from error


@sensitive_variables()
def authenticate_with_refresh_token(token: str, *, client_id: str, organization_id: str | None) -> Grant:
    """The session of a refresh token, and the token that takes its place. Raises ``InvalidGrant``."""
    found = RefreshToken.objects.filter(digest=digest(token), session__client_id=client_id).first()
    if found is None:
        raise codes.invalid_grant()
    session, user = load(found.session_id, client_id=client_id)
    if found.is_superseded():
        session.end(EndReason.REPLAYED)
        raise codes.invalid_grant()
    if organization_id is not None and organization_id != session.organization_id:
        raise codes.invalid_grant()
    try:  # the new token will say that the user is in it
        _organization(session, user)
    except ImpersonationDenied as left:
        raise codes.invalid_grant() from left
    return Grant(session, user, _new_refresh_token(session, found))


def load(session_id: str, *, client_id: str) -> tuple[ImpersonationSession, Any]:
    """A client's session and its user, valid now. Raises ``InvalidGrant``, with the end on record."""
    session = validity.examine(session_id)
    if session is None or not client_id or session.client_id != client_id:
        raise codes.invalid_grant()
    try:
        return _judged(session)
    except ImpersonationDenied as over:
        session.end(over.code)
        raise codes.invalid_grant() from over


def challenge_of(code_verifier: str) -> str:
    """RFC 7636 section 4.2, S256; a code without a challenge wants no verifier."""
    if not code_verifier:
        return ""
    hashed = hashlib.sha256(code_verifier.encode(errors="surrogatepass")).digest()
    return base64url(hashed)


@sensitive_variables("token")
def _begin(request: HttpRequest, grant: AuthorizationCode, fields: dict[str, Any]) -> Grant:
    impersonator, user = grant.impersonator, grant.user
    try:
        if impersonator is None or user is None:
            raise ImpersonationDenied(_("This user no longer exists."), "user_missing")
        policy.check(
            impersonator=impersonator,
            user=user,
            organization=_organization(grant, user),
            view_only=grant.view_only,
        )
        with transaction.atomic(using=Event.objects.db):
            session = create_session(request, grant, impersonator=impersonator, **fields)
            # Asked as on every request to come: it must not begin with what would end it.
            session, loaded = _judged(validity.examine(session.pk))
            token = _new_refresh_token(session)
    except ImpersonationDenied as refusal:
        codes.deny(request, user=user, refusal=refusal, actor=impersonator or AnonymousUser())
        raise codes.invalid_grant() from refusal
    logger.info("%s started: %r as %r", session.pk, session.impersonator_pk, session.user_pk)
    try:
        impersonation_started.send(ImpersonationSession, request=request, impersonation=session)
    except BaseException:
        session.end(EndReason.REVOKED)
        raise
    return Grant(session, loaded, token)


def _judged(session: Any) -> tuple[ImpersonationSession, Any]:
    """The examined session and its user; raises ``ImpersonationDenied``, whose code is how the session ends."""
    reason = validity.fault(session)
    user = validity.load_user(session) if reason is None else None
    if user is None:
        raise ImpersonationDenied("", reason or EndReason.USER_CHANGED)
    return session, user


@sensitive_variables("token")
def _new_refresh_token(session: ImpersonationSession, parent: RefreshToken | None = None) -> str:
    token = secrets.token_urlsafe(32)
    of_parent = {} if parent is None else {"generation": parent.generation + 1, "parent_digest": parent.digest}
    RefreshToken.objects.create(digest=digest(token), session=session, **of_parent)
    return token


def _organization(deed: AuthorizationCode | ImpersonationSession, user: Any) -> Any:
    return codes.choose_organization(user, deed.organization_id) if deed.organization_id else None
