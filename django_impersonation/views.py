from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError, connections, transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.middleware.csrf import CsrfViewMiddleware, rotate_token
from django.urls import get_script_prefix
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_POST, require_safe

from django_impersonation import flows, sessions
from django_impersonation.addresses import SeeOther
from django_impersonation.exceptions import ImpersonationDenied, InvalidGrant
from django_impersonation.guards import page, unavailable
from django_impersonation.models import ImpersonationSession

EndReason = ImpersonationSession.EndReason

_CODE = re.compile(r"[A-Za-z0-9_-]{43}")
# Of gunicorn, and of uWSGI, mod_wsgi and waitress.
_WHOLE_ADDRESS = {"RAW_URI", "REQUEST_URI"}
View = Callable[[HttpRequest], HttpResponse]


def autocommit(view: View) -> View:
    """Keep the view out of ATOMIC_REQUESTS on every database: what it has written stays, whatever fails later."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


@login_not_required
@autocommit
@require_GET
@sensitive_variables()
def callback(request: HttpRequest) -> HttpResponse:
    """Exchange the one-time code for a session, and go to a clean address."""
    code = _take_code(request)
    if code is None or "prefetch" in request.headers.get("Sec-Purpose", ""):
        return _refused(request, 400, _("This address is not a complete sign-in link."))
    if not hasattr(request, "impersonation"):
        return _refused(request, 403, _("The impersonation middleware is not installed."))
    own = request.session
    try:
        grant = flows.authenticate_with_code(request, code)
        if request.impersonation is not None:
            return SeeOther(grant.landing_url)
        impersonation = flows.start(request, grant)
    except InvalidGrant as error:
        return _refused(request, 400, str(error))
    except ImpersonationDenied as error:
        return _refused(request, 403, str(error))
    except (DatabaseError, InterfaceError):
        flows.logger.exception("a code could not be redeemed")
        return _refused(request, 400, str(flows.invalid_grant()))
    response = SeeOther(grant.landing_url)
    sessions.mark(response, impersonation, return_key=own.session_key or "")
    return response


def _take_code(request: HttpRequest) -> str | None:
    """The code, out of the request: no error report about what follows shall name it."""
    codes = request.GET.getlist("code")
    request.GET = QueryDict()
    request.META["QUERY_STRING"] = ""
    for name in _WHOLE_ADDRESS & request.META.keys():
        request.META[name] = request.META[name].partition("?")[0]
    return codes[0] if len(codes) == 1 and _CODE.fullmatch(codes[0]) else None


@login_not_required
@autocommit
@csrf_exempt  # checked inside, because a stale form deserves more than a bare 403
@require_POST
@sensitive_variables()
def stop(request: HttpRequest) -> HttpResponse:
    """End the impersonation and give the staff member's own session back."""
    if _csrf_failure(request):
        return page(request, "confirm_stop", 403, impersonation=flows.current(request))
    # A script or a frame of the user's pages must not climb into the admin.
    by_script = request.headers.get("Sec-Fetch-Dest", "document") != "document"
    try:
        url = flows.stop(request, sign_out=by_script)
    except (DatabaseError, InterfaceError):
        flows.logger.exception("an impersonation could not be stopped")
        return unavailable()
    response = page(request, "ended", 200, **_nothing_to_stop()) if url is None else SeeOther(url)
    sessions.unmark(response, return_key=True)
    return response


@login_not_required
@require_safe
def ended(request: HttpRequest) -> HttpResponse:
    """Says that the impersonation is over and why. Only here is the dead session put away."""
    impersonation = flows.over(request)
    if impersonation is None:
        if flows.current(request) is not None:
            return SeeOther(get_script_prefix())
        return page(request, "ended", 200, **_nothing_to_stop())
    explanation = str(_WHY[EndReason(impersonation.end_reason)]) if impersonation.end_reason else ""
    can_return = impersonation.end_reason != EndReason.SIGNED_OUT
    # An id in a cookie proves nothing: only the browser of the session is told whose it was.
    named = sessions.is_its_own(request, impersonation) or sessions.is_parked(request, impersonation)
    told = _is_navigation(request)
    if told:
        sessions.discard(request)
        rotate_token(request)  # a form of the user's pages must not be sent as anybody else
    context = {"impersonation": impersonation, "named": named, "explanation": explanation, "can_return": can_return}
    response = page(request, "ended", 200, **context)
    if told:
        sessions.unmark(response, return_key=False)
        sessions.forget_messages(response)
    return response


def _is_navigation(request: HttpRequest) -> bool:
    """Does a person see the response, in a window of its own?"""
    return (
        request.method == "GET"
        and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
        and request.headers.get("Sec-Fetch-Dest", "document") == "document"
    )


_WHY = {
    EndReason.STOPPED: gettext_lazy("You stopped it."),
    EndReason.EXPIRED: gettext_lazy("Its time was over."),
    EndReason.REVOKED: gettext_lazy("It was revoked."),
    EndReason.SIGNED_OUT: gettext_lazy("Somebody signed out or signed in in this browser."),
    EndReason.DISABLED: gettext_lazy("Impersonation was switched off."),
    EndReason.USER_CHANGED: gettext_lazy("The user's account was changed."),
    EndReason.IMPERSONATOR_CHANGED: gettext_lazy("Your own account or its permissions were changed."),
    EndReason.REPLAYED: gettext_lazy("Its one-time code was used a second time."),
}


def _nothing_to_stop() -> dict[str, Any]:
    return {"impersonation": None, "explanation": "", "can_return": False}


def _refused(request: HttpRequest, status: int, explanation: str) -> HttpResponse:
    return page(request, "refused", status, title=_("Impersonation was not started"), explanation=explanation)


def _csrf_failure(request: HttpRequest) -> str | None:
    """Why Django's CSRF check fails, or None."""
    check = _CsrfCheck(lambda request: HttpResponse())
    check.process_request(request)
    return check.process_view(request, None, (), {})  # type: ignore[return-value,arg-type]


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> str:
        return reason
