"""A project with one other package in it: ``python -m tests.recipes.run RECIPE FOLDER``.

It runs in a process of its own, because a process has one project only.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from importlib import import_module
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from tests.projects.run import DEFAULTS, prepare
from tests.recipes import book, projects


def module_of(recipe: str) -> str:
    return recipe.replace("-", "_")


def configure(recipe: str, folder: Path) -> None:
    """The package as its own documentation wants it, then the recipe as ours does."""
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "default.sqlite3")}
    project = deepcopy(DEFAULTS) | {
        "DATABASES": {"default": sqlite},
        "ROOT_URLCONF": f"tests.recipes.{module_of(recipe)}",
    }
    getattr(projects, module_of(recipe))(project, folder)
    if recipe in book.recipes():
        book.follow(recipe, folder, project)
    if (folder / "shop").exists():
        project["INSTALLED_APPS"].append("shop")
    sys.path.insert(0, str(folder))
    settings.configure(**{name: value for name, value in project.items() if name.isupper()})


def main(recipe: str, folder: Path) -> None:
    configure(recipe, folder)
    django.setup()
    prepare()
    call_command("impersonation", "enable", verbosity=0)
    try:
        import_module(settings.ROOT_URLCONF).story()
    finally:
        for connection in connections.all():
            connection.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
