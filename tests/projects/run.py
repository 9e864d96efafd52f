"""A small project made of a few settings, and a story in it: ``python -m tests.projects.run STORY SETTINGS-AS-JSON``.

It runs in a process of its own, because a process has one project only.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_impersonation.middleware.ImpersonationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
DEFAULTS: dict[str, Any] = {
    "SECRET_KEY": "projects",
    "ALLOWED_HOSTS": ["testserver"],
    "INSTALLED_APPS": [
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "tests.projects.accounts",
        "django_impersonation",
    ],
    "MIDDLEWARE": MIDDLEWARE,
    "ROOT_URLCONF": "tests.projects.urls",
    "STATIC_URL": "static/",
    "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
    "USE_TZ": True,
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ],
            },
        },
    ],
    # Ours: what tests/projects/urls.py and accounts/admin.py ask.
    "ADMIN_PATH": "admin/",
    "TRANSLATED": False,
    "SUPPORT_SITE": False,
    "REGISTER_USERS": True,
    "API": False,
}


class Blocker:
    """Makes packages look as if they were not installed."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def configure(folder: str, *, more_middleware: list[str], replica: bool, atomic: bool, **overrides: Any) -> None:
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "ATOMIC_REQUESTS": atomic}
    unsafe = {"OPTIONS": {"init_command": "PRAGMA synchronous=OFF"}}  # nobody needs it after a crash
    databases = {"default": sqlite | unsafe | {"NAME": f"{folder}/default.sqlite3"}}
    if replica:
        databases["replica"] = sqlite | {"NAME": f"file:{folder}/replica.sqlite3?mode=ro"}
        overrides |= {"DATABASE_ROUTERS": ["tests.projects.parts.Replica"], "REPLICA": f"{folder}/replica.sqlite3"}
    base = DEFAULTS | {"DATABASES": databases, "MIDDLEWARE": [*MIDDLEWARE, *more_middleware]}
    settings.configure(**base | overrides)


def main(story: str, folder: str, options: dict[str, Any]) -> None:
    blocked = () if options.get("API") else ("rest_framework", "jwt")
    sys.meta_path.insert(0, Blocker(*blocked))
    configure(folder, **{"more_middleware": [], "replica": False, "atomic": False} | options)
    django.setup()
    stories = import_module("tests.projects.reading" if options.get("API") else "tests.projects.stories")

    try:
        getattr(stories, story)()
    finally:
        for connection in connections.all():
            connection.close()
    for name in blocked:
        assert name not in sys.modules, name


def prepare() -> None:
    """A start that finds nothing to complain about, and empty tables."""
    call_command("check", fail_level="WARNING", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
