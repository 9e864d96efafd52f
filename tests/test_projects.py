"""Projects that are not the example: each is a process of its own, in which a whole story happens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import bare
from tests.projects.run import DEFAULTS

ROOT = Path(__file__).parent.parent
APPS = DEFAULTS["INSTALLED_APPS"]
NO_ADMIN = [app for app in APPS if app != "django.contrib.admin"]
BACKENDS = "tests.projects.parts."
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


def tell(story: str, folder: Path, **options: Any) -> str:
    """Run a story in a project with these settings; returns what it printed."""
    command = [sys.executable, "-W", "error", "-m", "tests.projects.run", story, str(folder), json.dumps(options)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=bare())
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="stock user, integer key"),
        pytest.param({"AUTH_USER_MODEL": "accounts.StringKey"}, id="string key"),
        pytest.param({"AUTH_USER_MODEL": "accounts.UuidKey"}, id="UUID key"),
        pytest.param({"AUTH_USER_MODEL": "accounts.BigKey"}, id="key near 2**63"),
        pytest.param({"AUTH_USER_MODEL": "accounts.Derived"}, id="is_staff is a property"),
        pytest.param({"AUTH_USER_MODEL": "accounts.SoftDeleted"}, id="soft delete"),
        pytest.param({"ADMIN_PATH": "back/office/"}, id="admin under another path"),
        pytest.param({"TRANSLATED": True, "LANGUAGE_CODE": "en"}, id="i18n_patterns"),
        pytest.param({"FORCE_SCRIPT_NAME": "/app"}, id="under a path of the host"),
        pytest.param({"USE_TZ": False, "TIME_ZONE": "America/New_York"}, id="naive times"),
        pytest.param({"atomic": True}, id="ATOMIC_REQUESTS"),
        pytest.param({"CSRF_USE_SESSIONS": True}, id="CSRF_USE_SESSIONS"),
        pytest.param(
            {"more_middleware": ["django.contrib.auth.middleware.LoginRequiredMiddleware"]},
            id="LoginRequiredMiddleware",
        ),
        pytest.param({"AUTHENTICATION_BACKENDS": [BACKENDS + "RefusingBackend", MODEL_BACKEND]}, id="own get_user"),
        pytest.param({"AUTHENTICATION_BACKENDS": [MODEL_BACKEND, BACKENDS + "SupportBackend"]}, id="own has_perm"),
        pytest.param({"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"}, id="signed cookies"),
    ],
)
def test_the_whole_story(options: dict[str, Any], tmp_path: Path) -> None:
    tell("whole", tmp_path, **options)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"INSTALLED_APPS": NO_ADMIN}, id="no admin"),
        pytest.param({"INSTALLED_APPS": NO_ADMIN, "AUTH_USER_MODEL": "accounts.Bare"}, id="no password, no is_active"),
        pytest.param({"AUTH_USER_MODEL": "accounts.StringKey"}, id="back to a key that the admin quotes"),
    ],
)
def test_a_story_by_a_view(options: dict[str, Any], tmp_path: Path) -> None:
    policy = "django_impersonation.policy.customers"
    tell("by_view", tmp_path, IMPERSONATION_POLICY=policy, **options)


def test_a_proxy_and_a_second_site(tmp_path: Path) -> None:
    tell("two_sites", tmp_path, SUPPORT_SITE=True, INSTALLED_APPS=[*APPS[:-1], "tests.projects.proxies", APPS[-1]])


def test_people_hidden_by_the_default_manager(tmp_path: Path) -> None:
    tell("soft_delete", tmp_path, AUTH_USER_MODEL="accounts.SoftDeleted")


# ABUSE 42
def test_backends_are_asked_on_every_request(tmp_path: Path) -> None:
    tell("backends", tmp_path, AUTHENTICATION_BACKENDS=[BACKENDS + "RefusingBackend", BACKENDS + "SupportBackend"])


# ABUSE 139
def test_a_replica_that_lags(tmp_path: Path) -> None:
    tell("replica", tmp_path, replica=True)


def test_without_the_admin_nothing_is_found(tmp_path: Path) -> None:
    assert tell("found", tmp_path, INSTALLED_APPS=NO_ADMIN) == ""


def test_users_who_are_not_in_the_admin(tmp_path: Path) -> None:
    project = {"AUTH_USER_MODEL": "accounts.UuidKey", "REGISTER_USERS": False}
    number, hint = tell("found", tmp_path, **project).split(maxsplit=1)
    assert number == "django_impersonation.W004"
    assert "django_impersonation.admin.ImpersonationAdminMixin" in hint
    assert "flows.authorize" in hint
    tell("by_view", tmp_path, SILENCED_SYSTEM_CHECKS=[number], **project)


def test_listed_before_the_admin(tmp_path: Path) -> None:
    """One finding, with the one thing to do: what follows from it would only lead astray."""
    (line,) = tell("found", tmp_path, INSTALLED_APPS=[APPS[-1], *APPS[:-1]]).splitlines()
    hint = 'Move "django_impersonation" below "django.contrib.admin" in INSTALLED_APPS.'
    assert line == f"django_impersonation.E019 {hint}"


def test_a_user_model_without_permissions(tmp_path: Path) -> None:
    """The example of Django's documentation: works by a policy that asks for none, and a check says so."""
    project = {"AUTH_USER_MODEL": "accounts.Documented"}
    assert "django_impersonation.policy.customers" in tell("found", tmp_path, **project)
    tell("whole", tmp_path, IMPERSONATION_POLICY="django_impersonation.policy.customers", **project)
