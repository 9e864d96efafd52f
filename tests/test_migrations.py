"""Forwards, back and forwards again, with a row in every table since each state, on a database of their own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection, connections, models
from django.db.migrations.executor import MigrationExecutor

APP = "django_impersonation"
SCRATCH = "scratch"
pytestmark = pytest.mark.django_db


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Any]:
    """A connection to a new, empty database beside the one of the tests."""
    made = connection.copy(SCRATCH)
    name = str(connection.settings_dict["NAME"])
    made.settings_dict["NAME"] = name
    made.settings_dict["TEST"]["NAME"] = str(tmp_path / "scratch") if made.vendor == "sqlite" else f"{name}_scratch"
    connections[SCRATCH] = made
    made.settings_dict["NAME"] = made.creation._create_test_db(verbosity=0, autoclobber=True)
    try:
        yield made
    finally:
        made.close()
        made.creation._destroy_test_db(made.settings_dict["NAME"], verbosity=0)
        del connections[SCRATCH]


def states(on: Any) -> list[tuple[str, str]]:
    """Our migrations, the oldest first."""
    graph = MigrationExecutor(on).loader.graph
    (newest,) = graph.leaf_nodes(APP)
    return [key for key in graph.forwards_plan(newest) if key[0] == APP]


def migrate(on: Any, target: tuple[str, str | None]) -> Any:
    """Go there; the models as they are then."""
    return MigrationExecutor(on).migrate([target]).apps


def ours(apps: Any) -> list[Any]:
    """The models of the app, each behind those that it refers to."""
    found: list[Any] = []

    def add(model: Any) -> None:
        for field in model._meta.local_fields:
            if field.is_relation and field.related_model._meta.app_label == APP:
                add(field.related_model)
        if model not in found:
            found.append(model)

    for model in apps.get_app_config(APP).get_models():
        add(model)
    return found


def value(field: Any, number: int, rows: dict[Any, Any]) -> Any:
    """One that the field can have and that no other row of it has."""
    if field.is_relation:
        return rows[field.related_model._meta.label]
    if isinstance(field, models.DateTimeField):
        return datetime(2026, 1, 1, 12, number, tzinfo=UTC)
    if isinstance(field, models.BooleanField):
        return True
    if isinstance(field, models.GenericIPAddressField):
        return f"192.0.2.{number}"
    if isinstance(field, models.IntegerField):
        return number
    assert isinstance(field, models.CharField), field
    return f"{number}{field.name}é"[: field.max_length].ljust(field.max_length, "x")


def fill(apps: Any, number: int) -> list[Any]:
    """A row in every table of ours, full to the brim."""
    user_model = apps.get_model(django_settings.AUTH_USER_MODEL)
    user = user_model.objects.using(SCRATCH).create(email=f"{number}@example.com")
    rows = {user_model._meta.label: user}
    for model in ours(apps):
        fields = [f for f in model._meta.local_fields if not isinstance(f, models.AutoField)]
        rows[model._meta.label] = model(**{field.name: value(field, number, rows) for field in fields})
        rows[model._meta.label].save(using=SCRATCH, force_insert=True)
    return [row for row in rows.values() if row is not user]


def content(row: Any, apps: Any) -> dict[str, Any]:
    """What these models find under the row's key."""
    found = apps.get_model(row._meta.label)._base_manager.using(SCRATCH).filter(pk=row.pk)
    return found.values(*(field.attname for field in row._meta.local_fields)).get()


def tables(on: Any) -> set[str]:
    return {name for name in on.introspection.table_names() if name.startswith(f"{APP}_")}


def test_rows_of_every_state_come_to_the_newest_as_they_were_and_there_is_a_way_back(scratch: Any) -> None:
    before: list[tuple[Any, dict[str, Any]]] = []
    apps = None
    for number, state in enumerate(states(scratch), 1):
        apps = migrate(scratch, state)
        before += [(row, content(row, apps)) for row in fill(apps, number)]
    everything = tables(scratch)
    assert {row._meta.db_table for row, _ in before} == everything
    for row, then in before:
        assert content(row, apps) == then, row._meta.label

    oldest, *_, newest = states(scratch)
    migrate(scratch, oldest)
    assert tables(scratch) < everything
    migrate(scratch, (APP, None))
    assert tables(scratch) == set()
    fill(migrate(scratch, newest), 0)
    assert tables(scratch) == everything
