"""The browser's side: an inert session for the user's pages, the staff member's own one parked beside it.

Knows Django's sessions and cookies, and nothing of who may do what.
"""

from __future__ import annotations

import re
import time
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import rotate_token
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from django_impersonation.models import ImpersonationSession
from django_impersonation.records import auth_hashes

# Says "look", and is no credential: our session's public id.
MARKER = "impersonation"
# The parked session's key. *key* in its name makes Django's error reports mask it.
RETURN_KEY = "impersonation_return_key"
# Both cookies outlive the session, so that its end can be told and the way back is open. In seconds.
AFTERMATH = 60 * 60
TAG = "_impersonation"
INERT_BACKEND = "django_impersonation.sessions.InertBackend"

_SESSION_ID = re.compile(r"session_[0-9A-HJKMNP-TV-Z]{26}")


class InertBackend:
    """Named by impersonated sessions and never in ``AUTHENTICATION_BACKENDS``.

    Django, Channels and all who ask Django see nobody in such a session unless our middleware vouches for it.
    """

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        return None

    def get_user(self, user_id: Any) -> None:
        return None


def marker(request: HttpRequest) -> str | None:
    """The id in the marker cookie: None without the cookie, "" for what cannot be an id."""
    value = request.COOKIES.get(MARKER)
    return value if value is None or _SESSION_ID.fullmatch(value) else ""


def marks(request: HttpRequest) -> dict[str, Any]:
    """What this browser's session says about an impersonation; empty if it is an ordinary one."""
    found = request.session.get(TAG)
    return found if isinstance(found, dict) else {}


def is_its_own(request: HttpRequest, impersonation: ImpersonationSession) -> bool:
    """Is this the browser's session of it? An id proves nothing: it stands in events and tokens. The secret does."""
    marked = marks(request)
    return marked.get("id") == impersonation.pk and impersonation.has_secret(marked.get("secret"))


def user_key(request: HttpRequest) -> str | None:
    """The key of the user whom the session names, unverified."""
    return request.session.get(SESSION_KEY)


def is_ordinary(request: HttpRequest) -> bool:
    """Is somebody signed in here by a session that is none of ours?"""
    return not marks(request) and user_key(request) is not None


def is_parked(request: HttpRequest, impersonation: ImpersonationSession) -> bool:
    """Is it the impersonator's own session, which a late response may have given back to the browser?"""
    if not is_ordinary(request):
        return False
    if impersonation.has_return_key(request.session.session_key):
        return True
    return impersonation.impersonator is not None and user_key(request) == key_of(impersonation.impersonator)


def has_parked_key(request: HttpRequest, impersonation: ImpersonationSession) -> bool:
    """Is it that very session, and no other one of the impersonator's in another browser?"""
    signed = settings.SESSION_ENGINE.endswith("signed_cookies")  # they have another key each time they are written
    return signed or impersonation.has_return_key(request.session.session_key)


@sensitive_variables()
def begin(request: HttpRequest, impersonation: ImpersonationSession, user: Any, secret: str) -> None:
    """Put a new, inert session for ``user`` in the place of the request's session, which stays as it is."""
    lifetime = impersonation.expires_at - impersonation.created_at
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session.update(
        {
            SESSION_KEY: key_of(user),
            HASH_SESSION_KEY: next(auth_hashes(user)),
            BACKEND_SESSION_KEY: INERT_BACKEND,
            TAG: {
                "id": impersonation.pk,
                "secret": secret,
                # Seconds since the epoch: with USE_TZ=False the clock of ``expires_at`` may be set back an hour.
                "until": int(time.time() + lifetime.total_seconds()),
            },
        }
    )
    session.set_expiry(impersonation.expires_at)
    session.create()
    request.session = session
    rotate_token(request)


def keep(request: HttpRequest) -> dict[str, Any]:
    """What makes the session ours, for ``renew`` to put back."""
    return {key: request.session.get(key) for key in (SESSION_KEY, HASH_SESSION_KEY, BACKEND_SESSION_KEY, TAG)}


def renew(request: HttpRequest, impersonation: ImpersonationSession, kept: dict[str, Any] | None) -> None:
    """Make the session inert, tagged and short again after a ``login()`` for the same user.

    A client's impersonation has none (``kept`` is None): no login within it shall leave one.
    """
    if kept is None:
        request.session.flush()
        return
    request.session.update(kept)
    request.session.set_expiry(impersonation.expires_at)


def disown(request: HttpRequest) -> None:
    """A login took over an impersonated session that was lying around: nobody who knew its key shall follow."""
    if marks(request):
        del request.session[TAG]
        request.session.set_expiry(None)
        request.session.cycle_key()


def discard(request: HttpRequest) -> None:
    """Flush the request's session if it is an impersonated one; never anybody's own."""
    if marks(request):
        request.session.flush()
        set_user(request, AnonymousUser())


@sensitive_variables()
def unpark(request: HttpRequest, impersonation: ImpersonationSession, *, sign_out: bool) -> bool:
    """Give the browser its parked session back, under a new key, or flush that session.

    Possession of the key alone counts, and Django's own check of the session: the impersonator's password,
    account and keys may have changed since. Returns False if nobody is signed in now.
    """
    parked = import_module(settings.SESSION_ENGINE).SessionStore(request.COOKIES.get(RETURN_KEY))
    own, request.session = request.session, parked
    user = get_user(request)
    if user.pk is None or user.pk != impersonation.impersonator_id or not getattr(user, "is_active", True):
        request.session = own
        rotate_token(request)
        return False
    if sign_out:
        parked.flush()
    else:
        parked.cycle_key()
    set_user(request, AnonymousUser() if sign_out else user)
    rotate_token(request)
    return not sign_out


def set_user(request: HttpRequest, user: Any) -> None:
    """Make ``request.user`` and ``await request.auser()`` this user, until somebody signs in."""
    request.user = user
    request._cached_user = request._acached_user = user  # type: ignore[attr-defined]

    async def auser() -> Any:
        return request.user

    request.auser = auser


def mark(response: HttpResponse, impersonation: ImpersonationSession, *, return_key: str) -> None:
    """Set both cookies, and drop messages that were meant for the impersonator."""
    age = int((impersonation.expires_at - timezone.now()).total_seconds()) + AFTERMATH
    response.set_cookie(MARKER, impersonation.pk, max_age=age, **_cookie())
    response.set_cookie(
        RETURN_KEY, return_key, max_age=age, **_cookie() | {"path": _stop_path(), "samesite": "Strict"}
    )
    forget_messages(response)


def unmark(response: HttpResponseBase, *, return_key: bool) -> None:
    """Delete the marker, and the parked key with it unless the way back shall stay open."""
    response.delete_cookie(MARKER, **_attributes())
    if return_key:
        close_way_back(response)
        forget_messages(response)


def close_way_back(response: HttpResponseBase) -> None:
    """Delete the parked key: whoever signs in with this browser is not followed by the staff member of before."""
    response.delete_cookie(RETURN_KEY, **_attributes() | {"path": _stop_path(), "samesite": "Strict"})


def forget_messages(response: HttpResponseBase) -> None:
    response.delete_cookie(
        "messages", domain=settings.SESSION_COOKIE_DOMAIN, samesite=settings.SESSION_COOKIE_SAMESITE
    )


def _cookie() -> dict[str, Any]:
    return _attributes() | {"secure": settings.SESSION_COOKIE_SECURE, "httponly": True}


def _attributes() -> dict[str, Any]:
    return {
        "path": settings.SESSION_COOKIE_PATH,
        "domain": settings.SESSION_COOKIE_DOMAIN,
        "samesite": settings.SESSION_COOKIE_SAMESITE,
    }


def _stop_path() -> str:
    return reverse("django_impersonation:stop")


def key_of(user: Any) -> str:
    return str(user._meta.pk.value_to_string(user))
