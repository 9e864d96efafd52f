"""Whatever happens in whatever order: a view sees the tagged user, the person who signed in there, or nobody.

Hypothesis draws the orders: four browsers, a client of the API with its tokens, six people and one clock. After every
step each browser and each token is asked who it is, and the record is compared with what happened. The questions run
in a savepoint that is rolled back, on copies of the cookies: asking changes nothing, and a step may meet a state that
no request has noticed yet.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from types import SimpleNamespace
from typing import Any
from unittest import mock

import jwt
import pytest
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_impersonation import flows, sessions
from django_impersonation.models import Configuration, Event, ImpersonationSession
from example_project.shop.models import User
from tests.abuse.session_support import ENDED, JSON, NOBODY, ends, forget_dead_cookies
from tests.api.client import CALLBACK, ApiClient, bearer, code_of
from tests.people import Browser, grant

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()
STAFF, CUSTOMERS = ("sasha", "admin", "noor"), ("bob", "carol", "dave")
PERMISSION = "impersonate_user"
HOUR, SKEW = timedelta(hours=1), timedelta(minutes=5)


class Clock(datetime):
    """All clocks of the process: they stand until they are moved."""

    stands_at = NOON

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(cls.stands_at, tz)

    @classmethod
    def seconds(cls) -> float:
        return cls.stands_at


@dataclass(eq=False)
class Login:
    """Somebody signed in with a password; it holds while the account and the password do."""

    person: str
    password: str


@dataclass(eq=False)
class Started:
    """A session as it was when it started, and what must stay so."""

    pk: str
    staff: str
    user: str
    staff_password: str
    user_password: str
    staff_superuser: bool
    user_staff: bool


@dataclass(eq=False)
class Code:
    code: str
    staff: str
    user: str
    staff_password: str
    made_at: float
    for_api: bool
    voided: bool = False
    spent_by: Any = None
    session: Started | None = None


@dataclass(eq=False)
class Tokens:
    access: str
    refresh: str
    session: Started
    generation: int
    issued_at: float
    expires_at: float


@dataclass(eq=False)
class Seat:
    """A browser, and who sits there. ``parked`` is the staff member whom *Stop* may bring back."""

    browser: Browser
    own: Login | None = None
    session: Started | None = None
    parked: Login | None = None
    told: bool = False  # the page that says that it is over was seen
    late: bool = False  # the parked session's cookie came back while impersonating


@dataclass(eq=False)
class Person:
    pk: Any
    email: str
    password: str = "demo"


class Impersonations(RuleBasedStateMachine):
    people: Any

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()
        Clock.stands_at = NOON
        self.persons = {
            name: Person(getattr(self.people, name).pk, f"{name}@example.com") for name in STAFF + CUSTOMERS
        }
        self.seats = [Seat(Browser()) for _ in range(4)]
        self.api = ApiClient()
        self.started: list[Started] = []
        self.codes: list[Code] = []
        self.tokens: list[Tokens] = []
        self.ended: dict[str, tuple[Any, str]] = {}
        self.enabled = True
        self.requested = 0

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.savepoint.__exit__(None, None, None)

    # -- what must hold, told anew: nothing here asks the package ----------------------------------------------

    def row(self, name: str) -> Any:
        return User._base_manager.filter(pk=self.persons[name].pk).first()

    def row_of(self, session: Started) -> ImpersonationSession:
        return ImpersonationSession.objects.get(pk=session.pk)

    def may(self, staff: str, user: str) -> bool:
        """May this session go on, or begin, as far as the two people are concerned?"""
        actor, acted = self.row(staff), self.row(user)
        return (
            actor is not None
            and acted is not None
            and actor.is_active
            and actor.is_staff
            and (actor.is_superuser or self.holds(actor))
            and acted.is_active
        )

    def holds(self, actor: Any) -> bool:
        own = actor.user_permissions.filter(codename=PERMISSION).exists()
        return bool(own or actor.groups.filter(permissions__codename=PERMISSION).exists())

    def may_begin(self, staff: str, user: str) -> bool:
        if not self.enabled or staff == user or not self.may(staff, user):
            return False
        acted = self.row(user)
        return not acted.is_superuser and (not acted.is_staff or self.row(staff).is_superuser)

    def is_valid(self, session: Started) -> bool:
        row, now = self.row_of(session), Clock.now(UTC)
        if row.ended_at is not None or not row.created_at - SKEW <= now < row.created_at + HOUR:
            return False
        if not self.enabled or not self.may(session.staff, session.user):
            return False
        actor, acted = self.row(session.staff), self.row(session.user)
        return bool(
            self.persons[session.staff].password == session.staff_password
            and self.persons[session.user].password == session.user_password
            and actor.is_superuser >= session.staff_superuser
            and acted.is_staff <= session.user_staff
            and not acted.is_superuser
        )

    def is_good(self, login: Login | None) -> bool:
        row = login and self.row(login.person)
        return bool(login and row and row.is_active and self.persons[login.person].password == login.password)

    def untagged(self, login: Login | None) -> dict[str, Any]:
        user = self.persons[login.person].email if login and self.is_good(login) else NOBODY
        return {"user": user, "impersonation": None, "impersonator": None, "current": None}

    def tagged(self, session: Started) -> dict[str, Any]:
        return {
            "user": self.persons[session.user].email,
            "impersonation": session.pk,
            "impersonator": [self.persons[session.staff].email, "Ticket 4711"],
            "current": session.pk,
        }

    def expected(self, seat: Seat) -> dict[str, Any]:
        if seat.session is None:
            return self.untagged(seat.own)
        acts = not seat.told and not seat.late and self.is_valid(seat.session)
        return self.tagged(seat.session) if acts else self.untagged(None)

    # -- asking ------------------------------------------------------------------------------------------------

    def seen(self, client: Any) -> dict[str, Any]:
        response = client.get("/whoami/")
        if response.status_code == 200:
            return response.json()  # type: ignore[no-any-return]
        assert (response.status_code, response["Location"]) == (303, ENDED)
        return self.untagged(None)

    def me(self, client: Any, **kwargs: Any) -> dict[str, Any]:
        """The same of ``/api/me/``, which names people only."""
        response = client.get("/api/me/", **kwargs)
        if response.status_code != 200:
            assert response.status_code in (401, 403) or (response.status_code, response["Location"]) == (303, ENDED)
            return {"user": NOBODY, "impersonator": None}
        by = response.json()["impersonator"]
        return {"user": response.json()["user"]["email"], "impersonator": by and [by["email"], by["reason"]]}

    def settle(self, seat: Seat) -> None:
        """The way back is open to the parked login alone, and Django may find it spoiled: look who sits there."""
        forget_dead_cookies(seat.browser)
        answer = self.seen(seat.browser)
        if seat.own is None and seat.parked is not None and answer == self.untagged(seat.parked):
            seat.own = seat.parked if self.is_good(seat.parked) else None
        seat.session = seat.parked = None
        seat.told = seat.late = False
        assert answer == self.untagged(seat.own)

    # -- the beginning -----------------------------------------------------------------------------------------

    @initialize(
        users=st.lists(st.sampled_from(CUSTOMERS), min_size=2, max_size=2),
        first=st.booleans(),
        second=st.sampled_from(("nobody", "customer", "noor")),
        client=st.booleans(),
    )
    def people_sit_down(self, users: list[str], first: bool, second: str, client: bool) -> None:
        for seat, name in zip(self.seats, (*STAFF, users[0]), strict=True):
            self.login(seat, name)
        if client:
            self.start_for_client(self.seats[2], users[1])
        if first:
            self.start(self.seats[0], users[0])
        if second != "nobody":
            self.start(self.seats[1], users[1] if second == "customer" else second)

    # -- people at browsers ------------------------------------------------------------------------------------

    a_seat = st.integers(0, 3)
    a_person = st.sampled_from(STAFF + CUSTOMERS)
    a_user = st.sampled_from((*CUSTOMERS, "noor"))
    a_number = st.integers(0, 11)

    def login(self, seat: Seat, name: str) -> None:
        person, row, session = self.persons[name], self.row(name), seat.session
        valid = self.acts(seat)
        response = seat.browser.post("/accounts/login/", {"username": person.email, "password": person.password})
        forget_dead_cookies(seat.browser)
        if response.status_code != 302:
            assert response.status_code in (200, 409)
            assert row is None or not row.is_active or (session is not None and not seat.told and not valid)
            return
        assert row is not None
        assert row.is_active
        if session is not None and valid and name == session.user:
            return  # still tagged, which the next look confirms
        if session is not None:
            assert self.row_of(session) not in ImpersonationSession.objects.live()
            if valid:
                seat.parked = None
        seat.own, seat.session, seat.told, seat.late = Login(name, person.password), None, False, False

    @rule(number=a_seat, name=a_person)
    def somebody_signs_in(self, number: int, name: str) -> None:
        self.login(self.seats[number], name)

    @rule(number=a_seat)
    def somebody_signs_out(self, number: int) -> None:
        seat = self.seats[number]
        session = seat.session
        valid = self.acts(seat)
        response = seat.browser.post("/accounts/logout/")
        forget_dead_cookies(seat.browser)
        if response.status_code == 409:
            assert session is not None
            assert not valid
            return
        if session is not None and valid:
            assert ends(self.row_of(session)) == ["signed_out"]
            seat.parked = None
        if valid or session is None or seat.told:
            seat.own = None
            seat.session = None if valid else seat.session

    @rule(number=a_seat, page=st.sampled_from(("/whoami/", "/", ENDED)))
    def a_page_is_opened(self, number: int, page: str) -> None:
        """As a browser does it: whoever is refused sees why."""
        seat = self.seats[number]
        over = seat.session is not None and self.expected(seat) == self.untagged(None)
        seat.browser.get(page, follow=True)
        forget_dead_cookies(seat.browser)
        if seat.session is not None and over:
            assert self.row_of(seat.session) not in ImpersonationSession.objects.live()
            if seat.late:
                seat.own = seat.parked
                self.settle(seat)
            else:
                seat.told = True

    @rule(number=a_seat)
    def a_form_is_sent(self, number: int) -> None:
        """Refused where it is over, and the page that says so not opened yet."""
        seat = self.seats[number]
        before = self.expected(seat)
        response = seat.browser.post("/whoami/", headers=JSON)
        forget_dead_cookies(seat.browser)
        if response.status_code == 200:
            assert response.json() == before
        else:
            assert response.status_code == 409
            assert before == self.untagged(None)

    @rule(number=a_seat, by_script=st.booleans())
    def somebody_stops(self, number: int, by_script: bool) -> None:
        seat = self.seats[number]
        session, parked = seat.session, seat.parked
        valid = self.acts(seat)
        seat.browser.stop(headers={"Sec-Fetch-Dest": "empty"} if by_script else {})
        forget_dead_cookies(seat.browser)
        if session is None:
            self.settle(seat)
            return
        if self.row_of(session).expires_at + HOUR > Clock.now(UTC):
            assert self.row_of(session).ended_at is not None
        if valid:
            assert ends(self.row_of(session)) == ["stopped"]
        seat.own, seat.session = None, None
        self.settle(seat)
        if by_script:
            assert seat.own is None or seat.own is not parked
        elif valid:
            assert seat.own is (parked if self.is_good(parked) else None)

    @precondition(lambda self: any(seat.session and not seat.late for seat in self.seats))
    @rule(number=a_number)
    def a_late_response_brings_the_old_cookie_back(self, number: int) -> None:
        """The staff member's own one: a response to another tab was under way when the impersonation started."""
        seated = [seat for seat in self.seats if seat.session and not seat.told and not seat.late]
        if not seated:
            return
        seat = seated[number % len(seated)]
        seat.browser.cookies["sessionid"] = seat.browser.cookies[sessions.RETURN_KEY].value
        seat.late = True

    # -- codes -------------------------------------------------------------------------------------------------

    def make_code(self, seat: Seat, user: str, *, for_api: bool) -> Code | None:
        seen = self.expected(seat)
        acting = next((name for name, one in self.persons.items() if one.email == seen["user"]), None)
        acting = None if seen["impersonation"] else acting
        organization = self.people.acme if user == "bob" else ""
        target = SimpleNamespace(pk=self.persons[user].pk)
        with override_settings(IMPERSONATION_CALLBACK_URL=CALLBACK if for_api else None):
            response = seat.browser.authorize(target, organization=organization)
        forget_dead_cookies(seat.browser)
        allowed = acting is not None and self.may_begin(acting, user)
        if response.status_code != 303 or "code=" not in response["Location"]:
            assert not allowed
            return None
        assert allowed
        assert acting is not None
        self.requested += 1
        for older in self.codes:
            older.voided |= (older.staff, older.user) == (acting, user)
        password = self.persons[acting].password
        code = Code(code_of(response), acting, user, password, Clock.stands_at, for_api)
        self.codes.append(code)
        return code

    def is_usable(self, code: Code, *, for_api: bool) -> bool:
        fresh = Clock.stands_at < code.made_at + 60 and code.spent_by is None and not code.voided
        return fresh and code.for_api == for_api and self.may_begin(code.staff, code.user)

    def begun(self, code: Code, pk: str) -> Started:
        code.session = Started(
            pk=pk,
            staff=code.staff,
            user=code.user,
            staff_password=code.staff_password,
            user_password=self.persons[code.user].password,
            staff_superuser=self.row(code.staff).is_superuser,
            user_staff=self.row(code.user).is_staff,
        )
        self.started.append(code.session)
        return code.session

    def spend(self, seat: Seat, code: Code) -> None:
        session, seen = seat.session, self.expected(seat)
        acts = self.acts(seat)
        usable = (
            self.is_usable(code, for_api=False)
            and session is None
            and seat.own is not None
            and seat.own.person == code.staff
            and seen["user"] == self.persons[code.staff].email
        )
        response = seat.browser.redeem(code.code)
        forget_dead_cookies(seat.browser)
        assert usable == (response.status_code == 303 and "impersonation" in response.cookies)
        if usable:
            code.spent_by = seat
            seat.parked, seat.own = seat.own, None
            seat.session = self.begun(code, seat.browser.cookies["impersonation"].value)
            seat.told = seat.late = False
            return
        heard = session is None or seat.told or acts
        if heard and code.spent_by is not None and code.spent_by is not seat and code.session is not None:
            assert self.row_of(code.session).ended_at is not None
        elif heard and code.spent_by is None and session is None and seat.own and seat.own.person == code.staff:
            # A good code, but the policy has changed its mind since: it is burned.
            code.voided |= Clock.stands_at < code.made_at + 60 and not code.for_api

    def start(self, seat: Seat, user: str) -> None:
        code = self.make_code(seat, user, for_api=False)
        if code is not None:
            self.spend(seat, code)

    @rule(number=a_seat, user=a_user)
    def an_impersonation_starts(self, number: int, user: str) -> None:
        self.start(self.seats[number], user)

    @rule(number=a_seat, user=a_user, for_api=st.booleans())
    def a_code_is_made(self, number: int, user: str, for_api: bool) -> None:
        self.make_code(self.seats[number], user, for_api=for_api)

    @precondition(lambda self: self.codes)
    @rule(number=a_seat, which=a_number)
    def a_code_comes_to_the_callback(self, number: int, which: int) -> None:
        """Late, again, in another browser, or in the one that it was made in."""
        self.spend(self.seats[number], self.codes[-1 - which % len(self.codes)])

    # -- a client of the API -----------------------------------------------------------------------------------

    @precondition(lambda self: self.codes)
    @rule(which=a_number)
    def a_code_comes_to_the_token_endpoint(self, which: int) -> None:
        self.redeem(self.codes[-1 - which % len(self.codes)])

    def redeem(self, code: Code) -> None:
        usable = self.is_usable(code, for_api=True)
        # The browser that made the code may be gone; the account's password is a condition of the session.
        usable = usable and self.persons[code.staff].password == code.staff_password
        response = self.api.redeem(code.code)
        assert response.status_code == (200 if usable else 400)
        if usable:
            code.spent_by = self.api
            newest = ImpersonationSession.objects.exclude(pk__in=[one.pk for one in self.started]).get()
            self.keep(response.json(), self.begun(code, newest.pk), generation=0)
        elif code.session is not None:
            assert self.row_of(code.session).ended_at is not None
        elif code.spent_by is None and code.for_api and Clock.stands_at < code.made_at + 60:
            code.voided = True

    def keep(self, answer: dict[str, Any], session: Started, *, generation: int) -> None:
        until = min(Clock.stands_at + 300, self.row_of(session).expires_at.timestamp())
        self.tokens.append(
            Tokens(answer["access_token"], answer["refresh_token"], session, generation, Clock.stands_at, until)
        )

    def start_for_client(self, seat: Seat, user: str) -> None:
        code = self.make_code(seat, user, for_api=True)
        if code is not None:
            self.redeem(code)

    @rule(number=a_seat, user=a_user)
    def an_impersonation_starts_for_a_client(self, number: int, user: str) -> None:
        self.start_for_client(self.seats[number], user)

    def is_refreshable(self, old: Tokens) -> bool:
        """Neither is its session over, nor has it a grandchild, or a child that is older than ten seconds."""
        stolen = any(
            one.generation > old.generation + 1
            or (one.generation == old.generation + 1 and one.issued_at <= Clock.stands_at - 10)
            for one in self.tokens
            if one.session is old.session
        )
        return not stolen and self.is_valid(old.session)

    @precondition(lambda self: self.tokens)
    @rule(which=a_number)
    def a_token_is_refreshed(self, which: int) -> None:
        old = self.tokens[-1 - which % len(self.tokens)]
        good = self.is_refreshable(old)
        response = self.api.refresh(old.refresh)
        assert response.status_code == (200 if good else 400)
        if response.status_code == 200:
            self.keep(response.json(), old.session, generation=old.generation + 1)
        else:
            assert self.row_of(old.session).ended_at is not None

    @precondition(lambda self: self.tokens)
    @rule(which=a_number, number=a_seat)
    def a_token_comes_with_the_cookies_of_a_browser(self, which: int, number: int) -> None:
        token, seat = self.tokens[-1 - which % len(self.tokens)], self.seats[number]
        over = seat.session is not None and not seat.told and self.expected(seat) == self.untagged(None)
        answer = self.me(seat.browser, headers=bearer(token.access))
        forget_dead_cookies(seat.browser)
        assert answer == ({"user": NOBODY, "impersonator": None} if over else self.expected_of(token))

    def expected_of(self, token: Tokens) -> dict[str, Any]:
        """A token whose time has not come yet, by a clock that was set back, is none either."""
        if not token.issued_at <= Clock.stands_at < token.expires_at or not self.is_valid(token.session):
            return {"user": NOBODY, "impersonator": None}
        tagged = self.tagged(token.session)
        return {"user": tagged["user"], "impersonator": tagged["impersonator"]}

    # -- what happens elsewhere --------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((1, 11, 61, 290, 301, 1800, 3540, 3660, 7300, -60, -400)))
    def time_passes(self, seconds: int) -> None:
        """Or a clock is set back."""
        Clock.stands_at += seconds

    @precondition(lambda self: self.started)
    @rule(which=a_number)
    def the_time_of_a_session_is_over(self, which: int) -> None:
        """To the second."""
        end = self.row_of(self.newest(which)).expires_at.timestamp()
        Clock.stands_at = max(Clock.stands_at, end)

    @precondition(lambda self: self.started)
    @rule(which=a_number)
    def a_session_is_revoked(self, which: int) -> None:
        session = self.newest(which)
        was_live = self.row_of(session).ended_at is None
        self.api.with_key(
            "post",
            "/user_management/sessions/revoke",
            data={"session_id": session.pk},
            content_type="application/json",
        )
        assert len(ends(self.row_of(session))) == 1
        for code in self.codes:
            code.voided |= was_live and code.staff == session.staff and code.session is None

    @rule()
    def the_switch_is_turned(self) -> None:
        self.enabled = not self.enabled
        assert flows.switch(self.enabled)
        if not self.enabled:
            for session in self.started:
                assert self.row_of(session).ended_at is not None
            for code in self.codes:
                code.voided = True

    CHANGES_OF_STAFF = ("password", "inactive", "not_staff", "not_superuser", "no_permission", "deleted")
    CHANGES_OF_USERS = ("password", "inactive", "staff", "superuser", "deleted")

    @precondition(lambda self: self.started)
    @rule(which=a_number, what=st.sampled_from(CHANGES_OF_STAFF))
    def an_impersonator_changes(self, which: int, what: str) -> None:
        self.change(self.newest(which).staff, what)

    @precondition(lambda self: self.started)
    @rule(which=a_number, what=st.sampled_from(CHANGES_OF_USERS))
    def a_user_changes(self, which: int, what: str) -> None:
        self.change(self.newest(which).user, what)

    @rule(name=a_person)
    def somebody_gets_everything_back(self, name: str) -> None:
        row = self.row(name)
        if row is not None:
            original = getattr(self.people, name)
            self.write(name, is_active=True, is_staff=original.is_staff, is_superuser=original.is_superuser)
            if name in STAFF:
                self.give(row, name)

    def change(self, name: str, what: str) -> None:
        row = self.row(name)
        if row is None:
            return
        if what == "password":
            self.persons[name].password += "+"
            row.set_password(self.persons[name].password)
            row.save(update_fields=["password"])
        elif what == "no_permission":
            row.user_permissions.remove(*row.user_permissions.filter(codename=PERMISSION))
            row.groups.clear()
        elif what == "deleted":
            row.delete()
        else:
            flag = {"inactive": "is_active", "staff": "is_staff", "not_staff": "is_staff"}.get(what, "is_superuser")
            self.write(name, **{flag: what in ("staff", "superuser")})

    # -- each change by itself, in whatever state it comes, and taken back: so that no order has to be lucky ----

    def newest(self, which: int) -> Started:
        return self.started[-1 - which % len(self.started)]

    def look(self, session: Started) -> None:
        for seat in self.seats:
            if seat.session is session:
                assert self.seen(self.copy_of(seat)) == self.expected(seat)
        for token in [one for one in self.tokens if one.session is session][-1:]:
            assert self.me(self.api, headers=bearer(token.access)) == self.expected_of(token)

    @precondition(lambda self: self.started)
    @rule()
    def any_change_would_be_seen(self) -> None:
        for session in self.started:
            if self.is_valid(session):
                self.would_be_seen(session)

    def would_be_seen(self, session: Started) -> None:
        changes = [(session.staff, what) for what in self.CHANGES_OF_STAFF]
        changes += [(session.user, what) for what in self.CHANGES_OF_USERS]
        for name, what in changes:
            password = self.persons[name].password
            with transaction.atomic():
                self.change(name, what)
                self.look(session)
                transaction.set_rollback(True)
            self.persons[name].password = password
        enabled, self.enabled = self.enabled, False
        with transaction.atomic():
            # As where the row of another environment is brought along: nothing was ended.
            Configuration.objects.update(enabled=False)
            self.look(session)
            transaction.set_rollback(True)
        self.enabled = enabled

    @precondition(lambda self: any(self.acts(seat) for seat in self.seats))
    @rule(which=a_number)
    def any_login_and_logout_would_be_seen(self, which: int) -> None:
        acting = [seat for seat in self.seats if self.acts(seat)]
        seat = acting[which % len(acting)]
        for name in (None, *STAFF, *CUSTOMERS):
            row = self.row(name) if name else None
            if name == seat.session.user or (name and not (row and row.is_active)):  # type: ignore[union-attr]
                continue
            with transaction.atomic():
                browser = self.copy_of(seat)
                if name is None:
                    browser.post("/accounts/logout/")
                else:
                    person = self.persons[name]
                    browser.post("/accounts/login/", {"username": person.email, "password": person.password})
                forget_dead_cookies(browser)
                assert ends(self.row_of(seat.session)) == ["signed_out"]  # type: ignore[arg-type]
                own = name and Login(name, self.persons[name].password)
                assert self.seen(browser) == self.untagged(own or None)
                browser.stop()
                forget_dead_cookies(browser)
                assert self.seen(browser) == self.untagged(own or None)
                transaction.set_rollback(True)

    def acts(self, seat: Seat) -> bool:
        return seat.session is not None and self.expected(seat) == self.tagged(seat.session)

    def copy_of(self, seat: Seat) -> Browser:
        copy = Browser()
        copy.cookies = SimpleCookie({name: one.value for name, one in seat.browser.cookies.items()})
        return copy

    def write(self, name: str, **fields: Any) -> None:
        User._base_manager.filter(pk=self.persons[name].pk).update(**fields)

    def give(self, row: Any, name: str) -> None:
        if name == "noor":
            row.groups.add(self.people.support)
        else:
            grant(row, PERMISSION)

    # -- after every step --------------------------------------------------------------------------------------

    @invariant()
    def everybody_is_who_they_are(self) -> None:
        for seat in self.seats:
            expected = self.expected(seat)
            with transaction.atomic():
                copy = self.copy_of(seat)
                assert self.seen(copy) == expected
                assert self.me(copy) == {name: expected[name] for name in ("user", "impersonator")}
                transaction.set_rollback(True)
        for token in self.tokens[-2:]:
            with transaction.atomic():
                assert self.me(self.api, headers=bearer(token.access)) == self.expected_of(token)
                refreshed = self.api.refresh(token.refresh).status_code
                assert refreshed == (200 if self.is_refreshable(token) else 400)
                transaction.set_rollback(True)

    @invariant()
    def the_record_says_what_happened(self) -> None:
        rows = {row.pk: row for row in ImpersonationSession.objects.all()}
        assert set(rows) == {session.pk for session in self.started}
        for session in self.started:
            row = rows[session.pk]
            written = list(Event.objects.filter(session=row.pk).order_by("position").values_list("name", "code"))
            over = [] if row.ended_at is None else [row.end_reason]
            assert ends(row) == over
            assert written[0] == ("session.created", "")
            assert len(written) == 1 + len(over)
            end = (row.ended_at, row.end_reason)
            assert self.ended.setdefault(row.pk, end) == end or self.ended[row.pk][0] is None
            self.ended[row.pk] = end
        switched = Event.objects.filter(name__in=["impersonation.enabled", "impersonation.disabled"])
        last = switched.order_by("position").last()
        assert last is None or (last.name == "impersonation.enabled") == self.enabled
        assert Configuration.objects.current().enabled == self.enabled
        assert Event.objects.filter(name="impersonation.requested").count() == self.requested


@pytest.mark.django_db
def test_a_view_sees_the_tagged_user_or_who_signed_in_there_or_nobody(people: Any, settings: Any) -> None:
    settings.IMPERSONATION_ENABLED = None
    settings.IMPERSONATION_REDIRECT_URIS = [CALLBACK]
    flows.switch(True)
    people.support = people.noor.groups.create(name="Support")
    people.support.permissions.add(*people.sasha.user_permissions.filter(codename=PERMISSION))
    # Also by name: a superuser who is none any more keeps it.
    grant(people.admin, PERMISSION)
    machine = type("Machine", (Impersonations,), {"people": people})
    examples = hypothesis_settings().max_examples  # 100 in the suite
    budget = hypothesis_settings(
        max_examples=examples // 10,
        stateful_step_count=15 if examples <= 100 else 50,
        suppress_health_check=list(HealthCheck),
    )
    with (
        mock.patch.object(timezone, "datetime", Clock),
        mock.patch.object(jwt.api_jwt, "datetime", Clock),
        mock.patch.object(time, "time", Clock.seconds),
    ):
        run_state_machine_as_test(machine, settings=budget)
