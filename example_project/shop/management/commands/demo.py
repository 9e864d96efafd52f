"""`manage.py demo`: the example shop, from nothing to a running server."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from organizations.models import Organization

from example_project.shop.models import User

PASSWORD = "demo"


class Account(NamedTuple):
    email: str
    name: str
    what: str
    fields: dict[str, Any]
    group: str | None = None
    organizations: tuple[str, ...] = ()


GROUPS = {
    "Support": (
        "shop.view_user",
        "django_impersonation.impersonate_user",
        "django_impersonation.view_impersonationsession",
    ),
    "Catalogue": ("shop.view_user",),
}

STAFF = {"is_staff": True}
ACCOUNTS = (
    Account(
        "admin@example.com",
        "Ada Admin",
        "superuser: everything, also the switch",
        {"is_staff": True, "is_superuser": True},
    ),
    Account("sasha@example.com", "Sasha Stone", "support: may impersonate customers", STAFF, "Support"),
    Account("noor@example.com", "Noor Nasser", "staff: may see users, not impersonate", STAFF, "Catalogue"),
    Account(
        "bob@example.com",
        "Bob Baker",
        "customer in Acme and Globex",
        {"card_number": "4242 4242 4242 4242"},
        organizations=("Acme", "Globex"),
    ),
    Account(
        "carol@example.com",
        "Carol Castillo",
        "customer in Acme",
        {"card_number": "5555 5555 5555 4444"},
        organizations=("Acme",),
    ),
    Account(
        "dave@example.com",
        "Dave Dunn",
        "customer in no organization",
        {"card_number": "4000 0566 5566 5556"},
    ),
    Account("eve@example.com", "Eve Ellis", "inactive: cannot sign in", {"is_active": False}),
)

INTRODUCTION = """
  Harbour Supply, the example project of django-impersonation

  Addresses
    the shop     {address}/
    the admin    {address}/admin/
    who am I     {address}/api/me/
    the API      {address}/user_management/authenticate and others
                 client id {client_id}
                 key       {api_key}

  Accounts, all with the password "{password}"
{accounts}

  First step
    Impersonation is off until somebody switches it on:
    sign in to /admin/ as admin@example.com and switch impersonation on
    under Impersonation > Configuration
    (or run: python manage.py impersonation enable)

  Second step
    Log out, sign in as sasha@example.com, open Users > bob@example.com,
    press Impersonate, say why and choose Acme or Globex. You see the shop as
    Bob does, under a bar that says so. Try /profile/ and /billing/, then Stop.
"""


class Command(BaseCommand):
    help = "Migrates, makes the demo accounts that are missing, and serves the example shop."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="Stop before serving.")
        parser.add_argument("--addrport", default="127.0.0.1:8000", help="Address and port, or port.")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        seed()
        self.stdout.write(introduction(options["addrport"]))
        self.stdout.flush()
        if not options["no_serve"]:
            # One process, so that ending it ends everything.
            call_command("runserver", options["addrport"], use_reloader=False)


def introduction(addrport: str) -> str:
    address = f"http://{addrport}" if ":" in addrport else f"http://127.0.0.1:{addrport}"
    accounts = "\n".join(f"    {account.email:<20} {account.what}" for account in ACCOUNTS)
    return INTRODUCTION.format(
        address=address,
        password=PASSWORD,
        accounts=accounts,
        client_id=settings.IMPERSONATION_CLIENT_ID,
        api_key=settings.IMPERSONATION_API_KEY,
    )


@transaction.atomic
def seed() -> None:
    """Makes what is missing. What is there stays as it is: nobody's password or group is reset."""
    for name, permissions in GROUPS.items():
        group, created = Group.objects.get_or_create(name=name)
        if created:
            group.permissions.set(permission(label) for label in permissions)
    for account in ACCOUNTS:
        if not User.objects.filter(email=account.email).exists():
            create(account)


def create(account: Account) -> None:
    user = User.objects.create_user(account.email, PASSWORD, name=account.name, **account.fields)
    if account.group:
        user.groups.add(Group.objects.get(name=account.group))
    for name in account.organizations:
        organization, _ = Organization.objects.get_or_create(slug=name.lower(), defaults={"name": name})
        organization.add_user(user)  # the first one becomes the owner


def permission(label: str) -> Permission:
    app_label, codename = label.split(".")
    return Permission.objects.get(content_type__app_label=app_label, codename=codename)
