"""What the API says of a project's users, whatever they are made of."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.test import Client

from tests.projects.run import prepare
from tests.projects.visitor import User, make

USERS = "/user_management/users"
MEMBERSHIPS = "/user_management/organization_memberships"
OBJECT = {
    "object": "user",
    "email_verified": False,
    "first_name": None,
    "last_name": None,
    "profile_picture_url": None,
    "last_sign_in_at": None,
    "external_id": None,
    "metadata": {},
    "locale": None,
}


def ask(path: str, status: int = 200, **query: Any) -> Any:
    headers = {"Authorization": f"Bearer {settings.IMPERSONATION_API_KEY}"}
    answer = Client(raise_request_exception=False).get(path, query, headers=headers)
    assert answer.status_code == status, (path, query, answer.status_code, answer.content)
    return answer.json()


def read(key: Any, status: int = 200) -> Any:
    return ask(f"{USERS}/{quote(str(key), safe='')}", status)


def walk(path: str, **query: Any) -> list[Any]:
    found, after = [], {}
    for _ in range(100):
        page = ask(path, limit=1, **query, **after)
        found += page["data"]
        if page["list_metadata"]["after"] is None:
            return found
        after = {"after": page["list_metadata"]["after"]}
    raise AssertionError("a list without an end")


def like(key: str) -> list[str]:
    """What a database, Python or JSON might take for this key."""
    spellings = [
        *(f" {key}", f"{key} ", f"\t{key}", f"{key}\n", f"+{key}", f"0{key}", f"{key}.0", f"{key}e0", f"{key}_0"),
        *(f"{{{key}}}", f"urn:uuid:{key}", key.replace("-", ""), key.upper(), key.lower(), key.title(), f'"{key}"'),
        *(
            key.translate(dict(zip(range(48, 58), digits, strict=True)))
            for digits in ("٠١٢٣٤٥٦٧٨٩", "０１２３４５６７８９")
        ),
        *("true", "True", "false", "1.0", "01", " 1", "１", "0", "-1", "None", "null", "nan", "inf", "[]", "{}", "%"),
        *("9" * 19, "9" * 40, "9" * 5000, f"{2**63}", f"{2**64 + 1}", f"{key}\u2028", "😀"),
    ]
    return [spelling for spelling in spellings if spelling != key]


def person(name: str, **flags: Any) -> Any:
    # No slash, which nobody can send within a path.
    key = {"id": f"cus_4F {name} é?#%2F"} if User.__name__ == "StringKey" else {}
    return make(name, **{"email": f"{name}@example.com"} | key | flags)


def customers() -> None:
    """Each by the exact key, by the address and in the list; staff by none of them."""
    prepare()
    people = [person("alf", email="Alf@example.com"), person("bob"), person("old", is_active=False)]
    staff = [person("boss"), person("agent")]
    for user in people:
        described = read(user.pk)
        assert described == described | OBJECT
        assert described["id"] == str(user.pk)
        assert described["email"] == (getattr(user, "email", "") or user.get_username())
        made = described["created_at"]
        assert made == described["updated_at"]
        assert made.endswith("Z")
        assert (made == "1970-01-01T00:00:00.000Z") is not hasattr(user, "date_joined")
        assert ask(MEMBERSHIPS, user_id=str(user.pk))["data"] == []
        assert ask(USERS, email=described["email"].upper())["data"] == [described]
        for spelling in like(str(user.pk)):
            assert read(spelling, 404)["code"] == "entity_not_found", spelling
            assert ask(USERS, 422, after=spelling)
            assert ask(MEMBERSHIPS, user_id=spelling)["data"] == [], spelling
    for user in staff:
        assert read(user.pk, 404)["code"] == "entity_not_found"
        assert ask(USERS, email=getattr(user, "email", user.get_username()))["data"] == []
    keys = sorted(str(user.pk) for user in people)
    for order in ("asc", "desc"):
        assert sorted(user["id"] for user in walk(USERS, order=order)) == keys
    newest_first = [str(user.pk) for user in User._default_manager.order_by("-pk") if str(user.pk) in keys]
    assert [user["id"] for user in ask(USERS)["data"]] == newest_first


def groups() -> None:
    """Organizations with keys that are numbers, by the exact number."""
    prepare()
    alf, bob = make("alf"), make("bob")
    west, east = (alf.groups.create(name=name) for name in ("West", "East"))
    bob.groups.add(east)
    found = walk(MEMBERSHIPS, user_id=str(alf.pk))
    assert [(m["organization_id"], m["organization_name"]) for m in found] == [
        (str(east.pk), "East"),
        (str(west.pk), "West"),
    ]
    assert [m["organization_id"] for m in walk(MEMBERSHIPS, user_id=str(bob.pk))] == [str(east.pk)]
    assert ask(f"/organizations/{west.pk}")["name"] == "West"
    assert ask(MEMBERSHIPS, user_id=str(bob.pk), organization_id=str(west.pk))["data"] == []
    for spelling in [s for s in like(str(west.pk)) if s not in (str(east.pk), str(west.pk))]:
        assert ask(f"/organizations/{quote(spelling, safe='')}", 404), spelling
        assert ask(MEMBERSHIPS, user_id=str(alf.pk), organization_id=spelling)["data"] == [], spelling


def hidden() -> None:
    """Whom the default manager hides is nobody here either."""
    prepare()
    alf, bob = make("alf"), make("bob")
    User.everybody.filter(pk=bob.pk).update(deleted=True)
    assert read(bob.pk, 404)
    assert ask(USERS, email="bob")["data"] == []
    assert ask(MEMBERSHIPS, user_id=str(bob.pk))["data"] == []
    assert [user["id"] for user in walk(USERS)] == [str(alf.pk)]
    assert ask(USERS, 422, after=str(bob.pk))
