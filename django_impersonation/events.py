"""The switch and the record: every event is written under the lock of the switch's row."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, models, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_impersonation.conf import conf
from django_impersonation.indexes import PrefixIndex
from django_impersonation.records import Deed, Record, RecordManager, RecordQuerySet, WriterManager, new_id

_MARGIN = timedelta(days=1)


class ConfigurationManager(WriterManager["Configuration"]):
    def current(self) -> Configuration:
        """This environment's row; made when it is first asked for."""
        return self.get_or_create(environment=conf.IMPERSONATION_ENVIRONMENT)[0]

    def enabled(self) -> bool:
        """Is impersonation on for this environment? No row and an unknown environment mean no."""
        if conf.IMPERSONATION_ENABLED is not None:
            return conf.IMPERSONATION_ENABLED
        return self.filter(environment=conf.IMPERSONATION_ENVIRONMENT, enabled=True).exists()

    def advance(self) -> int:
        """Lock this environment's row until the transaction ends and return the next position of an event.

        Every transaction that starts or ends something takes this lock first. So positions are committed
        in their order, and what the switch says under the lock holds until the commit.
        """
        row = self.filter(environment=conf.IMPERSONATION_ENVIRONMENT)
        if not row.update(position=F("position") + 1):
            # An upsert: after a failed INSERT two first events would wait for each other in MariaDB.
            targeted = connections[self.db].features.supports_update_conflicts_with_target
            self.bulk_create(
                [self.model(environment=conf.IMPERSONATION_ENVIRONMENT)],
                update_conflicts=True,
                update_fields=["environment"],
                unique_fields=["environment"] if targeted else None,
            )
            row.update(position=F("position") + 1)
        return row.values_list("position", flat=True).get()


class Configuration(models.Model):
    """The switch, one row for each environment, so that a copy of a database brings no permission along."""

    environment = models.CharField(_("environment"), max_length=100, unique=True)
    enabled = models.BooleanField(_("enabled"), default=False)
    changed_at = models.DateTimeField(_("changed at"), null=True)
    changed_by = models.CharField(_("changed by"), max_length=255, blank=True)
    position = models.PositiveBigIntegerField(default=0, editable=False)

    objects = ConfigurationManager()

    class Meta:
        verbose_name = _("configuration")
        verbose_name_plural = _("configuration")
        default_permissions = ("view",)
        permissions = [("configure_impersonation", "Can switch impersonation on and off")]

    def __str__(self) -> str:
        return self.environment


class EventQuerySet(RecordQuerySet["Event"]):
    def between(self, start: datetime | None, end: datetime | None) -> EventQuerySet:
        """Those of a time, one environment's, to be read by position.

        Without a position to begin and to end at, the database would read the whole record up to the first of them.
        Positions follow the clocks of the servers, which may differ by hours where ``USE_TZ`` is off.
        """
        found = self
        for moment, lookup, bound, order, margin in (
            (start, "created_at__gte", "position__gte", "created_at", -_MARGIN),
            (end, "created_at__lt", "position__lte", "-created_at", _MARGIN),
        ):
            if moment is not None:
                found = found.filter((lookup, moment))
                with suppress(OverflowError):  # there is nothing beyond the calendar
                    around = self.filter((lookup, moment + margin)).order_by(order)
                    position = around.values_list("position", flat=True).first()
                    found = found.none() if position is None else found.filter((bound, position))
        return found


class EventManager(RecordManager["Event"].from_queryset(EventQuerySet)):  # type: ignore[misc]
    def record(self, name: str, *, position: int | None = None, **fields: Any) -> Event:
        """Write an event in the caller's transaction, which holds the lock of ``position`` or takes it here."""
        if position is None:
            position = Configuration.objects.advance()
        event: Event = self.create(name=name, position=position, environment=conf.IMPERSONATION_ENVIRONMENT, **fields)
        return event

    def record_denied(self, *, code: str, **deed: Any) -> None:
        """One row a minute for the same people and the same code, with a count: nobody floods the record."""
        with transaction.atomic(using=self.db):
            position = Configuration.objects.advance()
            same = self.filter(
                environment=conf.IMPERSONATION_ENVIRONMENT,
                name=Event.Name.DENIED,
                code=code,
                impersonator_pk=deed.get("impersonator_pk", ""),
                user_pk=deed.get("user_pk", ""),
                created_at__gt=timezone.now() - timedelta(minutes=1),
            )
            if not same._amend(count=F("count") + 1):
                self.record(Event.Name.DENIED, position=position, code=code, **deed)


def event_id() -> str:
    return new_id("event")


class Event(Record, Deed):
    """The record. Read it in the order of ``position``, which is the order of the commits."""

    class Name(models.TextChoices):
        REQUESTED = "impersonation.requested", _("requested")
        DENIED = "impersonation.denied", _("denied")
        SESSION_CREATED = "session.created", _("session started")
        SESSION_REVOKED = "session.revoked", _("session ended")
        EXPIRED = "impersonation.expired", _("session expired")
        ENABLED = "impersonation.enabled", _("switched on")
        DISABLED = "impersonation.disabled", _("switched off")
        PURGED = "impersonation.purged", _("records purged")

    id = models.CharField(_("id"), primary_key=True, max_length=40, default=event_id, editable=False)
    environment = models.CharField(_("environment"), max_length=100)
    position = models.PositiveBigIntegerField(_("position"), editable=False)
    name = models.CharField(_("event"), max_length=40, choices=Name)
    created_at = models.DateTimeField(_("time"), default=timezone.now)
    session = models.ForeignKey(
        "ImpersonationSession", models.SET_NULL, null=True, related_name="events", verbose_name=_("session")
    )
    code = models.CharField(_("code"), max_length=50, blank=True, help_text=_("Why it was denied, or how it ended."))
    count = models.PositiveIntegerField(_("count"), default=1, help_text=_("Attempts within a minute."))

    objects = EventManager()

    class Meta:
        verbose_name = _("impersonation event")
        verbose_name_plural = _("impersonation events")
        ordering = ["-created_at", "-position"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["environment", "position"], name="impersonation_event_position")
        ]
        # The lists of the admin, newest first, then what readers of the API follow.
        indexes = [
            models.Index(fields=["created_at", "position"], name="impersonation_event_time"),
            models.Index(fields=["name", "created_at", "position"], name="impersonation_event_name"),
            models.Index(fields=["user_pk", "created_at", "position"], name="impersonation_event_user"),
            models.Index(fields=["impersonator_pk", "created_at", "position"], name="impersonation_event_by"),
            models.Index(fields=["environment", "name", "position"], name="impersonation_event_feed"),
            models.Index(fields=["environment", "organization_id", "position"], name="impersonation_event_org"),
            PrefixIndex(fields=["user_email"], name="impersonation_event_u_email"),
            PrefixIndex(fields=["impersonator_email"], name="impersonation_event_i_email"),
        ]

    def __str__(self) -> str:
        return str(self.get_name_display())
