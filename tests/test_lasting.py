"""What would outlive the session is not written: whichever view does it, and by whichever way of the ORM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth import get_user_model, login, logout
from django.contrib.auth.models import Group
from django.core import serializers
from django.db import connection, transaction
from django.db.models.signals import pre_save
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test.utils import isolate_apps
from django.urls import path
from django.utils import timezone

from django_impersonation import lasting
from django_impersonation.exceptions import WriteRefused
from django_impersonation.models import Event
from django_impersonation.statements import writes
from example_project.shop.models import User
from tests.people import Browser
from tests.urls import urlpatterns as pages

OWN = "UPDATE shop_user SET PASSWORD = 'mine'"
# Where each database sees a change of the password, and others do not.
DIALECTS = {
    "sqlite": [
        "UPDATE shop_user SET 'password' = 'mine'",
        "UPDATE 'shop_user' SET ('password') = ('mine')",
        "UPDATE shop_user SET is_active = 1 IS DISTINCT FROM 2, password = 'mine'",
    ],
    "postgresql": [
        f"DO $$ BEGIN {OWN}; END $$",
        "UPDATE shop_user SET U&\"p\\0061ssword\" = 'mine'",
        "UPDATE U&\"shop\\005fuser\" SET password = 'mine'",
        f"SELECT 1 AS x\u00a0$$; {OWN} --$$",
        "SELECT $\u00a0$ ' $\u00a0$; UPDATE shop_user SET password = $$mine$$ --'",
        "SELECT E'a' --c\n'b\\''; UPDATE shop_user SET password = $$mine$$ --'",
        "SELECT E'a'\r'b\\''; UPDATE shop_user SET password = $$mine$$ --'",
    ],
    "mysql": [
        "UPDATE shop_user SET password := 'mine'",
        "UPDATE django_migrations m STRAIGHT_JOIN shop_user u SET u.password = 'mine'",
        "UPDATE django_migrations \u017fet, shop_user u SET u.password = 'mine'",
        f"SET STATEMENT max_statement_time = 9 FOR {OWN}",
        f"BEGIN NOT ATOMIC FOR i IN 1..1 DO {OWN}; END FOR; END",
        f'EXECUTE IMMEDIATE "{OWN}"',
        f'PREPARE s FROM "{OWN}"; EXECUTE s',
        f'IF 1 THEN EXECUTE IMMEDIATE "{OWN}"; END IF',
        f"SELECT 1 --\x7f '\n; {OWN.replace(chr(39), chr(34))} -- '",
    ],
}


def bob() -> User:
    return User.objects.get(name="Bob Baker")


def saved(**fields: Any) -> Callable[[], None]:
    def step() -> None:
        user = bob()
        for name, value in fields.items():
            setattr(user, name, value)
        user.save()

    return step


def raw(sql: str) -> Callable[[], None]:
    def step() -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)

    return step


def bulk_update() -> None:
    user = bob()
    user.email = "mine@example.com"
    User.objects.bulk_update([user], ["email"])


def twice() -> None:
    """A save that is allowed does not open the door for what follows."""
    saved(last_login=timezone.now())()
    User.objects.filter(name="Bob Baker").update(email="mine@example.com")


def only_named() -> None:
    user = bob()
    user.set_password("mine")
    user.save(update_fields=["password"])


def copy() -> None:
    """Django takes a row without its key for a new one."""
    user = bob()
    user.pk, user.email, user.is_staff = None, "copy@example.com", True
    user.save()


def loaded() -> None:
    """An object that was deserialized is new to Django, and its row may be there already."""
    (row,) = serializers.serialize("python", [bob()])
    row["fields"]["email"] = "mine@example.com"
    for one in serializers.deserialize("python", [row]):
        one.save()


def after_a_failed_save() -> None:
    """The look at the user whose save has failed opens no door."""
    user = bob()
    with pytest.raises(ValueError, match="no"), mock.patch.object(User, "_save_table", side_effect=ValueError("no")):
        user.save()
    User.objects.filter(name="Bob Baker").update(email="mine@example.com")


def after_a_failed_save_by_key() -> None:
    """Nor one by the statement that the save would have sent."""
    user = bob()
    with pytest.raises(ValueError, match="no"), mock.patch.object(User, "_save_table", side_effect=ValueError("no")):
        user.save()
    User.objects.filter(pk=user.pk).update(email="mine@example.com")


def after_a_failed_save_of_one_field() -> None:
    user = bob()
    with pytest.raises(ValueError, match="no"), mock.patch.object(User, "_save_table", side_effect=ValueError("no")):
        user.save(update_fields=["email"])
    User.objects.filter(pk=user.pk).update(email="mine@example.com")


def by_a_receiver() -> None:
    """The project's own receiver comes after ours."""

    def confirm(instance: User, **kwargs: Any) -> None:
        instance.email = "mine@example.com"

    pre_save.connect(confirm, User)
    try:
        bob().save()
    finally:
        pre_save.disconnect(confirm, User)


REFUSED = {
    "password": saved(password="mine"),
    "email": saved(email="mine@example.com"),
    "email in capitals": saved(email="BOB@example.com"),
    "staff": saved(is_staff=True),
    "superuser": saved(is_superuser=True),
    "update_fields": only_named,
    "update": lambda: User.objects.filter(name="Bob Baker").update(email="mine@example.com"),
    "bulk_update": bulk_update,
    "raw": raw("UPDATE shop_user SET is_staff = (1 = 1)"),
    "in capitals": raw("UPDATE SHOP_USER SET PASSWORD = 'mine'" if connection.vendor == "sqlite" else OWN),
    "in a row": raw("UPDATE shop_user SET (name, password) = ('x', 'mine')" if connection.vendor != "mysql" else OWN),
    "after a save": twice,
    "after a failed save": after_a_failed_save,
    "after a failed save, by key": after_a_failed_save_by_key,
    "after a failed save of one field": after_a_failed_save_of_one_field,
    "receiver": by_a_receiver,
    "copy": copy,
    "deserialized": loaded,
    "new staff": lambda: User.objects.create_user("new@example.com", "demo", is_staff=True),
    "new in bulk": lambda: User.objects.bulk_create([User(email="new@example.com", is_superuser=True)]),
}
REFUSED |= {f"dialect {n}": raw(sql) for n, sql in enumerate(DIALECTS[connection.vendor])}
ALLOWED = {
    "name": saved(name="Changed"),
    "domain": saved(email="bob@EXAMPLE.com"),  # as forms write it the other way round
    "update": lambda: User.objects.update(name="Changed"),
    "texts": raw("UPDATE shop_user SET name = 'password' WHERE password = 'mine'"),
    "into a variable": raw("SELECT 1 INTO @found" if connection.vendor == "mysql" else "SELECT 1"),
    "found by its address": lambda: User.objects.filter(email="bob@example.com").update(name="Changed"),
    "one field": lambda: bob().save(update_fields=["name"]),
    "not saved": lambda: setattr(bob(), "email", "mine@example.com"),
    "new customer": lambda: User.objects.create_user("new@example.com", "demo"),
    "delete": lambda: User.objects.filter(email="eve@example.com").delete(),
}


def half_done(request: HttpRequest) -> HttpResponse:
    """What was done in a block before something in it was refused."""
    with transaction.atomic():
        try:
            with transaction.atomic(savepoint=False):
                User.objects.filter(name="Carol Castillo").update(name="Half")
                User.objects.filter(name="Bob Baker").update(email="mine@example.com")
        except WriteRefused:
            pass
    return HttpResponse("done")


def after_logout(request: HttpRequest) -> HttpResponse:
    """Who it was for is nobody now, and who it is done by has not changed."""
    logout(request)
    User.objects.filter(name="Bob Baker").update(email="mine@example.com")
    return HttpResponse("done")


def after_login(request: HttpRequest) -> HttpResponse:
    """Somebody else knows a password of their own."""
    login(request, User.objects.get(name="Carol Castillo"), backend="django.contrib.auth.backends.ModelBackend")
    User.objects.filter(name="Carol Castillo").update(email="mine@example.com")
    return HttpResponse("done")


class Later(HttpResponse):
    """The usual way to do something when the response is out."""

    def close(self) -> None:
        super().close()
        change()


def change() -> None:
    User.objects.filter(name="Bob Baker").update(email="mine@example.com")


def body() -> Iterator[bytes]:
    yield b"begun"
    change()


def signs_out_and_streams(request: HttpRequest) -> StreamingHttpResponse:
    logout(request)
    return StreamingHttpResponse(body())


LATER: dict[str, Callable[[HttpRequest], Any]] = {
    "close": lambda request: Later("done"),
    "file": lambda request: FileResponse(body(), filename="export.csv"),
    "logout": signs_out_and_streams,
}


def page(step: Callable[[], Any]) -> Callable[[HttpRequest], HttpResponse]:
    def view(request: HttpRequest) -> HttpResponse:
        step()
        return HttpResponse("done")

    return view


urlpatterns = [
    *(path(f"refused/{name}/", page(step)) for name, step in REFUSED.items()),
    *(path(f"allowed/{name}/", page(step)) for name, step in ALLOWED.items()),
    *(path(f"later/{name}/", view) for name, view in LATER.items()),
    path("half-done/", half_done),
    path("unreadable/", page(raw("/*! UPDATE shop_user SET email = 'mine@example.com' */"))),
    path("after-logout/", after_logout),
    path("after-login/", after_login),
    path("named/card/", page(saved(card_number="1"))),
    path("named/groups/", page(lambda: groups())),
    *pages,
]
pytestmark = pytest.mark.urls(__name__)


def state() -> list[Any]:
    return sorted(get_user_model().objects.values_list("email", "password", "is_staff", "is_superuser"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", REFUSED)
def test_what_signs_in_does_not_change(sasha: Browser, people: Any, way: str) -> None:
    sasha.start(people.bob, organization=people.acme)
    before = state()
    response = sasha.post(f"/refused/{way}/")
    assert response.status_code == 403, response.content
    assert "sign in" in response.content.decode()
    assert Event.objects.get(name="impersonation.denied").code == "credential"
    assert state() == before
    assert Browser(people.admin).post(f"/refused/{way}/").content == b"done"  # an ordinary user may
    assert state() != before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", LATER)
def test_nor_when_the_view_is_over(sasha: Browser, people: Any, way: str) -> None:
    sasha.start(people.bob, organization=people.acme)
    before = state()
    with pytest.raises(WriteRefused):
        b"".join(sasha.post(f"/later/{way}/"))
    assert state() == before
    assert Event.objects.get(name="impersonation.denied").code == "credential"
    b"".join(Browser(people.admin).post(f"/later/{way}/"))
    assert state() != before


def test_letters_beyond_ascii_are_other_letters() -> None:
    changed = User(email="bob@\u212aiosk.example")
    assert lasting.rules().changes(changed, ["email"], {"email": "bob@kiosk.example"}) == ["email"]


@pytest.mark.parametrize("way", ALLOWED)
def test_everything_else_is_the_users_own_business(sasha: Browser, people: Any, way: str) -> None:
    sasha.start(people.bob, organization=people.acme)
    assert sasha.post(f"/allowed/{way}/").content == b"done"
    assert not Event.objects.filter(name="impersonation.denied")


def test_a_project_allows_what_it_names(sasha: Browser, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_CREDENTIALS = ["-shop.User.email"]
    sasha.start(people.bob, organization=people.acme)
    assert sasha.post("/refused/email/").content == b"done"
    assert sasha.post("/refused/staff/").status_code == 403


def groups() -> None:
    bob().groups.set([Group.objects.get_or_create(name="Support")[0]])


def test_a_project_names_fields_of_any_kind(people: Any, settings: Any) -> None:
    """A key to another table is compared by its value; of a field with many values, the table between is meant."""
    settings.IMPERSONATION_CREDENTIALS = ["shop.User.card_number", "shop.User.groups"]
    rules = lasting.rules()
    assert "card_number" in rules.user_fields
    assert User.groups.through._meta.db_table in rules.tables
    sasha = Browser(people.sasha)
    sasha.start(people.bob, organization=people.acme)
    assert sasha.post("/named/card/").status_code == 403
    assert sasha.post("/named/groups/").status_code == 403
    assert sasha.post("/allowed/name/").content == b"done"
    assert lasting.unknown() == []


@isolate_apps("example_project.shop")
def test_a_user_model_may_have_two_tables(monkeypatch: Any) -> None:
    class Customer(User):
        class Meta:
            app_label = "shop"

    monkeypatch.setattr(lasting, "get_user_model", lambda: Customer)
    assert lasting.rules().user_tables == {"shop_user", "shop_customer"}


def test_a_project_names_what_there_is(settings: Any) -> None:
    settings.IMPERSONATION_CREDENTIALS = [
        "shop.User.nothing",
        "shop.Nothing",
        "shop.User.logentry",
        "-shop.User.email",
    ]
    assert lasting.unknown() == ["shop.User.nothing", "shop.Nothing", "shop.User.logentry"]


@pytest.mark.django_db(transaction=True)
def test_a_logout_lifts_no_limit(sasha: Browser, people: Any) -> None:
    sasha.raise_request_exception = False
    sasha.start(people.bob, organization=people.acme)
    before = state()
    assert sasha.post("/after-logout/").status_code == 403
    assert state() == before
    assert Event.objects.get(name="impersonation.denied").code == "credential"
    assert sasha.who()["user"] == "AnonymousUser"


@pytest.mark.django_db(transaction=True)
def test_somebody_elses_login_does(sasha: Browser, people: Any) -> None:
    sasha.start(people.bob, organization=people.acme)
    assert sasha.post("/after-login/").content == b"done"
    people.carol.refresh_from_db()
    assert people.carol.email == "mine@example.com"


@pytest.mark.django_db(transaction=True)
def test_what_was_half_done_is_not_kept(sasha: Browser, people: Any) -> None:
    sasha.start(people.dave)
    assert sasha.post("/half-done/").content == b"done"
    assert not User.objects.filter(name="Half").exists()
    assert User.objects.get(name="Bob Baker").email == "bob@example.com"


@pytest.mark.django_db(transaction=True)
def test_a_statement_that_does_not_say_what_it_writes_is_refused(sasha: Browser, people: Any) -> None:
    sasha.start(people.dave)
    assert sasha.post("/unreadable/").status_code == 403


@pytest.mark.parametrize(
    ("sql", "vendor"),
    [
        ("DO $$ x $$", "postgresql"),
        ("PREPARE s FROM @x", "mysql"),
        ("EXECUTE IMMEDIATE @x", "mysql"),
        ("LOAD 'x'", "postgresql"),
        ("LOAD DATA INFILE 'x' INTO TABLE shop_user (password)", "mysql"),
        ("MERGE INTO (SELECT * FROM shop_user) USING x ON (1 = 1)", "oracle"),
    ],
)
def test_what_words_do_not_tell_is_refused(sql: str, vendor: str) -> None:
    assert any(lasting.rules().refuses(write, verified=False) for write in writes(sql, vendor))


@pytest.mark.parametrize(
    ("sql", "vendor"),
    [
        ("DO RELEASE_LOCK('x')", "mysql"),
        ("SELECT 1 INTO OUTFILE 'x'", "mysql"),
        ("LOAD DATA INFILE 'x' INTO TABLE shop_visit (password)", "mysql"),
        ("BEGIN NOT ATOMIC UPDATE shop_user SET name = 'x'; END", "mysql"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "postgresql"),
    ],
)
def test_what_words_tell_is_not(sql: str, vendor: str) -> None:
    assert not any(lasting.rules().refuses(write, verified=False) for write in writes(sql, vendor))
