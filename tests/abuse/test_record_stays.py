"""The record stays: no admin, manager, instance, bulk operation or cascade changes what is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission
from django.core import serializers
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.template import Context, Template
from django.utils import timezone

from django_impersonation.models import Activity, AuthorizationCode, Configuration, Event, ImpersonationSession
from django_impersonation.records import ImmutableRecord, purge
from tests.people import Browser

Names = Event.Name


def events() -> list[tuple[str, str]]:
    return list(Event.objects.order_by("position").values_list("name", "code"))


def the_session() -> ImpersonationSession:
    return ImpersonationSession.objects.get()


# ABUSE 134
def test_deleting_the_people_leaves_the_evidence(people: Any, sasha: Browser) -> None:
    sasha.start(people.bob, organization=people.acme)
    sasha.stop()
    keys = (str(people.sasha.pk), str(people.bob.pk))
    for person in (people.bob, people.sasha, people.acme):
        person.delete()
    rows = [*Event.objects.all(), the_session()]
    assert len(rows) == 4
    for row in rows:
        assert (row.impersonator, row.user) == (None, None)
        assert (row.impersonator_pk, row.user_pk) == keys
        assert (row.impersonator_email, row.user_email) == ("sasha@example.com", "bob@example.com")
        assert (row.organization_name, row.reason) == ("Acme", "Ticket 4711")


# ABUSE 134
@pytest.mark.parametrize("model", ["event", "impersonationsession"])
def test_a_superuser_cannot_change_the_record_in_the_admin(people: Any, sasha: Browser, model: str) -> None:
    session = sasha.start(people.dave)
    before = [list(Event.objects.order_by("pk").values()), list(ImpersonationSession.objects.values())]
    pk = session.pk if model == "impersonationsession" else Event.objects.latest("position").pk
    base = f"/admin/django_impersonation/{model}/"
    admin = Browser(people.admin)
    assert admin.get(f"{base}{pk}/change/").status_code == 200
    assert admin.post(f"{base}{pk}/change/", {"reason": "nothing"}).status_code == 403
    assert admin.get(f"{base}{pk}/delete/").status_code == 403
    assert admin.post(f"{base}{pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin.post(f"{base}add/", {"reason": "nothing"}).status_code == 403
    actions = admin.get(base).content.decode()
    assert "delete_selected" not in actions
    admin.post(base, {"action": "delete_selected", "_selected_action": [pk], "post": "yes"})
    assert [list(Event.objects.order_by("pk").values()), list(ImpersonationSession.objects.values())] == before


# ABUSE 134
def test_a_superuser_deletes_a_user_and_no_record(people: Any, sasha: Browser) -> None:
    sasha.start(people.dave)
    sasha.stop()
    admin = Browser(people.admin)
    url = f"/admin/shop/user/{people.dave.pk}/delete/"
    assert "session_" not in admin.get(url).content.decode()
    assert admin.post(url, {"post": "yes"}).status_code == 302
    assert not type(people.dave).objects.filter(pk=people.dave.pk).exists()
    assert events() == [(Names.REQUESTED, ""), (Names.SESSION_CREATED, ""), (Names.SESSION_REVOKED, "stopped")]
    assert the_session().user_email == "dave@example.com"


# ABUSE 134
def test_there_is_no_permission_to_change_the_record(people: Any) -> None:
    ours = Permission.objects.filter(content_type__app_label="django_impersonation")
    assert set(ours.values_list("codename", flat=True)) == {
        "configure_impersonation",
        "impersonate_user",
        "impersonate_with_full_access",
        "revoke_impersonationsession",
        "view_configuration",
        "view_event",
        "view_impersonationsession",
    }


def overwrite(row: Any) -> Any:
    """Another row under the same key."""
    other = type(row)(**{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields})
    other.reason = "nothing"
    return other


WAYS: list[Callable[[Any, Any], Any]] = [
    lambda rows, row: row.save(),
    lambda rows, row: row.save(update_fields=["reason"]),
    lambda rows, row: row.save(force_update=True),
    lambda rows, row: row.delete(),
    lambda rows, row: rows.update(reason="nothing"),
    lambda rows, row: rows.filter(pk=row.pk).update(reason="nothing"),
    lambda rows, row: rows.all().delete(),
    lambda rows, row: rows.filter(pk=row.pk).delete(),
    lambda rows, row: rows.bulk_update([row], ["reason"]),
    lambda rows, row: rows.update_or_create(pk=row.pk, defaults={"reason": "nothing"}),
    lambda rows, row: row.save_base(),
    lambda rows, row: row.save_base(raw=True),
    lambda rows, row: overwrite(row).save_base(),
    lambda rows, row: overwrite(row).save_base(raw=True),
    lambda rows, row: overwrite(row).save(),
    lambda rows, row: overwrite(row).save(force_update=True),
    lambda rows, row: overwrite(row).save(update_fields=["reason"]),
    lambda rows, row: rows.bulk_create([overwrite(row)]),
    lambda rows, row: rows.bulk_create(
        [overwrite(row)], update_conflicts=True, unique_fields=["id"], update_fields=["reason"]
    ),
    lambda rows, row: rows.bulk_create([overwrite(row)], update_conflicts=True, update_fields=["reason"]),
]


# ABUSE 134
@pytest.mark.parametrize("model", [Event, ImpersonationSession])
@pytest.mark.parametrize("way", range(len(WAYS)))
def test_no_way_of_the_orm_changes_a_row(people: Any, sasha: Browser, model: Any, way: int) -> None:
    sasha.start(people.dave)
    before = list(model.objects.order_by("pk").values())
    row = model.objects.latest("created_at")
    row.reason = "nothing"
    expected = ImmutableRecord if way < 12 else (TypeError, ValueError, DatabaseError)
    with pytest.raises(expected), transaction.atomic():
        WAYS[way](model.objects, row)
    assert list(model.objects.order_by("pk").values()) == before


# ABUSE 134
def test_the_related_manager_of_a_session_changes_no_event(people: Any, sasha: Browser) -> None:
    session = sasha.start(people.dave)
    for change_ in (
        lambda: session.events.update(reason="nothing"),
        lambda: session.events.all().delete(),
        lambda: session.events.clear(),
    ):
        with pytest.raises(TypeError):
            change_()
    assert Event.objects.get(session=session).reason == "Ticket 4711"


# ABUSE 134
@pytest.mark.parametrize("kind", ["events", "activities"])
def test_no_row_moves_to_another_session(people: Any, sasha: Browser, kind: str) -> None:
    first = sasha.start(people.dave)
    sasha.get("/whoami/")
    sasha.stop()
    second = sasha.start(people.carol)
    theirs, others = getattr(first, kind), getattr(second, kind)
    before = list(theirs.model.objects.order_by("pk").values())
    for move in (
        lambda: others.add(theirs.first()),
        lambda: others.add(theirs.first(), bulk=False),
        lambda: async_to_sync(others.aadd)(theirs.first()),
        lambda: others.set(theirs.all()),
        lambda: others(manager="objects").add(theirs.first()),
    ):
        with pytest.raises(ImmutableRecord), transaction.atomic():
            move()
    template = Template("{{ others.add }}")  # Django says of such methods that templates must not call them
    assert template.render(Context({"others": others})) == ""
    assert list(theirs.model.objects.order_by("pk").values()) == before


def test_a_fixture_brings_the_record_back(people: Any, sasha: Browser) -> None:
    sasha.start(people.dave)
    sasha.stop()
    rows = [*ImpersonationSession.objects.all(), *Event.objects.all(), *Activity.objects.all()]
    fixture = serializers.serialize("json", rows)
    before = [list(model.objects.order_by("pk").values()) for model in (ImpersonationSession, Event, Activity)]
    AuthorizationCode.objects.all().delete()
    for model in (Event, Activity, ImpersonationSession):
        purge(model.objects.all())
    assert not Event.objects.exists()
    for row in serializers.deserialize("json", fixture):
        row.save()
    after = [list(model.objects.order_by("pk").values()) for model in (ImpersonationSession, Event, Activity)]
    assert [len(rows) for rows in after] == [len(rows) for rows in before] == [1, 3, 1]
    assert repr(after).count("Ticket 4711") == repr(before).count("Ticket 4711") == 4


# ABUSE 75, ABUSE 146
@pytest.mark.parametrize("model", [AuthorizationCode, ImpersonationSession])
def test_a_purge_goes_in_batches(people: Any, sasha: Browser, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_impersonation.records.BATCH", 100)
    sasha.start(people.dave)
    old = timezone.now() - timedelta(days=400)
    keys = [f"{'session' if model is ImpersonationSession else 'x'}_{n:026}" for n in range(250)]
    own = {"pk": None} if model is AuthorizationCode else {}
    fresh = model.objects.get().pk
    key = "digest" if model is AuthorizationCode else "id"
    model.objects.bulk_create(model(**own, **{key: k}, created_at=old, expires_at=old) for k in keys)
    sizes = []
    delete = type(model._base_manager.all()).delete
    monkeypatch.setattr(
        type(model._base_manager.all()), "delete", lambda rows: sizes.append(rows.count()) or delete(rows)
    )
    assert purge(model.objects.filter(expires_at__lt=timezone.now())) == 250
    assert sizes == [100, 100, 50]
    assert model.objects.get().pk == fresh


# ABUSE 75
def test_a_code_is_found_by_an_index(people: Any) -> None:
    found = AuthorizationCode.objects.usable().filter(digest="0" * 64, impersonator=people.sasha.pk)
    plan = found.explain()
    assert "SCAN" not in plan
    assert "Seq Scan" not in plan or "digest" in plan
    assert AuthorizationCode._meta.get_field("digest").unique


# ABUSE 139
def test_everything_is_read_and_locked_on_the_database_that_writes(settings: Any) -> None:
    settings.DATABASE_ROUTERS = ["tests.abuse.test_record_stays.ReplicaRouter"]
    for model in (Configuration, AuthorizationCode, ImpersonationSession, Event):
        assert model.objects.db == "default"
        assert model.objects.all().db == "default"


class ReplicaRouter:
    """Reads go to a replica that may lag."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"


def test_no_migration_is_missing(db: None) -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
