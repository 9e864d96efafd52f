"""What every record of ours has in common: a sortable id, people kept as text, and no second version."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

from django.conf import settings
from django.db import models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_impersonation.organizations import Organization
from django_impersonation.policy import REASON_LENGTH

BATCH = 1000
TEXT_LENGTH = 255
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
Row = TypeVar("Row", bound=models.Model)


def new_id(prefix: str) -> str:
    """``prefix_<ULID>``: 48 bits of milliseconds and 80 random ones in Crockford's base 32, sorted by time."""
    number = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return f"{prefix}_" + "".join(_DIGITS[number >> s & 31] for s in range(125, -5, -5))


def age_of(record_id: str) -> float:
    """Seconds since ``new_id`` made it: true also where ``USE_TZ`` is off and clocks are set back an hour."""
    number = 0
    for digit in record_id.rpartition("_")[2][:10]:
        number = number << 5 | _DIGITS.index(digit)
    return time.time() - number / 1000


def digest(secret: str) -> str:
    """What the database keeps of a secret: SHA-256 in hex, enough for 256 random bits."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def base64url(data: bytes) -> str:
    """Without padding, as RFC 7515 and RFC 7636 want it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def utc(moment: datetime) -> datetime:
    """The moment in UTC, also where ``USE_TZ`` is off."""
    return (moment if timezone.is_aware(moment) else timezone.make_aware(moment)).astimezone(UTC)


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC, with three digits of a second and ``Z``."""
    return utc(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def auth_hashes(user: Any) -> Iterator[str]:
    """The session hashes that Django accepts for the user now: the current one, then those of older keys."""
    if not hasattr(user, "get_session_auth_hash"):
        yield ""
        return
    yield user.get_session_auth_hash()
    yield from getattr(user, "get_session_auth_fallback_hash", tuple)()


def email_field(model: Any) -> str:
    """The field of a user model that holds the e-mail address; where there is none, the name they sign in with."""
    name = model.get_email_field_name() if hasattr(model, "get_email_field_name") else "email"
    return name if any(field.name == name for field in model._meta.get_fields()) else model.USERNAME_FIELD


def email_of(user: Any) -> str:
    """The user's e-mail address; without one, the name they sign in with."""
    field = user.get_email_field_name() if hasattr(user, "get_email_field_name") else "email"
    return str(getattr(user, field, "") or user.get_username())


class ImmutableRecord(TypeError):
    """Records are written once. ``manage.py impersonation purge --keep-days`` is the only way to remove some."""


class WriterManager(models.Manager[Row]):
    """Reads from the database that writes: a replica that lags must not keep an ended session alive."""

    @property
    def db(self) -> str:
        return self._db or router.db_for_write(self.model)

    def get_queryset(self) -> models.QuerySet[Row]:
        return super().get_queryset().using(self.db)


class RecordManager(WriterManager[Row]):
    def __init_subclass__(cls, **kwargs: Any) -> None:
        """``session.events``: its ``add`` would go around ``RecordQuerySet``, and move a row to another session."""
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "add"):
            cls.add = _refuse


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise ImmutableRecord(ImmutableRecord.__doc__)


_refuse.alters_data = True  # type: ignore[attr-defined]  # templates do not call it


class RecordQuerySet(models.QuerySet[Row]):
    def update(self, **kwargs: Any) -> NoReturn:
        raise ImmutableRecord(ImmutableRecord.__doc__)

    def delete(self) -> NoReturn:
        raise ImmutableRecord(ImmutableRecord.__doc__)

    def bulk_create(self, objs: Iterable[Row], *args: Any, **kwargs: Any) -> list[Row]:
        if len(args) > 2 or kwargs.get("update_conflicts"):  # it would write over a row that is there
            raise ImmutableRecord(ImmutableRecord.__doc__)
        return super().bulk_create(objs, *args, **kwargs)

    def _amend(self, **kwargs: Any) -> int:
        return super().update(**kwargs)


def purge(rows: models.QuerySet[Any], *, only: models.Q | None = None) -> int:
    """Delete what a queryset finds, ``BATCH`` rows in a transaction; returns how many there were.

    ``only`` is asked of each batch by itself: what it joins would be joined with the whole table otherwise. In the
    order of the key and behind the last one, so that no batch reads again what those before it left or deleted.
    """
    everything = rows.model._base_manager.using(rows.db)
    rows, removed = rows.order_by("pk"), 0
    batch = list(rows.values_list("pk", flat=True)[:BATCH])
    while batch:
        found = everything.filter(pk__in=batch)
        if only is not None:
            found = everything.filter(pk__in=list(found.filter(only).values_list("pk", flat=True)))
        removed += found.delete()[1].get(rows.model._meta.label, 0)
        batch = list(rows.filter(pk__gt=batch[-1]).values_list("pk", flat=True)[:BATCH])
    return removed


class Record(models.Model):
    """Saved once, deleted never: by a model's instance no more than by its manager."""

    class Meta:
        abstract = True

    def save_base(self, *args: Any, **kwargs: Any) -> None:
        """What ``save`` comes to. Not so ``loaddata``, which asks Django's own."""
        if not self._state.adding:
            raise ImmutableRecord(ImmutableRecord.__doc__)
        super().save_base(force_insert=True, using=kwargs.get("using"))

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ImmutableRecord(ImmutableRecord.__doc__)


class Deed(models.Model):
    """Who acts as whom, where and why: also as text, so that deleting a person never deletes the evidence."""

    impersonator = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("impersonator")
    )
    impersonator_pk = models.CharField(_("impersonator's key"), max_length=TEXT_LENGTH, blank=True)
    impersonator_email = models.CharField(_("impersonator's e-mail"), max_length=TEXT_LENGTH, blank=True)
    impersonator_label = models.CharField(_("impersonator"), max_length=TEXT_LENGTH, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("user")
    )
    user_pk = models.CharField(_("user's key"), max_length=TEXT_LENGTH, blank=True)
    user_email = models.CharField(_("user's e-mail"), max_length=TEXT_LENGTH, blank=True)
    user_label = models.CharField(_("user"), max_length=TEXT_LENGTH, blank=True)
    organization_id = models.CharField(_("organization's id"), max_length=TEXT_LENGTH, blank=True)
    organization_name = models.CharField(_("organization"), max_length=TEXT_LENGTH, blank=True)
    reason = models.CharField(_("reason"), max_length=REASON_LENGTH, blank=True)
    view_only = models.BooleanField(_("view only"), default=False)

    class Meta:
        abstract = True

    @classmethod
    def describe(
        cls,
        *,
        impersonator: Any = None,
        user: Any = None,
        organization: Organization | None = None,
        reason: str = "",
        view_only: bool = False,
    ) -> dict[str, Any]:
        """The fields above, from the people themselves."""
        fields: dict[str, Any] = {"reason": reason, "view_only": view_only}
        for role, person in (("impersonator", impersonator), ("user", user)):
            if person is not None:
                fields[role] = person
                fields[f"{role}_pk"] = str(person.pk)[:TEXT_LENGTH]
                fields[f"{role}_email"] = email_of(person)[:TEXT_LENGTH]
                fields[f"{role}_label"] = str(person)[:TEXT_LENGTH]
        if organization is not None:
            fields["organization_id"] = organization.id
            fields["organization_name"] = organization.name[:TEXT_LENGTH]
        return fields

    def deed(self) -> dict[str, Any]:
        """The fields above, to be copied into the next record of the same story."""
        return {field.attname: getattr(self, field.attname) for field in Deed._meta.local_fields}
