"""One place says what impersonators see dots for; every page of the example keeps to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import run_checks
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.urls import path
from organizations.models import Organization, OrganizationOwner, OrganizationUser
from rest_framework.response import Response
from rest_framework.serializers import CharField, ModelSerializer
from rest_framework.views import APIView

from django_impersonation.api.serializers import RedactedSerializerMixin
from django_impersonation.redaction import REDACTED, redacted_fields
from django_impersonation.surface import surface
from example_project.shop.models import User
from tests.people import Browser
from tests.test_surface import address
from tests.urls import urlpatterns as pages

CARD = "4000 0566 5566 5556"
TAG = Template('{% load django_impersonation %}{% redacted user "card_number" %}')


class UserSerializer(RedactedSerializerMixin, ModelSerializer):
    also = CharField(source="card_number")

    class Meta:
        model = User
        fields = ("name", "card_number", "also")


class Deep(RedactedSerializerMixin, ModelSerializer):
    class Meta:
        model = OrganizationOwner
        fields = ("organization_user",)
        depth = 2


class Reverse(RedactedSerializerMixin, ModelSerializer):
    class Meta:
        model = Organization
        fields = ("organization_users",)
        depth = 2


class Nests(ModelSerializer):
    """A class of the project's with serializers of its own for related models."""

    def build_nested_field(self, *args: Any) -> Any:
        return UserSerializer, {"read_only": True}


class Nested(RedactedSerializerMixin, Nests):
    class Meta:
        model = OrganizationUser
        fields = ("user",)
        depth = 1


class Dotted(RedactedSerializerMixin, ModelSerializer):
    card = CharField(source="organization_user.user.card_number")
    name = CharField(source="organization_user.user.name")
    year = CharField(source="organization.created.year")

    class Meta:
        model = OrganizationOwner
        fields = ("card", "name", "year")


class Subclass(User):
    class Meta:
        abstract = True  # so that it is not one of the project's models


def tag(request: HttpRequest) -> HttpResponse:
    return HttpResponse(TAG.render(Context({"request": request, "user": request.user})))


class Serialized(APIView):
    def get(self, request: Any) -> Any:
        return Response(UserSerializer(request.user, context={"request": request}).data)


urlpatterns = [path("tag/", tag), path("serialized/", Serialized.as_view()), *pages]
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture
def bob(people: Any) -> User:
    people.dave.card_number = CARD
    people.dave.save()
    return people.dave


def test_the_users_own_pages_show_it(bob: User) -> None:
    own = Browser(bob)
    assert own.get("/tag/").content.decode() == CARD
    assert own.get("/serialized/").json() == {"name": bob.name, "card_number": CARD, "also": CARD}
    assert CARD in own.get("/profile/").content.decode()


def test_impersonators_see_dots(sasha: Browser, bob: User) -> None:
    sasha.start(bob)
    assert sasha.get("/tag/").content.decode() == REDACTED
    assert sasha.get("/serialized/").json() == {"name": bob.name, "card_number": REDACTED, "also": REDACTED}


def test_no_page_of_the_example_shows_it_to_an_impersonator(sasha: Browser, bob: User, people: Any) -> None:
    people.bob = bob  # whose key fills the gaps of the addresses
    sasha.start(bob)
    routes = [row.route for row in surface() if row.full not in ("unreachable",)]
    assert "/profile/" in routes
    for route in routes:
        response = sasha.get(address(route, people), follow=False)
        assert CARD not in response.content.decode(), route
        assert CARD[-4:] not in response.content.decode() or route == "/admin/jsi18n/", route


def test_what_is_not_named_is_shown(sasha: Browser, bob: User, settings: Any) -> None:
    settings.IMPERSONATION_REDACTED_FIELDS = []
    sasha.start(bob)
    assert sasha.get("/tag/").content.decode() == CARD
    assert sasha.get("/serialized/").json()["card_number"] == CARD


def test_a_request_that_the_middleware_has_not_seen_gets_dots(bob: User) -> None:
    assert TAG.render(Context({"user": bob})) == REDACTED
    assert TAG.render(Context({"user": bob, "request": SimpleNamespace(user=bob)})) == REDACTED
    assert UserSerializer(bob).data["card_number"] == REDACTED


@pytest.mark.parametrize("shown", [CARD, REDACTED])
def test_neither_depth_nor_a_source_with_dots_leads_around_it(bob: User, shown: str) -> None:
    new = Organization.objects.create(name="New", slug="new")
    member = OrganizationUser.objects.create(organization=new, user=bob)
    owner = OrganizationOwner.objects.create(organization=new, organization_user=member)
    context = {"request": SimpleNamespace(impersonation=None, user=bob)} if shown == CARD else {}
    forward = Deep(owner, context=context).data["organization_user"]["user"]
    backward = Reverse(new, context=context).data["organization_users"][0]["user"]
    dotted = Dotted(owner, context=context).data
    by_project = Nested(member, context=context).data["user"]
    for user in (forward, backward, by_project):
        assert (user["name"], user["card_number"]) == (bob.name, shown)
    assert dotted == {"card": shown, "name": bob.name, "year": str(new.created.year)}


def test_a_model_inherits_it_and_others_do_not() -> None:
    assert redacted_fields(User) == redacted_fields(Subclass) == {"card_number"}
    assert redacted_fields(SimpleNamespace) == frozenset()


@pytest.mark.parametrize(
    ("entry", "known"),
    [
        ("shop.User.card_number", True),
        ("SHOP.user.get_full_name", True),
        ("shop.User.card", False),
        ("shop.Nobody.card", False),
        ("card_number", False),
    ],
)
def test_a_name_that_means_nothing_is_an_error(settings: Any, entry: str, known: bool) -> None:
    settings.IMPERSONATION_REDACTED_FIELDS = [entry]
    found = [str(m.msg) for m in run_checks() if m.id == "django_impersonation.E042"]
    assert bool(found) != known
    assert known or entry.lower() in found[0].lower()


@pytest.mark.parametrize(
    ("name", "good", "bad", "short"),
    [
        ("DEFAULT_ACCESS", ["full", "view_only"], ["", None, "read", True], "E040"),
        ("VIEW_ONLY", ["enforce", "observe"], ["", None, "off", False], "E040"),
        ("VIEW_ONLY_VIEWS", [[], ("a:*",)], ["graphql", [""], [1], None], "E041"),
        ("VIEW_ONLY_TABLES", [[]], ["shop_user", [None]], "E041"),
        ("CREDENTIALS", [[], ["-authtoken.Token", "shop.User.name"]], ["shop.User", [None]], "E041"),
        ("CREDENTIALS", [["organizations.Organization"]], [["shop.Nothing"], ["User"]], "E042"),
    ],
)
def test_settings_are_checked(settings: Any, name: str, good: list[Any], bad: list[Any], short: str) -> None:
    def found() -> list[Any]:
        return [m for m in run_checks() if str(m.id).startswith("django_impersonation.")]

    for value in good:
        setattr(settings, f"IMPERSONATION_{name}", value)
        assert found() == [], repr(value)
    for value in bad:
        setattr(settings, f"IMPERSONATION_{name}", value)
        assert [m.id for m in found()] == [f"django_impersonation.{short}"], repr(value)
        assert f"IMPERSONATION_{name}" in str(found()[0].msg)


def test_tables_that_are_excepted_are_warned_about(settings: Any) -> None:
    settings.IMPERSONATION_VIEW_ONLY_TABLES = ["shop_user"]
    assert [m.id for m in run_checks()] == ["django_impersonation.W020"]
