"""The example's people, and a browser that goes the way of a staff member."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.cache import caches
from django.test import Client
from django.urls import reverse
from django.utils.text import slugify
from organizations.models import Organization, OrganizationUser

from django_impersonation.models import ImpersonationSession

# All of Django's session engines, unless somebody is in a hurry: `.ci/run` plays two on each pair, and all with Redis.
ENGINES = os.environ.get("DJANGO_IMPERSONATION_ENGINES", "db,cached_db,cache,file,signed_cookies").split(",")


def make_people() -> Any:
    """The accounts of DESIGN.md section 7, without going through the demo command."""
    create = get_user_model().objects.create_user
    people = SimpleNamespace(
        admin=get_user_model().objects.create_superuser("admin@example.com", "demo", name="Ada Admin"),
        sasha=create("sasha@example.com", "demo", name="Sasha Stone", is_staff=True),
        noor=create("noor@example.com", "demo", name="Noor Nasser", is_staff=True),
        bob=create("bob@example.com", "demo", name="Bob Baker"),
        carol=create("carol@example.com", "demo", name="Carol Castillo"),
        dave=create("dave@example.com", "demo", name="Dave Dunn"),
        eve=create("eve@example.com", "demo", name="Eve Ellis", is_active=False),
        acme=Organization.objects.create(name="Acme", slug="acme"),
        globex=Organization.objects.create(name="Globex", slug="globex"),
    )
    grant(people.sasha, "impersonate_user", "view_impersonationsession", "view_user")
    grant(people.noor, "view_user")
    people.acme.add_user(people.bob)
    people.acme.add_user(people.carol)
    people.globex.add_user(people.bob)
    return people


def make_organizations(names: list[str], member: Any) -> None:
    """Many at once. The field of the slug would ask, for each, whether another one has it."""
    slug = Organization._meta.get_field("slug")
    new = [Organization(name=name, slug=slugify(name)) for name in names]
    with patch.object(slug, "pre_save", lambda row, add: row.slug):
        Organization.objects.bulk_create(new, batch_size=500)
    members = [OrganizationUser(user=member, organization=one) for one in new]
    OrganizationUser.objects.bulk_create(members, batch_size=500)


def grant(user: Any, *codenames: str) -> None:
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))


class Browser(Client):
    """A browser of a staff member: ``Client`` with the steps of an impersonation, CSRF checks off."""

    def __init__(self, staff: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if staff is not None:
            self.force_login(staff)

    def prompt_url(self, user: Any) -> str:
        return reverse("admin:shop_user_impersonate", args=[user.pk])

    def authorize(self, user: Any, *, organization: Any = "", reason: str = "Ticket 4711", access: str = "") -> Any:
        """Send the prompt's form; the response leads to the callback, or says why not."""
        sent = {"reason": reason, "organization": getattr(organization, "pk", ""), "access": access}
        return self.post(self.prompt_url(user), sent)

    def code(self, user: Any, **kwargs: Any) -> str:
        response = self.authorize(user, **kwargs)
        assert response.status_code == 303, response.content.decode()
        return parse_qs(urlsplit(response["Location"]).query)["code"][0]

    def redeem(self, code: str, **kwargs: Any) -> Any:
        return self.get(reverse("django_impersonation:callback"), {"code": code}, **kwargs)

    def start(self, user: Any, **kwargs: Any) -> ImpersonationSession:
        """The whole way in; returns the session's row."""
        response = self.redeem(self.code(user, **kwargs))
        assert response.status_code == 303, response.content.decode()
        return ImpersonationSession.objects.get(pk=self.cookies["impersonation"].value)

    def stop(self, **kwargs: Any) -> Any:
        return self.post(reverse("django_impersonation:stop"), **kwargs)

    def who(self) -> Any:
        """What a view sees of this browser: the JSON of ``/whoami/``."""
        response = self.get("/whoami/")
        assert response.status_code == 200, (response.status_code, response.headers)
        return response.json()

    def session_cookie(self) -> str | None:
        cookie = self.cookies.get("sessionid")
        return cookie.value if cookie and cookie.value else None


def clear_caches() -> None:
    for cache in caches.all():
        cache.clear()
