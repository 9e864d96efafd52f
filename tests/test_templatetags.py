"""{% staff_bar %} and |redact by themselves. The bar as a page shows it is in test_staff_bar.py."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template, VariableDoesNotExist
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from tests.people import Browser

pytestmark = pytest.mark.django_db
DOTS = "••••••"
REDACT = Template("{% load django_impersonation %}{{ value|redact:request }}")
BAR = Template("{% load django_impersonation %}{% staff_bar %}")


@pytest.fixture
def request_of(rf: RequestFactory) -> Any:
    def make(user: Any, impersonation: Any = None) -> Any:
        request: Any = rf.get("/")
        request.user, request.impersonation = user, impersonation
        return request

    return make


def redacted(request: Any, value: Any = "4242 4242") -> str:
    return REDACT.render(Context({"request": request, "value": value}))


class LazyNonce(SimpleLazyObject):
    """As Django 6 and django-csp have it: false until somebody writes it into a page."""

    def __init__(self) -> None:
        super().__init__(lambda: "n0nce")
        self.__dict__["read"] = False

    def __bool__(self) -> bool:
        return bool(self.__dict__["read"])

    def __str__(self) -> str:
        self.__dict__["read"] = True
        return "n0nce"


def test_redact_shows_values_to_people_who_are_themselves(people: Any, request_of: Any) -> None:
    assert redacted(request_of(people.bob)) == "4242 4242"
    assert redacted(request_of(people.admin)) == "4242 4242"
    assert redacted(request_of(AnonymousUser())) == "4242 4242"


def test_redact_shows_dots_to_an_impersonator(people: Any, sasha: Browser, request_of: Any) -> None:
    request = request_of(people.carol, sasha.start(people.carol))
    assert redacted(request) == DOTS
    for empty_or_odd in ("", None, 0, ["4242"]):
        assert redacted(request, empty_or_odd) == DOTS, "an empty value is a value too"


# ABUSE 52
def test_redact_asks_who_the_user_is_now(people: Any, sasha: Browser, request_of: Any) -> None:
    session = sasha.start(people.carol)
    assert redacted(request_of(people.dave, session)) == "4242 4242"
    assert redacted(request_of(AnonymousUser(), session)) == "4242 4242"


def test_redact_shows_dots_when_nobody_can_tell_who_looks(rf: RequestFactory) -> None:
    assert redacted(None) == DOTS
    assert redacted("") == DOTS
    assert redacted(rf.get("/")) == DOTS, "the middleware has not seen this request"


def test_redact_in_a_template_without_a_request_shows_nothing() -> None:
    """Django resolves a filter's argument before it calls the filter, and raises."""
    with pytest.raises(VariableDoesNotExist):
        REDACT.render(Context({"value": "4242 4242"}))


def test_redact_does_not_open_a_door_for_markup(people: Any, request_of: Any) -> None:
    assert redacted(request_of(people.bob), "<b>") == "&lt;b&gt;"


def test_no_bar_for_people_who_are_themselves(
    people: Any, sasha: Browser, request_of: Any, rf: RequestFactory
) -> None:
    session = sasha.start(people.carol)
    for request in (
        request_of(people.bob),
        request_of(AnonymousUser()),
        request_of(people.dave, session),
        request_of(AnonymousUser(), session),
        rf.get("/"),
        None,
    ):
        assert BAR.render(Context({"request": request})) == ""
        assert not hasattr(request, "_cache_update_cache"), "the page may be cached"
    assert BAR.render(Context()) == "", "without a request in the context"


@pytest.mark.parametrize(
    ("tag", "side"),
    [
        ("{% staff_bar %}", "bottom"),
        ('{% staff_bar side="top" %}', "top"),
        ('{% staff_bar side="bottom" %}', "bottom"),
        ("{% staff_bar side=odd %}", "bottom"),
    ],
)
def test_side(people: Any, sasha: Browser, request_of: Any, tag: str, side: str) -> None:
    request = request_of(people.carol, sasha.start(people.carol))
    template = Template("{% load django_impersonation %}" + tag)
    html = template.render(Context({"request": request, "odd": '"onx="'}))
    assert f'data-side="{side}"' in html
    assert "onx" not in html


# ABUSE 127
@pytest.mark.parametrize("where", ["context", "request"])
@pytest.mark.parametrize("make", [LazyNonce, lambda: "n0nce"])
def test_a_nonce_is_passed_on_even_while_it_is_false(
    people: Any, sasha: Browser, request_of: Any, where: str, make: Any
) -> None:
    request = request_of(people.carol, sasha.start(people.carol))
    context = {"request": request}
    if where == "context":
        context["csp_nonce"] = make()
    else:
        request.csp_nonce = make()
    html = BAR.render(Context(context))
    assert html.count('nonce="n0nce"') == html.count("<link ") + html.count("<script ") == 2


# ABUSE 127
def test_no_nonce_where_the_project_has_none(people: Any, sasha: Browser, request_of: Any) -> None:
    html = BAR.render(Context({"request": request_of(people.carol, sasha.start(people.carol))}))
    assert "nonce" not in html


# ABUSE 127
def test_an_ordinary_page_does_not_touch_the_nonce(people: Any, request_of: Any) -> None:
    nonce = LazyNonce()
    assert BAR.render(Context({"request": request_of(people.bob), "csp_nonce": nonce})) == ""
    assert not nonce, "Django 6 writes the nonce into the header only once it was read"
