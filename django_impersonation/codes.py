"""The one-time code (RFC 6749 section 4.1): made at the prompt, spent at the callback, seconds apart."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from django_impersonation import addresses, policy
from django_impersonation.addresses import SeeOther
from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationDenied, InvalidGrant
from django_impersonation.models import AuthorizationCode, Configuration, Event, ImpersonationSession
from django_impersonation.organizations import Organization, organization_for, organizations_for
from django_impersonation.records import auth_hashes, digest
from django_impersonation.signals import impersonation_denied

logger = logging.getLogger("django_impersonation")

# In the impersonator's own session: the code that the client's sign-in route will ask for.
PENDING = "_impersonation_pending"


def check(
    request: HttpRequest, *, user: Any, organization: Organization | None = None, view_only: bool = True
) -> None:
    """Raise ``ImpersonationDenied`` unless the request's user may impersonate ``user`` now. Leaves no record."""
    if not Configuration.objects.enabled():
        raise ImpersonationDenied(_("Impersonation is switched off for this environment."), "disabled")
    # Without the middleware nobody knows whether this is a nested one.
    if getattr(request, "impersonation", "unknown") is not None:
        raise ImpersonationDenied(_("Stop the current impersonation before you start another."), "nested")
    policy.check(impersonator=request.user, user=user, organization=organization, view_only=view_only)


@sensitive_variables("code")
def authorize(
    request: HttpRequest,
    *,
    user: Any,
    reason: str,
    organization: str | None = None,
    return_url: str | None = None,
    view_only: bool | None = None,
) -> HttpResponse | ImpersonationDenied:
    """Make a one-time code for the request's user to act as ``user``, and send the browser to the callback.

    For POST requests of the admin and of any other support tool. ``organization`` is an id and may be left out
    unless the user has several. ``return_url`` is a path of this site, for the time after *Stop*. ``view_only``: None
    for what ``IMPERSONATION_DEFAULT_ACCESS`` says.
    A refusal is returned, not raised: an exception would roll its record back under ATOMIC_REQUESTS.
    """
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if view_only is None:
        view_only = conf.IMPERSONATION_DEFAULT_ACCESS != "full"
    try:
        chosen = choose_organization(user, organization)
        check(request, user=user, organization=chosen, view_only=view_only)
    except ImpersonationDenied as refusal:
        deny(request, user=user, refusal=refusal)
        return refusal
    try:
        reason = policy.clean_reason(reason)
        client = _client()
    except ImpersonationDenied as refusal:
        return refusal
    deed = AuthorizationCode.describe(
        impersonator=request.user, user=user, organization=chosen, reason=reason, view_only=view_only
    )
    code, made = _make(request, deed, return_url=return_url, **client)
    if made.pending:
        request.session[PENDING] = code
        return SeeOther(str(conf.IMPERSONATION_INITIATE_LOGIN_URL), registered=True)
    callback = made.redirect_uri or reverse("django_impersonation:callback")
    return SeeOther(addresses.with_query(callback, code=code), registered=True)


@sensitive_variables("code")
def _make(
    request: HttpRequest, deed: dict[str, Any], *, return_url: str | None, **client: Any
) -> tuple[str, AuthorizationCode]:
    code, now = secrets.token_urlsafe(32), timezone.now()
    user = deed["user"]
    with transaction.atomic(using=Event.objects.db):
        Event.objects.record(Event.Name.REQUESTED, **deed)
        AuthorizationCode.objects.filter(impersonator=request.user.pk, user=user.pk, used_at=None).void()
        made = AuthorizationCode.objects.create(
            digest=digest(code),
            created_at=now,
            expires_at=now + conf.IMPERSONATION_CODE_LIFETIME,
            landing_url=addresses.landing_url(),
            return_url=addresses.return_url(user, return_url),
            impersonator_hash_digest=digest(next(auth_hashes(request.user))),
            **client,
            **deed,
        )
    return code, made


@sensitive_variables()
def authenticate_with_code(request: HttpRequest, code: str) -> AuthorizationCode:
    """Spend the code of the request's user and return what it stands for.

    Raises ``InvalidGrant`` (RFC 6749 section 5.2), the same for every flaw of a code, and ``ImpersonationDenied``
    when the policy, asked again, says no. One conditional UPDATE decides between all who try at once; it must run
    in autocommit, so that nothing that fails later gives the code back.
    """
    codes = AuthorizationCode.objects.filter(digest=digest(code))
    impersonation = getattr(request, "impersonation", None)
    if impersonation is not None:
        known: AuthorizationCode | None = codes.first()
        if known is not None and known.session_id == impersonation.pk:  # Back or Reload in the session it started
            return known
        _end_if_replayed(request, known, spender="")
        nested = ImpersonationDenied(_("Stop the current impersonation before you start another."), "nested")
        deny(request, user=request.user, refusal=nested)
        raise nested
    # A user without a session of Django's (an API client, say) has nothing to come back to.
    signed_in = request.user.is_authenticated  # asked first: Django may give the session another key
    key = request.session.session_key
    spender = digest(key) if key and signed_in else ""
    mine = codes.usable().filter(impersonator=request.user.pk, client_id="")
    usable = mine if spender else codes.none()
    if not usable.update(used_at=timezone.now(), spent_from=spender):
        raise rejected(request, codes.first(), spender)
    grant: AuthorizationCode = codes.select_related("user").get()
    try:
        if grant.user is None:
            raise ImpersonationDenied(_("This user no longer exists."), "user_missing")
        chosen = choose_organization(grant.user, grant.organization_id) if grant.organization_id else None
        check(request, user=grant.user, organization=chosen, view_only=grant.view_only)
    except ImpersonationDenied as refusal:
        deny(request, user=grant.user, refusal=refusal)
        raise
    except Exception as error:  # the code is spent: a client that retries would not be helped
        logger.exception("a code was spent in vain")
        raise invalid_grant() from error
    return grant


def deny(request: HttpRequest, *, user: Any, refusal: ImpersonationDenied, actor: Any = None) -> None:
    """Put a refused attempt on record, under the name of who is really acting.

    The attempt of somebody who is not signed in is only logged.
    """
    impersonation = getattr(request, "impersonation", None)
    if actor is None:
        actor = request.user
        if impersonation is not None and impersonation.is_for(actor):
            actor = impersonation.impersonator
    logger.warning("denied (%s): %r as %r", refusal.code, actor.pk, getattr(user, "pk", None))
    if actor.is_authenticated:
        Event.objects.record_denied(code=refusal.code[:50], **Event.describe(impersonator=actor, user=user))
        # Robust: the refusal is on record, and the answer to it must not become an error.
        impersonation_denied.send_robust(
            ImpersonationSession, request=request, impersonator=actor, user=user, code=refusal.code
        )


def choose_organization(user: Any, organization_id: str | None) -> Organization | None:
    """The organization asked for, or the user's only one; raises ``ImpersonationDenied``."""
    if organization_id:
        chosen = organization_for(user, organization_id)
        if chosen is None:
            raise ImpersonationDenied(_("The user is not in this organization."), "organization_unknown")
        return chosen
    organizations = organizations_for(user, limit=2)
    if len(organizations) > 1:
        raise ImpersonationDenied(_("Choose one of the user's organizations."), "organization_required")
    return organizations[0] if organizations else None


def invalid_grant() -> InvalidGrant:
    return InvalidGrant(
        _("This sign-in link is not valid, or no longer valid. Start again in the admin."), "invalid_grant"
    )


def rejected(
    request: HttpRequest, grant: AuthorizationCode | None, spender: str, *, actor: Any = None
) -> InvalidGrant:
    """The error for a code that cannot be spent; its rejection is on record, and what a replayed one began is over."""
    if grant is None:
        logger.warning("an unknown authorization code was rejected")
        return invalid_grant()
    _end_if_replayed(request, grant, spender)
    deny(request, user=grant.user, refusal=ImpersonationDenied("", "invalid_code"), actor=actor)
    return invalid_grant()


def _end_if_replayed(request: HttpRequest, grant: AuthorizationCode | None, spender: str) -> None:
    """A code that was used before by anybody else: end what came from it (RFC 6749 section 4.1.2)."""
    if grant is None or grant.used_at is None or grant.spent_from == spender:
        return
    # First the mark, then the look: a start that is under way either sees the mark or is seen.
    AuthorizationCode.objects.filter(pk=grant.pk, replayed_at=None).update(replayed_at=timezone.now())
    # With the session: asked for by itself it would come from a replica, which may not have it yet.
    grant.refresh_from_db(from_queryset=AuthorizationCode.objects.select_related("session"))
    if grant.session is not None:
        grant.session.end(ImpersonationSession.EndReason.REPLAYED, request=request)


def _client() -> dict[str, Any]:
    """Whom the code is for, as fields of it: none for a browser of this site. Raises ``ImpersonationDenied``."""
    redirect_uri = conf.IMPERSONATION_CALLBACK_URL
    if redirect_uri is None:
        return {}
    if redirect_uri not in conf.IMPERSONATION_REDIRECT_URIS or not conf.IMPERSONATION_CLIENT_ID:
        sentence = _("IMPERSONATION_CALLBACK_URL is not one of IMPERSONATION_REDIRECT_URIS, or there is no client.")
        raise ImpersonationDenied(sentence, "misconfigured")
    pending = conf.IMPERSONATION_INITIATE_LOGIN_URL is not None
    return {"client_id": conf.IMPERSONATION_CLIENT_ID, "redirect_uri": redirect_uri, "pending": pending}
