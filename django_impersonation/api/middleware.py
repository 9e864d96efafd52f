from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jwt
from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers

from django_impersonation import clients, guards, resolution
from django_impersonation.api import tokens
from django_impersonation.conf import conf
from django_impersonation.exceptions import InvalidGrant

logger = logging.getLogger("django_impersonation")


class ImpersonationTokenMiddleware:
    """Tags a request that brings an access token of ours. Stands directly after ``ImpersonationMiddleware``.

    It does so before the view, so that every guard holds for tokens as for cookies. A request without such a token
    costs nothing. A token that is not good, or whose session is over, is answered here, with 401 (RFC 6750 section
    3.1): the view does not run, as whomever the request's cookies might name.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        token = tokens.bearer(request)
        if self.is_async:
            return self.get_response(request) if token is None else self._acall(request, token)
        if token is None:
            return self.get_response(request)  # type: ignore[no-any-return]
        refusal = _admit(request, token)
        if refusal is not None:
            return refusal
        with without_session(request):
            response = self.get_response(request)
        return _finish(response)

    async def _acall(self, request: HttpRequest, token: str) -> HttpResponseBase:
        refusal = await sync_to_async(_admit)(request, token)
        if refusal is not None:
            return refusal
        with without_session(request):
            response = await self.get_response(request)
        return _finish(response)


@contextmanager
def without_session(request: Any) -> Iterator[Any]:
    """A client has no session: what the cookies beside its token name is somebody else's, and stays untouched."""
    own = getattr(request, "session", None)
    if own is not None:
        request.session = type(own)()
    try:
        yield request
    finally:
        request.session = own
        request._impersonation_forgotten = False  # its logout was the client's, and the cookies are not


def _admit(request: Any, token: str) -> HttpResponse | None:
    """Tag the request; the answer, if the token is not good."""
    try:
        if not hasattr(request, "impersonation"):
            raise jwt.InvalidTokenError("without ImpersonationMiddleware no view is guarded")
        access = tokens.read(token)
        session, user = clients.load(access.session_id, client_id=conf.IMPERSONATION_CLIENT_ID)
        if session.user_pk != access.user_id:
            raise jwt.InvalidTokenError("the session of another user")
    except (jwt.InvalidTokenError, InvalidGrant):
        return _refused()
    except (DatabaseError, InterfaceError):
        logger.exception("an access token could not be checked")
        return guards.unavailable()
    resolution.tag(request, session, user)
    request._impersonation_token = access
    return None


def _refused() -> HttpResponse:
    body = {"error": "invalid_token", "error_description": "The access token is not valid, or not any more."}
    response = guards.sealed(JsonResponse(body, status=401))
    response.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return response


def _finish(response: HttpResponseBase) -> HttpResponseBase:
    patch_cache_control(response, private=True, no_store=True)
    patch_vary_headers(response, ["Authorization"])
    return response
