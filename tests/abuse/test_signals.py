"""The announcements: what they carry, when they come, and what a receiver that fails does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest

from django_impersonation import flows
from django_impersonation.models import AuthorizationCode, Event, ImpersonationSession
from django_impersonation.signals import impersonation_denied, impersonation_ended, impersonation_started
from tests.people import Browser

pytestmark = pytest.mark.django_db(transaction=True)
SIGNALS = {"started": impersonation_started, "ended": impersonation_ended, "denied": impersonation_denied}


class Receivers:
    """Every announcement in its order, and what a receiver shall do meanwhile."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any, dict[str, Any]]] = []
        self.act: Any = lambda name, **kwargs: None

    def connect(self) -> Any:
        self.bound = {name: self.receiver(name) for name in SIGNALS}
        for name, signal in SIGNALS.items():
            signal.connect(self.bound[name])

    def disconnect(self) -> None:
        for name, signal in SIGNALS.items():
            assert signal.disconnect(self.bound[name])

    def receiver(self, name: str) -> Any:
        def receive(sender: Any, signal: Any, **kwargs: Any) -> None:
            self.heard.append((name, sender, kwargs))
            self.act(name, **kwargs)

        return receive

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.heard]


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    found = Receivers()
    found.connect()
    yield found
    found.disconnect()


def test_start_and_stop_are_announced_with_request_and_session(
    people: Any, sasha: Browser, receivers: Receivers
) -> None:
    session = sasha.start(people.dave)
    sasha.stop()
    sasha.stop()
    assert receivers.names == ["started", "ended"]
    for _, sender, arguments in receivers.heard:
        assert sender is ImpersonationSession
        assert set(arguments) == {"request", "impersonation"}
        assert isinstance(arguments["request"], HttpRequest)
        assert arguments["impersonation"] == session
    assert receivers.heard[1][2]["impersonation"].end_reason == "stopped"


def test_a_denial_is_announced_with_the_people_and_the_code(people: Any, receivers: Receivers) -> None:
    Browser(people.noor).authorize(people.dave)
    [(name, sender, arguments)] = receivers.heard
    assert (name, sender) == ("denied", ImpersonationSession)
    assert isinstance(arguments.pop("request"), HttpRequest)
    assert arguments == {"impersonator": people.noor, "user": people.dave, "code": "no_permission"}


@pytest.mark.parametrize("by", ["row", "query", "flow", "switch"])
def test_outside_of_a_request_there_is_none(
    people: Any, sasha: Browser, settings: Any, receivers: Receivers, by: str
) -> None:
    settings.IMPERSONATION_ENABLED = None
    flows.switch(True)
    session = sasha.start(people.dave)
    {
        "row": lambda: session.end("revoked"),
        "query": lambda: ImpersonationSession.objects.end(),
        "flow": lambda: flows.revoke(ImpersonationSession.objects.all()),
        "switch": lambda: flows.switch(False),
    }[by]()
    assert receivers.names == ["started", "ended"]
    assert receivers.heard[1][2]["request"] is None
    assert receivers.heard[1][2]["impersonation"] == session


def test_announced_is_what_is_committed(people: Any, sasha: Browser, receivers: Receivers) -> None:
    """At the start no transaction is open any more; an end that is rolled back was none."""
    atomic: list[bool] = []
    receivers.act = lambda name, **kwargs: atomic.append(transaction.get_connection().in_atomic_block)
    session = sasha.start(people.dave)

    def interrupted() -> None:
        with transaction.atomic():
            session.end("revoked")
            assert receivers.names == ["started"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert receivers.names == ["started"]
    assert sasha.who()["user"] == "dave@example.com"
    with transaction.atomic():
        ImpersonationSession.objects.end()
    assert receivers.names == ["started", "ended"]
    assert atomic == [False, False]


def test_a_receiver_may_fill_the_users_session(people: Any, engine: str, receivers: Receivers) -> None:
    def fill(name: str, request: Any, impersonation: Any) -> None:
        if name == "started":
            assert request.user == impersonation.user
            assert request.impersonation == impersonation
            request.session["organization"] = impersonation.organization_name

    receivers.act = fill
    sasha = Browser(people.sasha)
    sasha.start(people.bob, organization=people.acme)
    assert sasha.session["organization"] == "Acme"
    sasha.stop()
    assert "organization" not in sasha.session


class Broken(Exception):
    pass


def test_a_start_receiver_that_fails_ends_the_session_and_the_error_goes_on(
    people: Any, engine: str, receivers: Receivers
) -> None:
    def fail(name: str, **kwargs: Any) -> None:
        if name == "started":
            raise Broken

    receivers.act = fail
    sasha = Browser(people.sasha)
    before = dict(sasha.session.items())
    code = sasha.code(people.dave)
    with pytest.raises(Broken):
        sasha.redeem(code)
    session = ImpersonationSession.objects.get()
    assert (session.status, session.end_reason) == ("revoked", "revoked")
    assert [event.name for event in Event.objects.order_by("position")] == [
        "impersonation.requested",
        "session.created",
        "session.revoked",
    ]
    assert receivers.names == ["started", "ended"]
    assert sasha.who() == {
        "user": "sasha@example.com",
        "impersonation": None,
        "impersonator": None,
        "current": None,
    }
    assert dict(sasha.session.items()) == before
    assert sasha.redeem(code).status_code == 400


def test_after_a_start_that_failed_the_request_is_the_impersonators(
    people: Any, sasha: Browser, receivers: Receivers
) -> None:
    """What renders the error page, or logs the error, must not do so as the user."""
    requests: list[Any] = []

    def fail(name: str, request: Any, **kwargs: Any) -> None:
        if name == "started":
            requests.append(request)
            raise Broken

    receivers.act = fail
    with pytest.raises(Broken):
        sasha.redeem(sasha.code(people.dave))
    [request] = requests
    assert (request.user, request.impersonation, request.impersonator) == (people.sasha, None, None)
    assert request.session.session_key == sasha.session_cookie() == Session.objects.get().session_key


def test_an_end_receiver_that_fails_ends_nothing_else(people: Any, sasha: Browser, receivers: Receivers) -> None:
    """The end is on record already, and the staff member gets their session back."""

    def fail(name: str, **kwargs: Any) -> None:
        if name == "ended":
            raise Broken

    receivers.act = fail
    session = sasha.start(people.dave)
    assert sasha.stop().status_code == 303
    session.refresh_from_db()
    assert session.end_reason == "stopped"
    assert sasha.who()["user"] == "sasha@example.com"


@pytest.mark.parametrize("name", ["ended", "denied"])
def test_a_failing_receiver_is_logged_and_keeps_it_from_no_other_and_from_no_answer(
    people: Any, sasha: Browser, receivers: Receivers, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    def first(sender: Any, **kwargs: Any) -> None:
        raise Broken

    signal, heard = SIGNALS[name], receivers.bound[name]
    assert signal.disconnect(heard)
    signal.connect(first)
    signal.connect(heard)
    try:
        if name == "ended":
            sasha.start(people.dave)
            assert sasha.stop().status_code == 303
        else:
            code = sasha.code(people.dave)
            assert Browser(people.carol).redeem(code).status_code == 400
            assert Event.objects.filter(name="impersonation.denied", code="invalid_code").count() == 1
    finally:
        signal.disconnect(first)
    assert receivers.names[-1] == name
    [logged] = [record for record in caplog.records if record.name == "django.dispatch"]
    assert logged.exc_info is not None
    assert logged.exc_info[0] is Broken


def test_the_first_receivers_failure_leaves_no_later_one_in_doubt(
    people: Any, sasha: Browser, receivers: Receivers
) -> None:
    """Who heard of the start hears of the end."""

    def later(sender: Any, **kwargs: Any) -> None:
        raise Broken

    impersonation_started.connect(later)
    try:
        with pytest.raises(Broken):
            sasha.redeem(sasha.code(people.dave))
    finally:
        impersonation_started.disconnect(later)
    assert receivers.names == ["started", "ended"]


# ABUSE 137
def test_the_admins_own_log_names_both(people: Any, sasha: Browser) -> None:
    session = sasha.start(people.dave)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (people.sasha, str(people.dave.pk))
    assert "Ticket 4711" in entry.get_change_message()
    admin = Browser(people.admin)
    data = {"action": "revoke", "_selected_action": [session.pk]}
    admin.post("/admin/django_impersonation/impersonationsession/", data)
    revoked = LogEntry.objects.latest("pk")
    assert (revoked.user, revoked.object_id) == (people.admin, session.pk)


# ABUSE 137
def test_who_wrote_an_entry_while_impersonated_can_be_told(people: Any, settings: Any) -> None:
    """An entry says the user; the sessions of that user say who acted at that time."""
    settings.IMPERSONATION_BLOCKED_VIEWS = ["-admin"]
    admin = Browser(people.admin)
    session = admin.start(people.sasha)
    LogEntry.objects.log_actions(people.sasha.pk, [people.dave], 2, "changed")
    admin.stop()
    entry = LogEntry.objects.get(user=people.sasha)
    [found] = ImpersonationSession.objects.filter(
        user=entry.user, created_at__lte=entry.action_time, ended_at__gte=entry.action_time
    )
    assert (found, found.impersonator) == (session, people.admin)


# ABUSE 138
def test_no_secret_is_on_record(people: Any, engine: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "django_impersonation")
    sasha = Browser(people.sasha)
    secrets = [sasha.session_cookie()]
    code = sasha.code(people.bob, organization=people.acme)
    sasha.redeem(code)
    secrets += [code, sasha.session_cookie(), sasha.session["_impersonation"]["secret"]]
    secrets += [sasha.session["_auth_user_hash"], sasha.cookies["impersonation_return_key"].value]
    sasha.get("/billing/")
    Browser(people.noor).redeem(code)
    sasha.stop()
    secrets.append(sasha.session_cookie())
    assert all(secrets)
    written = [record.getMessage() for record in caplog.records if record.name == "django_impersonation"]
    for model in (AuthorizationCode, ImpersonationSession, Event, LogEntry):
        written += [str(row) for row in model.objects.values()]
    assert len(written) >= 8
    for secret in secrets:
        assert not [line for line in written if secret in line]
