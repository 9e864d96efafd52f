"""What the package uses of Django that Django does not document: the list to read when a new Django breaks it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.middleware import auser, get_user
from django.core.handlers import exception
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.middleware.cache import UpdateCacheMiddleware
from django.test import RequestFactory
from django.urls import resolve
from django.views.decorators.http import require_GET
from rest_framework.request import Request

from django_impersonation.models import Event

PACKAGE = Path(__file__).parent.parent / "django_impersonation"
# Documented in spite of their names: Django's models and managers, Python's named tuples.
DOCUMENTED = {"_meta", "_state", "_base_manager", "_default_manager", "_asdict", "_replace"}


def request(**attributes: Any) -> Any:
    made = RequestFactory().get("/")
    vars(made).update(attributes)
    return made


def updates_cache(made: HttpRequest) -> bool:
    return bool(UpdateCacheMiddleware(lambda request: HttpResponse())._should_update_cache(made, None))  # type: ignore[attr-defined]


def has_csp_config() -> bool:
    if django.VERSION < (6, 0):
        return True
    from django.views.decorators.csp import csp_override

    response = csp_override({"default-src": ["'self'"]})(lambda request: HttpResponse())(request())
    return bool(response._csp_config)


# Each name, and whether it still means what the package takes it for.
USED: dict[str, Callable[[], bool]] = {
    # sessions: `request.user` is read through these
    "_cached_user": lambda: get_user(request(_cached_user="bob")) == "bob",
    "_acached_user": lambda: async_to_sync(auser)(request(_acached_user="bob")) == "bob",
    # guards: the policy of one response, where Django 6's middleware writes the header
    "_csp_config": has_csp_config,
    # the bar's tag: keeps `cache_page` from storing the page
    "_cache_update_cache": lambda: (
        updates_cache(request(_cache_update_cache=True)) and not updates_cache(request(_cache_update_cache=False))
    ),
    # context: what is closed with a body that is streamed
    "_resource_closers": lambda: StreamingHttpResponse()._resource_closers == [],
    # surface: the view's dotted path; the methods that `require_http_methods` lets through
    "_func_path": lambda: resolve("/")._func_path.startswith("example_project."),
    "request_method_list": lambda: "request_method_list" in require_GET(lambda r: None).__code__.co_freevars,
    # records: the database that a queryset was told to use
    "_db": lambda: Event.objects.using("default")._db == "default",
    # readonly, limits: a transaction around the view's own, which may be durable, and which a refusal does not break
    "_from_testcase": lambda: transaction.atomic()._from_testcase is False,
    "atomic_blocks": lambda: isinstance(connection.atomic_blocks, list),
    "needs_rollback": lambda: connection.needs_rollback is False,
    "rollback_exc": lambda: connection.rollback_exc is None,
    "execute_wrappers": lambda: isinstance(connection.execute_wrappers, list),
    "wrap_database_errors": lambda: hasattr(connection.wrap_database_errors, "__enter__"),
    # conduct: the answer to what a view raises
    "response_for_exception": lambda: callable(exception.response_for_exception),
    # API: Django's own request below that of Django REST framework
    "_request": lambda: isinstance(Request(request())._request, HttpRequest),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", USED)
def test_it_is_still_there(name: str) -> None:
    assert USED[name]()


def test_nothing_else_is_used() -> None:
    trees = [ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {node.id for node in nodes if isinstance(node, ast.Name)}
    own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"} - {
        "_db"
    }
    private = {node.attr for node in nodes if isinstance(node, ast.Attribute) and node.attr.startswith("_")}
    theirs = {name for name in private - own if not name.startswith(("__", "_impersonation"))} - DOCUMENTED
    assert theirs == {name for name in USED if name.startswith("_")}
    text = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert [name for name in USED if name not in text] == []
