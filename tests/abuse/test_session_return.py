"""Stop, and the way back: to the staff member's own session, by possession of its key, or to nobody."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.signals import user_logged_in, user_logged_out

from django_impersonation import sessions
from tests.abuse.session_support import (
    ENDED,
    LOGIN,
    NOBODY,
    SERVER_ENGINES,
    STOP,
    assert_nobody,
    assert_refused,
    asynchronously,
    ends,
    forget_dead_cookies,
    is_deleted,
    post,
    reason,
    return_key,
    rewrite,
    store,
    thief,
    token_in,
)
from tests.people import Browser

pytestmark = pytest.mark.urls("tests.abuse.session_urls")

BOTH_COOKIES = (sessions.MARKER, sessions.RETURN_KEY)


# ABUSE 19
def test_thief_of_session_and_marker_stops_into_nobody(engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    other = thief(sasha, "sessionid", sessions.MARKER)
    assert other.who()["user"] == "dave@example.com"
    stolen = other.session_cookie()
    assert other.stop()["Location"] == LOGIN
    assert_nobody(other)
    assert engine == "signed_cookies" or not store().exists(stolen)
    assert ends(session) == ["stopped"]
    assert_refused(sasha)
    assert sasha.stop()["Location"] == session.return_url
    assert sasha.who()["user"] == "sasha@example.com"


# ABUSE 19
def test_session_without_marker_is_nobody(engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    assert_nobody(thief(sasha, "sessionid"))
    assert ends(session) == []


# ABUSE 19
def test_marker_without_session_is_nobody_and_ends_nothing(engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    other = thief(sasha, sessions.MARKER)
    assert_refused(other)
    page = other.get(ENDED)
    assert is_deleted(page, sessions.MARKER)
    assert_nobody(other)
    assert ends(session) == []
    assert sasha.who()["user"] == "dave@example.com"


# ABUSE 20
@pytest.mark.parametrize("owner", ["admin", "bob", "sasha"])
def test_planted_return_key_leads_to_login(owner: str, engine: str, sasha: Browser, people: Any) -> None:
    attacker = Browser(getattr(people, owner))
    rewrite(attacker, other=True)
    session = sasha.start(people.dave)
    sasha.cookies[sessions.RETURN_KEY] = attacker.session_cookie()
    response = sasha.stop()
    assert response["Location"] == LOGIN
    assert is_deleted(response, sessions.RETURN_KEY)
    assert_nobody(sasha)
    assert ends(session) == ["stopped"]
    assert attacker.who()["user"] == f"{owner}@example.com"


# ABUSE 20
def test_return_key_of_another_impersonation_leads_to_login(engine: str, sasha: Browser, people: Any) -> None:
    other = Browser(people.admin)
    theirs, mine = other.start(people.carol), sasha.start(people.dave)
    sasha.cookies[sessions.RETURN_KEY] = return_key(other)
    assert sasha.stop()["Location"] == LOGIN
    assert_nobody(sasha)
    assert (ends(mine), ends(theirs)) == (["stopped"], [])


# ABUSE 20, ABUSE 50
@pytest.mark.parametrize("every", [False, True])
def test_parked_session_that_became_another_persons_is_not_restored(
    every: bool, engine: str, sasha: Browser, people: Any, settings: Any
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = every
    sasha.start(people.dave)
    admin = Browser(people.admin)
    parked = store(return_key(sasha))
    if engine == "signed_cookies":
        parked._session_key = ""
    parked.update(dict(admin.session.items()))
    parked.save()
    sasha.cookies[sessions.RETURN_KEY] = parked.session_key
    assert sasha.stop()["Location"] == LOGIN
    assert_nobody(sasha)


# ABUSE 22
def test_return_key_does_nothing_to_somebody_signed_in(engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    carol = Browser(people.carol)
    carol.cookies[sessions.RETURN_KEY] = return_key(sasha)
    assert carol.stop()["Location"] == LOGIN
    assert carol.who()["user"] == "carol@example.com"
    assert reason(session) == "stopped"


# ABUSE 23
@pytest.mark.parametrize("path", ["/accounts/logout/", "/sign-out/", "/drf-sign-out/", "/asign-out/"])
def test_logout_of_the_user_ends_it_without_return(path: str, engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    key, stale = return_key(sasha), thief(sasha, "sessionid", *BOTH_COOKIES)
    response = asynchronously(sasha, "post", path) if path == "/asign-out/" else sasha.post(path)
    assert all(is_deleted(response, name) for name in BOTH_COOKIES)
    if path != "/accounts/logout/":
        assert response.json() == {"user": NOBODY, "impersonation": False}
    assert ends(session) == ["signed_out"]
    assert_nobody(sasha)
    sasha.cookies[sessions.RETURN_KEY] = key
    assert sasha.stop()["Location"] == LOGIN
    assert_nobody(sasha)
    # Nor in a tab that has not heard of it.
    assert_refused(stale)
    assert "Return to the admin" not in stale.get(ENDED).content.decode()
    assert stale.stop()["Location"] == LOGIN
    assert_nobody(stale)
    assert ends(session) == ["signed_out"]


@pytest.mark.parametrize("way", ["/sign-in/", "/asign-in/"])
@pytest.mark.parametrize("who", ["sasha@example.com", "carol@example.com"])
def test_nobody_comes_back_after_somebody_has_signed_in_and_out(
    who: str, way: str, engine: str, sasha: Browser, people: Any
) -> None:
    sasha.start(people.dave).end("revoked")
    sasha.get(ENDED)
    forget_dead_cookies(sasha)
    assert sessions.RETURN_KEY in sasha.cookies
    post(sasha, way, {"email": who})
    assert sasha.cookies[sessions.RETURN_KEY]["path"] == STOP
    forget_dead_cookies(sasha)
    assert sessions.RETURN_KEY not in sasha.cookies
    post(sasha, way.replace("in", "out"))
    forget_dead_cookies(sasha)
    sasha.stop()
    assert_nobody(sasha)


# ABUSE 26
def test_second_stop_is_a_page_that_does_nothing(engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    sasha.stop()
    forget_dead_cookies(sasha)
    assert set(sasha.cookies) == {"sessionid", "csrftoken"} & set(sasha.cookies)
    response = sasha.stop()
    assert response.status_code == 200
    assert "You are not impersonating anyone" in response.content.decode()
    assert sasha.who()["user"] == "sasha@example.com"
    assert ends(session) == ["stopped"]


# ABUSE 26
def test_two_tabs_stop_at_once(engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    tab = thief(sasha, "sessionid", *BOTH_COOKIES)
    assert sasha.stop()["Location"] == session.return_url
    response = tab.stop()
    assert response.status_code == 303
    assert tab.who()["user"] in ("sasha@example.com", NOBODY)
    assert sasha.who()["user"] == "sasha@example.com"
    assert ends(session) == ["stopped"]


# ABUSE 26
def test_stop_ends_the_impersonation_that_its_browser_ran_into(engine: str, sasha: Browser, people: Any) -> None:
    other = thief(sasha, "sessionid")
    mine, theirs = sasha.start(people.dave), other.start(people.carol)
    assert return_key(sasha) == return_key(other)
    mine.end("revoked")
    sasha.stop()
    assert (ends(mine), ends(theirs)) == (["revoked"], [])
    assert other.who()["user"] == "carol@example.com"


# ABUSE 27
def test_stop_is_a_post_with_a_token(people: Any, engine: str) -> None:
    sasha = Browser(people.sasha)
    session = sasha.start(people.dave)
    strict = Browser(enforce_csrf_checks=True)
    strict.cookies = sasha.cookies
    assert strict.get(STOP).status_code == 405
    assert strict.head(STOP).status_code == 405
    confirm = strict.stop()
    assert confirm.status_code == 403
    assert "Stop impersonating?" in confirm.content.decode()
    assert strict.post(STOP, headers={"Origin": "https://evil.example"}).status_code == 403
    assert ends(session) == []
    assert strict.who()["user"] == "dave@example.com"
    response = strict.post(STOP, {"csrfmiddlewaretoken": token_in(confirm)})
    assert response["Location"] == session.return_url
    assert strict.who()["user"] == "sasha@example.com"


# ABUSE 32
@pytest.mark.parametrize("expiry", [None, 0, 300])
def test_own_session_comes_back_as_it_was(expiry: int | None, engine: str, sasha: Browser, people: Any) -> None:
    extra = {} if expiry is None else {"_session_expiry": expiry}
    rewrite(sasha, cart=[1, {"two": 2}], otp_device_id="totp/1", **extra)
    before = dict(sasha.session.items())
    sasha.start(people.dave)
    assert sasha.get("/data/").json() == {}
    sasha.get("/busy/")
    assert sasha.get("/data/").json() == {"late": True}
    response = sasha.stop()
    assert dict(sasha.session.items()) == before
    assert sasha.get("/data/").json() == {"cart": [1, {"two": 2}], "otp_device_id": "totp/1"}
    assert response.cookies["sessionid"]["max-age"] == {None: 1209600, 0: "", 300: 300}[expiry]
    # Nothing that was written as the user is left behind.
    forget_dead_cookies(sasha)
    sasha.start(people.dave)
    assert sasha.get("/data/").json() == {}


# ABUSE 32
def test_stop_gives_the_own_session_a_new_key(engine: str, sasha: Browser, people: Any) -> None:
    sasha.start(people.dave)
    old, impersonated = return_key(sasha), sasha.session_cookie()
    sasha.stop()
    assert sasha.session_cookie() != impersonated
    if engine in SERVER_ENGINES:  # a signed cookie is its own content, and has no key
        assert sasha.session_cookie() != old
        assert not store().exists(old)
        assert not store().exists(impersonated)


# ABUSE 32
@pytest.mark.parametrize("storage", ["fallback.FallbackStorage", "session.SessionStorage", "cookie.CookieStorage"])
def test_messages_do_not_cross(storage: str, engine: str, sasha: Browser, people: Any, settings: Any) -> None:
    settings.MESSAGE_STORAGE = f"django.contrib.messages.storage.{storage}"
    sasha.get("/say/")
    sasha.start(people.dave)
    assert sasha.get("/heard/").json()["messages"] == []
    sasha.get("/say/")
    sasha.stop()
    assert "for dave@example.com" not in sasha.get("/heard/").json()["messages"]


# ABUSE 32
def test_messages_do_not_outlive_an_end(engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    sasha.get("/say/")
    session.end("revoked")
    sasha.get(ENDED)
    sasha.force_login(people.sasha)
    assert sasha.get("/heard/").json()["messages"] == []


# ABUSE 34
@pytest.mark.parametrize("way", ["stop", "script"])
def test_nobody_is_told_of_a_login(way: str, engine: str, sasha: Browser, people: Any) -> None:
    told = []

    def hear(signal: Any, **kwargs: Any) -> None:
        told.append(kwargs.get("user"))

    user_logged_in.connect(hear)
    user_logged_out.connect(hear)
    try:
        before = [(p.refresh_from_db(), p.last_login)[1] for p in (people.sasha, people.dave)]
        receivers = len(user_logged_in.receivers)
        sasha.start(people.dave)
        sasha.who()
        asynchronously(sasha, "get", "/awhoami/")
        sasha.stop(headers={"Sec-Fetch-Dest": "empty"} if way == "script" else {})
        sasha.who()
    finally:
        user_logged_in.disconnect(hear)
        user_logged_out.disconnect(hear)
    assert told == []
    assert len(user_logged_in.receivers) == receivers - 1
    assert [(p.refresh_from_db(), p.last_login)[1] for p in (people.sasha, people.dave)] == before
    assert before[1] is None


# ABUSE 202
@pytest.mark.parametrize("destination", ["empty", "iframe", "frame", "object", "image", ""])
def test_stop_by_a_script_signs_out(destination: str, engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    key = return_key(sasha)
    response = sasha.stop(headers={"Sec-Fetch-Dest": destination})
    assert response["Location"] == LOGIN
    assert is_deleted(response, sessions.RETURN_KEY)
    assert_nobody(sasha)
    assert ends(session) == ["stopped"]
    if engine in SERVER_ENGINES:
        sasha.cookies[sessions.RETURN_KEY] = key
        sasha.stop()
        assert_nobody(sasha)
        assert not store().exists(key)


# ABUSE 202
def test_stop_by_a_navigation_restores(engine: str, sasha: Browser, people: Any) -> None:
    session = sasha.start(people.dave)
    headers = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
    assert sasha.stop(headers=headers)["Location"] == session.return_url
    assert sasha.who()["user"] == "sasha@example.com"


# ABUSE 202
def test_stop_may_sign_out_always(engine: str, sasha: Browser, people: Any, settings: Any) -> None:
    settings.IMPERSONATION_ON_STOP = "sign_out"
    sasha.start(people.dave)
    key = return_key(sasha)
    assert sasha.stop()["Location"] == LOGIN
    assert_nobody(sasha)
    assert engine == "signed_cookies" or not store().exists(key)
