"""Clients at the same time: threads with connections of their own, on the database that ``DATABASE_URL`` decides."""

from __future__ import annotations

from collections import Counter
from threading import Barrier
from typing import Any

import pytest

from django_impersonation import clients, flows
from django_impersonation.api import tokens
from django_impersonation.models import Event, ImpersonationSession, RefreshToken
from tests.abuse.racing import SPEND, meeting, race
from tests.api.client import ApiClient, bearer
from tests.people import Browser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("direct", "transactions")]


def several(count: int) -> list[ApiClient]:
    return [ApiClient(raise_request_exception=False) for _ in range(count)]


# ABUSE 56
def test_forty_who_redeem_one_code_get_one_answer_and_no_session_that_lasts(sasha: Browser, people: Any) -> None:
    """The spender is a secret that all of them have: RFC 6749 section 4.1.2 ends what came from the code."""
    code = sasha.code(people.dave)
    answers = race(*(lambda c=c: c.redeem(code) for c in several(40)))
    assert Counter(answer.status_code for answer in answers) <= Counter({200: 1, 400: 40})
    assert ImpersonationSession.objects.count() <= 1
    assert ImpersonationSession.objects.live().count() == 0
    assert {answer.json().get("error") for answer in answers if answer.status_code == 400} == {"invalid_grant"}


# ABUSE 56
def test_of_two_who_have_both_come_to_the_spend_one_gets_an_answer_that_does_not_last(
    sasha: Browser, people: Any
) -> None:
    code, gate = sasha.code(people.dave), Barrier(2)
    answers = race(*(meeting(gate, SPEND, lambda c=c: c.redeem(code)) for c in several(2)))
    assert Counter(answer.status_code for answer in answers) <= Counter({200: 1, 400: 2})
    assert ImpersonationSession.objects.count() <= 1
    assert ImpersonationSession.objects.live().count() == 0


# ABUSE 87
def test_one_refresh_token_at_once_serves_everybody_in_one_session(
    api: ApiClient, sasha: Browser, people: Any
) -> None:
    begun = api.start(sasha, people.dave)
    answers = race(*(lambda c=c: c.refresh(begun["refresh_token"]) for c in several(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    got = [answer.json() for answer in answers]
    assert len({answer["refresh_token"] for answer in got}) == 10
    (sid,) = {tokens.read(answer["access_token"]).session_id for answer in got}
    assert ImpersonationSession.objects.get().pk == sid
    assert set(RefreshToken.objects.values_list("generation", flat=True)) == {0, 1}
    assert api.refresh(got[3]["refresh_token"]).status_code == 200
    assert api.refresh(got[7]["refresh_token"]).status_code == 400


def test_a_revocation_while_a_code_is_being_redeemed_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, api: ApiClient, sasha: Browser, people: Any
) -> None:
    """Between the spend and the session: the code is voided, so that no session comes from it."""
    begin = clients._begin

    def late(*args: Any) -> Any:
        flows.AuthorizationCode.objects.void()
        return begin(*args)

    monkeypatch.setattr(clients, "_begin", late)
    assert api.redeem(sasha.code(people.dave)).status_code == 400
    assert not ImpersonationSession.objects.exists()


def switch_off() -> None:
    flows.switch(False)
    flows.switch(True)


def revoke_all() -> None:
    flows.revoke(ImpersonationSession.objects.all(), codes=flows.AuthorizationCode.objects.all())


ENDS = pytest.mark.parametrize("end", [switch_off, revoke_all])


# ABUSE 51, ABUSE 201
@ENDS
def test_who_redeems_while_everything_ends_has_no_session_or_a_dead_one(
    sasha: Browser, people: Any, settings: Any, end: Any
) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    for _ in range(3):
        code, (client,) = sasha.code(people.dave), several(1)
        answer, _ended = race(lambda: client.redeem(code), end)  # noqa: B023
        assert answer.status_code in (200, 400)
        assert ImpersonationSession.objects.live().count() == 0
        if answer.status_code == 200:
            assert client.get("/api/me/", headers=bearer(answer.json()["access_token"])).status_code == 401
    assert Event.objects.filter(name=Event.Name.SESSION_CREATED).count() == ImpersonationSession.objects.count()
    assert Event.objects.filter(name=Event.Name.SESSION_REVOKED).count() == ImpersonationSession.objects.count()


# ABUSE 86
@ENDS
def test_who_refreshes_while_everything_ends_has_tokens_that_are_dead(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, end: Any
) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    begun = api.start(sasha, people.dave)
    *answers, _ended = race(*(lambda c=c: c.refresh(begun["refresh_token"]) for c in several(5)), end)
    assert {answer.status_code for answer in answers} <= {200, 400}
    for tokens_ in (answer.json() for answer in answers if answer.status_code == 200):
        assert api.get("/api/me/", headers=bearer(tokens_["access_token"])).status_code == 401
        assert api.refresh(tokens_["refresh_token"]).status_code == 400
    assert Event.objects.filter(name=Event.Name.SESSION_REVOKED).count() == 1


def test_an_end_noticed_by_many_is_recorded_once(api: ApiClient, sasha: Browser, people: Any) -> None:
    begun = api.start(sasha, people.dave)
    people.sasha.is_active = False
    people.sasha.save()
    token = bearer(begun["access_token"])
    steps = [lambda c=c: c.get("/api/me/", headers=token) for c in several(5)]
    steps += [lambda c=c: c.refresh(begun["refresh_token"]) for c in several(5)]
    assert [answer.status_code for answer in race(*steps)] == [401] * 5 + [400] * 5
    assert Event.objects.filter(name=Event.Name.SESSION_REVOKED, code="impersonator_changed").count() == 1
