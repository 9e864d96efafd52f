from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from django_impersonation import flows
from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.keys import new_api_key, new_signing_key
from django_impersonation.models import (
    Activity,
    AuthorizationCode,
    Configuration,
    Event,
    ImpersonationSession,
    RefreshToken,
)
from django_impersonation.records import email_field, purge
from django_impersonation.reports import (
    activity_fields,
    activity_text,
    difference,
    session_fields,
    session_text,
    table,
)
from django_impersonation.surface import surface


class Command(BaseCommand):
    help = "Switch impersonation on or off; see, show and revoke sessions; list what is open; clean up; make keys."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        commands.add_parser("enable", help="switch impersonation on for this environment")
        commands.add_parser("disable", help="switch it off, end every session and void every code")
        commands.add_parser("status", help="show the switch and the live sessions")
        show = commands.add_parser("show", help="show a session, and what was asked for in it")
        show.add_argument("session", metavar="SESSION", help="its id")
        show.add_argument("--json", action="store_true", dest="as_json", help="as JSON lines, for export")
        surface = commands.add_parser("surface", help="list every address, and what an impersonator can do there")
        surface.add_argument("--json", action="store_true", dest="as_json", help="as JSON, to commit")
        surface.add_argument("--check", metavar="FILE", help="fail if it differs from this JSON")
        revoke = commands.add_parser("revoke", help="end sessions and void the codes of their impersonators")
        which = revoke.add_mutually_exclusive_group(required=True)
        which.add_argument("session", nargs="?", metavar="SESSION", help="the id of one session")
        which.add_argument(
            "--impersonator", metavar="WHO", help="all of this staff member: e-mail address or user name"
        )
        which.add_argument("--user", metavar="WHO", help="all as this user: e-mail address or user name")
        which.add_argument("--all", action="store_true", dest="everything", help="all")
        purge = commands.add_parser(
            "purge", help="record what has expired, remove spent codes and, if told, old records"
        )
        purge.add_argument(
            "--keep-days",
            type=int,
            metavar="DAYS",
            help="also remove sessions and events that are older than this",
        )
        newkey = commands.add_parser("newkey", help="print a new key for IMPERSONATION_JWT_SIGNING_KEY")
        newkey.add_argument("--api", action="store_true", help="for IMPERSONATION_API_KEY or _EVENTS_KEY instead")

    def execute(self, *args: Any, **options: Any) -> str | None:
        if options["command"] == "newkey":  # without keys the checks fail, and their hint leads here
            options["skip_checks"] = True
        return super().execute(*args, **options)

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        getattr(self, f"_{command}")(**options)

    def _enable(self, **options: Any) -> None:
        self._switch(True)

    def _disable(self, **options: Any) -> None:
        self._switch(False)

    def _switch(self, enabled: bool) -> None:
        try:
            changed = flows.switch(enabled)
        except ImpersonationDenied as refusal:
            raise CommandError(str(refusal)) from refusal
        state = "on" if enabled else "off"
        self.stdout.write(
            f"Impersonation is {'now' if changed else 'already'} {state} in {conf.IMPERSONATION_ENVIRONMENT}."
        )

    def _status(self, **options: Any) -> None:
        state = "on" if Configuration.objects.enabled() else "off"
        decided = "the admin's switch" if conf.IMPERSONATION_ENABLED is None else "IMPERSONATION_ENABLED"
        self.stdout.write(f"Impersonation is {state} in {conf.IMPERSONATION_ENVIRONMENT} ({decided} decides).")
        live = ImpersonationSession.objects.live()
        self.stdout.write(f"Live sessions: {live.count()}")
        for session in live:
            self.stdout.write(
                f"{session.pk}  {session.impersonator_email} as {session.user_label}, {session.minutes_left} min left"
            )

    def _show(self, session: str, as_json: bool, **options: Any) -> None:
        found = ImpersonationSession.objects.filter(pk=session).first()
        if found is None:
            raise CommandError(f"There is no session {session}.")
        self.stdout.write(json.dumps(session_fields(found)) if as_json else session_text(found))
        for activity in Activity.objects.filter(session=found).iterator(chunk_size=2000):
            self.stdout.write(json.dumps(activity_fields(activity)) if as_json else activity_text(activity))

    def _surface(self, as_json: bool, check: str | None, **options: Any) -> None:
        rows = [row._asdict() for row in surface()]
        if check is not None:
            changes = difference(_read(check), rows)
            if changes:
                raise CommandError("\n".join([f"The surface differs from {check}:", *changes]))
            self.stdout.write(f"The surface is that of {check}.")
        elif as_json:
            self.stdout.write(json.dumps(rows, indent=1))
        else:
            self.stdout.write(table(rows))

    def _revoke(
        self, session: str | None, impersonator: str | None, user: str | None, everything: bool, **options: Any
    ) -> None:
        found, codes = ImpersonationSession.objects.all(), AuthorizationCode.objects.all()
        if everything:
            pass
        elif session is not None:
            found, codes = found.filter(pk=session), codes.none()
            if not found.exists():
                raise CommandError(f"There is no session {session}.")
        else:
            role, email = ("user", user) if impersonator is None else ("impersonator", impersonator)
            people = _people(email) if email else []
            # By the address on record too: the account may be gone, or have another one now.
            theirs = Q((f"{role}_email__iexact", email)) | Q((f"{role}__in", people))
            found, codes = found.filter(theirs), codes.filter(theirs)
            if not email or not (people or found.exists() or codes.exists()):
                raise CommandError(f"Nobody has the e-mail address or user name {email}.")
        count = flows.revoke(found.filter(ended_at=None), codes=codes)
        self.stdout.write(f"Sessions ended: {count}")

    def _newkey(self, api: bool, **options: Any) -> None:
        try:
            self.stdout.write(new_api_key() if api else new_signing_key())
        except ImportError as error:
            raise CommandError(str(error)) from error

    def _purge(self, keep_days: int | None, **options: Any) -> None:
        if keep_days is not None and not 1 <= keep_days <= 36500:
            raise CommandError("--keep-days takes a whole number of days, from 1 to 36500.")
        now = timezone.now()
        expired = sum(
            s.end("expired") for s in ImpersonationSession.objects.expired().filter(ended_at=None).iterator()
        )
        ended = Q(session__ended_at__isnull=False)
        removed = purge(AuthorizationCode.objects.filter(expires_at__lte=now), only=Q(session=None) | ended)
        tokens = purge(RefreshToken.objects.all(), only=ended)
        self.stdout.write(f"Sessions found expired: {expired}. Codes removed: {removed}. Tokens removed: {tokens}.")
        if keep_days is None:
            return
        before = now - timedelta(days=keep_days)
        events = purge(Event.objects.filter(created_at__lt=before))
        # A session stays as long as an event that names it.
        sessions = purge(ImpersonationSession.objects.filter(ended_at__lt=before), only=Q(events=None))
        if sessions or events:
            with transaction.atomic(using=Event.objects.db):
                text = f"Older than {keep_days} days: {sessions} sessions, {events} events."
                Event.objects.record(Event.Name.PURGED, reason=text)
        self.stdout.write(f"Sessions removed: {sessions}. Events removed: {events}.")


def _read(path: str) -> list[dict[str, str]]:
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CommandError(f"{path} is not what `impersonation surface --json` prints.")
    return rows


def _people(email: str) -> list[Any]:
    model = get_user_model()
    by_email = Q((f"{email_field(model)}__iexact", email))
    return list(model._base_manager.filter(by_email | Q((model.USERNAME_FIELD, email))))
