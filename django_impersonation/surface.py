"""Every address of the project, and what an impersonator can do there: ``manage.py impersonation surface``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.urls import ResolverMatch, URLPattern, URLResolver, get_resolver

from django_impersonation import guards

# Words of views that hand out what outlives a session.
_SUSPICIOUS = re.compile(
    r"passw|token|api.?key|secret|credential|oauth|consent|authoriz|mfa|2fa|otp|passkey|webauthn|e?mail.?(change|add)"
)
_OURS = {
    "django_impersonation:stop": ("write", "ends the impersonation"),
    "django_impersonation:ended": ("read", "says that it is over"),
}
_UNSAFE = {"post", "put", "patch", "delete"}


class Row(NamedTuple):
    """``full`` and ``view_only``: what sessions of either access can do there.

    "write", "read" (safe methods, and what the project declares to read), "sensitive" (the view itself refuses),
    "blocked" (a pattern does), or "unreachable" (never as the user).
    """

    route: str
    name: str
    view: str
    full: str
    view_only: str
    why: str


def surface() -> list[Row]:
    """In the order in which Django tries the addresses."""
    return [_row(match) for match in every_view()]


def every_view() -> Iterator[ResolverMatch]:
    """Every view of the URLconf, as a request to it would find it."""
    return _matches(get_resolver(), "/", [], [])


def unblocked() -> list[Row]:
    """What looks as if it changed a password or handed out a token, and is open to impersonators."""
    return [
        row for row in surface() if row.full in ("read", "write") and _SUSPICIOUS.search(" ".join(row[:3]).lower())
    ]


def _matches(
    resolver: URLResolver, prefix: str, app_names: list[str | None], namespaces: list[str | None]
) -> Iterator[ResolverMatch]:
    for pattern in resolver.url_patterns:
        route = prefix + _route(pattern)
        if isinstance(pattern, URLResolver):
            apps = [*app_names, pattern.app_name] if pattern.app_name else app_names
            spaces = [*namespaces, pattern.namespace] if pattern.namespace else namespaces
            yield from _matches(pattern, route, apps, spaces)
        else:
            yield ResolverMatch(pattern.callback, (), {}, pattern.name, app_names, namespaces, route)


def _route(pattern: URLPattern | URLResolver) -> str:
    return re.sub(r"^\^|\$$|\\Z$", "", str(pattern.pattern))


def _row(match: ResolverMatch) -> Row:
    full, why = _verdict(match)
    signs_out = guards.signs_out(match)
    view_only = "read" if full == "write" and not (signs_out or guards.is_ours(match)) else full
    if full == "write" and guards.is_allowed_in_view_only(match):
        why = "its unsafe methods are declared to read"
    elif full == "write" and signs_out:
        why = "ends the impersonation"
    return Row(str(match.route), match.view_name if match.url_name else "", match._func_path, full, view_only, why)


def _verdict(match: ResolverMatch) -> tuple[str, str]:
    pattern = guards.blocking_pattern(match)
    if pattern is not None:
        return "blocked", f"pattern {pattern}"
    if match.view_name in _OURS:
        return _OURS[match.view_name]
    if match.app_names[-1:] in (["django_impersonation"], ["django_impersonation_api"]):
        return "unreachable", "for staff and clients"
    view: Any = match.func
    kind = getattr(view, "cls", None) or getattr(view, "view_class", None)
    if getattr(view, "forbids_impersonation", False):
        return "sensitive", "forbid_impersonation"
    if any(getattr(one, "forbids_impersonation", False) for one in _permissions(view, kind)):
        return "sensitive", "ForbidImpersonation"
    methods = _methods(view, kind)
    if methods is None:
        return "write", "takes every method"
    unsafe = sorted(_UNSAFE & methods)
    return ("write", ", ".join(unsafe).upper()) if unsafe else ("read", "takes safe methods only")


def _permissions(view: Any, kind: Any) -> Any:
    """REST framework's, as far as it can be told: those of an action take the place of its viewset's."""
    asked = getattr(kind, "get_permissions", None)
    if asked is None or not asked.__module__.startswith("rest_framework."):  # the project's own code decides
        return ()
    return getattr(view, "initkwargs", {}).get("permission_classes", kind.permission_classes)


def _methods(view: Any, kind: Any) -> set[str] | None:
    """The methods that the view takes, in lower case; None if it does not tell."""
    if getattr(view, "actions", None):  # of a viewset
        return set(view.actions)
    if kind is not None:
        handled = {method for method in kind.http_method_names if hasattr(kind, method)}
        return handled if handled - {"options"} else None  # GraphQL's views do all in their ``dispatch``
    while view is not None:
        names = getattr(getattr(view, "__code__", None), "co_freevars", ())
        if "request_method_list" in names:  # Django's require_http_methods
            allowed = view.__closure__[names.index("request_method_list")].cell_contents
            return {method.lower() for method in allowed}
        view = getattr(view, "__wrapped__", None)
    return None
