from __future__ import annotations

import hmac
from datetime import timedelta
from math import ceil
from typing import Any

from django.contrib.auth import get_user_model
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from django_impersonation.activity import Activity
from django_impersonation.credentials import AuthorizationCode, RefreshToken
from django_impersonation.events import Configuration, Event
from django_impersonation.impersonator import Impersonator
from django_impersonation.indexes import PrefixIndex
from django_impersonation.records import Deed, Record, RecordManager, RecordQuerySet, digest, new_id
from django_impersonation.signals import impersonation_ended

__all__ = [
    "Activity",
    "AuthorizationCode",
    "Configuration",
    "Event",
    "ImpersonationSession",
    "Impersonator",
    "RefreshToken",
]


class SessionQuerySet(RecordQuerySet["ImpersonationSession"]):
    def live(self) -> SessionQuerySet:
        return self.filter(ended_at=None, expires_at__gt=timezone.now())

    def expired(self) -> SessionQuerySet:
        """Those whose time is over, noticed or not."""
        return self.filter(
            Q(end_reason=ImpersonationSession.EndReason.EXPIRED) | Q(ended_at=None, expires_at__lte=timezone.now())
        )

    def revoked(self) -> SessionQuerySet:
        # The names of all others: a database finds what has one of them by an index, but not what lacks one.
        others = {*ImpersonationSession.EndReason.values, ""} - {ImpersonationSession.EndReason.EXPIRED}
        return self.filter(ended_at__isnull=False, end_reason__in=sorted(others))

    def end(self, reason: str = "revoked", *, request: Any = None) -> int:
        """End those that have not ended yet; each writes its event. Returns how many there were."""
        return sum(session.end(reason, request=request) for session in self.filter(ended_at=None))


class SessionManager(RecordManager["ImpersonationSession"].from_queryset(SessionQuerySet)):  # type: ignore[misc]
    pass


def session_id() -> str:
    return new_id("session")


class ImpersonationSession(Record, Deed):
    class EndReason(models.TextChoices):
        STOPPED = "stopped", pgettext_lazy("impersonation session", "stopped")
        EXPIRED = "expired", pgettext_lazy("impersonation session", "expired")
        REVOKED = "revoked", pgettext_lazy("impersonation session", "revoked")
        SIGNED_OUT = "signed_out", _("user signed out")
        DISABLED = "disabled", _("impersonation switched off")
        USER_CHANGED = "user_changed", _("user's account changed")
        IMPERSONATOR_CHANGED = (
            "impersonator_changed",
            _("impersonator's account changed"),
        )
        REPLAYED = "replayed", _("code used twice")

    class Status(models.TextChoices):
        ACTIVE = "active", pgettext_lazy("impersonation session", "active")
        EXPIRED = "expired", pgettext_lazy("impersonation session", "expired")
        REVOKED = "revoked", pgettext_lazy("impersonation session", "ended")

    id = models.CharField(_("id"), primary_key=True, max_length=40, default=session_id, editable=False)
    created_at = models.DateTimeField(_("start"), default=timezone.now, db_index=True)
    expires_at = models.DateTimeField(_("expires at"), db_index=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True, db_index=True)
    end_reason = models.CharField(_("how it ended"), max_length=20, choices=EndReason, blank=True)
    ip_address = models.GenericIPAddressField(_("IP address"), null=True)
    user_agent = models.CharField(_("browser"), max_length=255, blank=True)
    return_url = models.CharField(max_length=2000, blank=True, editable=False)
    client_id = models.CharField(
        _("client"), max_length=255, blank=True, help_text=_("Empty for a browser of this site.")
    )
    # Digests only: what a reader of this table learns opens nothing.
    secret_digest = models.CharField(max_length=64, blank=True, editable=False)
    return_key_digest = models.CharField(max_length=64, blank=True, db_index=True, editable=False)
    impersonator_hash_digest = models.CharField(max_length=64, editable=False)
    user_hash_digest = models.CharField(max_length=64, editable=False)
    # What they were at the start: either may lose a flag or gain one while the session lasts.
    impersonator_is_superuser = models.BooleanField(default=False, editable=False)
    user_is_staff = models.BooleanField(default=False, editable=False)
    user_is_superuser = models.BooleanField(default=False, editable=False)

    objects = SessionManager()

    class Meta:
        verbose_name = _("impersonation session")
        verbose_name_plural = _("impersonation sessions")
        ordering = ["-created_at"]
        default_permissions = ("view", "revoke")
        permissions = [
            ("impersonate_user", "Can impersonate users"),
            ("impersonate_with_full_access", "Can impersonate users with full access, where view only is the default"),
        ]
        indexes = [
            models.Index(fields=["user_pk", "created_at"], name="impersonation_session_user"),
            models.Index(fields=["impersonator_pk", "created_at"], name="impersonation_session_by"),
            models.Index(fields=["organization_id", "created_at"], name="impersonation_session_org"),
            models.Index(fields=["end_reason", "created_at"], name="impersonation_session_end"),
            PrefixIndex(fields=["user_email"], name="impersonation_session_u_email"),
            PrefixIndex(fields=["impersonator_email"], name="impersonation_session_i_email"),
        ]

    def __str__(self) -> str:
        return f"{self.impersonator_label} → {self.user_label}"

    @property
    def status(self) -> Status:
        """In the words of the wire format: whatever ended it but time, it is *revoked*."""
        if self.end_reason == self.EndReason.EXPIRED or (self.ended_at is None and self.expires_at <= timezone.now()):
            return self.Status.EXPIRED
        return self.Status.ACTIVE if self.ended_at is None else self.Status.REVOKED

    @property
    def status_label(self) -> str:
        """The status, with how it ended: "ended: stopped"."""
        how = f": {self.get_end_reason_display()}" if self.status == self.Status.REVOKED else ""
        return f"{self.status.label}{how}"

    @property
    def minutes_left(self) -> int:
        return max(0, ceil((self.expires_at - timezone.now()) / timedelta(minutes=1)))

    @property
    def by(self) -> Impersonator:
        return Impersonator(email=self.impersonator_email, reason=self.reason)

    def is_for(self, user: Any) -> bool:
        """Is this the user whom the session is about? A request's user may have changed since the middleware."""
        return self.user_id is not None and isinstance(user, get_user_model()) and bool(user.pk == self.user_id)

    def has_secret(self, secret: object) -> bool:
        return isinstance(secret, str) and hmac.compare_digest(digest(secret), self.secret_digest)

    def has_return_key(self, key: str | None) -> bool:
        return bool(key and self.return_key_digest) and hmac.compare_digest(digest(key or ""), self.return_key_digest)

    def end(self, reason: str, *, request: Any = None) -> bool:
        """End it and write the event in one transaction; False if somebody else did before.

        A session whose time was over has *expired*, whatever is found out about it later.
        """
        if self.ended_at is not None:
            return False
        now = timezone.now()
        reason = self.EndReason.EXPIRED if self.expires_at <= now else self.EndReason(reason)
        name = Event.Name.EXPIRED if reason == self.EndReason.EXPIRED else Event.Name.SESSION_REVOKED
        with transaction.atomic(using=Event.objects.db):
            position = Configuration.objects.advance()
            ended = ImpersonationSession.objects.filter(pk=self.pk, ended_at=None)._amend(
                ended_at=min(now, self.expires_at), end_reason=reason
            )
            self.refresh_from_db(from_queryset=ImpersonationSession.objects.all())
            if not ended:
                return False
            Event.objects.record(name, position=position, session=self, code=reason, **self.deed())
            transaction.on_commit(
                lambda: impersonation_ended.send_robust(ImpersonationSession, request=request, impersonation=self),
                using=Event.objects.db,
            )
        return True
