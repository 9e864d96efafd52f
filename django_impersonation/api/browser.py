"""The two addresses of the API that a browser visits: it is sent on to registered addresses only."""

from __future__ import annotations

import re
from functools import wraps

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables

from django_impersonation import clients, flows
from django_impersonation.addresses import Found, with_query
from django_impersonation.api.authentication import same
from django_impersonation.api.endpoints import query_of
from django_impersonation.api.errors import MALFORMED
from django_impersonation.api.pagination import lookup
from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationError
from django_impersonation.guards import sealed
from django_impersonation.models import ImpersonationSession
from django_impersonation.records import new_id
from django_impersonation.views import View, autocommit

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 in base64url
_KNOWN = ("client_id", "redirect_uri", "response_type", "state", "code_challenge", "code_challenge_method")


def visited(view: View) -> View:
    """GET alone, so that nothing is spent or ended by anything but a visit, and JSON for what is refused."""

    @login_not_required
    @autocommit
    @csrf_exempt
    @wraps(view)
    def visit(request: HttpRequest) -> HttpResponse:
        if request.method != "GET":
            body = {"message": "Only GET is allowed here.", "code": "method_not_allowed"}
            return _answer(405, body, {"Allow": "GET"})
        try:
            query_of(request)
        except SuspiciousOperation:
            return _error("invalid_request", MALFORMED)
        return view(request)

    return visit


@visited
@sensitive_variables()
def authorize(request: HttpRequest) -> HttpResponse:
    """``GET /user_management/authorize``: the code of the impersonation that waits in the operator's own session.

    Knows no other sign-in. What cannot be answered to a registered address is answered here (RFC 6749 section
    4.1.2.1).
    """
    given = request.GET
    client_id, redirect_uri = given.get("client_id", ""), given.get("redirect_uri", "")
    if any(len(given.getlist(name)) > 1 for name in _KNOWN):
        return _error("invalid_request", "A parameter is given twice.")
    if not same(client_id, conf.IMPERSONATION_CLIENT_ID):
        return _error("invalid_client", "This client_id is not known.")
    if redirect_uri not in conf.IMPERSONATION_REDIRECT_URIS:
        return _error("invalid_request", "This redirect_uri is not registered in IMPERSONATION_REDIRECT_URIS.")
    answer = _flaw(request) or _code(request, client_id, redirect_uri)
    if "state" in given:
        answer["state"] = given["state"]
    return Found(with_query(redirect_uri, **answer), registered=True)


def _flaw(request: HttpRequest) -> dict[str, str]:
    """What is wrong with the request, in the words of RFC 6749 and RFC 7636; empty if nothing is."""
    given = request.GET
    if given.get("response_type") != "code":
        return {"error": "unsupported_response_type", "error_description": "response_type is code."}
    challenge, method = given.get("code_challenge"), given.get("code_challenge_method")
    if challenge is None and method is None:
        return {}
    if method != "S256" or not _CHALLENGE.fullmatch(challenge or ""):
        return {"error": "invalid_request", "error_description": "code_challenge needs the method S256."}
    return {}


@sensitive_variables()
def _code(request: HttpRequest, client_id: str, redirect_uri: str) -> dict[str, str]:
    denied = {"error": "access_denied", "error_description": "Nobody has begun an impersonation in this browser."}
    # A frame or an image of a foreign page has no use for the code, and could only spend it.
    navigation = request.headers.get("Sec-Fetch-Dest", "document") == "document"
    if not navigation or "prefetch" in request.headers.get("Sec-Purpose", ""):
        return denied
    try:
        code = clients.authorize(
            request,
            client_id=client_id,
            redirect_uri=redirect_uri,
            code_challenge=request.GET.get("code_challenge", ""),
        )
    except ImpersonationError:
        return denied
    except (DatabaseError, InterfaceError):
        flows.logger.exception("a code could not be made")
        return {"error": "temporarily_unavailable", "error_description": "Please try again in a moment."}
    return {"code": code}


@visited
def logout(request: HttpRequest) -> HttpResponse:
    """``GET /user_management/sessions/logout``: ends a client's session, and leads to a registered address.

    ``session_id`` is what a client's token says. No session of this site's own browsers ends here: its id is in a
    cookie.
    """
    session_id = request.GET.get("session_id", "")
    if not session_id or "\x00" in session_id:
        return _answer(422, {"message": "session_id is required", "code": "invalid_request_parameters"})
    if "prefetch" not in request.headers.get("Sec-Purpose", ""):
        try:
            session = lookup(ImpersonationSession.objects.exclude(client_id=""), session_id)
            if session is not None:
                session.end(ImpersonationSession.EndReason.SIGNED_OUT, request=request)
        except (DatabaseError, InterfaceError):
            flows.logger.exception("a session could not be ended")
            body = {"message": "Please try again in a moment.", "code": "unavailable"}
            return _answer(503, body, {"Retry-After": "1"})
    registered = conf.IMPERSONATION_SIGN_OUT_URIS
    wanted = request.GET.get("return_to", "")
    default = registered[0] if registered else "/"
    return Found(wanted if wanted in registered else default, registered=bool(registered))


def _error(error: str, description: str) -> HttpResponse:
    return _answer(400, {"error": error, "error_description": description})


def _answer(status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> HttpResponse:
    """What is no redirect is JSON, as everywhere here."""
    return sealed(JsonResponse(body, status=status, headers={"X-Request-ID": new_id("req"), **(headers or {})}))
