"""What is shown once and stored as a digest: authorization codes, and the refresh tokens of clients."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone

from django_impersonation.records import Deed, WriterManager

# How long a refresh token that was used may be used again: front ends refresh in parallel.
REUSE = timedelta(seconds=10)


class CodeQuerySet(models.QuerySet["AuthorizationCode"]):
    def usable(self) -> CodeQuerySet:
        return self.filter(used_at=None, voided_at=None, expires_at__gt=timezone.now())

    def void(self) -> int:
        """No session starts from these any more, also where one is starting now; returns how many there were."""
        return self.filter(session=None, voided_at=None).update(voided_at=timezone.now())


class CodeManager(WriterManager["AuthorizationCode"].from_queryset(CodeQuerySet)):  # type: ignore[misc]
    pass


class AuthorizationCode(Deed):
    """A one-time code, short-lived (``IMPERSONATION_CODE_LIFETIME``); the code itself is never stored.

    Without a client it is for the callback of this site, in the browser of the impersonator; with one it is for
    the API. A *pending* one waits in the impersonator's session until the client's sign-in route asks for it.
    """

    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)
    spent_from = models.CharField(max_length=64, blank=True)
    replayed_at = models.DateTimeField(null=True)
    session = models.ForeignKey(
        "django_impersonation.ImpersonationSession", models.CASCADE, null=True, related_name="+"
    )
    landing_url = models.CharField(max_length=2000)
    return_url = models.CharField(max_length=2000, blank=True)
    client_id = models.CharField(max_length=255, blank=True)
    redirect_uri = models.CharField(max_length=2000, blank=True)
    code_challenge = models.CharField(max_length=64, blank=True)
    pending = models.BooleanField(default=False)
    impersonator_hash_digest = models.CharField(max_length=64, blank=True)

    objects = CodeManager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"code {self.pk}"


class TokenManager(WriterManager["RefreshToken"]):
    pass


class RefreshToken(models.Model):
    """One of a session's refresh tokens (RFC 6749 section 1.5). Each use makes one of the next generation."""

    digest = models.CharField(max_length=64, unique=True)
    parent_digest = models.CharField(max_length=64, blank=True)
    session = models.ForeignKey(
        "django_impersonation.ImpersonationSession", models.CASCADE, related_name="refresh_tokens"
    )
    generation = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    objects = TokenManager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"refresh token {self.pk}"

    def is_superseded(self) -> bool:
        """Was it used too long ago, or was another one used in its place?

        The one before the newest stays good for ``REUSE``. Whoever comes with it then, with an older one, or with
        a second one of a generation whose first was used, has it from somewhere else (RFC 9700 section 4.14.2).
        """
        next_one, long_ago = Q(generation=self.generation + 1), timezone.now() - REUSE
        later = Q(generation__gt=self.generation + 1) | next_one & Q(created_at__lte=long_ago)
        others = next_one & ~Q(parent_digest=self.digest)
        return RefreshToken.objects.filter(later | others, session=self.session_id).exists()
