"""What every endpoint has in common. The project's own defaults for REST framework do not reach in here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, QueryDict
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils import json  # refuses NaN and the like, which are no JSON
from rest_framework.views import APIView

from django_impersonation.api import errors
from django_impersonation.api.authentication import ApiKeyAuthentication
from django_impersonation.api.errors import OAuthError, Unprocessable
from django_impersonation.records import new_id
from django_impersonation.views import autocommit

LONGEST_BODY = 16 * 1024
LONGEST_QUERY = 8 * 1024


def query_of(request: HttpRequest) -> QueryDict:
    """The query as UTF-8, whatever charset the client names; raises ``SuspiciousOperation`` where it is too long.

    Django refuses to redirect with twice as much, and SQLite to compare an e-mail address with six times as much.
    """
    request.encoding = "utf-8"
    if len(request.GET.urlencode()) > LONGEST_QUERY:
        raise SuspiciousOperation("The query is too long.")
    return request.GET


class _Parser(BaseParser):
    """Reads no more than ``LONGEST_BODY`` bytes, always as UTF-8, and takes no depth that Python cannot.

    None of REST framework's own parsers: they read a body whole, in whatever charset the client names. Python has
    some that unpack a few bytes into gigabytes.
    """

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        body = stream.read(LONGEST_BODY + 1)
        if len(body) > LONGEST_BODY:
            raise ParseError
        try:
            return self.read(body.decode())
        except (RecursionError, ValueError) as error:
            raise ParseError from error

    def read(self, text: str) -> Any:
        raise NotImplementedError


class JSONBody(_Parser):
    media_type = "application/json"

    def read(self, text: str) -> Any:
        return json.loads(text)


class FormBody(_Parser):
    media_type = "application/x-www-form-urlencoded"

    def read(self, text: str) -> Any:
        return QueryDict(text, encoding="utf-8")


class JSONAlways(BaseContentNegotiation):
    def select_parser(self, request: Request, parsers: Any) -> BaseParser | None:
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> tuple[Any, str]:
        return renderers[0], renderers[0].media_type


class Endpoint(APIView):
    authentication_classes: Sequence[Any] = (ApiKeyAuthentication,)
    permission_classes: Sequence[Any] = (IsAuthenticated,)
    renderer_classes = (JSONRenderer,)
    parser_classes = (JSONBody, FormBody)
    throttle_classes: Sequence[Any] = ()
    content_negotiation_class = JSONAlways
    versioning_class = None

    @classmethod
    def view(cls) -> Callable[..., Any]:
        # In autocommit: what was spent or ended stays so, whatever fails later.
        return login_not_required(autocommit(cls.as_view()))

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        given = [*kwargs.values(), *(value for _, values in query_of(request._request).lists() for value in values)]
        if any("\x00" in value for value in given):  # no database has such a text
            raise Unprocessable("NUL is not allowed")

    def handle_exception(self, exc: Exception) -> Response:
        response = errors.respond(exc, type(self), self.request)
        response.exception = True
        return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Request-ID"] = new_id("req")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


class Body:
    """The members of a body, each a text; raises ``OAuthError`` for a body or a member of another kind."""

    def __init__(self, data: object) -> None:
        if isinstance(data, QueryDict):
            if any(len(values) > 1 for _, values in data.lists()):
                raise OAuthError("invalid_request", "A parameter is given twice.")
            data = data.dict()
        if not isinstance(data, dict):
            raise OAuthError("invalid_request", "The body is no object.")
        self.data = data

    def get(self, name: str) -> str | None:
        """None where it is absent, null or (RFC 6749 section 3.1) empty."""
        value = self.data.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or not is_storable(value):
            raise OAuthError("invalid_request", f"{name} is no text.")
        return value

    def require(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise OAuthError("invalid_request", f"{name} is missing.")
        return value


def is_storable(text: str) -> bool:
    """Has it neither NUL nor half a character, which databases refuse?"""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
