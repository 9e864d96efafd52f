"""The token endpoint: who asks, with what, and what the answer is."""

from __future__ import annotations

import logging
import re
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.views.decorators.debug import sensitive_variables
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from django_impersonation import clients
from django_impersonation.api import serializers, tokens
from django_impersonation.api.authentication import same
from django_impersonation.api.endpoints import Body, Endpoint
from django_impersonation.api.errors import OAuthError
from django_impersonation.api.middleware import without_session
from django_impersonation.conf import conf
from django_impersonation.grants import ip_address
from django_impersonation.models import ImpersonationSession

logger = logging.getLogger("django_impersonation")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 section 4.1


class Authenticate(Endpoint):
    """``POST /user_management/authenticate``: a code or a refresh token for an access token (RFC 6749 section 3.2)."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        if request.GET:
            raise OAuthError("invalid_request", "Parameters belong into the body, where no log keeps them.")
        body = Body(request.data)
        grants = {"authorization_code": self._code, "refresh_token": self._refresh}
        grant = grants.get(body.require("grant_type"))
        if grant is None:
            raise OAuthError("unsupported_grant_type", "grant_type is authorization_code or refresh_token.")
        if not same(body.require("client_id"), conf.IMPERSONATION_CLIENT_ID):
            raise OAuthError("invalid_client", "This client_id is not known.")
        return Response(grant(request, body))

    @sensitive_variables()
    def _code(self, request: Request, body: Body) -> dict[str, Any]:
        code, verifier = body.require("code"), body.get("code_verifier") or ""
        known = _has_secret(body)
        if not known and not (conf.IMPERSONATION_PUBLIC_CLIENT and verifier):
            raise OAuthError("invalid_client", "client_secret is missing.")
        if verifier and not _VERIFIER.fullmatch(verifier):
            raise OAuthError("invalid_grant", "code_verifier has 43 to 128 unreserved characters.")
        tokens.signing_keys()  # before the code is spent: without keys there is no token to give
        with without_session(request._request) as plain:
            plain.user = AnonymousUser()
            granted = clients.authenticate_with_code(
                plain,
                code,
                client_id=conf.IMPERSONATION_CLIENT_ID,
                code_verifier=verifier,
                redirect_uri=body.get("redirect_uri"),
                **(_described(body) if known else {}),
            )
        try:
            return _answer(granted)
        except Exception as error:  # the code is spent, and nobody holds a token
            granted.session.end(ImpersonationSession.EndReason.REVOKED)
            logger.exception("a code was spent in vain")
            raise OAuthError("invalid_grant", "The answer could not be made. Start again.") from error

    @sensitive_variables()
    def _refresh(self, request: Request, body: Body) -> dict[str, Any]:
        token = body.require("refresh_token")
        if not _has_secret(body) and not conf.IMPERSONATION_PUBLIC_CLIENT:  # RFC 6749 section 6
            raise OAuthError("invalid_client", "client_secret is missing.")
        tokens.signing_keys()
        granted = clients.authenticate_with_refresh_token(
            token, client_id=conf.IMPERSONATION_CLIENT_ID, organization_id=body.get("organization_id")
        )
        return _answer(granted)


@sensitive_variables()
def _answer(granted: clients.Grant) -> dict[str, Any]:
    session = granted.session
    answer = {
        "user": serializers.user_object(granted.user),
        "access_token": tokens.access_token(session),
        "refresh_token": granted.refresh_token,
        "authentication_method": "Impersonation",
        "impersonator": serializers.impersonator_object(session),
    }
    return answer | {"organization_id": session.organization_id} if session.organization_id else answer


@sensitive_variables()
def _has_secret(body: Body) -> bool:
    """Did the client authenticate itself? A wrong secret raises ``OAuthError``, one that is missing does not."""
    secret = body.get("client_secret")
    if secret is not None and not same(secret, conf.IMPERSONATION_API_KEY):
        raise OAuthError("invalid_client", "client_secret is wrong.")
    return secret is not None


def _described(body: Body) -> dict[str, Any]:
    """Where the user is, in the words of a client that has proven who it is. ``REMOTE_ADDR`` is only its own."""
    described = {"ip_address": ip_address(body.get("ip_address")), "user_agent": body.get("user_agent")}
    return {name: value for name, value in described.items() if value is not None}
