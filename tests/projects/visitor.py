"""A browser that keeps to the rules: it follows links, fills in forms and sends the CSRF token it was given."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

User = get_user_model()
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


def make(name: str, **flags: Any) -> Any:
    """A person of whatever kind the project's are; ``agent`` may impersonate, ``boss`` may everything."""
    fields = {field.name for field in User._meta.get_fields()}
    staff = name in ("boss", "agent")
    wanted = {User.USERNAME_FIELD: name, "is_staff": staff, "is_admin": staff, "is_superuser": name == "boss"}
    user = User(**{key: value for key, value in (wanted | flags).items() if key in fields})
    if hasattr(user, "set_unusable_password"):
        user.set_unusable_password()
    user.save()
    if "user_permissions" in fields and name == "agent":
        wanted_codes = ("impersonate_user", f"view_{User._meta.model_name}", "view_impersonationsession")
        user.user_permissions.add(*Permission.objects.filter(codename__in=wanted_codes))
        user.groups.add(Group.objects.create(name="staff"))
    return user


class Visitor(Client):
    def __init__(self, user: Any = None) -> None:
        super().__init__(enforce_csrf_checks=True)
        self.user = user
        if user is not None:
            self.force_login(user)

    def generic(self, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        """A server strips FORCE_SCRIPT_NAME, or rather its own prefix, from what a browser asks for."""
        prefix = settings.FORCE_SCRIPT_NAME or ""
        assert path.startswith(prefix + "/"), path
        return super().generic(method, path[len(prefix) :], *args, **kwargs)

    def request(self, **request: Any) -> Any:
        """What a server deletes is gone, where Django's client goes on sending it empty."""
        response = super().request(**request)
        for name in [name for name, morsel in self.cookies.items() if morsel["max-age"] == 0]:
            del self.cookies[name]
        return response

    def open(self, path: str, status: int = 200) -> str:
        response = self.get(path)
        assert response.status_code == status, (path, response.status_code, response.headers, response.content[:2000])
        return response.content.decode()

    def submit(self, page: str, data: dict[str, str] | None = None, *, to: str = "", status: int = 303) -> str:
        """Open a page, fill in its form and send it, to the page itself or ``to`` another; returns where it leads."""
        token = TOKEN.search(self.open(page))
        assert token, f"no form on {page}"
        response = self.post(to or page, {"csrfmiddlewaretoken": token[1], **(data or {})})
        assert response.status_code == status, (response.status_code, response.content.decode()[:4000])
        return response.headers.get("Location", "")

    def who(self) -> dict[str, Any]:
        return self.get(at("whoami/")).json()

    def anonymous(self) -> bool:
        return self.session.get("_auth_user_id") is None


def at(path: str) -> str:
    """A page outside of the admin, in the language of the project."""
    language = f"{settings.LANGUAGE_CODE}/" if settings.TRANSLATED else ""
    return f"{settings.FORCE_SCRIPT_NAME or ''}/{language}{path}"


def admin_url(name: str, *args: Any, model: Any = User, site: str = "admin") -> str:
    return reverse(f"{site}:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)
