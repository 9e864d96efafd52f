"""The tables of the README and of docs/api.md are true."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from django.apps import apps
from django.core.management import load_command_class
from django.urls import reverse
from django.utils import timezone

from django_impersonation import signals
from django_impersonation.api import urls as api_urls
from django_impersonation.api.authentication import ApiKeyAuthentication, EventsKeyAuthentication
from django_impersonation.api.tokens import access_token
from django_impersonation.conf import Settings, conf
from django_impersonation.models import Event, ImpersonationSession

ROOT = Path(__file__).parent.parent
PAGES = {name: (ROOT / name).read_text() for name in ("README.md", "docs/api.md", "docs/coming-from.md")}
README, API = PAGES["README.md"], PAGES["docs/api.md"]

DEFAULTS = {
    '`"production"`': "production",
    "`None`": None,
    "60 minutes": timedelta(minutes=60),
    "60 seconds": timedelta(seconds=60),
    '`"restore"`': "restore",
    "`[]`": (),
    '`""`': "",
    "`False`": False,
    "`True`": True,
    '`"full"`': "full",
    '`"enforce"`': "enforce",
    '`True` in `"production"`, else `False`': True,
}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = re.split(rf"\n##+ {heading}\n", README + API)[1].split("\n## ")[0].split("\n### ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert len(lines) > 2, heading
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def properties() -> list[str]:
    return [name for name in vars(Settings) if name.startswith("IMPERSONATION_")]


def test_every_setting_is_in_the_table_and_the_reverse() -> None:
    assert [names(row[0])[0] for row in rows("Settings")] == properties()


@pytest.mark.parametrize("row", rows("Settings"), ids=lambda row: row[0])
def test_the_default_in_the_table_is_the_default(row: list[str], settings: Any) -> None:
    for name in properties():
        if hasattr(settings, name):
            delattr(settings, name)
    value = getattr(conf, names(row[0])[0])
    default = row[2].split(": ")[0]
    if callable(value):
        assert default == f'`"{value.__module__}.{value.__name__}"`'
    else:
        assert value == DEFAULTS[default]


def test_the_reason_is_optional_outside_production(settings: Any) -> None:
    settings.IMPERSONATION_ENVIRONMENT = "staging"
    assert conf.IMPERSONATION_REASON_REQUIRED is False


@pytest.mark.django_db
def test_every_permission_is_in_the_table_and_the_reverse() -> None:
    models = apps.get_app_config("django_impersonation").get_models()
    defined = {
        f"django_impersonation.{codename}"
        for model in models
        for codename in [
            *(f"{action}_{model._meta.model_name}" for action in model._meta.default_permissions),
            *(codename for codename, _ in model._meta.permissions),
        ]
    }
    assert {names(row[0])[0] for row in rows("Permissions")} == defined


def test_every_event_is_in_the_table_and_the_reverse() -> None:
    assert {name for row in rows("Events") for name in names(row[0])} == set(Event.Name.values)


def test_every_reason_of_an_end_is_in_the_table() -> None:
    told = {name for row in rows("Events") if "`session.revoked`" in row[0] for name in names(row[1])}
    assert told == set(ImpersonationSession.EndReason.values) - {"expired"}


def test_every_subcommand_is_in_the_table_and_the_reverse() -> None:
    parser = load_command_class("django_impersonation", "impersonation").create_parser("manage.py", "impersonation")
    (subparsers,) = (a for a in parser._actions if a.dest == "command")
    told = {name.split()[0] for row in rows("Command") for name in names(row[0])}
    assert told == set(subparsers.choices or ())


def test_every_signal_is_in_the_table() -> None:
    announced = {name for name in vars(signals) if name.startswith("impersonation_")}
    assert {name for name in announced if f"| `{name}` |" in README} == announced


def test_every_endpoint_is_in_the_table_with_its_methods_and_its_key() -> None:
    told = {tuple(names(row[0])[0].split()): row[1] for row in rows("Endpoints")}
    patterns = [pattern for pattern in api_urls.urlpatterns if pattern.name]
    found = {}
    for pattern in patterns:
        address = "/" + re.sub(r"<str:(\w+)>", r"<\1>", str(pattern.pattern))
        view = getattr(pattern.callback, "cls", None)
        method = "POST" if hasattr(view, "post") else "GET"
        kinds = getattr(view, "authentication_classes", ())
        key = {EventsKeyAuthentication: "API or events", ApiKeyAuthentication: "API"}.get(kinds[0]) if kinds else "–"
        found[method, address] = key
    assert told.pop(("POST", "/user_management/authenticate")) == "in the body, as `client_secret`"
    assert found.pop(("POST", "/user_management/authenticate")) == "–"
    assert told == found


def test_every_claim_is_in_the_table_and_the_reverse() -> None:
    session = ImpersonationSession(
        created_at=timezone.now(), expires_at=timezone.now(), user_pk="7", client_id="c", organization_id="1"
    )
    session.view_only = True
    claims = jwt.decode(access_token(session), options={"verify_signature": False})
    assert [names(row[0])[0] for row in rows("Claims")] == list(claims)


def test_every_url_exists() -> None:
    for name in re.findall(r"`(django_impersonation:\w+)`", README + API):
        assert reverse(name).startswith("/impersonation/")


@pytest.mark.parametrize(
    "path", re.findall(r"`(django_impersonation\.(?:api\.\w+|policy|organizations)\.\w+)[`(]", README + API)
)
def test_dotted_paths_lead_somewhere(path: str) -> None:
    module, name = path.rsplit(".", 1)
    assert hasattr(__import__(module, fromlist=[name]), name)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    linked = [target for target in re.findall(r"\]\(([^)]+)\)", PAGES[name]) if "://" not in target]
    assert linked
    for path, _, anchor in (target.partition("#") for target in linked):
        page = (ROOT / name).parent / path if path else ROOT / name
        assert page.exists(), path
        assert not anchor or anchor in anchors(page.read_text()), (path, anchor)


def anchors(page: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
