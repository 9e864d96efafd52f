from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.translation import gettext as _

from django_impersonation import conduct, context, flows, guards, sessions
from django_impersonation.addresses import SeeOther
from django_impersonation.resolution import Verdict

logger = logging.getLogger("django_impersonation")


class ImpersonationMiddleware:
    """Tags every request with the impersonation it belongs to. Stands directly after AuthenticationMiddleware.

    A request without the marker cookie costs nothing: no query, no session access, no ``Vary``.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        # Bound here, because Django would send a sync method to a thread for every async request.
        self.process_view: Callable[..., Any] = _enter
        self.process_exception = conduct.explain
        if self.is_async:
            markcoroutinefunction(self)
            self.process_view = _aenter

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._acall(request)
        try:
            verdict = flows.resolve(request)
        except (DatabaseError, InterfaceError):
            logger.exception("an impersonated request could not be checked")
            return guards.unavailable()
        refusal = _refuse_over(request) if verdict is Verdict.OVER else None
        with context.acting(request):
            try:
                response = refusal or self.get_response(request)
            except BaseException:
                conduct.release(request)
                raise
        if conduct.concerns(request):
            response = conduct.leave(request, response)
        return _finish(request, response, verdict)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        try:
            verdict = await flows.aresolve(request)
        except (DatabaseError, InterfaceError):
            logger.exception("an impersonated request could not be checked")
            return guards.unavailable()
        refusal = await sync_to_async(_refuse_over)(request) if verdict is Verdict.OVER else None
        with context.acting(request):
            try:
                response = refusal or await self.get_response(request)
            except BaseException:  # also when the client has gone
                await sync_to_async(conduct.release)(request)
                raise
        if conduct.concerns(request):
            response = await sync_to_async(conduct.leave)(request, response)
        return _finish(request, response, verdict)


def _enter(request: Any, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
    request._impersonation_entered = True
    return None if request.impersonation is None else conduct.enter(request)


async def _aenter(request: Any, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
    request._impersonation_entered = True
    return None if request.impersonation is None else await sync_to_async(conduct.enter)(request)


def _refuse_over(request: HttpRequest) -> HttpResponse | None:
    """Whatever the browser asked for, it asked as somebody whom it is not any more: the view does not run."""
    ended_url = reverse("django_impersonation:ended")
    if request.path in (ended_url, reverse("django_impersonation:stop")) or _is_static(request.path):
        return None
    safe = request.method in guards.SAFE_METHODS
    title, explanation = _("The impersonation is over"), _("Nothing was changed.")
    if guards.wants_json(request):
        body = {"error": "impersonation_ended", "error_description": f"{title}. {explanation}"}
        return guards.sealed(JsonResponse(body, status=401 if safe else 409))
    if safe:
        return SeeOther(ended_url)
    return guards.page(request, "refused", 409, title=title, explanation=explanation, next_url=ended_url)


def _is_static(path: str) -> bool:
    prefix = settings.STATIC_URL or ""
    return prefix.startswith("/") and len(prefix) > 1 and path.startswith(prefix)


def _finish(request: HttpRequest, response: HttpResponseBase, verdict: Verdict) -> HttpResponseBase:
    if getattr(request, "_impersonation_signed", False):
        sessions.close_way_back(response)
    if verdict is Verdict.NONE:
        return response
    if getattr(request, "_impersonation_forgotten", False):
        sessions.unmark(response, return_key=True)
    elif verdict is Verdict.FORGET and getattr(request, "impersonation", None) is None:
        sessions.unmark(response, return_key=False)
    patch_cache_control(response, private=True, no_store=True)
    patch_vary_headers(response, ["Cookie"])
    return response
