"""What WorkOS's JavaScript SDKs send and read: seen with ``@workos-inc/node`` 8 to 11, ``@workos/authkit-session`` 0.7
and ``@workos-inc/authkit-nextjs`` 4.3, and written down here, where no Node.js is.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from django.contrib.auth import get_user_model

from django_impersonation.api.serializers import user_object
from tests.api.client import CALLBACK, ApiClient, challenge
from tests.people import Browser

pytestmark = pytest.mark.django_db

VERIFIER = "v" * 43
# As iron-session seals it: "*" and "~" are what encoders disagree about.
STATE = "Fe26.2*1*69de2485240945be*C2lr-_w*1764157980000*9f1c*aHR0cA~2"


def authorize(browser: Browser, settings: Any, **query: str) -> dict[str, str]:
    """What the client's callback is told."""
    known = {
        "client_id": settings.IMPERSONATION_CLIENT_ID,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "state": STATE,
        "code_challenge": challenge(VERIFIER),
        "code_challenge_method": "S256",
    }
    response = browser.get("/user_management/authorize", known | query)
    address, _, told = response["Location"].partition("?")
    assert (response.status_code, address) == (302, CALLBACK)
    return {name: value for name, [value] in parse_qs(told, strict_parsing=True).items()}


@pytest.mark.usefixtures("signin")
def test_the_sign_in_url_may_say_more_than_we_know(sasha: Browser, people: Any, api: ApiClient, settings: Any) -> None:
    sasha.authorize(people.dave)
    more = {
        "provider": "authkit",
        "screen_hint": "sign-in",
        "prompt": "login",
        "max_age": "0",
        "login_hint": "dave@example.com",
        "domain_hint": "example.com",
        "organization_id": "org_of_somebody",
        "claim_nonce": "nonce",
    }
    told = authorize(sasha, settings, **more)
    assert told.keys() == {"code", "state"}
    assert api.redeem(told["code"], code_verifier=VERIFIER).json()["user"]["email"] == "dave@example.com"


@pytest.mark.usefixtures("signin")
def test_a_sealed_state_comes_back_as_it_was(sasha: Browser, people: Any, settings: Any) -> None:
    """The callback compares it with its cookie, byte by byte: with a code, and where there is none."""
    sasha.authorize(people.dave)
    assert authorize(sasha, settings)["state"] == STATE
    refused = authorize(sasha, settings)
    assert (refused["error"], refused["state"]) == ("access_denied", STATE)


@pytest.mark.usefixtures("direct")
def test_the_key_may_stand_in_the_header_as_well(sasha: Browser, people: Any, api: ApiClient, settings: Any) -> None:
    """The Node SDK sends it with each request, also where the body has it."""
    key = {"Authorization": f"Bearer {settings.IMPERSONATION_API_KEY}"}
    body = {
        "client_id": settings.IMPERSONATION_CLIENT_ID,
        "client_secret": settings.IMPERSONATION_API_KEY,
    }

    def authenticate(**members: str) -> Any:
        return api.post(
            "/user_management/authenticate", body | members, content_type="application/json", headers=key
        ).json()

    answer = authenticate(grant_type="authorization_code", code=sasha.code(people.dave))
    again = authenticate(grant_type="refresh_token", refresh_token=answer["refresh_token"])
    assert again["impersonator"] == {"email": "sasha@example.com", "reason": "Ticket 4711"}


@pytest.mark.usefixtures("direct")
def test_the_user_is_the_subject_of_the_token(sasha: Browser, people: Any, api: ApiClient) -> None:
    """authkit-nextjs takes a session for nobody's where they differ."""
    answer = api.start(sasha, people.dave)
    for one in (answer, api.refresh(answer["refresh_token"]).json()):
        assert jwt.decode(one["access_token"], options={"verify_signature": False})["sub"] == one["user"]["id"]


@pytest.mark.usefixtures("direct")
def test_what_says_nothing_is_left_out_of_an_answer_and_null_in_a_user(
    sasha: Browser, people: Any, api: ApiClient
) -> None:
    answer = api.start(sasha, people.dave)
    assert answer.keys() == {
        "user",
        "access_token",
        "refresh_token",
        "authentication_method",
        "impersonator",
    }
    joined = people.dave.date_joined.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    assert answer["user"] == {
        "object": "user",
        "id": str(people.dave.pk),
        "email": "dave@example.com",
        "email_verified": False,
        "name": "Dave Dunn",
        "first_name": None,
        "last_name": None,
        "profile_picture_url": None,
        "last_sign_in_at": None,
        "external_id": None,
        "metadata": {},
        "locale": None,
        "created_at": joined,
        "updated_at": joined,
    }
    assert api.with_key("get", f"/user_management/users/{people.dave.pk}").json() == answer["user"]


def test_a_user_has_the_names_that_the_model_knows() -> None:
    stock = SimpleNamespace(pk=7, first_name="Dave", last_name="", get_full_name=lambda: "Dave")
    bare = SimpleNamespace(pk=7)
    for user in (stock, bare):
        setattr(user, get_user_model().get_email_field_name(), "dave@example.com")
        user.get_username = lambda: "dave"
    told = [[user_object(user)[name] for name in ("name", "first_name", "last_name")] for user in (stock, bare)]
    assert told == [["Dave", "Dave", None], [None, None, None]]


def test_the_banner_gets_its_organization(people: Any, api: ApiClient) -> None:
    """``<Impersonation />`` shows the name; the SDK reads ``domains`` as a list, or fails."""
    answer = api.with_key("get", f"/organizations/{people.acme.pk}").json()
    assert (answer["id"], answer["name"]) == (str(people.acme.pk), "Acme")
    assert (answer["domains"], answer["metadata"]) == ([], {})


def test_a_membership_says_where_and_as_what(people: Any, api: ApiClient) -> None:
    path = f"/user_management/organization_memberships?user_id={people.carol.pk}&statuses=active%2Cpending&order=desc"
    [answer] = api.with_key("get", path).json()["data"]
    assert (answer["organization_id"], answer["organization_name"]) == (str(people.acme.pk), "Acme")
    assert (answer["role"], answer["roles"]) == ({"slug": "member"}, [{"slug": "member"}])


def test_automatic_paging_walks_a_list_to_its_end(people: Any, api: ApiClient) -> None:
    """The SDK asks for pages of a hundred until the cursor is null."""
    make = get_user_model().objects
    make.bulk_create(get_user_model()(email=f"{number}@example.com") for number in range(200))
    seen, after, sizes = [], "", []
    while after is not None:
        query = {"limit": 100, "order": "desc"} | ({"after": after} if after else {})
        answer = api.with_key("get", "/user_management/users", data=query).json()
        assert answer["list_metadata"].keys() == {"before", "after"}
        seen += [user["email"] for user in answer["data"]]
        sizes.append(len(answer["data"]))
        after = answer["list_metadata"]["after"]
    assert sizes == [100, 100, 4]
    assert sorted(seen) == sorted(make.filter(is_staff=False).values_list("email", flat=True))


@pytest.mark.usefixtures("direct")
@pytest.mark.parametrize(
    ("return_to", "leads_to"),
    [
        (None, "https://shop.example.com/admin/"),
        ("https://app.example.com/bye", "https://app.example.com/bye"),
        ("https://app.example.com/bye/", "https://shop.example.com/admin/"),
    ],
)
def test_stop_in_the_banner_leads_to_the_first_sign_out_address(
    sasha: Browser, people: Any, api: ApiClient, settings: Any, return_to: str | None, leads_to: str
) -> None:
    """It opens our logout in the operator's own browser, with ``returnTo`` if the banner has one."""
    settings.IMPERSONATION_SIGN_OUT_URIS = ["https://shop.example.com/admin/", "https://app.example.com/bye"]
    answer = api.start(sasha, people.dave)
    sid = jwt.decode(answer["access_token"], options={"verify_signature": False})["sid"]
    query = {"session_id": sid} | ({"return_to": return_to} if return_to else {})
    response = sasha.get("/user_management/sessions/logout", query)
    assert (response.status_code, response["Location"]) == (302, leads_to)
    assert api.refresh(answer["refresh_token"]).json()["error"] == "invalid_grant"
    assert sasha.get("/admin/").status_code == 200
