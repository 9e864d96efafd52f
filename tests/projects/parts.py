"""What a project may bring along: backends and a router."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend, ModelBackend


class RefusingBackend(ModelBackend):
    """Overrides ``get_user``, as a backend does that asks a directory whether the account still exists."""

    refused: set[str] = set()

    def get_user(self, user_id: Any) -> Any:
        user = super().get_user(user_id)
        return None if user is None or user.get_username() in self.refused else user


class SupportBackend(BaseBackend):
    """Knows nobody and lets everybody named in ``agents`` impersonate: permissions from outside the tables."""

    agents: set[str] = {"agent"}

    def has_perm(self, user: Any, perm: str, obj: Any = None) -> bool:
        return perm == "django_impersonation.impersonate_user" and user.get_username() in self.agents


class Replica:
    """Reads go to a replica, except those of Django's sessions; writes go to the default database."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "default" if model._meta.app_label == "sessions" else "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, first: Any, second: Any, **hints: Any) -> bool:
        return True
