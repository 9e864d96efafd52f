"""WorkOS's own Python SDK, unmodified, against a live server of ours: as a front end's server would use it.

The calls are those of the newest major; what 5.x spells otherwise stands in ``Sdk``. `nox -s sdk` runs both.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.fernet import Fernet
from workos import WorkOSClient
from workos import session as sdk_session

from django_impersonation.api import tokens
from django_impersonation.keys import new_signing_key
from tests.api.client import CALLBACK, challenge, code_of
from tests.people import Browser

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("direct")]

MAJOR = int(version("workos").split(".")[0])
PASSWORD = Fernet.generate_key().decode()


class Sdk:
    """One client; 5.x and the newest major have other names for the same calls."""

    def __init__(self, address: str, settings: Any, **kwargs: Any) -> None:
        given = {"api_key": settings.IMPERSONATION_API_KEY, "client_id": settings.IMPERSONATION_CLIENT_ID, **kwargs}
        if MAJOR > 5:
            given["max_retries"] = 0
        self.client = WorkOSClient(**given, base_url=address)
        self.users = self.client.user_management

    def seal(self, answer: Any) -> str:
        """The cookie that a front end keeps."""
        parts = {"access_token": answer.access_token, "refresh_token": answer.refresh_token}
        parts |= {"user": plain(answer.user), "impersonator": plain(answer.impersonator)}
        if MAJOR > 5:
            return sdk_session.seal_session_from_auth_response(**parts, cookie_password=PASSWORD)
        return sdk_session.Session.seal_data(parts, PASSWORD)

    def load(self, sealed: str) -> Any:
        return self.users.load_sealed_session(
            **{"session_data" if MAJOR > 5 else "sealed_session": sealed}, cookie_password=PASSWORD
        )

    def get_user(self, user_id: Any) -> Any:
        return self.users.get_user(str(user_id))

    def sessions(self, user_id: Any) -> list[Any]:
        key = "id" if MAJOR > 5 else "user_id"
        return list(self.users.list_sessions(**{key: str(user_id)}).data)

    def memberships(self, user_id: Any) -> list[Any]:
        service = self.client.organization_membership if MAJOR > 5 else self.users
        return list(service.list_organization_memberships(user_id=str(user_id)).data)

    def organization(self, organization_id: Any) -> Any:
        return self.client.organizations.get_organization(str(organization_id))

    def events(self, *names: str, **filters: Any) -> Any:
        return self.client.events.list_events(events=list(names), **filters)

    def walk(self, *names: str, **filters: Any) -> list[Any]:
        found = self.events(*names, **filters)
        return list(found.auto_paging_iter() if MAJOR > 5 else found)

    def close(self) -> None:
        (self.client if MAJOR > 5 else self.client._http_client).close()


def plain(model: Any) -> Any:
    if model is None:
        return None
    return model.to_dict() if hasattr(model, "to_dict") else model.model_dump()


@pytest.fixture
def sdk(live_server: Any, settings: Any) -> Iterator[Sdk]:
    sdk = Sdk(live_server.url, settings)
    yield sdk
    sdk.close()


@pytest.fixture
def answer(sdk: Sdk, sasha: Browser, people: Any) -> Any:
    return sdk.users.authenticate_with_code(code=sasha.code(people.bob, organization=people.acme))


def refused(sdk: Sdk, call: Any) -> Any:
    """The SDK's own exception for a request that is wrong, of status 400."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  (another class in each major)
        call()
    assert "BadRequest" in type(caught.value).__name__, repr(caught.value)
    return caught.value


def test_a_code_gives_the_user_and_the_impersonator(answer: Any, people: Any) -> None:
    assert answer.user.id == str(people.bob.pk)
    assert answer.user.email == "bob@example.com"
    assert answer.organization_id == str(people.acme.pk)
    assert answer.authentication_method == "Impersonation"
    assert (answer.impersonator.email, answer.impersonator.reason) == ("sasha@example.com", "Ticket 4711")


def test_an_empty_reason_keeps_the_impersonator(sdk: Sdk, sasha: Browser, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_ENVIRONMENT = "staging"
    answer = sdk.users.authenticate_with_code(code=sasha.code(people.dave, reason=""))
    assert (answer.impersonator.email, answer.impersonator.reason) == ("sasha@example.com", "")
    assert answer.organization_id is None


def test_a_used_or_unknown_code_is_the_sdks_bad_request(sdk: Sdk, sasha: Browser, people: Any) -> None:
    code = sasha.code(people.dave)
    sdk.users.authenticate_with_code(code=code)
    for spoiled in (code, "unknown"):
        error = refused(sdk, lambda spoiled=spoiled: sdk.users.authenticate_with_code(code=spoiled))
        assert error.error == "invalid_grant"


def test_a_wrong_key_is_the_sdks_authentication_error(live_server: Any, settings: Any, people: Any) -> None:
    stranger = Sdk(live_server.url, settings, api_key="x" * 40)
    with pytest.raises(Exception, match="Unauthorized") as caught:
        stranger.get_user(people.bob.pk)
    stranger.close()
    assert "Authentication" in type(caught.value).__name__


def test_refreshing_keeps_the_session_and_the_impersonator(sdk: Sdk, answer: Any) -> None:
    again = sdk.users.authenticate_with_refresh_token(refresh_token=answer.refresh_token)
    before, after = tokens.read(answer.access_token), tokens.read(again.access_token)
    assert (before.session_id, before.impersonator) == (after.session_id, after.impersonator)
    assert plain(again.impersonator) == plain(answer.impersonator)
    assert again.refresh_token != answer.refresh_token


@pytest.mark.usefixtures("signin")
def test_sign_in_url_with_pkce(sdk: Sdk, sasha: Browser, people: Any) -> None:
    sasha.authorize(people.dave)
    if MAJOR > 5:
        made = sdk.users.get_authorization_url_with_pkce(redirect_uri=CALLBACK, provider="authkit")
        url, state, verifier = made["url"], made["state"], made["code_verifier"]
    else:
        verifier, state = "v" * 64, "state"
        url = sdk.users.get_authorization_url(
            redirect_uri=CALLBACK, provider="authkit", state=state, code_challenge=challenge(verifier)
        )
    back = sasha.get("?".join(urlsplit(url)[2:4]))
    assert parse_qs(urlsplit(back["Location"]).query)["state"] == [state]
    redeem = sdk.users.authenticate_with_code_pkce if MAJOR > 5 else sdk.users.authenticate_with_code
    assert redeem(code=code_of(back), code_verifier=verifier).user.email == "dave@example.com"


@pytest.mark.usefixtures("signin")
def test_sign_in_url_without_pkce(sdk: Sdk, sasha: Browser, people: Any) -> None:
    sasha.authorize(people.dave)
    url = sdk.users.get_authorization_url(redirect_uri=CALLBACK, provider="authkit", state="s")
    back = sasha.get("?".join(urlsplit(url)[2:4]))
    assert sdk.users.authenticate_with_code(code=code_of(back)).user.email == "dave@example.com"


def test_a_sealed_session_authenticates_and_refreshes(sdk: Sdk, answer: Any, people: Any) -> None:
    session = sdk.load(sdk.seal(answer))
    seen = session.authenticate()
    assert seen.authenticated is True, seen
    assert seen.session_id == tokens.read(answer.access_token).session_id
    assert seen.organization_id == str(people.acme.pk)
    assert SimpleNamespace(**plain_dict(seen.impersonator)).email == "sasha@example.com"
    refreshed = session.refresh()
    assert refreshed.authenticated is True, refreshed
    assert refreshed.session_id == seen.session_id
    assert plain_dict(refreshed.impersonator) == plain_dict(seen.impersonator)
    people.sasha.is_active = False
    people.sasha.save()
    assert session.refresh().authenticated is False


# ABUSE 91
def test_a_key_that_was_published_before_it_signs_is_known_already(
    sdk: Sdk, sasha: Browser, people: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK keeps the keys for five minutes: a rotation by the README costs no failure and no other request."""
    sdk_session._get_jwks_client.cache_clear()
    fetched, jwks = [], tokens.jwks
    monkeypatch.setattr(tokens, "jwks", lambda: fetched.append(1) or jwks())
    old, new = settings.IMPERSONATION_JWT_SIGNING_KEY, new_signing_key()
    settings.IMPERSONATION_JWT_SIGNING_KEY = [old, new]
    sealed = sdk.seal(sdk.users.authenticate_with_code(code=sasha.code(people.dave)))
    session = sdk.load(sealed)
    assert session.authenticate().authenticated is True
    settings.IMPERSONATION_JWT_SIGNING_KEY = [new, old]
    assert session.refresh().authenticated is True
    assert session.authenticate().authenticated is True
    assert sdk.load(sealed).authenticate().authenticated is True
    settings.IMPERSONATION_JWT_SIGNING_KEY = [new]
    assert session.refresh().authenticated is True
    assert fetched == [1]


def plain_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else plain(value)


def test_logging_out_ends_the_session(sdk: Sdk, answer: Any, sasha: Browser, settings: Any, people: Any) -> None:
    url = sdk.load(sdk.seal(answer)).get_logout_url(return_to=settings.IMPERSONATION_SIGN_OUT_URIS[0])
    response = Browser().get("?".join(urlsplit(url)[2:4]))
    assert response["Location"] == settings.IMPERSONATION_SIGN_OUT_URIS[0]
    assert sdk.sessions(people.bob.pk) == []
    refused(sdk, lambda: sdk.users.authenticate_with_refresh_token(refresh_token=answer.refresh_token))


def test_jwks_verifies_the_token(sdk: Sdk, answer: Any, settings: Any) -> None:
    keys = jwt.PyJWKClient(sdk.users.get_jwks_url())
    key = keys.get_signing_key_from_jwt(answer.access_token)
    claims = jwt.decode(answer.access_token, key.key, algorithms=["RS256"], issuer=settings.IMPERSONATION_JWT_ISSUER)
    assert claims["act"] == {"sub": "sasha@example.com"}
    if MAJOR > 5:
        (published,) = sdk.users.get_jwks(settings.IMPERSONATION_CLIENT_ID).keys
        assert published.kid == key.key_id


def test_sessions_are_listed_and_revoked(sdk: Sdk, answer: Any, people: Any) -> None:
    (listed,) = sdk.sessions(people.bob.pk)
    assert listed.id == tokens.read(answer.access_token).session_id
    assert listed.status == "active"
    assert listed.auth_method == "impersonation"
    assert listed.impersonator.reason == "Ticket 4711"
    sdk.users.revoke_session(session_id=listed.id)
    assert sdk.sessions(people.bob.pk) == []
    refused(sdk, lambda: sdk.users.authenticate_with_refresh_token(refresh_token=answer.refresh_token))


def test_events_page_by_cursor_and_filter(sdk: Sdk, people: Any) -> None:
    for user in (people.carol, people.dave, people.carol):
        session = sdk.users.authenticate_with_code(code=Browser(people.sasha).code(user))
        sdk.users.revoke_session(session_id=tokens.read(session.access_token).session_id)
    everything = sdk.walk("session.created", "session.revoked", limit=2)
    assert [event.event for event in everything] == ["session.created", "session.revoked"] * 3
    assert {event.data.impersonator.email for event in everything} == {"sasha@example.com"}
    assert everything[0].data.user_id == str(people.carol.pk)
    in_acme = sdk.events("session.created", organization_id=str(people.acme.pk))
    assert len(in_acme.data) == 2
    rest = sdk.events("session.created", "session.revoked", after=everything[3].id)
    assert [event.id for event in rest.data] == [event.id for event in everything[4:]]
    assert sdk.events("session.created", range_start="2999-01-01T00:00:00.000Z").data == []
    assert len(sdk.events("session.created", range_end="2999-01-01T00:00:00.000Z").data) == 3


def test_people_and_organizations_are_read(sdk: Sdk, people: Any) -> None:
    assert sdk.get_user(people.bob.pk).email == "bob@example.com"
    (found,) = sdk.users.list_users(email="carol@example.com").data
    assert found.id == str(people.carol.pk)
    first, second = sdk.memberships(people.bob.pk)
    assert (first.organization_id, second.organization_id) == (str(people.acme.pk), str(people.globex.pk))
    assert first.status == "active"
    assert sdk.organization(first.organization_id).name == "Acme"
    with pytest.raises(Exception, match=r"[Nn]ot found|entity_not_found") as caught:
        sdk.get_user(people.admin.pk)
    assert "NotFound" in type(caught.value).__name__
