"""The two addresses of the API that a browser visits: it is sent on to registered addresses only."""

from __future__ import annotations

import re
from functools import wraps

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables

from django_impersonation import clients, flows
from django_impersonation.addresses import Found, with_query
from django_impersonation.api.authentication import same
from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationError
from django_impersonation.guards import sealed
from django_impersonation.models import ImpersonationSession
from django_impersonation.views import View, autocommit

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 in base64url
_KNOWN = ("client_id", "redirect_uri", "response_type", "state", "code_challenge", "code_challenge_method")


def _get_only(view: View) -> View:
    """Any other method is refused as the rest of the API does it: in JSON, and without asking for a CSRF token."""

    @csrf_exempt
    @wraps(view)
    def get_only(request: HttpRequest) -> HttpResponse:
        if request.method == "GET":
            return view(request)
        body = {"message": f'Method "{request.method}" not allowed.', "code": "method_not_allowed"}
        return sealed(JsonResponse(body, status=405, headers={"Allow": "GET"}))

    return get_only


@login_not_required
@autocommit
@_get_only
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


@login_not_required
@autocommit
@_get_only
def logout(request: HttpRequest) -> HttpResponse:
    """``GET /user_management/sessions/logout``: ends a client's session, and leads to a registered address.

    ``session_id`` is what a client's token says. No session of this site's own browsers ends here: its id is in a
    cookie.
    """
    session_id = request.GET.get("session_id", "")
    if not session_id or "\x00" in session_id:
        body = {"code": "invalid_request_parameters", "message": "session_id is required"}
        return sealed(JsonResponse(body, status=422))
    if "prefetch" not in request.headers.get("Sec-Purpose", ""):
        theirs = ImpersonationSession.objects.filter(pk=session_id).exclude(client_id="")
        theirs.end(ImpersonationSession.EndReason.SIGNED_OUT, request=request)
    registered = conf.IMPERSONATION_SIGN_OUT_URIS
    wanted = request.GET.get("return_to", "")
    default = registered[0] if registered else "/"
    return Found(wanted if wanted in registered else default, registered=bool(registered))


def _error(error: str, description: str) -> HttpResponse:
    return sealed(JsonResponse({"error": error, "error_description": description}, status=400))
