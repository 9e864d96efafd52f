"""The record as the admin shows it: history, sessions, events. Read-only, whoever looks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession
from tests.people import Browser, grant
from tests.test_admin import USERS, messages, page_of, text

pytestmark = pytest.mark.django_db
SESSIONS = "/admin/django_impersonation/impersonationsession/"
EVENTS = "/admin/django_impersonation/event/"


def move(session: ImpersonationSession, **changes: Any) -> None:
    ImpersonationSession._base_manager.filter(pk=session.pk).update(**changes)


def rows(response: Any) -> list[Any]:
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def revoke(browser: Browser, *sessions: ImpersonationSession, **kwargs: Any) -> Any:
    data = {"index": "0", "action": "revoke", "_selected_action": [s.pk for s in sessions]}
    return browser.post(SESSIONS, data, **kwargs)


@pytest.fixture
def three(people: Any) -> dict[str, ImpersonationSession]:
    """A live session, one that is over and one that was stopped."""
    live = Browser(people.sasha).start(people.carol)
    expired = Browser(people.sasha).start(people.dave, reason="Late invoice")
    stopped = Browser(people.admin).start(people.bob, organization=people.acme, reason="Ticket 5")
    hours_ago = timezone.now() - timedelta(hours=2)
    move(expired, created_at=hours_ago, expires_at=hours_ago + timedelta(hours=1))
    expired.refresh_from_db()
    stopped.end("stopped")
    return {"active": live, "expired": expired, "revoked": stopped}


@pytest.fixture
def ada(people: Any) -> Browser:
    return Browser(people.admin)


# -- a user's page -----------------------------------------------------------------------------------------------


def test_history_on_the_users_page(people: Any, three: Any, sasha: Browser) -> None:
    html = text(sasha.get(page_of(people.bob)))
    assert "Impersonations of this user" in html
    section = html[html.index("impersonation-history") :]
    for shown in ("admin@example.com", "Acme", "Ticket 5", "ended", f"{SESSIONS}{three['revoked'].pk}/change/"):
        assert shown in section, shown
    assert "Late invoice" not in section, "another user's session"
    assert f"{SESSIONS}?user_pk={people.bob.pk}" in section
    assert rows(sasha.get(f"{SESSIONS}?user_pk={people.bob.pk}")) == [three["revoked"]]
    assert "No impersonation of this user is on record." in text(sasha.get(page_of(people.noor)))


def test_history_is_for_those_who_may_see_sessions(people: Any, three: Any) -> None:
    noor = Browser(people.noor)
    html = text(noor.get(page_of(people.bob)))
    assert "Impersonations of this user" not in html
    assert "Ticket 5" not in html
    grant(people.noor, "view_impersonationsession")
    assert "Ticket 5" in text(noor.get(page_of(people.bob)))


def test_history_shows_the_last_ten(people: Any, sasha: Browser, three: Any) -> None:
    fields = three["revoked"].deed() | {"expires_at": timezone.now(), "ended_at": timezone.now()}
    for _ in range(12):
        ImpersonationSession.objects.create(end_reason="stopped", **fields)
    html = text(sasha.get(page_of(people.bob)))
    assert html.count("Ticket 5") == 10


# -- sessions ----------------------------------------------------------------------------------------------------


def test_sessions_by_status(three: Any, sasha: Browser) -> None:
    assert set(rows(sasha.get(SESSIONS))) == set(three.values())
    for status, session in three.items():
        assert rows(sasha.get(SESSIONS, {"status": status})) == [session]
        assert session.status == status
    html = text(sasha.get(SESSIONS))
    for label in ("active", "expired", "ended: stopped"):
        assert f'<td class="field-status">{label}</td>' in html
    assert rows(sasha.get(SESSIONS, {"end_reason": "stopped"})) == [three["revoked"]]
    three["expired"].end("revoked")
    for status, session in three.items():
        assert rows(sasha.get(SESSIONS, {"status": status})) == [session], "the same once the end was noticed"


@pytest.mark.parametrize(
    ("term", "status"),
    [
        ("Late invoice", "expired"),
        ("bob@example.com", "revoked"),
        ("carol", "active"),
        ("Ticket 5", "revoked"),
        ("admin@", "revoked"),
        ("globex", None),
    ],
)
def test_search_in_sessions(three: Any, sasha: Browser, term: str, status: str | None) -> None:
    assert rows(sasha.get(SESSIONS, {"q": term})) == ([three[status]] if status else [])


def test_search_by_id(three: Any, sasha: Browser) -> None:
    assert rows(sasha.get(SESSIONS, {"q": three["active"].pk})) == [three["active"]]
    assert rows(sasha.get(SESSIONS, {"q": three["active"].pk[:20]})) == []


def test_one_session(three: Any, sasha: Browser) -> None:
    session = three["revoked"]
    html = text(sasha.get(f"{SESSIONS}{session.pk}/change/"))
    for shown in (session.pk, "Ticket 5", "Acme", "bob@example.com", "admin@example.com", "127.0.0.1", "ended"):
        assert shown in html, shown
    for secret in (session.secret_digest, session.return_key_digest, session.impersonator_hash_digest):
        assert secret not in html


# ABUSE 51
def test_revoke_needs_its_permission(people: Any, three: Any, sasha: Browser) -> None:
    assert "Revoke selected sessions" not in text(sasha.get(SESSIONS))
    revoke(sasha, three["active"])
    three["active"].refresh_from_db()
    assert three["active"].ended_at is None
    assert LogEntry.objects.filter(content_type__model="impersonationsession").count() == 0
    grant(people.sasha, "revoke_impersonationsession")
    assert "Revoke selected sessions" in text(sasha.get(SESSIONS))
    response = revoke(sasha, three["active"], follow=True)
    assert messages(response) == ["1 session was revoked."]
    three["active"].refresh_from_db()
    assert three["active"].end_reason == "revoked"


# ABUSE 51
def test_revoke_ends_what_lives_voids_codes_and_says_so(people: Any, ada: Browser, three: Any) -> None:
    Browser(people.sasha).code(people.dave)
    response = revoke(ada, *three.values(), follow=True)
    three["revoked"].refresh_from_db()
    three["expired"].refresh_from_db()
    assert three["revoked"].end_reason == "stopped", "the end that was first stands"
    assert three["expired"].end_reason == "expired"
    assert not AuthorizationCode.objects.usable().exists()
    entry = LogEntry.objects.get(content_type__model="impersonationsession")
    assert (entry.object_id, entry.user, entry.get_change_message()) == (three["active"].pk, people.admin, "Revoked.")
    assert Event.objects.filter(name="session.revoked", session=three["active"]).count() == 1
    assert messages(response) == ["1 session was revoked."], "what had expired was not revoked"


def test_revoking_nothing_is_said_too(ada: Browser, three: Any) -> None:
    assert messages(revoke(ada, three["revoked"], follow=True)) == ["0 sessions were revoked."]


# -- events ------------------------------------------------------------------------------------------------------


def test_events(people: Any, ada: Browser, three: Any) -> None:
    assert [e.name for e in rows(ada.get(EVENTS, {"q": three["revoked"].pk}))] == [
        "session.revoked",
        "session.created",
    ]
    assert len(rows(ada.get(EVENTS, {"name": "impersonation.requested"}))) == 3
    assert len(rows(ada.get(EVENTS))) == Event.objects.count() == 7
    ada.authorize(people.eve)
    ada.authorize(people.eve)
    (denied,) = rows(ada.get(EVENTS, {"name": "impersonation.denied"}))
    html = text(ada.get(f"{EVENTS}{denied.pk}/change/"))
    for shown in ("user_inactive", "eve@example.com", "admin@example.com", denied.pk, '<div class="readonly">2</div>'):
        assert shown in html, shown


def test_events_are_for_those_who_may_see_them(people: Any, sasha: Browser) -> None:
    assert sasha.get(EVENTS).status_code == 403
    grant(people.sasha, "view_event")
    assert sasha.get(EVENTS).status_code == 200
    assert Browser(people.noor).get(SESSIONS).status_code == 403


# ABUSE 134
@pytest.mark.parametrize("kind", ["impersonationsession", "event"])
def test_nothing_can_be_added_changed_or_deleted(ada: Browser, three: Any, kind: str) -> None:
    base = f"/admin/django_impersonation/{kind}/"
    model: Any = ImpersonationSession if kind == "impersonationsession" else Event
    before = list(model.objects.order_by("pk").values())
    key = before[0]["id"]
    for address in ("add/", f"{key}/delete/"):
        assert ada.get(base + address).status_code == 403
        assert ada.post(base + address, {"post": "yes"}).status_code == 403
    assert ada.post(f"{base}{key}/change/", {"reason": "another", "impersonator_label": "nobody"}).status_code == 403
    html = text(ada.get(f"{base}{key}/change/"))
    for control in ("<textarea", 'type="text"', "<select", 'name="_save"', "deletelink"):
        assert control not in html
    assert "delete_selected" not in text(ada.get(base))
    ada.post(base, {"index": "0", "action": "delete_selected", "_selected_action": [key], "post": "yes"})
    assert list(model.objects.order_by("pk").values()) == before


# ABUSE 134
def test_deleting_a_person_in_the_admin_keeps_the_record(people: Any, ada: Browser, three: Any) -> None:
    events = Event.objects.count()
    address = reverse("admin:shop_user_delete", args=[people.carol.pk])
    assert ada.post(address, {"post": "yes"}).status_code == 302
    assert not get_user_model().objects.filter(pk=people.carol.pk).exists()
    session = ImpersonationSession.objects.get(pk=three["active"].pk)
    assert (session.user, session.user_label, session.user_pk) == (None, "carol@example.com", str(people.carol.pk))
    assert Event.objects.count() == events
    assert "carol@example.com" in text(ada.get(f"{SESSIONS}{session.pk}/change/"))
    assert session in rows(ada.get(SESSIONS, {"q": "carol@example.com"}))


# -- what it costs -----------------------------------------------------------------------------------------------


# ABUSE 109, ABUSE 143
def test_the_list_of_users_costs_the_same_for_10_and_for_200(people: Any, sasha: Browser) -> None:
    model: Any = get_user_model()

    def cost(count: int) -> tuple[int, list[str]]:
        model.objects.bulk_create(
            model(email=f"u{count}-{n}@example.com") for n in range(count - model.objects.count())
        )
        sasha.get(USERS)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            response = sasha.get(USERS, {"all": ""})
        assert len(rows(response)) == count
        return len(queries), [t.name for t in response.templates if "impersonation" in (t.name or "")]

    assert cost(10) == cost(200)
    assert cost(200)[1] == [], "no template of ours, neither for a row nor for the list"


def test_the_switch_costs_the_list_of_users_one_query(people: Any, sasha: Browser, settings: Any) -> None:
    def cost() -> int:
        sasha.get(USERS)
        with CaptureQueriesContext(connection) as queries:
            sasha.get(USERS)
        return len(queries)

    decided = cost()
    settings.IMPERSONATION_ENABLED = None
    assert cost() == decided + 1


# ABUSE 143
def test_the_lists_of_records_cost_the_same_for_3_and_for_90(people: Any, ada: Browser, three: Any) -> None:
    def cost(address: str) -> int:
        ada.get(address)
        with CaptureQueriesContext(connection) as queries:
            ada.get(address)
        return len(queries)

    few = [cost(SESSIONS), cost(EVENTS)]
    fields = three["revoked"].deed() | {"expires_at": timezone.now(), "ended_at": timezone.now()}
    for _ in range(87):
        session = ImpersonationSession.objects.create(end_reason="stopped", **fields)
        Event.objects.record("session.revoked", session=session, **session.deed())
    assert [cost(SESSIONS), cost(EVENTS)] == few
