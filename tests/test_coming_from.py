"""docs/coming-from.md is true: what it names of ours exists, and it leaves nothing of theirs out."""

from __future__ import annotations

import ast
import re
from importlib.metadata import PackageNotFoundError, files
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.sessions.models import Session
from django.core.management import load_command_class
from django.template import engines
from django.template.loader import get_template
from django.test import Client
from django.urls import reverse
from django.utils.module_loading import import_string

from django_impersonation import flows, policy, signals
from django_impersonation.conf import Settings
from django_impersonation.impersonator import Impersonator
from django_impersonation.models import ImpersonationSession
from tests.people import Browser
from tests.require import lacking

PAGE = (Path(__file__).parent.parent / "docs" / "coming-from.md").read_text()
THEIRS = ["django-hijack", "django-impersonate", "django-loginas"]


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def table(package: str) -> list[tuple[str, str]]:
    """What is theirs and what is ours, row by row."""
    rows = [line.strip("| ").split(" | ") for line in section(package).splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    return [(theirs, ours) for theirs, ours in rows[1:]]


def code(word: str) -> str:
    (block,) = [block for block in re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.M | re.S) if word in block]
    return block


OURS = " ".join([PAGE.split("\n## django-hijack\n")[0], *(ours for package in THEIRS for _, ours in table(package))])


def named(pattern: str) -> list[str]:
    found = sorted(set(re.findall(pattern, OURS)))
    assert found, pattern
    return found


def test_settings_exist() -> None:
    assert [name for name in named(r"IMPERSONATION_\w+") if name not in vars(Settings)] == []


@pytest.mark.django_db
def test_dotted_paths_and_permissions_exist() -> None:
    models = apps.get_app_config("django_impersonation").get_models()
    permissions = {
        f"django_impersonation.{codename}"
        for model in models
        for codename in [*(f"view_{model._meta.model_name}",), *(codename for codename, _ in model._meta.permissions)]
    }
    for path in named(r"django_impersonation\.[\w.]*\w"):
        assert path in permissions or import_string(path)


def test_functions_and_signals_exist() -> None:
    for module, name in [one.split(".") for one in named(r"\b(?:flows|policy)\.\w+(?=[(`])")]:
        assert callable(getattr({"flows": flows, "policy": policy}[module], name))
    assert [name for name in named(r"`(impersonation_\w+)`") if not hasattr(signals, name)] == []
    assert apps.is_installed("django_impersonation")
    assert import_string("django_impersonation.admin.ImpersonationAdminMixin").has_impersonate_permission
    assert import_string("django_impersonation.guards.forbid_impersonation")


def test_templates_and_tags_exist() -> None:
    for name in named(r"`(django_impersonation/[\w/]+\.html)`"):
        get_template(name)
    for tag in named(r"\{% \w+ %\}"):
        engines["django"].from_string("{% load django_impersonation %}" + tag)


def test_commands_exist() -> None:
    parser = load_command_class("django_impersonation", "impersonation").create_parser("manage.py", "impersonation")
    for line in named(r"manage\.py impersonation ([^`\n]+)"):
        parser.parse_args(line.split())
        assert "--keep-days" in line or "--" not in line  # the parser would complete half a name


@pytest.mark.django_db
def test_attributes_and_addresses_exist(people: Any, sasha: Browser) -> None:
    session = sasha.start(people.carol)
    request = sasha.get("/whoami/").wsgi_request
    assert request.impersonation == session
    for path in named(r"request\.(\w+(?:\.\w+)*)(?= if |`)"):
        attrgetter(path)(request)
    assert request.impersonation.impersonator == people.sasha
    assert set(named(r"request\.impersonator\.(\w+)")) == set(Impersonator._fields)
    assert [name for name in named(r"`impersonation\.(\w+)") if not hasattr(ImpersonationSession, name)] == []
    assert [reverse(name) for name in named(r"django_impersonation:\w+")] == ["/impersonation/stop/"]
    assert named(r"`(admin:[^`]+)`") == ["admin:<app>_<model>_impersonate"]
    assert reverse("admin:shop_user_impersonate", args=["1"])


@pytest.mark.django_db
def test_the_sessions_of_the_others_are_found(people: Any) -> None:
    kept, *gone = [Client() for _ in range(3)]
    for browser, key in zip((kept, *gone), ("cart", "hijack_history", "loginas_from_user"), strict=True):
        browser.force_login(people.bob)
        session = browser.session
        session[key] = ["1"]
        session.save()
    exec(compile(code("hijack_history"), "coming-from.md", "exec"), {})
    assert [row.session_key for row in Session.objects.all()] == [kept.session.session_key]


def source(package: str) -> dict[str, str]:
    """The package's own Python, without tests and migrations."""
    try:
        found = files(package) or []
    except PackageNotFoundError:
        lacking(f"{package} is not installed; `nox -s recipes` installs it")
    return {
        str(file): file.read_text()
        for file in found
        if file.suffix == ".py" and not {"tests", "migrations"} & set(file.parts) and file.stem != "tests"
    }


def settings_of(package: str, code: str) -> set[str]:
    if package == "django-impersonate":  # keys of one dictionary
        trees = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Assign)]
        (defaults,) = [node.value for node in trees if getattr(node.targets[0], "id", "") == "_settings"]
        return {"IMPERSONATE", *(key.value for key in defaults.keys)}  # type: ignore[attr-defined]
    return set(re.findall(r"\b(HIJACK_\w+|LOGINAS_\w+|CAN_LOGIN_AS)\b", code))


def test_nothing_of_theirs_is_left_out() -> None:
    """Settings, names of addresses, signals, template tags and classes for the admin, as their source has them."""
    for package in THEIRS:
        files = source(package)
        text = "\n".join(files.values())
        (place,) = [name for name in files if name.count("/") == 1 and name.endswith(("/conf.py", "/settings.py"))]
        (urls,) = [code for name, code in files.items() if name.endswith("/urls.py")]
        addresses = re.findall(r"name=[\"']([\w-]+)", urls)
        assert len(addresses) >= 2
        public = {
            *settings_of(package, files[place]),
            *addresses,
            *re.findall(r"^(\w+) = Signal\(", text, flags=re.M),
            *re.findall(r"^@register\.\w+.*\ndef (\w+)", text, flags=re.M),
            *re.findall(r"^class (\w+(?:Middleware|AdminMixin|AdminImpersonateMixin))\b", text, flags=re.M),
        }
        told = " ".join(theirs for theirs, _ in table(package))
        assert {name for name in public if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", told)} == set()
