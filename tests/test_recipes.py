"""docs/recipes.md is true: each recipe in a project that is built of it, with the package that it is about.

Install the packages with the extra ``recipes``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.processes import bare
from tests.recipes.book import blocks, lines_of_code, recipes
from tests.recipes.run import module_of
from tests.require import lacking

try:
    import psycopg
except ModuleNotFoundError:
    psycopg = None  # type: ignore[assignment]

ROOT = Path(__file__).parent.parent


# Those that hand both names on to another package: a few lines each, as the README says.
NAMING = {
    "django-auditlog",
    "django-simple-history",
    "django-reversion",
    "django-pghistory",
    "structlog",
    "sentry-sdk",
    "opentelemetry-instrumentation-django",
    "celery",
}


def follow(recipe: str, folder: Path, *ignored: str, needs: Sequence[str] = (), **environment: str) -> None:
    """Build the project and let its story happen. ``ignored`` are warnings that the package brings along itself."""
    for package in needs or [recipe]:
        try:
            version(package)
        except PackageNotFoundError:
            lacking(f"{package} is not installed; `nox -s recipes` installs it")
    warnings = [argument for message in ignored for argument in ("-W", f"ignore:{message}")]
    command = [sys.executable, "-W", "error", *warnings, "-m", "tests.recipes.run", recipe, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=bare() | environment)
    assert done.returncode == 0, done.stderr


def test_django_allauth(tmp_path: Path) -> None:
    follow("django-allauth", tmp_path)


# ABUSE 33
def test_django_otp(tmp_path: Path) -> None:
    follow("django-otp", tmp_path)


# ABUSE 34
def test_django_axes(tmp_path: Path) -> None:
    follow("django-axes", tmp_path)


def test_django_auditlog(tmp_path: Path) -> None:
    follow("django-auditlog", tmp_path)


# ABUSE 137
def test_django_simple_history(tmp_path: Path) -> None:
    follow("django-simple-history", tmp_path)


def test_django_reversion(tmp_path: Path) -> None:
    follow("django-reversion", tmp_path)


def test_django_pghistory(tmp_path: Path) -> None:
    """It is made of PostgreSQL's triggers: in a database of its own, on the server that the suite is given."""
    if psycopg is None:
        lacking("psycopg is not installed; `nox -s recipes` installs it")
    server = os.environ.get("PG_URL", "postgres://postgres@127.0.0.1:5432/django_impersonation")
    name = f"impersonation_recipe_{os.getpid()}"
    own = urlsplit(server)._replace(path=f"/{name}").geturl()
    try:
        postgres = psycopg.connect(urlsplit(server)._replace(path="/postgres").geturl(), autocommit=True)
    except psycopg.OperationalError as error:
        lacking(f"no PostgreSQL, which django-pghistory needs: {error}")
    with postgres:
        postgres.execute(f"CREATE DATABASE {name}")
        try:
            follow("django-pghistory", tmp_path, DATABASE_URL=own)
        finally:
            postgres.execute(f"DROP DATABASE {name}")


def test_structlog(tmp_path: Path) -> None:
    follow("structlog", tmp_path)


def test_sentry_sdk(tmp_path: Path) -> None:
    follow("sentry-sdk", tmp_path)


def test_opentelemetry_instrumentation_django(tmp_path: Path) -> None:
    follow("opentelemetry-instrumentation-django", tmp_path)


def test_celery(tmp_path: Path) -> None:
    follow("celery", tmp_path)


def test_channels(tmp_path: Path) -> None:
    follow("channels", tmp_path)


def test_django_ninja(tmp_path: Path) -> None:
    follow("django-ninja", tmp_path)


def test_django_unfold(tmp_path: Path) -> None:
    follow("django-unfold", tmp_path, "Overriding get_action_choices")


def test_django_jazzmin(tmp_path: Path) -> None:
    follow("django-jazzmin", tmp_path)


def test_djangorestframework_simplejwt(tmp_path: Path) -> None:
    follow("djangorestframework-simplejwt", tmp_path)


def test_every_model_that_signs_in_is_kept_from_impersonators(tmp_path: Path) -> None:
    tokens = ("django-rest-knox", "django-oauth-toolkit", "djangorestframework-simplejwt")
    others = ("django-allauth", "django-otp", "django-two-factor-auth", "social-auth-app-django")
    quiet = "defusedxml.cElementTree is deprecated"  # which social-auth-app-django imports
    follow("lasting", tmp_path, quiet, needs=(*tokens, *others))


def test_every_recipe_is_tried_and_the_reverse() -> None:
    others = {name for name in globals() if name.startswith(("test_every_", "test_a_recipe"))}
    tried = {name for name in globals() if name.startswith("test_")} - others
    assert tried == {f"test_{module_of(recipe)}" for recipe in recipes()}


@pytest.mark.parametrize("recipe", recipes())
def test_a_recipe_is_short(recipe: str) -> None:
    assert len(lines_of_code(recipe)) <= (5 if recipe in NAMING else 10)
    for name, code in blocks(recipe):
        compile(code, name, "exec")
