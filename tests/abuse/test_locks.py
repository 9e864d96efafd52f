"""Whoever starts or ends something does it under one lock. It takes no luck with threads: statements are watched."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone

from django_impersonation import flows
from django_impersonation.models import Configuration, Event, ImpersonationSession
from tests.abuse.session_support import twin
from tests.api.client import CALLBACK, ApiClient
from tests.people import Browser

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = "django_impersonation_"
SWITCH = f"{TABLE}configuration"


def is_free() -> bool:
    """Could this connection lock the row of the switch now, without waiting for anybody?"""
    try:
        with transaction.atomic():
            if connection.vendor == "sqlite":  # which locks everything, or nothing
                connection.cursor().execute("PRAGMA busy_timeout = 0")
                Configuration.objects.update(changed_by="")
            else:
                list(Configuration.objects.select_for_update(nowait=True))
    except OperationalError:
        return False
    return True


class Watch:
    """What happened to our tables in transactions, and whether the switch was locked before it did."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.unlocked: list[str] = []
        self.events = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        takes_it = sql.startswith(("UPDATE", "INSERT")) and SWITCH in sql
        if TABLE in sql and connection.in_atomic_block and not takes_it and self.pool.submit(is_free).result(60):
            self.unlocked.append(sql)
        self.events += sql.startswith("INSERT") and f"{TABLE}event" in sql
        return execute(sql, params, many, context)

    @contextmanager
    def over(self, *, events: int = 1) -> Iterator[None]:
        self.events = 0
        with connection.execute_wrapper(self):
            yield
        assert self.unlocked == []
        assert self.events == events
        assert self.pool.submit(is_free).result(60)


@pytest.fixture
def watch(settings: Any, people: Any) -> Iterator[Watch]:
    settings.IMPERSONATION_ENABLED = None
    Configuration.objects.current()
    watch = Watch()
    with watch.pool:
        yield watch
        watch.pool.submit(connections.close_all).result(60)


# ABUSE 136, ABUSE 201
def test_a_browsers_start_and_its_ends_hold_the_lock(people: Any, watch: Watch) -> None:
    sasha, noor = Browser(people.sasha), Browser(people.noor)
    with watch.over():
        flows.switch(True)
    with watch.over():
        assert noor.authorize(people.dave).status_code == 403
    with watch.over():
        code = sasha.code(people.dave)
    with watch.over():
        assert sasha.redeem(code).status_code == 303
    with watch.over(events=2):  # it is denied, and ends the session
        assert noor.redeem(code).status_code == 400
    sasha.stop()
    session = sasha.start(people.dave)
    other = twin(sasha)
    with watch.over():
        assert sasha.stop().status_code == 303
    with watch.over(events=0):
        assert other.stop().status_code in (200, 303)
        assert not session.end("revoked")
    session = sasha.start(people.dave)
    ImpersonationSession._base_manager.filter(pk=session.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    with watch.over():
        assert sasha.get("/whoami/").status_code == 303
    sasha.stop()
    sasha.start(people.dave)
    with watch.over():
        flows.revoke(ImpersonationSession.objects.all())
    sasha.stop()
    sasha.start(people.dave)
    with watch.over(events=2):
        flows.switch(False)


def test_a_clients_start_and_its_ends_hold_the_lock(people: Any, watch: Watch, settings: Any) -> None:
    settings.IMPERSONATION_REDIRECT_URIS = [CALLBACK]
    settings.IMPERSONATION_CALLBACK_URL = CALLBACK
    sasha, api = Browser(people.sasha), ApiClient()
    flows.switch(True)
    code = sasha.code(people.dave)
    with watch.over():
        begun = api.redeem(code).json()
    with watch.over(events=0):
        newer = api.refresh(begun["refresh_token"]).json()
        assert api.refresh(newer["refresh_token"]).status_code == 200
    with watch.over():
        assert api.refresh(begun["refresh_token"]).status_code == 400
    begun = api.start(sasha, people.dave)
    session = ImpersonationSession.objects.live().get()
    with watch.over():
        api.with_key(
            "post",
            "/user_management/sessions/revoke",
            data={"session_id": session.pk},
            content_type="application/json",
        )
    assert Event.objects.filter(name=Event.Name.SESSION_REVOKED).count() == 2
