"""What an impersonator may not open, and how that is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase, translate
from functools import lru_cache, partial, wraps
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import ResolverMatch, get_script_prefix, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_impersonation import context, flows
from django_impersonation.blocked import DEFAULT_BLOCKED_VIEWS, SIGN_OUT_VIEWS
from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.models import ImpersonationSession

SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
_CSP_MIDDLEWARE = "django.middleware.csp.ContentSecurityPolicyMiddleware"
_CLOSED = "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
_MISUSED = "On a method, use method_decorator(forbid_impersonation)."


def forbid_impersonation(view: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: refuse this view, sync or async, to impersonators. For a class, use ``method_decorator``."""
    if iscoroutinefunction(view) or _is_of_an_async_class(view):

        @wraps(view)
        async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not hasattr(request, "META"):
                raise TypeError(_MISUSED)
            tagged = getattr(request, "impersonation", None) is not None
            # In a thread: another middleware may have put a lazy user on the request.
            if tagged and await sync_to_async(flows.current)(request) is not None:
                return await sync_to_async(refuse)(request)
            return await view(request, *args, **kwargs)
    else:

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not hasattr(request, "META"):
                raise TypeError(_MISUSED)
            return view(request, *args, **kwargs) if flows.current(request) is None else refuse(request)

    guarded.forbids_impersonation = True  # type: ignore[attr-defined]  # for `impersonation surface`
    return guarded


def _is_of_an_async_class(view: Any) -> bool:
    """``method_decorator`` gives the method of one view: ``dispatch`` is no coroutine function, and is awaited."""
    owner = getattr(getattr(view, "func", view), "__self__", None)
    return bool(getattr(owner, "view_is_async", False))


def allow_in_view_only(view: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the view's POST only reads (a search, say), so that view-only sessions may send it."""

    @wraps(view)
    def allowed(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    if iscoroutinefunction(view):
        markcoroutinefunction(allowed)
    allowed.allow_in_view_only = True  # type: ignore[attr-defined]  # here: the view may have other addresses
    return allowed


def is_ours(match: ResolverMatch) -> bool:
    return match.app_names[-1:] == ["django_impersonation"]


def signs_out(match: ResolverMatch) -> bool:
    """The user's own logout ends the impersonation, and changes nothing else."""
    return any(name in SIGN_OUT_VIEWS for name in names_of(match))


def may_be_sent(request: HttpRequest) -> bool:
    """May a view-only session send this request? It reads, by its method or by what the project says of the view."""
    # Another middleware may have put X-HTTP-Method-Override in the place of what was sent.
    sent = {request.method, request.META.get("REQUEST_METHOD", request.method)}
    if {str(method).upper() for method in sent} <= SAFE_METHODS:
        return True
    match: Any = request.resolver_match
    return is_ours(match) or signs_out(match) or is_allowed_in_view_only(match)


def is_allowed_in_view_only(match: ResolverMatch) -> bool:
    """Does the project say, by decorator or setting, that the view's unsafe methods only read?"""
    pattern = _compiled((), tuple(conf.IMPERSONATION_VIEW_ONLY_VIEWS))
    return getattr(match.func, "allow_in_view_only", False) or any(map(pattern.fullmatch, names_of(match)))


def is_blocked(match: ResolverMatch) -> bool:
    """Does a pattern of ``IMPERSONATION_BLOCKED_VIEWS`` or of the defaults match the view? Never our own."""
    if is_ours(match):
        return False
    pattern = _compiled(DEFAULT_BLOCKED_VIEWS, tuple(conf.IMPERSONATION_BLOCKED_VIEWS))
    return any(pattern.fullmatch(name) for name in names_of(match))


def blocking_pattern(match: ResolverMatch) -> str | None:
    """The first pattern that blocks the view."""
    patterns = _without_removed(DEFAULT_BLOCKED_VIEWS, conf.IMPERSONATION_BLOCKED_VIEWS) if is_blocked(match) else ()
    return next((p for p in patterns if any(fnmatchcase(name, p) for name in names_of(match))), None)


def refuse(request: HttpRequest, code: str = "blocked_view") -> HttpResponse:
    """Say so, with a way out; the attempt goes on record when the view is over."""
    impersonation: ImpersonationSession = request.impersonation  # type: ignore[attr-defined]
    note_refusal(request, impersonation, code)
    if wants_json(request):
        body = {"error": "impersonation_forbidden", "error_description": str(_WHY[code])}
        return sealed(JsonResponse(body, status=403))
    return page(request, "forbidden", 403, impersonation=impersonation, code=code, explanation=_WHY[code])


_WHY = {
    "blocked_view": gettext_lazy("This page is not available while you are impersonating a user."),
    "view_only": gettext_lazy("This session is view only: nothing can be changed in it."),
    "credential": gettext_lazy("What lets somebody sign in cannot be changed while you are impersonating a user."),
}


def refusal(code: str, kind: type[ImpersonationDenied] = ImpersonationDenied) -> ImpersonationDenied:
    return kind(str(_WHY[code]), code)


def note_refusal(request: Any, impersonation: ImpersonationSession, code: str = "blocked_view") -> None:
    """For ``record_refusal``: the view's transaction may be rolled back, or may not write at all."""
    context.djangos(request)._impersonation_refused = (impersonation, code)


def record_refusal(request: Any, response: HttpResponseBase) -> None:
    """Put on record what ``note_refusal`` has noted."""
    impersonation, code = request.__dict__.pop("_impersonation_refused", (None, ""))
    # Permissions may be combined: another one may have allowed what one of them refused.
    if impersonation is not None and (response.status_code >= 400 or code != "blocked_view"):
        flows.deny(request, user=impersonation.user, refusal=refusal(code), actor=impersonation.impersonator)


def page(request: HttpRequest, name: str, status: int, **context: Any) -> HttpResponse:
    """One of our own pages, with the addresses that all of them need."""
    context |= {
        "stop_url": reverse("django_impersonation:stop"),
        "login_url": flows.login_url(),
        "home_url": get_script_prefix(),
    }
    return sealed(render(request, f"django_impersonation/{name}.html", context, status=status))


def unavailable() -> HttpResponse:
    """The database did not answer: refuse this request, and change nothing that the next one needs."""
    response = HttpResponse(_("Please try again in a moment."), status=503, content_type="text/plain; charset=utf-8")
    response.headers["Retry-After"] = "5"
    return sealed(response)


def sealed(response: HttpResponse, *, admin: bool = False) -> HttpResponse:
    """Never stored, never framed, its address never told to others; our own pages load our own files only.

    Not ``no-referrer``: the forms of such a page would send ``Origin: null``, which Django's CSRF check refuses.
    """
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Frame-Options"] = "DENY"
    policy = getattr(settings, "SECURE_CSP", None)
    if admin and policy and _CSP_MIDDLEWARE in settings.MIDDLEWARE:  # as Django 6's csp_override does
        response._csp_config = {**policy, "frame-ancestors": ["'none'"]}  # type: ignore[attr-defined]
    elif admin:  # themes of the admin bring scripts of their own
        response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
    else:
        response.headers["Content-Security-Policy"] = f"default-src {_origins()}; {_CLOSED}"
    return response


def _origins() -> str:
    """This site, and where its static files are."""
    static = urlsplit(settings.STATIC_URL or "")
    return f"'self' {static.scheme or 'https'}://{static.netloc}" if static.netloc else "'self'"


def wants_json(request: HttpRequest) -> bool:
    """Is this no navigation but a script's request, which has no use for a page?"""
    accept = request.headers.get("Accept", "")
    return (
        request.headers.get("Sec-Fetch-Dest") == "empty"
        or hasattr(request, "_impersonation_token")
        or "HX-Request" in request.headers
        or ("application/json" in accept and "text/html" not in accept)
    )


def names_of(match: ResolverMatch) -> Iterator[str]:
    """What the patterns are compared with."""
    yield match.view_name
    yield match.url_name or ""  # within any namespace
    yield from match.app_names
    view = match.func
    while isinstance(view, partial):
        view = view.func
    bases = getattr(getattr(view, "view_class", None) or getattr(view, "cls", None), "__mro__", ())
    for one in (view, *bases, *_operations(view)):
        yield f"{one.__module__}.{getattr(one, '__qualname__', type(one).__qualname__)}"


def _operations(view: Any) -> list[Any]:
    """django-ninja: one view, with a name of its own, for all operations of a path. It knows them by its closure."""
    cells = view.__closure__ or () if view.__module__ == "ninja.operation" else ()
    return [operation.view_func for cell in cells for operation in getattr(cell.cell_contents, "operations", ())]


@lru_cache
def _compiled(defaults: tuple[str, ...], added: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, _without_removed(defaults, added))) or r"(?!)")


def _without_removed(defaults: Iterable[str], added: Iterable[str]) -> list[str]:
    removed = {pattern[1:] for pattern in added if pattern.startswith("-")}
    return [p for p in (*defaults, *added) if p not in removed and not p.startswith("-")]
