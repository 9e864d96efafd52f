"""What an impersonated request does: on record before its view runs, and within its limits.

Cookie or token, sync or async: ``ImpersonationMiddleware`` calls ``enter`` and ``leave`` for all of them, outside of
the view's transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.handlers.exception import response_for_exception
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, resolve
from django.utils.translation import get_language

from django_impersonation import context, flows, guards
from django_impersonation.activity import Activity
from django_impersonation.conf import conf
from django_impersonation.exceptions import WriteRefused
from django_impersonation.limits import Limits, of
from django_impersonation.models import ImpersonationSession

logger = logging.getLogger("django_impersonation")


def concerns(request: Any) -> bool:
    """Is the request impersonated, or was it until its view signed out?"""
    if request.impersonation is not None:
        return True
    return hasattr(request, "_impersonation_activity") or hasattr(request, "_impersonation_limits")


def enter(request: HttpRequest) -> HttpResponse | None:
    """Before the view: put the request on record; a response if the view must not run."""
    impersonation = flows.current(request)
    if impersonation is None:
        return None
    match: Any = request.resolver_match
    if not record(request, impersonation):
        return guards.unavailable()
    if guards.is_blocked(match):
        return guards.refuse(request)
    if impersonation.view_only and not guards.may_be_sent(request):
        if conf.IMPERSONATION_VIEW_ONLY != "observe":
            return guards.refuse(request, "view_only")
        logger.warning("%s would be refused: %s %s", impersonation.pk, request.method, match.view_name)
    # Our own views write nothing but our own tables and the session.
    return None if guards.is_ours(match) else _limit(request, impersonation)


def explain(request: Any, exception: Exception) -> HttpResponse | None:
    """The page for what the view was not allowed to write."""
    limits = of(request)
    if limits is None or request.impersonation is None:
        return None
    if isinstance(exception, WriteRefused):
        code = exception.code
    elif limits.is_read_only(exception):
        code = "view_only"
    else:
        return None
    release(request)  # the transaction may be broken, and the page may ask the database
    return guards.refuse(request, code)


def release(request: Any) -> HttpResponse | None:
    """After the view, whatever became of it; a response if what the view has put off until then fails."""
    limits = of(request)
    try:
        if limits is not None:
            limits.let_go()
    except Exception as exception:  # the project's code
        logger.exception("what a view has put off until its transaction was over has failed")
        return explain(request, exception) or response_for_exception(request, exception)
    return None


def leave(request: Any, response: HttpResponseBase) -> HttpResponseBase:
    """After the view: complete the record. What is written here is ours, and under no limits."""
    impersonation = request.impersonation
    with context.acting(request):
        response = release(request) or response
    with context.acting(impersonation):
        guards.record_refusal(request, response)
        # It reached no view: there is none, or another middleware has answered.
        missed = impersonation is not None and not hasattr(request, "_impersonation_entered")
        complete(request, response.status_code)
        if missed and not record(request, impersonation, status=response.status_code):
            return guards.unavailable()
    limits = of(request)
    if limits is not None:
        limits.over = True
    if impersonation is not None or limits is not None:
        context.keep_until_closed(request, response)
    return response


def _limit(request: Any, impersonation: ImpersonationSession) -> HttpResponse | None:
    by_words = guards.signs_out(request.resolver_match)  # it writes our tables, and the words know them
    limits = request._impersonation_limits = Limits(request, impersonation, by_words=by_words)
    try:
        limits.hold()
    except (DatabaseError, InterfaceError):
        logger.exception("a database could not be made read-only")
        return guards.unavailable()
    return None


def record(request: Any, impersonation: ImpersonationSession, **fields: Any) -> bool:
    """What cannot be put on record does not happen."""
    if not conf.IMPERSONATION_RECORD_ACTIVITY:
        return True
    match = request.resolver_match
    # The address of a blocked view may hold what opens it: that of a password reset does.
    targets = _meant(request) if match is None else (match,)
    path = next((f"/{target.route}" for target in targets if guards.is_blocked(target)), request.path)
    try:
        request._impersonation_activity = Activity.objects.record(
            session=impersonation,
            method=request.method or "",
            path=path,
            view_name="" if match is None else match.view_name,
            **fields,
        )
    except (DatabaseError, InterfaceError):
        logger.exception("an impersonated request could not be put on record")
        return False
    return True


def _meant(request: Any) -> Iterator[ResolverMatch]:
    """No view was reached: where the address leads by itself, by ``APPEND_SLASH``, and by ``i18n_patterns``."""
    path, language = request.path_info, get_language() or settings.LANGUAGE_CODE
    for address in (path, f"{path}/", f"/{language}{path}", f"/{language}{path}/"):
        with suppress(Resolver404):
            yield resolve(address, getattr(request, "urlconf", None))


def complete(request: Any, status: int) -> None:
    """The request is on record, and its view has run: the answer goes out whatever happens here."""
    activity = request.__dict__.pop("_impersonation_activity", None)
    try:
        if activity is not None:
            activity.complete(status)
    except (DatabaseError, InterfaceError):
        logger.exception("the status of an impersonated request could not be put on record")
