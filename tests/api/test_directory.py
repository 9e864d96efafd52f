"""Reading people, organizations and keys: customers only, by exact ids, in the objects of the wire format."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from organizations.models import Organization as ShopOrganization

from django_impersonation.api import tokens, urls, views
from django_impersonation.api.serializers import organization_object
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.keys import new_signing_key
from django_impersonation.organizations import Organization
from django_impersonation.records import timestamp
from tests.api.client import ApiClient
from tests.people import Browser, make_organizations
from tests.test_projects import NO_ADMIN, tell

pytestmark = pytest.mark.django_db

HERE = "tests.api.test_directory"
USERS = "/user_management/users"
MEMBERSHIPS = "/user_management/organization_memberships"
JOINED = datetime(2026, 1, 15, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def api() -> ApiClient:
    """As a server sees it: what crashes is an answer."""
    return ApiClient(raise_request_exception=False)


def ask(api: ApiClient, path: str, status: int = 200, **query: Any) -> Any:
    answer = api.with_key("get", path, data=query)
    assert answer.status_code == status, (path, query, answer.status_code, answer.content)
    assert answer["Content-Type"] == "application/json"
    return answer.json()


def is_missing(api: ApiClient, path: str) -> bool:
    return bool(ask(api, path, 404) == {"message": "Not found.", "code": "entity_not_found"})


def is_unprocessable(api: ApiClient, path: str, **query: Any) -> bool:
    return bool(ask(api, path, 422, **query)["code"] == "invalid_request_parameters")


def walk(api: ApiClient, path: str, *, limit: int = 2, **query: Any) -> list[Any]:
    """All of a list, page by page, as an SDK does it."""
    found, after = [], {}
    for _ in range(200):
        page = ask(api, path, limit=limit, **query, **after)
        assert set(page) == {"object", "data", "list_metadata"}
        assert len(page["data"]) <= limit
        found += page["data"]
        if page["list_metadata"]["after"] is None:
            return found
        after = {"after": page["list_metadata"]["after"]}
    raise AssertionError("a list without an end")


def emails(found: list[Any]) -> list[str]:
    return sorted(user["email"] for user in found)


def organizations(found: list[Any]) -> list[str]:
    return [membership["organization_id"] for membership in found]


def change(person: Any, **fields: Any) -> None:
    type(person).objects.filter(pk=person.pk).update(**fields)


def described(user: Any, **changes: Any) -> dict[str, Any]:
    return {
        "object": "user",
        "id": str(user.pk),
        "email": user.email,
        "email_verified": False,
        "first_name": None,
        "last_name": None,
        "name": user.name,
        "profile_picture_url": None,
        "last_sign_in_at": None,
        "external_id": None,
        "metadata": {},
        "locale": None,
        "created_at": timestamp(user.date_joined),
        "updated_at": timestamp(user.date_joined),
    } | changes


def test_the_object_of_a_user(api: ApiClient, people: Any) -> None:
    change(people.bob, date_joined=JOINED)
    people.bob.refresh_from_db()
    bob = ask(api, f"{USERS}/{people.bob.pk}")
    assert bob == described(people.bob, created_at="2026-01-15T12:00:00.123Z", updated_at="2026-01-15T12:00:00.123Z")
    assert ask(api, USERS, email="bob@example.com") == {
        "object": "list",
        "data": [bob],
        "list_metadata": {"before": None, "after": None},
    }
    change(people.bob, last_login=JOINED)
    assert ask(api, f"{USERS}/{people.bob.pk}") == bob | {"last_sign_in_at": "2026-01-15T12:00:00.123Z"}


def test_an_inactive_customer_is_read_like_any_other(api: ApiClient, people: Any) -> None:
    """The format has no word for it, and who looks a name up may look for a former customer's."""
    people.acme.add_user(people.eve)
    assert ask(api, f"{USERS}/{people.eve.pk}") == described(people.eve)
    assert emails(ask(api, USERS)["data"]) == [f"{name}@example.com" for name in ("bob", "carol", "dave", "eve")]
    assert organizations(ask(api, MEMBERSHIPS, user_id=str(people.eve.pk))["data"]) == [str(people.acme.pk)]


@pytest.mark.parametrize(
    "flags", [{"is_staff": True}, {"is_superuser": True}, {"is_staff": True, "is_superuser": True}]
)
def test_staff_and_superusers_are_nobody_here(api: ApiClient, people: Any, flags: dict[str, bool]) -> None:
    key = str(people.bob.pk)
    assert ask(api, f"{USERS}/{key}")["email"] == "bob@example.com"
    change(people.bob, **flags)
    assert is_missing(api, f"{USERS}/{key}")
    assert ask(api, USERS, email="bob@example.com")["data"] == []
    assert ask(api, MEMBERSHIPS, user_id=key)["data"] == []
    assert ask(api, MEMBERSHIPS, user_id=key, organization_id=str(people.acme.pk))["data"] == []
    for order in ("asc", "desc"):
        assert emails(walk(api, USERS, order=order)) == [f"{name}@example.com" for name in ("carol", "dave", "eve")]
    assert is_unprocessable(api, USERS, after=key)


def spellings(key: str) -> list[str]:
    """What Python or a database takes for the same UUID, and what it chokes on."""
    return [
        key.upper(),
        key.replace("-", ""),
        f"{{{key}}}",
        f"urn:uuid:{key}",
        f"{{urn:uuid:{key}}}",
        f" {key}",
        f"{key} ",
        f"{key}\n",
        f"{key[:8]}{key[9:]}",
        f"-{key}",
        key[:-1],
        f"{key}0",
        str(int(key.replace("-", ""), 16)),
        *("0", "1", "-1", "1.0", "true", "True", "null", "None", "[]", "{}", "%", "%25", "'", "😀", "é", "９"),
        *("9" * 40, "9" * 5000, "00000000-0000-0000-0000-000000000000", f"{key}\x00", "\x00"),
    ]


def test_a_user_is_found_by_the_exact_key_only(api: ApiClient, people: Any) -> None:
    for spelling in spellings(str(people.bob.pk)):
        status = 422 if "\x00" in spelling else 404
        ask(api, f"{USERS}/{_quoted(spelling)}", status)
        ask(api, f"{USERS}/{_quoted(spelling)}/sessions", status)
        assert is_unprocessable(api, USERS, after=spelling)
        found = api.with_key("get", MEMBERSHIPS, data={"user_id": spelling})
        assert found.status_code == (422 if "\x00" in spelling else 200), spelling
        assert found.json().get("data", []) == []


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


@pytest.mark.parametrize("value", [True, False, None, 1, 0, 1.0, "", [], ["x"], {}, {"id": "x"}])
def test_an_id_in_a_body_is_a_text(api: ApiClient, sasha: Browser, people: Any, value: Any) -> None:
    """A database takes true for 1."""
    body = {"data": {"session_id": value}, "content_type": "application/json"}
    assert api.with_key("post", "/user_management/sessions/revoke", **body).status_code == 422


def test_a_list_of_users_has_each_once_in_either_order(api: ApiClient, people: Any) -> None:
    get_user_model().objects.bulk_create(get_user_model()(email=f"{n:02}@example.com") for n in range(23))
    everybody = sorted(get_user_model().objects.filter(is_staff=False).values_list("email", flat=True))
    assert len(everybody) == 27
    up, down = walk(api, USERS, order="asc", limit=5), walk(api, USERS, limit=5)
    assert up == down[::-1]
    assert emails(up) == everybody
    for limit in (1, 9, 27, 100):
        assert walk(api, USERS, limit=limit) == down
    assert len(ask(api, USERS)["data"]) == 10
    last = ask(api, USERS, after=down[-1]["id"])
    assert (last["data"], last["list_metadata"]) == ([], {"before": None, "after": None})


@pytest.mark.parametrize("path", [USERS, f"{USERS}/{{bob}}/sessions", f"{MEMBERSHIPS}?user_id={{bob}}"])
@pytest.mark.parametrize(
    "query",
    [
        *({"limit": limit} for limit in ("0", "101", "-1", "1.0", "", "all", "٣", "9" * 5000)),
        *({"after": after} for after in ("x", "1", "{staff}", "{bob}x", "a\x00")),
        *({"before": before} for before in ("", "x", "{bob}")),
    ],
    ids=str,
)
def test_every_list_is_paged_by_the_same_rules(api: ApiClient, people: Any, path: str, query: dict[str, str]) -> None:
    keys = {"bob": people.bob.pk, "staff": people.sasha.pk}
    given = "&".join(f"{name}={_quoted(value.format(**keys))}" for name, value in query.items())
    path = path.format(**keys)
    assert is_unprocessable(api, f"{path}{'&' if '?' in path else '?'}{given}")


@pytest.mark.parametrize("path", [USERS, f"{USERS}/{{bob}}/sessions"])
@pytest.mark.parametrize("order", ["", "ASC", "normal", "email", "?"])
def test_an_order_is_one_of_two(api: ApiClient, people: Any, path: str, order: str) -> None:
    assert is_unprocessable(api, path.format(bob=people.bob.pk), order=order)


def test_users_are_not_listed_by_organization(api: ApiClient, people: Any) -> None:
    """A list of everybody would be taken for that of the organization."""
    assert is_unprocessable(api, USERS, organization_id=str(people.acme.pk))


@pytest.mark.parametrize("asked", ["bob@example.com", "BOB@EXAMPLE.COM", "bOb@Example.com"])
def test_an_address_is_found_in_any_case(api: ApiClient, people: Any, asked: str) -> None:
    change(people.bob, email="Bob@example.com")
    assert emails(ask(api, USERS, email=asked)["data"]) == ["Bob@example.com"]


@pytest.mark.parametrize(
    "asked",
    [
        "",
        " ",
        "%",
        "_ob@example.com",
        "bob%",
        "bob@example.com ",
        " bob@example.com",
        "bob",
        "x" * 5000,
        "böb@example.com",
        "sasha@example.com",
        "admin@example.com",
        "bob@example.com,carol@example.com",
        "*",
        "None",
        "\\",
        "'",
    ],
)
def test_an_address_is_found_whole(api: ApiClient, people: Any, asked: str) -> None:
    assert ask(api, USERS, email=asked)["data"] == []


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("mıke@example.com", "mike@example.com"),
        ("mike@example.com", "mıke@example.com"),
        ("mike@example.com", "MıKE@EXAMPLE.COM"),
        ("mïke@example.com", "mike@example.com"),
        ("mike@example.com", "mïke@example.com"),
        ("mike@example.com", "mike@exаmple.com"),
    ],
)
def test_an_address_that_looks_alike_is_another(api: ApiClient, people: Any, stored: str, asked: str) -> None:
    """Databases take some for equal: whoever registers one must not be found under the other (CVE-2019-19844)."""
    get_user_model().objects.create(email=stored)
    assert ask(api, USERS, email=asked)["data"] == []
    assert emails(ask(api, USERS, email=stored)["data"]) == [stored]


def test_two_who_differ_in_case_only_are_both_found(api: ApiClient, people: Any) -> None:
    """The reader must choose; MariaDB lets no two such accounts be."""
    create = get_user_model().objects.create
    if connection.vendor == "mysql":
        with pytest.raises(IntegrityError), transaction.atomic():
            create(email="BOB@example.com")
        return
    create(email="BOB@example.com")
    create(email="Bob@example.com", is_staff=True)
    for asked in ("bob@example.com", "BOB@EXAMPLE.COM"):
        found = walk(api, USERS, limit=1, email=asked)
        assert emails(found) == ["BOB@example.com", "bob@example.com"]


def test_reading_people_costs_a_query_or_two(api: ApiClient, people: Any, django_assert_num_queries: Any) -> None:
    get_user_model().objects.bulk_create(get_user_model()(email=f"{n}@example.com") for n in range(100))
    with django_assert_num_queries(1):
        page = ask(api, USERS, limit=100)
    with django_assert_num_queries(2):
        ask(api, USERS, limit=100, after=page["list_metadata"]["after"])
    with django_assert_num_queries(1):
        ask(api, f"{USERS}/{people.bob.pk}")
    with django_assert_num_queries(2):
        ask(api, MEMBERSHIPS, user_id=str(people.bob.pk))
    with django_assert_num_queries(2):
        ask(api, f"/organizations/{people.acme.pk}")


def test_the_object_of_a_membership(api: ApiClient, people: Any) -> None:
    first, second = ask(api, MEMBERSHIPS, user_id=str(people.bob.pk))["data"]
    assert first == {
        "object": "organization_membership",
        "id": f"om_{people.bob.pk}_{people.acme.pk}",
        "user_id": str(people.bob.pk),
        "organization_id": str(people.acme.pk),
        "organization_name": "Acme",
        "status": "active",
        "directory_managed": False,
        "role": {"slug": "member"},
        "roles": [{"slug": "member"}],
        "user": described(people.bob),
        "created_at": timestamp(people.bob.date_joined),
        "updated_at": timestamp(people.bob.date_joined),
    }
    assert (second["organization_id"], second["organization_name"]) == (str(people.globex.pk), "Globex")


def test_memberships_are_somebodys(api: ApiClient, people: Any) -> None:
    assert is_unprocessable(api, MEMBERSHIPS)
    assert is_unprocessable(api, MEMBERSHIPS, user_id="")
    assert is_unprocessable(api, MEMBERSHIPS, organization_id=str(people.acme.pk))
    for key in (people.dave.pk, "00000000-0000-4000-8000-000000000000", people.sasha.pk):
        assert ask(api, MEMBERSHIPS, user_id=str(key)) == {
            "object": "list",
            "data": [],
            "list_metadata": {"before": None, "after": None},
        }


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("statuses=active", 2),
        ("statuses=inactive", 0),
        ("statuses=pending,inactive", 0),
        ("statuses=inactive,active", 2),
        ("statuses=inactive,%20active", 2),
        ("statuses=inactive&statuses=active", 2),
        ("statuses[]=active&statuses[]=pending", 2),
        ("statuses[]=pending", 0),
        ("statuses=ACTIVE", 0),
        ("statuses=", 2),
    ],
)
def test_memberships_are_active_ones(api: ApiClient, people: Any, query: str, count: int) -> None:
    found = ask(api, f"{MEMBERSHIPS}?user_id={people.bob.pk}&{query}")["data"]
    assert len(found) == count


def test_memberships_in_one_organization(api: ApiClient, people: Any) -> None:
    acme, globex = str(people.acme.pk), str(people.globex.pk)
    closed = ShopOrganization.objects.create(name="Closed", slug="closed", is_active=False)
    closed.add_user(people.bob)
    for user, asked, found in (
        (people.bob, acme, [acme]),
        (people.bob, globex, [globex]),
        (people.bob, "", [acme, globex]),
        (people.carol, globex, []),
        (people.dave, acme, []),
        (people.bob, str(closed.pk), []),
        *(
            (people.bob, spoilt, [])
            for spoilt in (f" {acme}", f"{acme} ", f"0{acme}", f"+{acme}", f"{acme}.0", "true")
        ),
        *((people.bob, spoilt, []) for spoilt in ("0", "-1", "x", "9" * 40, "9" * 5000, "None", "Acme", acme + "\n")),
    ):
        data = ask(api, MEMBERSHIPS, user_id=str(user.pk), organization_id=asked)["data"]
        assert organizations(data) == found, asked
    assert is_unprocessable(api, MEMBERSHIPS, user_id=str(people.bob.pk), organization_id=f"{acme}\x00")


# ABUSE 144
def test_a_user_in_5000_organizations(
    api: ApiClient, people: Any, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And in one more, which is not told: the list ends somewhere."""
    make_organizations([f"{n:05}" for n in range(5001)], people.dave)
    made = ShopOrganization.objects.filter(name__startswith="0").order_by("name")
    wanted, user_id = [str(o.pk) for o in made][:5000], str(people.dave.pk)
    with django_assert_num_queries(2):
        page = ask(api, MEMBERSHIPS, user_id=user_id)
    assert organizations(page["data"]) == wanted[:10]
    with django_assert_num_queries(2):
        page = ask(api, MEMBERSHIPS, user_id=user_id, limit=100, after=f"om_{user_id}_{wanted[4899]}")
    assert organizations(page["data"]) == wanted[4900:]
    assert page["list_metadata"]["after"] is None
    monkeypatch.setattr(views, "_MOST_MEMBERSHIPS", 250)  # each page reads all of them
    assert organizations(walk(api, MEMBERSHIPS, user_id=user_id, limit=100)) == wanted[:250]
    with django_assert_num_queries(2):
        found = ask(api, MEMBERSHIPS, user_id=user_id, organization_id=wanted[-1])["data"]
    assert organizations(found) == [wanted[-1]]


def north(user: Any) -> list[Any]:
    return [Organization(id="north", name="North"), Organization(id=f"of-{user.email}", name="Own")]


def lazily(user: Any) -> Iterator[Any]:
    yield from north(user)


def many_times(user: Any) -> Any:
    """A join without ``distinct()``, as it happens."""
    return ShopOrganization.objects.filter(users__is_active=True, users__in=[user, *user.__class__.objects.all()])


def fails(user: Any) -> list[Any]:
    raise ZeroDivisionError("secret detail")


def fails_late(user: Any) -> Iterator[Any]:
    yield Organization(id="north", name="North")
    raise ZeroDivisionError("secret detail")


def refuses(user: Any) -> list[Any]:
    raise ImpersonationDenied("This customer opted out.", "opted_out")


def only_bobs(user: Any) -> Any:
    """Fails for whoever has no profile, say."""
    if user.email != "bob@example.com":
        raise AttributeError("no profile")
    return ShopOrganization.objects.filter(users=user)


def never(user: Any) -> Any:
    raise AssertionError("asked")


def test_without_organizations_there_are_no_memberships(api: ApiClient, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_ORGANIZATIONS = None
    assert ask(api, MEMBERSHIPS, user_id=str(people.bob.pk))["data"] == []
    assert ask(api, MEMBERSHIPS, user_id=str(people.bob.pk), organization_id=str(people.acme.pk))["data"] == []
    assert is_missing(api, f"/organizations/{people.acme.pk}")


@pytest.mark.usefixtures("direct")
@pytest.mark.parametrize("hook", ["north", "lazily"])
def test_organizations_that_are_no_model(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, hook: str
) -> None:
    """The function knows those of a user; of one alone, what a session has on record."""
    settings.IMPERSONATION_ORGANIZATIONS = f"{HERE}.{hook}"
    own = "of-dave@example.com"
    assert organizations(walk(api, MEMBERSHIPS, limit=1, user_id=str(people.dave.pk))) == ["north", own]
    assert is_missing(api, "/organizations/north")
    code = sasha.post(sasha.prompt_url(people.dave), {"reason": "Ticket 4711", "organization": "north"})
    assert api.redeem(code["Location"].partition("code=")[2]).status_code == 200
    assert ask(api, "/organizations/north") == {
        "object": "organization",
        "id": "north",
        "name": "North",
        "domains": [],
        "metadata": {},
        "external_id": None,
        "allow_profiles_outside_organization": False,
        "created_at": "1970-01-01T00:00:00.000Z",
        "updated_at": "1970-01-01T00:00:00.000Z",
    }
    for other in ("North", "NORTH", "north%20", "%20north", "nörth", own, "0", "%25", "x" * 300):
        assert is_missing(api, f"/organizations/{other}"), other


def test_an_organization_that_comes_twice_is_one_membership(api: ApiClient, people: Any, settings: Any) -> None:
    """Else the reader's cursor would stand at the first of them for ever."""
    settings.IMPERSONATION_ORGANIZATIONS = f"{HERE}.many_times"
    assert len(many_times(people.bob)) == 3
    for limit in (1, 2, 10):
        found = organizations(walk(api, MEMBERSHIPS, user_id=str(people.bob.pk), limit=limit))
        assert sorted(found) == sorted([str(people.acme.pk), str(people.globex.pk)])


@pytest.mark.parametrize("hook", ["fails", "fails_late", "refuses", "missing"])
def test_a_function_that_fails_is_an_error_and_no_empty_list(
    api: ApiClient, people: Any, settings: Any, caplog: Any, hook: str
) -> None:
    settings.IMPERSONATION_ORGANIZATIONS = f"{HERE}.{hook}"
    for query in ({}, {"organization_id": "south"}):
        answer = ask(api, MEMBERSHIPS, 500, user_id=str(people.bob.pk), **query)
        assert answer == {"message": "Internal server error.", "code": "server_error"}
    assert "the API failed" in caplog.text


def test_nobody_asks_for_the_organizations_of_staff(api: ApiClient, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_ORGANIZATIONS = f"{HERE}.never"
    for user in (people.sasha, people.admin):
        assert ask(api, MEMBERSHIPS, user_id=str(user.pk))["data"] == []


def test_the_object_of_an_organization(api: ApiClient, people: Any) -> None:
    ShopOrganization.objects.filter(pk=people.acme.pk).update(created=JOINED)
    assert ask(api, f"/organizations/{people.acme.pk}") == {
        "object": "organization",
        "id": str(people.acme.pk),
        "name": "Acme",
        "domains": [],
        "metadata": {},
        "external_id": None,
        "allow_profiles_outside_organization": False,
        "created_at": "2026-01-15T12:00:00.123Z",
        "updated_at": "2026-01-15T12:00:00.123Z",
    }


@pytest.mark.parametrize("created", [None, "2026-01-15", date(2026, 1, 15), 1768478400])
def test_a_time_that_is_none_is_the_epoch(created: Any) -> None:
    described = organization_object(Organization(id="acme", name="Acme"), SimpleNamespace(created=created))
    assert described["created_at"] == described["updated_at"] == "1970-01-01T00:00:00.000Z"


def test_an_organization_is_found_by_the_exact_key_only(api: ApiClient, people: Any) -> None:
    acme = str(people.acme.pk)
    for spelling in (
        *(
            f" {acme}",
            f"{acme} ",
            f"{acme}\n",
            f"0{acme}",
            f"+{acme}",
            f"{acme}.0",
            f"{acme}e0",
            f"{acme}_0",
            f"-{acme}",
        ),
        *("true", "True", "1.0", "01", "0", "-1", "999999", "9" * 19, "9" * 40, "9" * 5000, "１", "acme", "Acme", "%"),
    ):
        assert is_missing(api, f"/organizations/{_quoted(spelling)}"), spelling
    assert is_unprocessable(api, "/organizations/%00")


@pytest.mark.usefixtures("direct")
def test_an_organization_is_found_whatever_the_function_says_of_some_user(
    api: ApiClient, sasha: Browser, people: Any, settings: Any, caplog: Any
) -> None:
    """Which customer it is asked about is chance. Of those in a session the name is on record."""
    api.start(sasha, people.carol)
    settings.IMPERSONATION_ORGANIZATIONS = f"{HERE}.only_bobs"
    assert ask(api, f"/organizations/{people.globex.pk}")["name"] == "Globex"
    change(people.bob, email="z@example.com")
    assert ask(api, f"/organizations/{people.acme.pk}")["name"] == "Acme"
    assert is_missing(api, f"/organizations/{people.globex.pk}")
    assert "no profile" in caplog.text
    settings.IMPERSONATION_ORGANIZATIONS = f"{HERE}.refuses"
    assert ask(api, f"/organizations/{people.acme.pk}")["name"] == "Acme"


def test_an_organization_without_any_customer(api: ApiClient, people: Any) -> None:
    """Nobody to ask the function about."""
    get_user_model().objects.update(is_staff=True)
    assert is_missing(api, f"/organizations/{people.acme.pk}")


JWKS = "/sso/jwks/client_demo"


def test_the_keys_are_for_everybody_and_hold_nothing_private(api: ApiClient, settings: Any) -> None:
    settings.IMPERSONATION_JWT_SIGNING_KEY = [new_signing_key(), new_signing_key()]
    answer = api.get(JWKS)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "public, max-age=300"
    assert answer["Content-Type"] == "application/json"
    assert not answer.cookies
    assert set(answer.json()) == {"keys"}
    assert len(answer.json()["keys"]) == len({key["kid"] for key in answer.json()["keys"]}) == 2
    for key, private in zip(answer.json()["keys"], tokens.conf.IMPERSONATION_JWT_SIGNING_KEY, strict=True):
        assert set(key) == {"alg", "kty", "use", "kid", "n", "e", "x5c", "x5t#S256"}
        assert (key["alg"], key["kty"], key["use"], key["e"]) == ("RS256", "RSA", "sig", "AQAB")
        certificate = x509.load_der_x509_certificate(base64.b64decode(key["x5c"][0]))
        thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
        assert key["x5t#S256"] == thumbprint
        secret = serialization.load_pem_private_key(private.encode(), None)
        assert certificate.public_key() == secret.public_key()
        numbers = secret.private_numbers()
        for number in (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp):
            raw = number.to_bytes((number.bit_length() + 7) // 8)
            for encoded in (base64.urlsafe_b64encode(raw), base64.b64encode(raw)):
                assert encoded.rstrip(b"=") not in answer.content
        assert "PRIVATE" not in answer.content.decode()


@pytest.mark.parametrize(
    "client", ["client_other", "client_dem", "client_demox", "Client_demo", "client_demo%20", "é", "0"]
)
def test_another_client_has_no_keys(api: ApiClient, client: str) -> None:
    answer = api.get(f"/sso/jwks/{client}")
    assert (answer.status_code, answer.json()["code"]) == (404, "entity_not_found")
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize("configured", ["", None])
def test_without_a_client_there_are_no_keys(api: ApiClient, settings: Any, configured: str | None) -> None:
    settings.IMPERSONATION_CLIENT_ID = configured
    for client in ("client_demo", "None", "%20"):
        assert api.get(f"/sso/jwks/{client}").status_code == 404


UNKNOWN = [
    *(
        "/user_management/",
        "/user_management/x",
        "/user_management/x/y/z",
        "/user_management//users",
        "/sso/",
        "/sso/x",
    ),
    *(
        "/user_management/users/",
        "/user_management/users/x/",
        "/user_management/users/x/y",
        "/user_management/users/x/sessions/",
    ),
    *("/user_management/authenticate/", "/user_management/authorize/", "/user_management/sessions", "/sso/jwks"),
    *("/sso/jwks/", "/sso/jwks/client_demo/", "/sso/authorize", "/user_management/%00", "/user_management/%0A"),
    *(
        "/user_management/users%2F",
        "/user_management/..",
        "/user_management/é",
        "/sso/😀",
        "/user_management/" + "x" * 5000,
    ),
]


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options", "head"])
def test_what_there_is_not_is_json_to_everybody(api: ApiClient, django_assert_num_queries: Any, method: str) -> None:
    for path in UNKNOWN:
        for key in ("", None):
            with django_assert_num_queries(0):
                answer = api.with_key(method, path, key=key)
            assert answer.status_code == 404, path
            assert answer["Content-Type"] == "application/json"
            assert answer["Cache-Control"] == "no-store"
            if method != "head":
                assert answer.json() == {"message": "Not found.", "code": "entity_not_found"}


def endpoints() -> dict[str, str]:
    """Every path of the API, from its own URLconf."""
    return {
        pattern.name: re.sub("<[^>]+>", "x", f"/{pattern.pattern}") for pattern in urls.urlpatterns if pattern.name
    }


POSTED = {"authenticate", "revoke_session"}


@pytest.mark.parametrize("name", endpoints())
@pytest.mark.parametrize("method", ["get", "head", "post", "put", "patch", "delete", "trace"])
def test_another_method_is_refused_in_json(api: ApiClient, people: Any, name: str, method: str) -> None:
    allowed = {"post"} if name in POSTED else {"get", "head"}
    if name in ("authorize", "logout"):
        allowed = {"get"}  # a code is made and a session ends: nothing for HEAD
    answer = api.with_key(method, endpoints()[name])
    if method in allowed:
        assert answer.status_code != 405
        return
    assert answer.status_code == 405
    assert answer["Content-Type"] == "application/json"
    assert {verb.strip().lower() for verb in answer["Allow"].split(",")} - {"options"} == allowed
    assert "no-store" in answer["Cache-Control"]
    if method != "head":
        assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("name", endpoints())
def test_no_method_asks_for_a_csrf_token(people: Any, name: str) -> None:
    """Its refusal would be a page, and the SDKs have no token. No cookie opens anything that a POST does here."""
    strict = ApiClient(enforce_csrf_checks=True, raise_request_exception=False)
    for method in ("post", "put", "patch", "delete"):
        answer = strict.with_key(method, endpoints()[name])
        assert answer.status_code in (400, 405, 422)
        assert answer["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="stock user, integer key"),
        pytest.param({"AUTH_USER_MODEL": "accounts.StringKey"}, id="string key"),
        pytest.param({"AUTH_USER_MODEL": "accounts.UuidKey"}, id="UUID key"),
        pytest.param({"AUTH_USER_MODEL": "accounts.BigKey"}, id="key near 2**63"),
        pytest.param({"AUTH_USER_MODEL": "accounts.Derived"}, id="is_staff is a property"),
        pytest.param({"AUTH_USER_MODEL": "accounts.SoftDeleted"}, id="soft delete"),
        pytest.param({"AUTH_USER_MODEL": "accounts.Documented"}, id="no permissions"),
        pytest.param({"AUTH_USER_MODEL": "accounts.Bare", "INSTALLED_APPS": NO_ADMIN}, id="no password, no is_active"),
        pytest.param({"USE_TZ": False, "TIME_ZONE": "America/New_York"}, id="naive times"),
    ],
)
def test_users_of_every_kind_are_read_by_their_exact_keys(
    options: dict[str, Any], tmp_path: Path, settings: Any
) -> None:
    tell("customers", tmp_path, **project(settings), **options)


def project(settings: Any) -> dict[str, Any]:
    names = ("CLIENT_ID", "API_KEY", "JWT_SIGNING_KEY", "JWT_ISSUER")
    ours = {f"IMPERSONATION_{name}": getattr(settings, f"IMPERSONATION_{name}") for name in names}
    return {"API": True, "IMPERSONATION_POLICY": "django_impersonation.policy.customers", **ours}


def test_organizations_are_read_by_their_exact_keys(tmp_path: Path, settings: Any) -> None:
    tell(
        "groups",
        tmp_path,
        **project(settings),
        IMPERSONATION_ORGANIZATIONS="django_impersonation.organizations.groups",
    )


def test_hidden_users_are_hidden(tmp_path: Path, settings: Any) -> None:
    tell("hidden", tmp_path, **project(settings), AUTH_USER_MODEL="accounts.SoftDeleted")
