"""docs/recipes.md is true: each recipe in a project that is built of it, with the package that it is about.

Install the packages with the extra ``recipes``.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.processes import bare
from tests.recipes.book import blocks, lines_of_code, recipes
from tests.recipes.run import module_of
from tests.require import lacking

ROOT = Path(__file__).parent.parent


def follow(recipe: str, folder: Path, *ignored: str) -> None:
    """Build the project and let its story happen. ``ignored`` are warnings that the package brings along itself."""
    try:
        version(recipe)
    except PackageNotFoundError:
        lacking(f"{recipe} is not installed; `nox -s recipes` installs it")
    warnings = [argument for message in ignored for argument in ("-W", f"ignore:{message}")]
    command = [sys.executable, "-W", "error", *warnings, "-m", "tests.recipes.run", recipe, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=bare())
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


def test_every_recipe_is_tried_and_the_reverse() -> None:
    others = {name for name in globals() if name.startswith(("test_every_", "test_a_recipe"))}
    tried = {name for name in globals() if name.startswith("test_")} - others
    assert tried == {f"test_{module_of(recipe)}" for recipe in recipes()}


@pytest.mark.parametrize("recipe", recipes())
def test_a_recipe_is_short(recipe: str) -> None:
    assert len(lines_of_code(recipe)) <= 10
    for name, code in blocks(recipe):
        compile(code, name, "exec")
