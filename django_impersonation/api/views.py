"""The endpoints (WIRE.md). Each translates HTTP to one flow and back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import Http404
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware
from django.views.decorators.debug import sensitive_variables
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from django_impersonation import clients, flows
from django_impersonation.api import directory, serializers, tokens
from django_impersonation.api.authentication import EventsKeyAuthentication, same
from django_impersonation.api.endpoints import Body, Endpoint
from django_impersonation.api.errors import OAuthError, Unprocessable
from django_impersonation.api.pagination import listed, lookup, page
from django_impersonation.conf import conf
from django_impersonation.grants import ip_address
from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession
from django_impersonation.organizations import organization_for, organizations_for

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 section 4.1
# A user in more organizations than this has them listed up to here.
_MOST_MEMBERSHIPS = 5000


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
        session, user, refresh_token = grant(request, body)
        answer = {
            "user": serializers.user_object(user),
            "access_token": tokens.access_token(session),
            "refresh_token": refresh_token,
            "authentication_method": "Impersonation",
            "impersonator": serializers.impersonator_object(session),
        }
        if session.organization_id:
            answer["organization_id"] = session.organization_id
        return Response(answer)

    @sensitive_variables()
    def _code(self, request: Request, body: Body) -> clients.Grant:
        code, verifier = body.require("code"), body.get("code_verifier") or ""
        known = _has_secret(body)
        if not known and not (conf.IMPERSONATION_PUBLIC_CLIENT and verifier):
            raise OAuthError("invalid_client", "client_secret is missing.")
        if verifier and not _VERIFIER.fullmatch(verifier):
            raise OAuthError("invalid_grant", "code_verifier has 43 to 128 unreserved characters.")
        tokens.signing_keys()  # before the code is spent: without keys there is no token to give
        with _without_session(request) as plain:
            return clients.authenticate_with_code(
                plain,
                code,
                client_id=conf.IMPERSONATION_CLIENT_ID,
                code_verifier=verifier,
                redirect_uri=body.get("redirect_uri"),
                **(_described(body) if known else {}),
            )

    @sensitive_variables()
    def _refresh(self, request: Request, body: Body) -> clients.Grant:
        token = body.require("refresh_token")
        _has_secret(body)
        tokens.signing_keys()
        return clients.authenticate_with_refresh_token(
            token, client_id=conf.IMPERSONATION_CLIENT_ID, organization_id=body.get("organization_id")
        )


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


@contextmanager
def _without_session(request: Request) -> Iterator[Any]:
    """Django's request as receivers of signals see it: a client has no session and must not be given a cookie."""
    plain: Any = request._request
    own = getattr(plain, "session", None)
    plain.user = AnonymousUser()
    if own is not None:
        plain.session = type(own)()
    try:
        yield plain
    finally:
        plain.session = own


class Jwks(Endpoint):
    """``GET /sso/jwks/<client_id>``: the public keys, for everybody."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request, client_id: str) -> Response:
        if not same(client_id, conf.IMPERSONATION_CLIENT_ID):
            raise Http404
        return Response(tokens.jwks(), headers={"Cache-Control": "public, max-age=300"})


class RevokeSession(Endpoint):
    """``POST /user_management/sessions/revoke``; a session that has ended already stays as it is."""

    def post(self, request: Request) -> Response:
        session_id = request.data.get("session_id") if isinstance(request.data, dict) else None
        if not isinstance(session_id, str) or not session_id:
            raise Unprocessable("session_id is required, and a text")
        everything = ImpersonationSession.objects.all()
        session = lookup(everything, session_id)
        if session is None:
            raise Http404
        flows.revoke(everything.filter(pk=session.pk), codes=AuthorizationCode.objects.none())
        return Response(serializers.session_object(everything.get(pk=session.pk)))


class UserSessions(Endpoint):
    """``GET /user_management/users/<id>/sessions``: those that are active, newest first."""

    def get(self, request: Request, user_id: str) -> Response:
        sessions = ImpersonationSession.objects.filter(user_pk=user_id)
        if directory.person(user_id, everybody=True) is None and not sessions.exists():
            raise Http404
        rows, after = page(sessions.live(), request.GET, among=sessions)
        return Response(listed([serializers.session_object(row) for row in rows], after))


class Events(Endpoint):
    """``GET /events``: the record in the order of its commits. Who follows the cursor misses nothing."""

    authentication_classes = (EventsKeyAuthentication,)

    def get(self, request: Request) -> Response:
        query = request.GET
        given = [*query.getlist("events"), *query.getlist("events[]")]
        names = {name.strip() for text in given for name in text.split(",") if name.strip()}
        if not names:
            raise Unprocessable("events is required: one name or several")
        here = Event.objects.filter(environment=conf.IMPERSONATION_ENVIRONMENT)
        found = here.filter(name__in=names.intersection(Event.Name.values))
        for name, lookup_name in (("range_start", "created_at__gte"), ("range_end", "created_at__lt")):
            if query.get(name):
                found = found.filter((lookup_name, _moment(name, query[name])))
        if query.get("organization_id"):
            found = found.filter(organization_id=query["organization_id"])
        rows, after = page(found.select_related("session"), query, among=here, by="position", order="asc")
        data = listed([serializers.event_object(row) for row in rows], after)
        del data["list_metadata"]["before"]
        return Response(data)


def _moment(name: str, text: str) -> Any:
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None or not is_aware(moment):
        raise Unprocessable(f"{name} is a time in ISO 8601, in UTC and with Z")
    return moment


class Users(Endpoint):
    """``GET /user_management/users``: customers, all or by ``email``."""

    def get(self, request: Request) -> Response:
        if request.GET.get("organization_id"):
            raise Unprocessable("users cannot be listed by organization_id here")
        everybody = directory.customers()
        found = everybody
        if "email" in request.GET:
            found = everybody.filter((f"{directory.email_field()}__iexact", request.GET["email"]))
        rows, after = page(found, request.GET, among=everybody)
        return Response(listed([serializers.user_object(row) for row in rows], after))


class User(Endpoint):
    """``GET /user_management/users/<id>``."""

    def get(self, request: Request, user_id: str) -> Response:
        user = directory.person(user_id)
        if user is None:
            raise Http404
        return Response(serializers.user_object(user))


class Memberships(Endpoint):
    """``GET /user_management/organization_memberships?user_id=``: what ``IMPERSONATION_ORGANIZATIONS`` answers."""

    def get(self, request: Request) -> Response:
        query = request.GET
        if not query.get("user_id"):
            raise Unprocessable("user_id is required")
        user = directory.person(query["user_id"])
        statuses = {s for text in query.getlist("statuses") + query.getlist("statuses[]") for s in text.split(",")}
        found = []
        if user is not None and (not statuses or "active" in statuses):
            if query.get("organization_id"):
                only = organization_for(user, query["organization_id"])
                found = [] if only is None else [only]
            else:
                found = organizations_for(user, limit=_MOST_MEMBERSHIPS)
        data, after = directory.slice_of([serializers.membership_object(user, one) for one in found], query)
        return Response(listed(data, after))


class Organization(Endpoint):
    """``GET /organizations/<id>``."""

    def get(self, request: Request, organization_id: str) -> Response:
        found = directory.organization(organization_id)
        if found is None:
            raise Http404
        return Response(serializers.organization_object(*found))


class Unknown(Endpoint):
    """Everything else below our paths: JSON, as everywhere here."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise Http404
