"""django-allauth with second factors, social accounts and the list of sessions."""

from __future__ import annotations

from typing import Any

from allauth.account import signals
from allauth.usersessions.models import UserSession
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.urls import include, path, reverse

from tests.projects.stories import is_over, is_tagged, start, stop
from tests.projects.urls import urlpatterns as base
from tests.projects.visitor import User, Visitor, admin_url, make

FORBIDDEN = "This page is closed to impersonators"
urlpatterns = [*base, path("accounts/", include("allauth.urls"))]

BLOCKED = """
account_change_password account_set_password account_reset_password account_reset_password_done
account_email account_email_verification_sent account_confirm_email=k3y
account_reauthenticate account_request_reauthentication_code account_confirm_reauthentication_code
mfa_index mfa_reauthenticate mfa_trust mfa_activate_totp mfa_deactivate_totp
mfa_view_recovery_codes mfa_generate_recovery_codes mfa_download_recovery_codes
mfa_list_webauthn mfa_add_webauthn mfa_reauthenticate_webauthn mfa_remove_webauthn=1 mfa_edit_webauthn=1
socialaccount_connections socialaccount_signup dummy_login usersessions_list
"""


def story() -> None:
    agent, bob = Visitor(make("agent")), Visitor(make("bob"))
    agent.who(), bob.who()
    assert devices(agent.user) == devices(bob.user) == 1
    quiet(agent, bob.user)
    refused(agent, bob.user)
    own_list(agent, bob)
    logout(agent, bob.user)


def quiet(agent: Visitor, user: Any) -> None:
    """No signal, and no row, from the prompt to the way back."""
    heard: list[Any] = []

    def listen(signal: Any = None, **kwargs: Any) -> None:
        heard.append(signal)

    for signal in (signals.user_logged_in, signals.user_logged_out, user_logged_in, user_logged_out):
        signal.connect(listen)
    session = start(agent, user)
    is_tagged(agent, user, session)
    assert devices(agent.user) == devices(user) == 1
    stop(agent, user)
    assert heard == []


def refused(agent: Visitor, user: Any) -> None:
    start(agent, user)
    for word in BLOCKED.split():
        name, *args = word.split("=")
        assert FORBIDDEN in agent.open(reverse(name, args=args), 403), name
        agent.submit("/token/", to=reverse(name, args=args), status=403)
    for name in ("account_login", "account_signup", "account_request_login_code"):
        assert agent.get(reverse(name)).status_code == 302, name
    stop(agent, user)


def own_list(agent: Visitor, bob: Visitor) -> None:
    """Bob sees his own browser alone; that he signs the others out ends what is done in his name."""
    session = start(agent, bob.user)
    agent.open("/")
    page = reverse("usersessions_list")
    assert devices(bob.user) == 1
    bob.submit(page, status=302)
    is_over(agent, session)
    # Their own session was not purged. It has a new key, which is known again from the next request on.
    assert agent.who()["user"] == str(agent.user.pk)
    listed = UserSession.objects.purge_and_list(agent.user)
    assert [one.session_key for one in listed] == [agent.cookies["sessionid"].value]


def logout(agent: Visitor, user: Any) -> None:
    session = start(agent, user)
    agent.submit(reverse("account_logout"), status=302)
    assert agent.who()["user"] == "None"
    session.refresh_from_db()
    assert session.end_reason == "signed_out"
    assert agent.get(admin_url("changelist", model=User)).status_code == 302


def devices(user: Any) -> int:
    """How many rows say that the user is signed in."""
    return UserSession.objects.filter(user=user).count()
