"""Installed wrongly, it means nobody; installed as the README says, Django's own start is clean."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.signals import user_logged_in
from django.test import RequestFactory

from django_impersonation import flows
from django_impersonation.resolution import Verdict
from tests.people import Browser
from tests.processes import bare

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = "django_impersonation.middleware.ImpersonationMiddleware"
DJANGOS = "django.contrib.auth.middleware.AuthenticationMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
WRONG = {"missing": [SESSIONS, DJANGOS], "before": [SESSIONS, OURS, DJANGOS], "first": [OURS, SESSIONS, DJANGOS]}


def rearranged(middleware: list[str], order: list[str]) -> list[str]:
    return [*order, *(name for name in middleware if name not in (OURS, DJANGOS, SESSIONS))]


# ABUSE 48
@pytest.mark.django_db
@pytest.mark.parametrize("wrong", WRONG)
def test_wrongly_installed_means_nobody(people: Any, sasha: Browser, settings: Any, wrong: str) -> None:
    sasha.start(people.carol)
    settings.MIDDLEWARE = rearranged(settings.MIDDLEWARE, WRONG[wrong])
    sasha.handler.load_middleware()
    assert "carol" not in sasha.get("/").content.decode()
    assert sasha.get("/profile/").status_code == 302
    assert sasha.get("/admin/").status_code == 302, "and not the staff member either"


# ABUSE 48
@pytest.mark.django_db
@pytest.mark.parametrize("wrong", WRONG)
def test_wrongly_installed_starts_nothing(people: Any, sasha: Browser, settings: Any, wrong: str) -> None:
    code = sasha.code(people.carol)
    settings.MIDDLEWARE = rearranged(settings.MIDDLEWARE, WRONG[wrong])
    sasha.handler.load_middleware()
    sasha.redeem(code)
    for address in ("/", "/profile/"):
        assert "carol" not in sasha.get(address).content.decode()


# ABUSE 48
@pytest.mark.django_db
def test_twice_installed_still_tags_every_request(people: Any, sasha: Browser, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, OURS]
    session = sasha.start(people.carol)
    assert (sasha.who()["user"], sasha.who()["current"]) == ("carol@example.com", session.pk)
    session.end("revoked")
    assert sasha.get("/whoami/").status_code == 303


# ABUSE 48
@pytest.mark.django_db
@pytest.mark.parametrize("missing", ["session", "user"])
def test_a_request_without_a_session_or_a_user_is_nobodys(
    people: Any, sasha: Browser, rf: RequestFactory, missing: str
) -> None:
    """A project without Django's sessions may have users of its own on the request."""
    request = rf.get("/")
    request.COOKIES["impersonation"] = sasha.start(people.carol).pk
    request.session, request.user = sasha.session, people.dave
    delattr(request, missing)
    assert flows.resolve(request) is Verdict.NONE
    assert (request.impersonation, request.impersonator) == (None, None)


@pytest.mark.django_db
def test_a_login_without_a_session_is_none_of_our_business(people: Any, rf: RequestFactory) -> None:
    """A project's API may announce logins of its own kind."""
    user_logged_in.send(type(people.dave), request=rf.get("/"), user=people.dave)
    user_logged_in.send(type(people.dave), request=None, user=people.dave)


# ABUSE 16
@pytest.mark.django_db
@pytest.mark.parametrize("static", [None, "", "/", "https://cdn.example.com/", "https://cdn.example.com/whoami/"])
def test_without_static_files_of_this_site_nothing_is_taken_for_one(
    people: Any, sasha: Browser, settings: Any, static: str | None
) -> None:
    sasha.start(people.carol).end("revoked")
    settings.STATIC_URL = static
    assert sasha.get("/whoami/").status_code == 303


def manage(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=folder,
        env=bare() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_new_project_has_no_warnings(tmp_path: Path) -> None:
    """Django's own start, with an app, a middleware and an include."""
    manage(tmp_path, "-m", "django", "startproject", "shop", ".")
    settings, urls = tmp_path / "shop/settings.py", tmp_path / "shop/urls.py"
    text = settings.read_text().replace("'", '"')
    for line, added in (('"django.contrib.staticfiles"', '"django_impersonation"'), (f'"{DJANGOS}"', f'"{OURS}"')):
        text = text.replace(f"    {line},\n", f"    {line},\n    {added},\n")
    settings.write_text(text)
    found = manage(tmp_path, "manage.py", "check")
    assert "(django_impersonation.E014)" in found
    assert "System check identified 1 issue" in found
    include = 'urlpatterns.append(path("impersonation/", include("django_impersonation.urls")))'
    urls.write_text(urls.read_text().replace("import path", "import include, path") + f"\n{include}\n")
    assert "no issues (0 silenced)" in manage(tmp_path, "manage.py", "check")
    assert "No changes detected" in manage(tmp_path, "manage.py", "makemigrations", "--check", "--dry-run")
    assert "django_impersonation" not in manage(tmp_path, "manage.py", "check", "--deploy")
