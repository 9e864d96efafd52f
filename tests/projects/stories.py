"""What happens in the projects. Each story is a function; it fails by an exception."""

from __future__ import annotations

import shutil
import sys
from typing import Any

from asgiref.sync import async_to_sync
from django.apps import apps
from django.conf import settings
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission
from django.core import checks
from django.core.management import call_command
from django.db import connections
from django.test import AsyncClient
from django.urls import NoReverseMatch, reverse

from django_impersonation.models import AuthorizationCode, Configuration, Event, ImpersonationSession
from tests.projects import parts
from tests.projects.run import prepare
from tests.projects.visitor import User, Visitor, admin_url, at, make

ENABLE = "admin:django_impersonation_configuration_changelist"
BAR = 'id="impersonation-bar"'


def whole() -> None:
    """Enable, prompt in the admin, callback, whoami, stop; again, revoked; once more, async, and by command."""
    prepare()
    boss, agent, bob = Visitor(make("boss")), Visitor(make("agent")), make("bob")
    enable(boss)
    session = start(agent, bob)
    is_tagged(agent, bob, session)
    stop(agent, bob)
    session = start(agent, bob)
    revoke(boss, session)
    is_over(agent, session)
    names = ["requested", "created", "revoked"] * 2
    assert [e.name.partition(".")[2] for e in Event.objects.order_by("position")] == ["enabled", *names]
    session = start(agent, bob)
    asynchronous(agent, bob, session)
    call_command("impersonation", "revoke", "--user", bob.get_username(), verbosity=0)
    is_over(agent, session)


def enable(boss: Visitor) -> None:
    assert not Configuration.objects.enabled()
    boss.submit(reverse(ENABLE), {"enable": "1"}, status=302)
    assert Configuration.objects.enabled()


def start(agent: Visitor, user: Any, *, model: Any = User, site: str = "admin") -> ImpersonationSession:
    key = quote(user.pk)
    prompt = admin_url("impersonate", key, model=model, site=site)
    assert f'href="{prompt}"' in agent.open(admin_url("change", key, model=model, site=site))
    return redeem(agent, agent.submit(prompt, {"reason": "Ticket 4711"}))


def redeem(agent: Visitor, callback: str) -> ImpersonationSession:
    response = agent.get(callback)
    assert response.status_code == 303, response.content.decode()
    assert response.headers["Location"] == at("").removesuffix("en/")
    path = response.cookies["impersonation_return_key"]["path"]
    assert path == reverse("django_impersonation:stop")
    return ImpersonationSession.objects.get(pk=response.cookies["impersonation"].value)


def is_tagged(agent: Visitor, user: Any, session: ImpersonationSession) -> None:
    by = session.impersonator_email
    assert agent.who() == {"user": str(user.pk), "session": session.pk, "by": by, "current": session.pk}
    assert BAR in agent.open(at(""))
    assert (session.user_pk, session.impersonator_pk) == (str(user.pk), str(agent.user.pk))


def is_back(agent: Visitor) -> None:
    assert agent.who() == {"user": str(agent.user.pk), "session": None, "by": None, "current": None}
    assert BAR not in agent.open(at(""))


def stop(agent: Visitor, user: Any, *, model: Any = User, site: str = "admin") -> None:
    """By the button of the bar; back to the page where it began."""
    back = agent.submit(at(""), to=reverse("django_impersonation:stop"))
    assert back == admin_url("change", quote(user.pk), model=model, site=site)
    agent.open(back)
    is_back(agent)


def revoke(boss: Visitor, session: ImpersonationSession) -> None:
    page = admin_url("changelist", model=ImpersonationSession)
    boss.submit(page, {"action": "revoke", "_selected_action": session.pk}, status=302)


def is_over(agent: Visitor, session: ImpersonationSession, reason: str = "revoked") -> None:
    """Refused, then told; and the way back is open."""
    ended = reverse("django_impersonation:ended")
    assert agent.post(at("whoami/")).status_code == 409
    response = agent.get(at("whoami/"))
    assert (response.status_code, response.headers.get("Location")) == (303, ended)
    assert ImpersonationSession.objects.get(pk=session.pk).end_reason == reason
    agent.submit(ended, to=reverse("django_impersonation:stop"))
    is_back(agent)


def asynchronous(agent: Visitor, user: Any, session: ImpersonationSession) -> None:
    """The same browser on an ASGI server."""
    client = AsyncClient()
    client.cookies = agent.cookies
    seen = async_to_sync(client.get)(at("awhoami/"))
    assert seen.json()["user"] == str(user.pk)
    assert seen.json()["current"] == session.pk
    assert async_to_sync(client.get)(at("whoami/")).json() == seen.json()


def by_view() -> None:
    """No admin, or none that knows the users: a view of five lines starts it."""
    prepare()
    call_command("impersonation", "enable", verbosity=0)
    agent, bob = Visitor(make("agent")), make("bob")
    support = at("support/bob/")
    session = redeem(agent, agent.submit(at("token/"), {"reason": "Ticket 4711"}, to=support))
    is_tagged(agent, bob, session)
    back = agent.submit(at(""), to=reverse("django_impersonation:stop"))
    try:
        assert back == admin_url("change", quote(bob.pk))
        agent.open(back)
    except NoReverseMatch:
        assert back == at("")
    is_back(agent)
    session = redeem(agent, agent.submit(at("token/"), {"reason": "Ticket 4711"}, to=support))
    call_command("impersonation", "revoke", session.pk, verbosity=0)
    is_over(agent, session)
    bob_himself = Visitor(bob)
    bob_himself.submit(at("token/"), {"reason": "me too"}, to=at("support/agent/"), status=403)


def two_sites() -> None:
    """A proxy of the user model beside it, and a second site whose admin hides some users."""
    prepare()
    boss, agent, bob, hidden = Visitor(make("boss")), Visitor(make("agent")), make("bob"), make("hidden")
    customer = apps.get_model("proxies", "Customer")
    agent.user.user_permissions.add(Permission.objects.get(codename="view_customer"))
    enable(boss)
    for user, where in ((bob, {"model": customer}), (bob, {"site": "support"}), (hidden, {})):
        session = start(agent, user, **where)
        is_tagged(agent, user, session)
        stop(agent, user, **where)
    # Each model admin shows whom it shows: this one no hidden users, the proxy's no staff.
    invisible = (
        admin_url("impersonate", hidden.pk, site="support"),
        admin_url("impersonate", boss.user.pk, model=customer),
    )
    before = AuthorizationCode.objects.count()
    for prompt in invisible:
        agent.submit(at("token/"), {"reason": "Ticket 4711"}, to=prompt, status=302)
        agent.open(prompt, 302)
    assert AuthorizationCode.objects.count() == before
    nobody = Visitor()
    nobody.open(admin_url("impersonate", bob.pk, site="support"), 302)


def soft_delete() -> None:
    """Whom the default manager hides is nobody to impersonate, and nobody to impersonate further."""
    prepare()
    boss, agent, bob, alf = Visitor(make("boss")), Visitor(make("agent")), make("bob"), make("alf")
    enable(boss)
    session = start(agent, bob)
    User.everybody.filter(pk=bob.pk).update(deleted=True)
    is_over(agent, session, "user_changed")
    agent.open(admin_url("impersonate", bob.pk), 302)
    session = start(agent, alf)
    User.everybody.filter(pk=agent.user.pk).update(deleted=True)
    response = agent.get(at("whoami/"))
    assert response.headers["Location"] == reverse("django_impersonation:ended")
    assert agent.submit(reverse("django_impersonation:ended"), to=reverse("django_impersonation:stop"))
    assert agent.who()["user"] == "None"
    assert ImpersonationSession.objects.get(pk=session.pk).end_reason == "impersonator_changed"


def backends() -> None:
    """One backend refuses by ``get_user``, another one gives and takes the permission."""
    prepare()
    boss, agent, bob = Visitor(make("boss")), Visitor(make("agent")), make("bob")
    agent.user.user_permissions.remove(Permission.objects.get(codename="impersonate_user"))
    enable(boss)
    session = start(agent, bob)
    is_tagged(agent, bob, session)
    parts.SupportBackend.agents.remove("agent")
    is_over(agent, session, "impersonator_changed")
    agent.open(admin_url("impersonate", bob.pk), 403)
    parts.SupportBackend.agents.add("agent")
    session = start(agent, bob)
    parts.RefusingBackend.refused.add("bob")
    is_over(agent, session, "user_changed")


def replica() -> None:
    """A replica that lags for ever and cannot be written. Our tables, and who is who, come from the writer."""
    prepare()
    replicate()
    boss, agent, bob = Visitor(make("boss")), Visitor(make("agent")), make("bob")
    replicate()
    assert User.objects.db == "replica"
    enable(boss)
    session = start(agent, bob)
    is_tagged(agent, bob, session)
    stop(agent, bob)
    session = start(agent, bob)
    revoke(boss, session)
    is_over(agent, session)
    assert Event.objects.count() == 7
    session = start(agent, bob)
    User.objects.using("default").filter(pk=bob.pk).update(is_active=False)
    assert User.objects.get(pk=bob.pk).is_active
    is_over(agent, session, "user_changed")
    User.objects.using("default").filter(pk=bob.pk).update(is_active=True)
    unrecorded(agent, bob)
    assert {m.objects.db for m in (Event, ImpersonationSession, AuthorizationCode, Configuration)} == {"default"}


def replicate() -> None:
    connections["replica"].close()
    shutil.copy(settings.DATABASES["default"]["NAME"], settings.REPLICA)


def unrecorded(agent: Visitor, user: Any) -> None:
    """A start whose event cannot be written did not happen: both go in one transaction, on the writer."""
    callback = agent.submit(admin_url("impersonate", user.pk), {"reason": "Ticket 4711"})
    trigger = "CREATE TRIGGER full BEFORE INSERT ON django_impersonation_event BEGIN SELECT RAISE(ABORT, 'full'); END"
    connections["default"].cursor().execute(trigger)
    before = ImpersonationSession.objects.count()
    assert agent.get(callback).status_code == 400
    assert ImpersonationSession.objects.count() == before


def found() -> None:
    """Only what the checks say: one line for each finding."""
    for message in checks.run_checks():
        sys.stdout.write(f"{message.id} {message.hint}\n")
