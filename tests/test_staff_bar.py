"""The bar as a page shows it. In a real browser it is tried in tests/e2e."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.template import loader

from django_impersonation.models import Event
from django_impersonation.templatetags import django_impersonation as tags
from tests.markup import Page
from tests.people import Browser

pytestmark = pytest.mark.django_db
TEMPLATES = Path(tags.__file__).parent.parent / "templates"


@pytest.fixture
def home(people: Any, sasha: Browser) -> str:
    sasha.start(people.bob, organization=people.acme)
    return bar_of(sasha)


def bar_of(browser: Browser) -> str:
    response = browser.get("/")
    assert response.status_code == 200
    html = response.content.decode()
    found = re.search(r'<section id="impersonation-bar".*?</section>', html, re.DOTALL)
    return found.group() if found else ""


def words(html: str) -> str:
    return " ".join(Page(html).text.split())


def test_the_bar_says_who_where_why_and_how_long(home: str) -> None:
    said = words(home)
    assert "Impersonating bob@example.com in Acme" in said
    assert "60 min left" in said
    assert "By: sasha@example.com" in said
    assert "Reason: Ticket 4711" in said
    assert said.count("bob@example.com") == 2, "in the bar and in the pill, and no e-mail line that repeats the name"


def test_names_stand_by_themselves(home: str) -> None:
    """A right-to-left name must not turn the words around it."""
    marked = Page(home)
    assert len(marked.all("bdi")) == 5
    for name in ("bob@example.com", "Acme", "sasha@example.com", "Ticket 4711"):
        assert f"<bdi>{name}</bdi>" in home


def test_without_organization_and_reason(people: Any, sasha: Browser, settings: Any) -> None:
    settings.IMPERSONATION_REASON_REQUIRED = False
    sasha.start(people.dave, reason="")
    said = words(bar_of(sasha))
    assert "Impersonating dave@example.com" in said
    assert " in " not in said
    assert "Reason" not in said


def test_there_is_no_bar_for_anybody_else(people: Any, sasha: Browser, home: str) -> None:
    assert bar_of(Browser()) == bar_of(Browser(people.bob)) == bar_of(Browser(people.sasha)) == ""
    sasha.stop()
    assert bar_of(sasha) == ""


# ABUSE 52
def test_there_is_no_bar_once_somebody_else_signed_in(people: Any, sasha: Browser, home: str) -> None:
    assert home
    sasha.post("/accounts/login/", {"username": "carol@example.com", "password": "demo"})
    assert "carol@example.com" in sasha.get("/").content.decode()
    assert bar_of(sasha) == ""


# ABUSE 127, ABUSE 129
def test_stop_is_a_form_that_needs_no_script_and_is_never_hidden(people: Any, home: str) -> None:
    page = Page(home)
    (form,) = [(a, inside) for tag, a, inside in page.elements if tag == "form"]
    assert (form[0]["method"], form[0]["action"]) == ("post", "/impersonation/stop/")
    assert "details" not in form[1], "Hide folds the details and leaves Stop"
    (button,) = page.all("button")
    assert button["type"] == "submit"
    assert not {"disabled", "hidden", "tabindex"} & set(button)
    (details,) = page.all("details")
    assert "open" in details
    assert len(page.all("summary")) == 1, "opened and closed by keyboard, by the browser itself"
    (token,) = page.all("input")
    assert token["name"] == "csrfmiddlewaretoken"
    for _tag, attributes, _inside in page.elements:
        assert attributes.get("aria-hidden") != "true"
        assert "inert" not in attributes


# ABUSE 127
def test_the_form_of_the_bar_stops_with_csrf_checks_on(people: Any) -> None:
    sasha = Browser(people.sasha)
    sasha.start(people.carol)
    sasha.handler.enforce_csrf_checks = True
    token = Page(bar_of(sasha)).all("input")[0]["value"]
    assert sasha.post("/impersonation/stop/", {"csrfmiddlewaretoken": "x" * 64}).status_code == 403
    assert sasha.post("/impersonation/stop/", {"csrfmiddlewaretoken": token}).status_code == 303
    assert sasha.who()["user"] == "sasha@example.com"


# ABUSE 127
def test_the_bar_needs_nothing_inline(people: Any, sasha: Browser, home: str) -> None:
    page = Page(sasha.get("/").content.decode())
    assert page.handlers() == []
    assert page.inline_scripts == []
    ours = [s["src"] for s in page.all("script") if "impersonation" in (s.get("src") or "")]
    styles = [s["href"] for s in page.all("link") if "impersonation" in (s.get("href") or "")]
    assert ours == ["/static/django_impersonation/staff_bar.js"]
    assert styles == ["/static/django_impersonation/staff_bar.css"]


# ABUSE 127
@pytest.mark.parametrize("template", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_no_template_of_ours_has_style_script_or_handler(template: Path) -> None:
    page = Page(re.sub(r"{%.*?%}|{{.*?}}", "x", template.read_text()))
    assert page.handlers() == []
    assert page.inline_scripts == []
    assert page.all("style") == []
    assert all("src" in script for script in page.all("script"))


# ABUSE 127
def test_the_script_writes_text_only() -> None:
    """Trusted Types refuse these, with reason."""
    script = Path(str(finders.find("django_impersonation/staff_bar.js"))).read_text()
    for sink in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "srcdoc",
        ".src",
    ):
        assert sink not in script
    assert not re.search(r"set(Timeout|Interval)\(\s*[\"'`]", script)
    assert "fetch(" not in script
    assert "XMLHttpRequest" not in script, "the server does not know whether the bar is hidden"


# ABUSE 127
@pytest.mark.parametrize("name", ["staff_bar.css", "pages.css", "admin.css"])
def test_styles_load_nothing_from_elsewhere(name: str) -> None:
    css = Path(str(finders.find(f"django_impersonation/{name}"))).read_text()
    assert "url(" not in css
    assert "@import" not in css


# ABUSE 129
def test_hiding_is_not_known_to_the_server(people: Any, sasha: Browser, home: str) -> None:
    """No address, cookie or parameter of ours makes a page without the bar, or without its limits."""
    sasha.cookies["impersonation-bar-hidden"] = "1"
    for address in ("/?hide=1", "/?impersonation-bar-hidden=1", "/?staff_bar=0"):
        assert 'id="impersonation-bar"' in sasha.get(address).content.decode()
    assert sasha.get("/billing/").status_code == 403
    assert sasha.who()["impersonator"] == ["sasha@example.com", "Ticket 4711"]
    assert set(Event.objects.values_list("name", flat=True)) == {
        "impersonation.requested",
        "session.created",
        "impersonation.denied",
    }


# ABUSE 131
@pytest.mark.parametrize("broken", ["render_to_string", "reverse", "get_token"])
def test_a_broken_bar_does_not_break_the_page(
    people: Any, sasha: Browser, monkeypatch: Any, caplog: Any, broken: str
) -> None:
    session = sasha.start(people.bob, organization=people.acme)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(tags, broken, fail)
    with caplog.at_level(logging.ERROR, "django_impersonation"):
        response = sasha.get("/")
    assert response.status_code == 200
    assert "Acme" in response.content.decode()
    assert "impersonation-bar" not in response.content.decode()
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "broken on purpose" in str(record.exc_info)
    assert "no-store" in response["Cache-Control"]
    assert sasha.who()["current"] == session.pk
    assert sasha.get("/billing/").status_code == 403


# ABUSE 131
def test_a_projects_own_bar_with_a_mistake(people: Any, sasha: Browser, settings: Any, tmp_path: Path) -> None:
    folder = tmp_path / "django_impersonation"
    folder.mkdir()
    (folder / "staff_bar.html").write_text("{% extends nothing %}{{ impersonation.")
    settings.TEMPLATES = [settings.TEMPLATES[0] | {"DIRS": [str(tmp_path)]}]
    sasha.start(people.carol)
    assert sasha.get("/").status_code == 200
    assert bar_of(sasha) == ""
    (folder / "staff_bar.html").write_text("<section id='mine'>{{ impersonation.user_label }}</section>")
    loader.engines["django"].engine.template_loaders[0].reset()
    assert "<section id='mine'>carol@example.com</section>" in sasha.get("/").content.decode()
