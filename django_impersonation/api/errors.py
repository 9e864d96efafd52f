"""Every error as JSON, in the shape that the SDKs read: OAuth errors, validation, keys, unknown things."""

from __future__ import annotations

import logging
from math import ceil
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import DatabaseError, InterfaceError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from django_impersonation.exceptions import InvalidGrant

logger = logging.getLogger("django_impersonation")
MALFORMED = "The request is malformed or too large."


class OAuthError(Exception):
    """RFC 6749 section 5.2; the description is for developers."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.body = {"error": error, "error_description": description}


class Unprocessable(Exception):
    def __init__(self, message: str, code: str = "invalid_request_parameters") -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message}


def respond(error: Exception, sender: Any, request: Any) -> Response:
    """The response to whatever a view of the API has raised; never without one."""
    headers: dict[str, str] = {}
    if isinstance(error, InvalidGrant):
        error = OAuthError("invalid_grant", "The grant is invalid, was used before, or is over.")
    if isinstance(error, exceptions.ParseError | exceptions.UnsupportedMediaType):
        error = OAuthError("invalid_request", "The body is no JSON object and no form, or it is too long.")
    if isinstance(error, SuspiciousOperation):  # more parameters, say, than Django reads
        error = OAuthError("invalid_request", MALFORMED)
    status, body = _describe(error)
    if isinstance(error, exceptions.AuthenticationFailed | exceptions.NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if status == 429:
        headers["Retry-After"] = str(ceil(getattr(error, "wait", None) or 1))
    if status == 503:
        headers["Retry-After"] = "1"
        logger.error("the database did not answer", exc_info=error)
    if status == 500:
        logger.error("the API failed", exc_info=error)
        got_request_exception.send(sender=sender, request=request)
    return Response(body, status=status, headers=headers)


def _describe(error: Exception) -> tuple[int, dict[str, str]]:
    match error:
        case OAuthError():
            return 400, error.body
        case Unprocessable():
            return 422, error.body
        case exceptions.AuthenticationFailed() | exceptions.NotAuthenticated():
            return 401, {"message": "Unauthorized"}
        case Http404():
            return 404, {"message": "Not found.", "code": "entity_not_found"}
        case exceptions.APIException():
            return error.status_code, {"message": str(error.detail), "code": str(error.default_code)}
        case DatabaseError() | InterfaceError():
            return 503, {"message": "Please try again in a moment.", "code": "unavailable"}
        case _:
            return 500, {"message": "Internal server error.", "code": "server_error"}
