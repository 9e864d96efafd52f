"""The endpoints but that for tokens. Each translates HTTP to one flow and back."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django.conf import settings
from django.http import Http404
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware, make_naive
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from django_impersonation import flows
from django_impersonation.api import directory, serializers, tokens
from django_impersonation.api.authentication import EventsKeyAuthentication, same
from django_impersonation.api.endpoints import Endpoint, is_storable
from django_impersonation.api.errors import Unprocessable
from django_impersonation.api.pagination import listed, lookup, page, slice_of, texts
from django_impersonation.conf import conf
from django_impersonation.models import Event, ImpersonationSession
from django_impersonation.organizations import organization_for, organizations_for

# A user in more organizations than this has them listed up to here.
_MOST_MEMBERSHIPS = 5000


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
        if not isinstance(session_id, str) or not session_id or not is_storable(session_id):
            raise Unprocessable("session_id is required, and a text")
        everything = ImpersonationSession.objects.all()
        session = lookup(everything, session_id)
        if session is None:
            raise Http404
        flows.revoke(everything.filter(pk=session.pk))
        return Response(serializers.session_object(everything.get(pk=session.pk)))


class UserSessions(Endpoint):
    """``GET /user_management/users/<id>/sessions``: those that are active, newest first."""

    def get(self, request: Request, user_id: str) -> Response:
        sessions = ImpersonationSession.objects.filter(user_pk=user_id)
        recorded = sessions.values_list("user_pk", flat=True).first()  # MariaDB finds it in capitals, too
        if directory.person(user_id, everybody=True) is None and recorded != user_id:
            raise Http404
        rows, after = page(sessions.live(), request.GET, among=sessions)
        return Response(listed([serializers.session_object(row) for row in rows], after))


class Events(Endpoint):
    """``GET /events``: the record in the order of its commits. Who follows the cursor misses nothing."""

    authentication_classes = (EventsKeyAuthentication,)

    def get(self, request: Request) -> Response:
        query = request.GET
        names = texts(query, "events")
        if not names:
            raise Unprocessable("events is required: one name or several")
        here = Event.objects.filter(environment=conf.IMPERSONATION_ENVIRONMENT)
        ends = ("range_start", "range_end")
        start, end = (_moment(name, query[name]) if query.get(name) else None for name in ends)
        found = here.between(start, end).filter(name__in=names.intersection(Event.Name.values))
        only = query.get("organization_id")
        if only:
            found = found.filter(organization_id=only)
        rows, after = page(found.select_related("session"), query, among=here, by="position", order="asc")
        if only:  # compared as text: MariaDB takes "acme" and "ACMÉ" for equal
            rows = [row for row in rows if row.organization_id == only]
        data = [serializers.event_object(row) for row in rows]
        return Response({"object": "list", "data": data, "list_metadata": {"after": after}})


def _moment(name: str, text: str) -> Any:
    """The time, as the database compares it."""
    try:
        moment = parse_datetime(text)
        if moment is not None and is_aware(moment):
            return moment.astimezone(UTC) if settings.USE_TZ else make_naive(moment)
    except (ValueError, OverflowError):
        pass
    raise Unprocessable(f"{name} is a time in ISO 8601, in UTC and with Z")


class Users(Endpoint):
    """``GET /user_management/users``: customers, all or by ``email``."""

    def get(self, request: Request) -> Response:
        if request.GET.get("organization_id"):
            raise Unprocessable("users cannot be listed by organization_id here")
        everybody, email = directory.customers(), request.GET.get("email")
        found = everybody if email is None else directory.with_email(everybody, email)
        rows, after = page(found, request.GET, among=everybody)
        if email is not None:
            rows = [row for row in rows if directory.has_email(row, email)]
        return Response(listed([serializers.user_object(row) for row in rows if directory.is_customer(row)], after))


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
        statuses = texts(query, "statuses")
        found = []
        if user is not None and (not statuses or "active" in statuses):
            if query.get("organization_id"):
                only = organization_for(user, query["organization_id"])
                found = [] if only is None else [only]
            else:
                found = organizations_for(user, limit=_MOST_MEMBERSHIPS)
        rows, after = slice_of({serializers.membership_id(user, one): one for one in found}, query)
        return Response(listed([serializers.membership_object(user, row) for row in rows], after))


class Organization(Endpoint):
    """``GET /organizations/<id>``."""

    def get(self, request: Request, organization_id: str) -> Response:
        found = directory.organization(organization_id)
        if found is None:
            raise Http404
        return Response(serializers.organization_object(*found))


class Unknown(Endpoint):
    """Everything else below /user_management/ and /sso/: JSON, as everywhere here."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise Http404
