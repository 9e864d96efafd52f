"""Where reads go to a replica: what a replica that lags does not know must neither start nor keep anything alive."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from django_impersonation import flows
from django_impersonation.models import Event, ImpersonationSession
from tests.api.client import CALLBACK, CLIENT_ID, ApiClient, bearer, code_of
from tests.people import Browser


class NoReplica:
    """Sends reads of our tables to a database that there is not: each is an error. Of others it keeps a list."""

    asked: list[str] = []

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        self.asked.append(model.__name__)
        return "nowhere" if model._meta.app_label == "django_impersonation" else None


@pytest.fixture(autouse=True)
def routed(people: Any, settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    settings.DATABASE_ROUTERS = [f"{__name__}.NoReplica"]


# ABUSE 139
def test_the_whole_way_of_a_browser(people: Any, engine: str) -> None:
    sasha = Browser(people.sasha)
    session = sasha.start(people.bob, organization=people.acme)
    assert sasha.who()["impersonation"] == session.pk
    assert sasha.get("/billing/").status_code == 403
    assert sasha.stop()["Location"] == session.return_url
    assert session.pk in sasha.get(session.return_url).content.decode()
    sasha.start(people.dave)
    flows.switch(False)
    assert sasha.get("/whoami/").status_code == 303
    assert sasha.get("/impersonation/ended/").status_code == 200
    assert sasha.stop().status_code == 303
    assert sasha.authorize(people.dave).status_code == 403
    assert set(ImpersonationSession.objects.values_list("end_reason", flat=True)) == {"stopped", "disabled"}


# ABUSE 56
def test_a_replay_ends_what_no_replica_knows_of(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.dave)
    assert sasha.redeem(code).status_code == 303
    assert Browser(people.noor).redeem(code).status_code == 400
    assert ImpersonationSession.objects.get().end_reason == "replayed"


def test_the_admin_and_the_command(people: Any, sasha: Browser) -> None:
    sasha.start(people.dave)
    session, admin = ImpersonationSession.objects.get(), Browser(people.admin)
    created = Event.objects.get(name=Event.Name.SESSION_CREATED)
    for page in ("event", "configuration", "impersonationsession", f"impersonationsession/{session.pk}/change"):
        assert admin.get(f"/admin/django_impersonation/{page}/").status_code == 200
    shown = admin.get(f"/admin/django_impersonation/event/{created.pk}/change/").content.decode()
    assert session.pk.removeprefix("session_") in shown  # in an address the admin quotes the rest
    call_command("impersonation", "status", stdout=(said := StringIO()))
    assert session.pk in said.getvalue()
    listed = "/admin/django_impersonation/impersonationsession/"
    admin.post(listed, {"action": "revoke", "_selected_action": session.pk})
    call_command("impersonation", "revoke", "--all", stdout=(said := StringIO()))
    assert said.getvalue() == "Sessions ended: 0\n"
    call_command("impersonation", "purge", "--keep-days", "1", stdout=StringIO())


# ABUSE 139
def test_the_whole_way_of_a_client(people: Any, sasha: Browser, api: ApiClient, direct: None) -> None:
    begun = api.start(sasha, people.dave)
    session = ImpersonationSession.objects.get()
    NoReplica.asked.clear()
    token = bearer(begun["access_token"])
    assert api.get("/whoami/", headers=token).json()["impersonation"] == session.pk
    newer = api.refresh(begun["refresh_token"]).json()
    requested = Event.objects.get(name=Event.Name.REQUESTED)
    events = f"/events?events=session.created&after={requested.pk}"
    assert [row["event"] for row in api.with_key("get", events).json()["data"]] == ["session.created"]
    # Of people, too: who they are now, the database that writes has been asked.
    assert NoReplica.asked == []
    assert api.with_key("get", f"/user_management/users/{people.dave.pk}/sessions").status_code == 200
    revoke = {"data": {"session_id": session.pk}, "content_type": "application/json"}
    assert api.with_key("post", "/user_management/sessions/revoke", **revoke).status_code == 200
    assert api.refresh(newer["refresh_token"]).status_code == 400
    assert api.get("/whoami/", headers=token).status_code == 401


# ABUSE 56, ABUSE 87
@pytest.mark.parametrize("again", ["code", "refresh token"])
def test_what_a_client_uses_too_often(people: Any, sasha: Browser, api: ApiClient, direct: None, again: str) -> None:
    code = sasha.code(people.dave)
    first = api.redeem(code).json()["refresh_token"]
    newest = api.refresh(api.refresh(first).json()["refresh_token"]).json()["refresh_token"]
    answer = api.redeem(code) if again == "code" else api.refresh(first)
    assert answer.status_code == 400
    assert ImpersonationSession.objects.get().end_reason == "replayed"
    assert api.refresh(newest).status_code == 400


def test_the_sign_in_of_a_client(people: Any, sasha: Browser, api: ApiClient, signin: None) -> None:
    assert sasha.authorize(people.dave).status_code == 303
    query = {"response_type": "code", "provider": "authkit", "client_id": CLIENT_ID, "redirect_uri": CALLBACK}
    code = code_of(sasha.get("/user_management/authorize", query))
    assert api.redeem(code).status_code == 200
