"""The one statement is compiled once and answers as if it had been put together for each request."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_impersonation import validity
from django_impersonation.models import Configuration, ImpersonationSession
from django_impersonation.prepared import Prepared
from tests.abuse.racing import race
from tests.people import Browser

pytestmark = pytest.mark.django_db


def contents(row: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name != "_state"}


def test_it_gives_what_the_queryset_gives(sasha: Browser, people: Any, settings: Any) -> None:
    session_id = sasha.start(people.bob, organization=people.acme).pk
    prepared: Any = validity.examine(session_id)
    with mock.patch.object(validity, "_hides_nobody", return_value=False):
        built: Any = validity.examine(session_id)
    assert prepared is not built
    assert contents(prepared) == contents(built)
    assert prepared._state.db == built._state.db
    assert not prepared._state.adding
    for person in ("user", "impersonator"):
        assert contents(getattr(prepared, person)) == contents(getattr(built, person))
    assert validity.examine("session_unknown") is None


def test_it_is_one_query_and_is_put_together_once(sasha: Browser, people: Any) -> None:
    session_id = sasha.start(people.dave).pk
    validity.examine(session_id)
    with (
        mock.patch.object(validity, "_statement", side_effect=AssertionError),
        CaptureQueriesContext(connection) as seen,
    ):
        assert validity.examine(session_id) is not None
    assert len(seen) == 1


@pytest.mark.parametrize("enabled", [True, False, None])
def test_each_state_of_the_settings_has_a_statement_of_its_own(
    sasha: Browser, people: Any, settings: Any, enabled: bool | None
) -> None:
    session_id = sasha.start(people.dave).pk
    settings.IMPERSONATION_ENABLED = enabled
    for environment in ("production", "staging"):
        settings.IMPERSONATION_ENVIRONMENT = environment
        Configuration.objects.update_or_create(environment="staging", defaults={"enabled": True})
        found: Any = validity.examine(session_id)
        assert bool(found.switched_on) is (environment == "staging" if enabled is None else enabled)


def test_what_a_manager_says_is_asked_each_time(sasha: Browser, people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A condition of the project's may depend on the clock, or on the tenant of this very request."""
    session_id = sasha.start(people.dave).pk
    manager, hidden = type(get_user_model()._default_manager), set()
    usual = manager.get_queryset
    monkeypatch.setattr(manager, "get_queryset", lambda self: usual(self).exclude(pk__in=hidden))
    before: Any = validity.examine(session_id)
    hidden.add(people.dave.pk)
    after: Any = validity.examine(session_id)
    assert (bool(before.user_visible), bool(after.user_visible)) == (True, False)


def test_a_statement_without_a_gap_is_refused(db: None) -> None:
    with pytest.raises(ValueError, match="one gap"):
        Prepared(ImpersonationSession.objects.filter(pk="session_1"))


@pytest.mark.django_db(transaction=True)
def test_threads_share_it(sasha: Browser, people: Any) -> None:
    ids = [Browser(people.sasha).start(user).pk for user in (people.dave, people.carol, people.dave, people.carol)]
    found = race(*(lambda pk=pk: [validity.examine(pk).pk for _ in range(50)] for pk in ids))
    assert found == [[pk] * 50 for pk in ids]
