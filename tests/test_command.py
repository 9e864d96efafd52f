"""manage.py impersonation: for the terminal, for cron and for the worst night of the year."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_impersonation.models import AuthorizationCode, Configuration, Event, ImpersonationSession
from tests.people import Browser

pytestmark = pytest.mark.django_db


def impersonation(*args: str) -> str:
    out = StringIO()
    call_command("impersonation", *args, stdout=out)
    return out.getvalue()


def age(session: ImpersonationSession, **ago: Any) -> None:
    """Let it have started, expired and perhaps ended so long ago."""
    moment = timezone.now() - timedelta(**ago)
    rows = ImpersonationSession._base_manager.filter(pk=session.pk)
    rows.update(created_at=moment, expires_at=moment)
    rows.exclude(ended_at=None).update(ended_at=moment)


def usable() -> set[str]:
    return {f"{c.impersonator_email} as {c.user_email}" for c in AuthorizationCode.objects.usable()}


@pytest.fixture
def switch(settings: Any) -> None:
    """The admin's switch decides."""
    settings.IMPERSONATION_ENABLED = None


@pytest.fixture
def ada(people: Any) -> Browser:
    return Browser(people.admin)


@pytest.mark.usefixtures("switch")
def test_enable_and_disable() -> None:
    assert not Configuration.objects.enabled()
    assert impersonation("enable") == "Impersonation is now on in production.\n"
    assert Configuration.objects.enabled()
    assert impersonation("enable") == "Impersonation is already on in production.\n"
    assert impersonation("disable") == "Impersonation is now off in production.\n"
    assert not Configuration.objects.enabled()
    assert impersonation("disable") == "Impersonation is already off in production.\n"
    assert list(Event.objects.order_by("position").values_list("name", "impersonator_label")) == [
        ("impersonation.enabled", ""),
        ("impersonation.disabled", ""),
    ]


# ABUSE 201
@pytest.mark.usefixtures("switch")
def test_disable_ends_every_session_and_voids_every_code(people: Any, sasha: Browser, ada: Browser) -> None:
    impersonation("enable")
    session = sasha.start(people.carol)
    ada.code(people.dave)
    impersonation("disable")
    session.refresh_from_db()
    assert session.end_reason == "disabled"
    assert usable() == set()
    assert sasha.get("/whoami/").status_code == 303


@pytest.mark.usefixtures("switch")
def test_the_switch_belongs_to_one_environment(settings: Any) -> None:
    impersonation("enable")
    settings.IMPERSONATION_ENVIRONMENT = "staging"
    assert impersonation("status").startswith("Impersonation is off in staging (the admin's switch decides).")


@pytest.mark.parametrize("fixed", [True, False])
def test_the_deployment_decides(settings: Any, fixed: bool) -> None:
    settings.IMPERSONATION_ENABLED = fixed
    for command in ("enable", "disable"):
        with pytest.raises(CommandError, match="IMPERSONATION_ENABLED decides"):
            impersonation(command)
    state = "on" if fixed else "off"
    assert f"Impersonation is {state} in production (IMPERSONATION_ENABLED decides)." in impersonation("status")
    assert Event.objects.count() == 0


def test_status_shows_the_live_sessions_only(people: Any, sasha: Browser, ada: Browser) -> None:
    live, ended, over = (
        sasha.start(people.carol),
        ada.start(people.dave),
        Browser(people.admin).start(people.bob, organization=people.acme),
    )
    ended.end("stopped")
    age(over, hours=2)
    lines = impersonation("status").splitlines()
    assert lines[1:] == ["Live sessions: 1", f"{live.pk}  sasha@example.com as carol@example.com, 60 min left"]


# ABUSE 51
def test_revoke_one_session(people: Any, sasha: Browser, ada: Browser) -> None:
    mine, other = sasha.start(people.carol), ada.start(people.carol)
    Browser(people.admin).code(people.dave)
    assert impersonation("revoke", mine.pk) == "Sessions ended: 1\n"
    mine.refresh_from_db()
    assert (mine.status, mine.end_reason) == ("revoked", "revoked")
    assert sasha.get("/whoami/").status_code == 303
    assert ada.who()["current"] == other.pk
    assert usable() == {"admin@example.com as dave@example.com"}, "others go on"
    assert impersonation("revoke", mine.pk) == "Sessions ended: 0\n"
    assert Event.objects.filter(name="session.revoked").count() == 1


# ABUSE 51
def test_revoke_all_of_an_impersonator_and_his_codes(people: Any, sasha: Browser, ada: Browser) -> None:
    first, second, other = (
        sasha.start(people.carol),
        Browser(people.sasha).start(people.dave),
        ada.start(people.bob, organization=people.acme),
    )
    Browser(people.sasha).code(people.bob, organization=people.acme)
    Browser(people.admin).code(people.dave)
    assert impersonation("revoke", "--impersonator", "SASHA@example.com") == "Sessions ended: 2\n"
    assert set(ImpersonationSession.objects.live()) == {other}
    assert usable() == {"admin@example.com as dave@example.com"}
    assert {s.end_reason for s in ImpersonationSession.objects.filter(pk__in=[first.pk, second.pk])} == {"revoked"}


# ABUSE 51
def test_revoke_an_impersonator_who_has_only_a_code_yet(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.carol)
    assert impersonation("revoke", "--impersonator", "sasha@example.com") == "Sessions ended: 0\n"
    assert usable() == set()
    assert sasha.redeem(code).status_code == 400


# ABUSE 51
@pytest.mark.parametrize("option", ["--impersonator", "--user"])
def test_revoke_by_the_address_of_an_account_that_is_gone(people: Any, sasha: Browser, option: str) -> None:
    session = sasha.start(people.carol)
    gone = people.sasha if option == "--impersonator" else people.carol
    address = gone.email.title()
    get_user_model().objects.filter(pk=gone.pk).delete()
    assert impersonation("revoke", option, address) == "Sessions ended: 1\n"
    session.refresh_from_db()
    assert session.end_reason == "revoked"


# ABUSE 51
def test_revoke_after_the_address_changed(people: Any, sasha: Browser) -> None:
    session = sasha.start(people.carol)
    get_user_model().objects.filter(pk=people.sasha.pk).update(email="new@example.com")
    assert impersonation("revoke", "--impersonator", "new@example.com") == "Sessions ended: 1\n"
    session.refresh_from_db()
    assert session.end_reason == "revoked"


# ABUSE 51
def test_revoke_all_as_a_user(people: Any, sasha: Browser, ada: Browser) -> None:
    sasha.start(people.carol)
    other = ada.start(people.dave)
    assert impersonation("revoke", "--user", "carol@example.com") == "Sessions ended: 1\n"
    assert set(ImpersonationSession.objects.live()) == {other}


# ABUSE 51
def test_revoke_as_a_user_voids_the_codes_for_this_user(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.carol)
    impersonation("revoke", "--user", "carol@example.com")
    assert usable() == set()
    assert sasha.redeem(code).status_code == 400


# ABUSE 51
def test_revoke_everything(people: Any, sasha: Browser, ada: Browser) -> None:
    sasha.start(people.carol)
    ada.start(people.dave)
    assert impersonation("revoke", "--all") == "Sessions ended: 2\n"
    assert not ImpersonationSession.objects.live().exists()


# ABUSE 51
def test_revoke_everything_voids_the_codes_of_those_without_a_session_too(people: Any, sasha: Browser) -> None:
    code = sasha.code(people.carol)
    impersonation("revoke", "--all")
    assert usable() == set()
    assert sasha.redeem(code).status_code == 400


def test_revoke_finds_what_has_expired_and_says_so(people: Any, sasha: Browser) -> None:
    session = sasha.start(people.carol)
    age(session, minutes=90)
    impersonation("revoke", "--all")
    session.refresh_from_db()
    assert session.end_reason == "expired"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "required"),
        (["nonsense"], "invalid choice"),
        (["revoke"], "required"),
        (["revoke", "session_0"], "There is no session session_0"),
        (["revoke", "--user", "nobody@example.com"], "Nobody has the e-mail address or user name nobody@example.com"),
        (["revoke", "--impersonator", "nobody@example.com"], "Nobody has the e-mail address"),
        (["revoke", "--all", "--user", "carol@example.com"], "not allowed with"),
        (["revoke", "session_0", "--all"], "not allowed with"),
        (["purge", "--keep-days", "0"], "from 1 to 36500"),
        (["purge", "--keep-days", "-1"], "from 1 to 36500"),
        (["purge", "--keep-days", "many"], "invalid int"),
        (["purge", "--keep-days", "999999999999"], "--keep-days"),
    ],
)
def test_mistakes_are_command_errors(people: Any, sasha: Browser, args: list[str], says: str) -> None:
    session = sasha.start(people.carol)
    with pytest.raises(CommandError, match=says):
        impersonation(*args)
    session.refresh_from_db()
    assert session.ended_at is None


@pytest.mark.parametrize("args", [[""], ["--user", ""], ["--impersonator", ""]])
def test_an_empty_variable_of_a_shell_script_does_not_mean_everybody(
    people: Any, sasha: Browser, args: list[str]
) -> None:
    session = sasha.start(people.carol)
    with pytest.raises(CommandError):
        impersonation("revoke", *args)
    session.refresh_from_db()
    assert session.ended_at is None


def test_purge_records_what_expired_and_removes_old_codes(people: Any, sasha: Browser, ada: Browser) -> None:
    over, live = sasha.start(people.carol), ada.start(people.dave)
    age(over, hours=2)
    AuthorizationCode.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    Browser(people.admin).code(people.bob, organization=people.acme)
    assert impersonation("purge") == "Sessions found expired: 1. Codes removed: 1. Tokens removed: 0.\n"
    over.refresh_from_db()
    assert (over.end_reason, over.ended_at) == ("expired", over.expires_at)
    assert Event.objects.filter(name="impersonation.expired", session=over).count() == 1
    codes = AuthorizationCode.objects.all()
    assert {c.session_id for c in codes} == {live.pk, None}, "a live session's code may be replayed yet"
    assert impersonation("purge") == "Sessions found expired: 0. Codes removed: 0. Tokens removed: 0.\n"
    assert ImpersonationSession.objects.count() == 2
    assert not Event.objects.filter(name="impersonation.purged").exists()


def test_purge_with_keep_days_removes_old_records_and_leaves_a_word(people: Any, sasha: Browser) -> None:
    old = sasha.start(people.carol)
    old.end("stopped")
    young, live = (
        Browser(people.sasha).start(people.dave),
        Browser(people.admin).start(people.bob, organization=people.acme),
    )
    young.end("stopped")
    age(old, days=31)
    age(young, days=29)
    Event._base_manager.filter(user_email="carol@example.com").update(created_at=timezone.now() - timedelta(days=31))
    assert "Sessions removed: 1. Events removed: 3.\n" in impersonation("purge", "--keep-days", "30")
    assert {s.pk for s in ImpersonationSession.objects.all()} == {young.pk, live.pk}
    assert not Event.objects.filter(user_email="carol@example.com").exists()
    purged = Event.objects.get(name="impersonation.purged")
    assert purged.reason == "Older than 30 days: 1 sessions, 3 events."
    assert "Sessions removed: 0. Events removed: 0.\n" in impersonation("purge", "--keep-days", "30")
    assert Event.objects.filter(name="impersonation.purged").count() == 1


def test_purge_never_removes_a_live_session(people: Any, sasha: Browser) -> None:
    session = sasha.start(people.carol)
    ImpersonationSession._base_manager.update(created_at=timezone.now() - timedelta(days=400))
    impersonation("purge", "--keep-days", "1")
    assert ImpersonationSession.objects.filter(pk=session.pk).exists()


# ABUSE 146
def test_purge_works_in_batches(people: Any, settings: Any, django_assert_max_num_queries: Any) -> None:
    past = timezone.now() - timedelta(days=40)
    Event.objects.bulk_create(
        Event(name="impersonation.requested", environment="production", position=n, created_at=past)
        for n in range(1, 2502)
    )
    with django_assert_max_num_queries(40):
        assert "Events removed: 2501." in impersonation("purge", "--keep-days", "30")
