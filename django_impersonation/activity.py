"""What an impersonator asked for: one row for each request, written before its view runs."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_impersonation.records import Record, RecordManager, RecordQuerySet

METHOD_LENGTH, PATH_LENGTH, VIEW_LENGTH = 20, 500, 255
# What a path may hold as it is (RFC 3986 section 3.3), and the braces of a route.
_PLAIN = "/:@!$&'()*+,;=~<>"
_LEFT_OUT = "[...]"  # in no path: brackets are quoted
_END = 195


def _shortened(path: str) -> str:
    """Beginning and end: ``./././`` in front of what is asked for must not take it off the record."""
    if len(path) <= PATH_LENGTH:
        return path
    return path[: PATH_LENGTH - _END - len(_LEFT_OUT)] + _LEFT_OUT + path[-_END:]


class ActivityManager(RecordManager["Activity"].from_queryset(RecordQuerySet)):  # type: ignore[misc]
    def record(self, *, method: str, path: str, view_name: str = "", **fields: Any) -> Activity:
        """Text of any kind becomes one that every database takes."""
        made: Activity = self.create(
            method=quote(method, errors="replace")[:METHOD_LENGTH],
            path=_shortened(quote(path, safe=_PLAIN, errors="replace")),
            view_name=quote(view_name, safe=_PLAIN, errors="replace")[:VIEW_LENGTH],
            **fields,
        )
        return made


class Activity(Record):
    """A request, and how it was answered. Never its body, its query, its cookies."""

    session_id: str
    session = models.ForeignKey(
        "django_impersonation.ImpersonationSession",
        models.CASCADE,  # which only ``impersonation purge --keep-days`` deletes
        related_name="activities",
        verbose_name=_("session"),
    )
    created_at = models.DateTimeField(_("time"), default=timezone.now)
    method = models.CharField(_("method"), max_length=METHOD_LENGTH)
    path = models.CharField(_("path"), max_length=PATH_LENGTH)
    view_name = models.CharField(_("view"), max_length=VIEW_LENGTH, blank=True)
    status = models.PositiveSmallIntegerField(
        _("status"), null=True, help_text=_("Empty while the view runs, and for ever if its process died.")
    )

    objects = ActivityManager()

    class Meta:
        verbose_name = _("activity")
        verbose_name_plural = _("activities")
        ordering = ["pk"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def complete(self, status: int) -> None:
        """Add the status of the response, which is not changed any more after that."""
        Activity.objects.filter(pk=self.pk, status=None)._amend(status=status)
