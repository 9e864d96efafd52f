"""What goes out: a mixin that redacts for impersonators, and the objects of the wire format."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers
from rest_framework.utils.model_meta import get_field_info

from django_impersonation.models import Event, ImpersonationSession
from django_impersonation.organizations import Organization
from django_impersonation.records import email_of, timestamp
from django_impersonation.redaction import REDACTED, hides, redacted_fields

Data = dict[str, Any]
_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)


class RedactedField(serializers.Field[Any, Any, Any, Any]):
    """Dots, whatever the value is. Read-only, so that the dots are never saved."""

    def __init__(self) -> None:
        super().__init__(source="*", read_only=True)

    def to_representation(self, value: Any) -> str:
        return REDACTED


class RedactedSerializerMixin:
    """Before a serializer class: dots for impersonators, and read-only, are the fields named in ``redacted_fields``,
    and those that ``IMPERSONATION_REDACTED_FIELDS`` names: of the serializer's model, and of those that ``depth`` and
    a ``source`` with dots lead to.

    A serializer without a request in its context redacts as well: nobody can tell who looks.
    """

    redacted_fields: tuple[str, ...] = ()

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()  # type: ignore[misc]
        request = self.context.get("request")  # type: ignore[attr-defined]
        for name in self.redacted_fields:
            if name not in fields:
                raise TypeError(f"{type(self).__name__}.redacted_fields names {name!r}, which is no field of it")
        if hides(request):
            model = getattr(getattr(self, "Meta", None), "model", None)
            named = {*self.redacted_fields, *(redacted_fields(model) if model else ())}
            fields |= {
                name: RedactedField()
                for name, field in fields.items()
                if {name, field.source} & named or _leads_to_redacted(model, field.source or "")
            }
        return fields

    def build_nested_field(self, *args: Any) -> tuple[type[Any], dict[str, Any]]:
        """``depth``: the serializers that are made for related models redact as well."""
        nested, kwargs = super().build_nested_field(*args)  # type: ignore[misc]
        if not issubclass(nested, RedactedSerializerMixin):
            nested = type(nested.__name__, (RedactedSerializerMixin, nested), {})
        return nested, kwargs


def _leads_to_redacted(model: Any, source: str) -> bool:
    """A ``source`` with dots, step by step through the relations of the models."""
    name, _, rest = source.partition(".")
    if model is None or name in redacted_fields(model):
        return model is not None
    relation = get_field_info(model).relations.get(name) if rest else None
    return relation is not None and _leads_to_redacted(relation.related_model, rest)


def user_object(user: Any) -> Data:
    """A user model says little of what the format knows: what it does not say is null, and unverified."""
    joined = _moment(user, "date_joined", "created_at", "created")
    last_login = getattr(user, "last_login", None)
    return {
        "object": "user",
        "id": str(user.pk),
        "email": email_of(user),
        "email_verified": False,
        "name": getattr(user, "get_full_name", str)() or None,
        "first_name": getattr(user, "first_name", None) or None,
        "last_name": getattr(user, "last_name", None) or None,
        "profile_picture_url": None,
        "last_sign_in_at": None if last_login is None else timestamp(last_login),
        "external_id": None,
        "metadata": {},
        "locale": None,
        "created_at": timestamp(joined),
        "updated_at": timestamp(joined),
    }


def session_object(session: ImpersonationSession, *, as_created: bool = False) -> Data:
    """The session as it is, or as it was when it began."""
    ended_at = None if as_created else session.ended_at
    return _with_organization(
        {
            "object": "session",
            "id": session.pk,
            "user_id": session.user_pk,
            "impersonator": impersonator_object(session),
            "ip_address": session.ip_address,
            "user_agent": session.user_agent or None,
            "auth_method": "impersonation",
            "status": "active" if as_created else str(session.status),
            "expires_at": timestamp(session.expires_at),
            "ended_at": None if ended_at is None else timestamp(ended_at),
            "created_at": timestamp(session.created_at),
            "updated_at": timestamp(ended_at or session.created_at),
        },
        session.organization_id,
    )


def impersonator_object(deed: ImpersonationSession | Event) -> Data:
    """Both keys, always: without them a front end would not say that somebody is impersonated."""
    return {"email": deed.impersonator_email, "reason": deed.reason}


def event_object(event: Event) -> Data:
    session = event.session
    if session is not None:
        data = session_object(session, as_created=event.name == Event.Name.SESSION_CREATED)
    else:
        data = _with_organization(
            {
                "object": "impersonation",
                "user_id": event.user_pk or None,
                "impersonator": impersonator_object(event),
                "code": event.code,
                "count": event.count,
            },
            event.organization_id,
        )
    return {
        "object": "event",
        "id": event.pk,
        "event": event.name,
        "created_at": timestamp(event.created_at),
        "context": {},
        "data": data,
    }


def organization_object(organization: Organization, model: Any = None) -> Data:
    """``model`` is the project's own object, if there is one to ask for its times."""
    created = _moment(model, "created_at", "created")
    return {
        "object": "organization",
        "id": organization.id,
        "name": organization.name,
        "domains": [],
        "metadata": {},
        "external_id": None,
        "allow_profiles_outside_organization": False,
        "created_at": timestamp(created),
        "updated_at": timestamp(created),
    }


def membership_id(user: Any, organization: Organization) -> str:
    return f"om_{user.pk}_{organization.id}"


def membership_object(user: Any, organization: Organization) -> Data:
    described = user_object(user)
    return {
        "object": "organization_membership",
        "id": membership_id(user, organization),
        "user_id": described["id"],
        "organization_id": organization.id,
        "organization_name": organization.name,
        "status": "active",
        "directory_managed": False,
        "role": {"slug": "member"},
        "roles": [{"slug": "member"}],
        "user": described,
        "created_at": described["created_at"],
        "updated_at": described["updated_at"],
    }


def _with_organization(data: Data, organization_id: str) -> Data:
    """Left out where there is none: null would break readers."""
    return data | {"organization_id": organization_id} if organization_id else data


def _moment(thing: Any, *names: str) -> datetime:
    """When it came to be, by the first of these attributes that tells; the epoch if none does."""
    values = (getattr(thing, name, None) for name in names)
    return next((value for value in values if isinstance(value, datetime)), _UNKNOWN)
