"""What an admin in another dress must still offer."""

from __future__ import annotations

from django.urls import reverse

from django_impersonation.models import Configuration, ImpersonationSession
from tests.projects.stories import ENABLE, is_over, is_tagged, revoke, start, stop
from tests.projects.visitor import User, Visitor, admin_url, make

OUR_STYLE = 'href="/static/django_impersonation/admin.css"'


def every_page(theme: str) -> dict[str, str]:
    """The whole way through the admin, page by page; each is one of the theme's. Returns them for more questions."""
    boss, agent, bob = Visitor(make("boss")), Visitor(make("agent")), make("bob")
    bob.set_password("demo")
    bob.save()
    session = start(agent, bob)
    is_tagged(agent, bob, session)
    stop(agent, bob)
    pages = {
        "user": agent.open(admin_url("change", bob.pk)),
        "prompt": agent.open(admin_url("impersonate", bob.pk)),
        "refusal": agent.open(admin_url("impersonate", boss.user.pk), 403),
        "users": agent.open(admin_url("changelist")),
        "switch": boss.open(reverse(ENABLE)),
        "sessions": boss.open(admin_url("changelist", model=ImpersonationSession)),
        "session": boss.open(admin_url("change", session.pk, model=ImpersonationSession)),
    }
    assert [name for name, page in pages.items() if theme not in page] == []
    for name in ("user", "prompt", "refusal", "switch"):
        assert OUR_STYLE in pages[name], name
    assert "Impersonations of this user" in pages["user"]
    assert bob.password.split("$")[2] not in pages["user"]  # its salt: whoever may view a user sees no hash
    assert "Superusers cannot be impersonated." in pages["refusal"]
    assert "Ticket 4711" in pages["sessions"]
    assert "Ticket 4711" in pages["session"]
    actions(boss, agent, bob)
    return pages


def actions(boss: Visitor, agent: Visitor, bob: User) -> None:
    chosen = {"action": "impersonate_selected", "_selected_action": str(bob.pk)}
    assert agent.submit(admin_url("changelist"), chosen, status=302) == admin_url("impersonate", bob.pk)
    session = start(agent, bob)
    revoke(boss, session)
    is_over(agent, session)
    session = start(agent, bob)
    boss.submit(reverse(ENABLE), {"enable": "0"}, status=302)
    assert not Configuration.objects.enabled()
    is_over(agent, session, "disabled")
    boss.submit(reverse(ENABLE), {"enable": "1"}, status=302)
    is_tagged(agent, bob, start(agent, bob))
