"""Two at once: threads with connections of their own, on the database that ``DATABASE_URL`` decides."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from threading import Barrier
from threading import Event as Flag
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from django_impersonation import flows
from django_impersonation.models import AuthorizationCode, Configuration, Event, ImpersonationSession
from tests.abuse import session_urls
from tests.abuse.racing import SPEND, meeting, race, twin
from tests.abuse.session_support import SERVER_ENGINES
from tests.people import Browser

pytestmark = pytest.mark.django_db(transaction=True)


def names() -> Counter[str]:
    return Counter(Event.objects.values_list("name", flat=True))


def live() -> int:
    return ImpersonationSession.objects.live().count()


def start_while(monkeypatch: pytest.MonkeyPatch, happening: Any) -> None:
    """Let it happen after a code was spent and before its session exists."""
    start = flows.start

    def late(request: Any, grant: AuthorizationCode) -> ImpersonationSession:
        happening()
        return start(request, grant)

    monkeypatch.setattr(flows, "start", late)


# ABUSE 55, ABUSE 77
def test_forty_threads_of_one_browser_start_one_session(people: Any, engine: str) -> None:
    sasha = Browser(people.sasha)
    code = sasha.code(people.bob, organization=people.acme)
    tabs = [twin(sasha) for _ in range(40)]
    statuses = Counter(r.status_code for r in race(*(lambda tab=tab: tab.redeem(code) for tab in tabs)))
    assert statuses == {303: 1, 400: 39}
    assert (live(), ImpersonationSession.objects.count()) == (1, 1)
    assert names()["session.created"] == 1
    winner = next(tab for tab in tabs if tab.cookies.get("impersonation"))
    assert winner.who()["user"] == "bob@example.com"
    denied = Event.objects.get(name=Event.Name.DENIED)
    assert (denied.code, denied.count) == ("invalid_code", 39)


# ABUSE 55
@pytest.mark.usefixtures("transactions")
def test_two_tabs_that_have_both_come_to_the_spend_start_one_session(people: Any, sasha: Browser) -> None:
    code, tabs, gate = sasha.code(people.dave), [twin(sasha) for _ in range(2)], Barrier(2)
    answers = race(*(meeting(gate, SPEND, lambda tab=tab: tab.redeem(code)) for tab in tabs))
    assert {answer.status_code for answer in answers} == {303, 400}
    assert (live(), names()["session.created"]) == (1, 1)


# ABUSE 56
@pytest.mark.usefixtures("transactions")
def test_of_a_browser_and_a_thief_at_once_no_session_is_left(people: Any, sasha: Browser) -> None:
    """Whoever comes first: the thief before the spend gets nothing, and after it nobody has anything."""
    for user in (people.carol, people.dave):
        code = sasha.code(user)
        tab, thieves = twin(sasha), [Browser(people.noor, raise_request_exception=False) for _ in range(4)]
        answers = race(lambda: tab.redeem(code), *(lambda t=t: t.redeem(code) for t in thieves))  # noqa: B023
        assert {r.status_code for r in answers[1:]} == {400}
        assert answers[0].status_code in (303, 400)
        grant_ = AuthorizationCode.objects.latest("pk")
        assert (grant_.replayed_at is None) == (live() == 1)
        ImpersonationSession.objects.end()


# ABUSE 201
@pytest.mark.usefixtures("transactions")
def test_a_start_that_races_the_switch_off_does_not_survive(people: Any, sasha: Browser, settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None
    for user in (people.carol, people.dave, people.carol, people.dave):
        flows.switch(True)
        code = sasha.code(user)
        tab = twin(sasha)
        response, switched = race(lambda: tab.redeem(code), lambda: flows.switch(False))  # noqa: B023
        assert switched is True
        assert response.status_code in (303, 400, 403)
        assert live() == 0
    created, ended = names()["session.created"], names()["session.revoked"]
    assert created == ended == ImpersonationSession.objects.count()


# ABUSE 201
@pytest.mark.parametrize("moment", ["switch", "row"])
def test_a_switch_off_between_spending_and_start_prevents_the_session(
    people: Any, sasha: Browser, settings: Any, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    code = sasha.code(people.dave)
    off = (
        (lambda: flows.switch(False)) if moment == "switch" else (lambda: Configuration.objects.update(enabled=False))
    )
    start_while(monkeypatch, off)
    assert sasha.redeem(code).status_code == 400
    assert not ImpersonationSession.objects.exists()
    assert sasha.who()["user"] == "sasha@example.com"
    assert names()["impersonation.denied"] == 1


# ABUSE 51
def test_a_revocation_between_spending_and_start_prevents_the_session(
    people: Any, sasha: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = sasha.code(people.dave)
    nothing, codes = ImpersonationSession.objects.none(), AuthorizationCode.objects.filter(impersonator=people.sasha)
    start_while(monkeypatch, lambda: flows.revoke(nothing, codes=codes))
    assert sasha.redeem(code).status_code == 400
    assert not ImpersonationSession.objects.exists()


# ABUSE 51
@pytest.mark.usefixtures("transactions")
def test_a_start_that_races_a_revocation_does_not_survive(people: Any, sasha: Browser) -> None:
    mine = ImpersonationSession.objects.filter(impersonator=people.sasha)
    codes = AuthorizationCode.objects.filter(impersonator=people.sasha)
    for user in (people.carol, people.dave, people.carol, people.dave):
        code = sasha.code(user)
        tab = twin(sasha)
        response, _ = race(lambda: tab.redeem(code), lambda: flows.revoke(mine, codes=codes))  # noqa: B023
        assert response.status_code in (303, 400)
        assert live() == 0
        assert not AuthorizationCode.objects.usable().exists()


# ABUSE 15, ABUSE 26, ABUSE 136
@pytest.mark.urls("tests.abuse.session_urls")
def test_requests_that_race_the_stop_are_the_users_or_refused(people: Any, engine: str) -> None:
    sasha = Browser(people.sasha)
    session = sasha.start(people.dave)
    readers, writers, stoppers = ([twin(sasha) for _ in range(4)] for _ in range(3))
    answers = race(
        *(lambda tab=tab: tab.get("/whoami/") for tab in readers),
        *(lambda tab=tab: tab.post("/busy/") for tab in writers),
        *(lambda tab=tab: tab.stop() for tab in stoppers),
    )
    for answer in answers[:8]:
        if answer.status_code == 200:
            assert answer.json()["user"] == "dave@example.com"
        elif answer.wsgi_request.method == "POST":  # 400: Django found the session deleted
            assert answer.status_code in (400, 409)
        else:
            assert answer.status_code == 303
    assert {answer.status_code for answer in answers[8:]} <= {200, 303}
    session.refresh_from_db()
    assert session.end_reason == "stopped"
    assert names()["session.revoked"] == 1
    for tab in (sasha, *writers):
        assert tab.get("/whoami/").status_code == 303


# ABUSE 15
@pytest.mark.urls("tests.abuse.session_urls")
def test_a_request_that_the_stop_overtakes_brings_nothing_back(
    people: Any, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its view runs, in a transaction, from before the stop until after it; then it saves the session."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    sasha = Browser(people.sasha)
    session = sasha.start(people.dave)
    arrived, stopped = Flag(), Flag()
    monkeypatch.setattr(session_urls, "meanwhile", lambda: arrived.set() or stopped.wait(60))
    late, stopper = twin(sasha), twin(sasha)

    def stop() -> Any:
        try:
            assert arrived.wait(60)
            return stopper.stop()
        finally:
            stopped.set()

    saved, done = race(lambda: late.get("/busy/"), stop)
    assert done["Location"] == session.return_url
    assert saved.status_code == (400 if engine in SERVER_ENGINES else 200)
    for tab in (late, sasha):
        assert tab.get("/whoami/").status_code == 303
        assert tab.post("/whoami/").status_code == 409
    assert stopper.who()["user"] == "sasha@example.com"
    assert names()["session.revoked"] == 1


# ABUSE 136
@pytest.mark.usefixtures("transactions")
def test_an_expiry_noticed_by_many_is_one_event(people: Any, sasha: Browser) -> None:
    session = sasha.start(people.dave)
    expired = timezone.now() - timedelta(seconds=1)
    ImpersonationSession._base_manager.filter(pk=session.pk).update(expires_at=expired)
    tabs = [twin(sasha) for _ in range(8)]
    answers = race(*(lambda tab=tab: tab.get("/whoami/") for tab in tabs))
    assert {answer.status_code for answer in answers} == {303}
    assert names()["impersonation.expired"] == 1
    assert names()["session.revoked"] == 0
    session.refresh_from_db()
    assert (session.status, session.ended_at) == ("expired", expired)


# ABUSE 136
def test_of_many_who_end_a_session_one_has_done_it(people: Any, sasha: Browser) -> None:
    session = sasha.start(people.dave)
    reasons = ["revoked", "stopped", "disabled", "signed_out"] * 2

    def end(reason: str) -> bool:
        return ImpersonationSession.objects.get(pk=session.pk).end(reason)

    assert sum(race(*(lambda r=r: end(r) for r in reasons))) == 1
    event = Event.objects.get(name=Event.Name.SESSION_REVOKED)
    session.refresh_from_db()
    assert event.code == session.end_reason


# ABUSE 208
@pytest.mark.usefixtures("transactions")
def test_denials_at_once_are_one_row(people: Any) -> None:
    noor = Browser(people.noor)
    tabs = [twin(noor) for _ in range(8)]
    answers = race(*(lambda tab=tab: tab.authorize(people.dave) for tab in tabs))
    assert {answer.status_code for answer in answers} == {403}
    denied = Event.objects.get()
    assert (denied.name, denied.code, denied.count) == ("impersonation.denied", "no_permission", 8)


# ABUSE 77
@pytest.mark.usefixtures("transactions")
def test_of_codes_made_at_once_one_is_usable(people: Any, sasha: Browser) -> None:
    tabs = [twin(sasha) for _ in range(8)]
    codes = race(*(lambda tab=tab: tab.code(people.dave) for tab in tabs))
    assert len(set(codes)) == AuthorizationCode.objects.count() == 8
    assert AuthorizationCode.objects.usable().count() == 1
    assert names() == {"impersonation.requested": 8}


# ABUSE 136
def test_the_first_events_of_an_environment_may_come_at_once(people: Any) -> None:
    Configuration.objects.all().delete()
    race(*(lambda: Event.objects.record_denied(code="first", impersonator_pk="1") for _ in range(8)))
    assert Event.objects.get().count == 8
    race(*(lambda c=c: Event.objects.record_denied(code=str(c)) for c in range(8)))
    assert sorted(Event.objects.values_list("position", flat=True))[0] == 1
    assert len(set(Event.objects.values_list("position", flat=True))) == 9


# ABUSE 96, ABUSE 136
def test_who_reads_by_position_misses_no_event() -> None:
    """Positions become visible in their order, whoever commits first."""
    later = timezone.now() + timedelta(hours=1)
    sessions = [ImpersonationSession.objects.create(expires_at=later) for _ in range(24)]
    finished = Flag()
    seen: list[int] = []

    def read() -> None:
        last = False
        while not last:
            last = finished.is_set()
            after = seen[-1] if seen else 0
            seen.extend(
                Event.objects.filter(position__gt=after).order_by("position").values_list("position", flat=True)
            )

    def write(mine: list[ImpersonationSession]) -> None:
        for session in mine:
            session.end("revoked")

    def write_all() -> None:
        try:
            race(*(lambda n=n: write(sessions[n::8]) for n in range(8)))
        finally:
            finished.set()

    race(read, write_all)
    assert seen == sorted(Event.objects.values_list("position", flat=True))
    assert names()["session.revoked"] == len(sessions)
