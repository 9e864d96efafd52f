"""Who is really acting, for code that has no request: signals of other packages, tasks, the admin's log.

Can be imported by settings. What a context cannot reach, this cannot either: threads that the project starts by
itself, and other services.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.utils.translation import gettext as _

from django_impersonation.context import acting, acting_session, running

if TYPE_CHECKING:
    from django_impersonation.models import ImpersonationSession


def current_impersonation() -> ImpersonationSession | None:
    """The impersonation that the running code acts under, or None; also within ``sync_to_async`` and async tasks.

    As ``flows.current`` says of the request: None as soon as somebody else is its user.
    """
    session: ImpersonationSession | None = acting_session()
    return session


def labels() -> dict[str, str]:
    """Both names for another package's record, or for the headers of a task; {} where nobody is impersonated."""
    session = current_impersonation()
    return {} if session is None else {"impersonator": session.impersonator_email, "impersonation_id": session.pk}


@contextmanager
def attributed_to(session_id: str | None) -> Iterator[None]:
    """For the worker: what runs inside belongs to the session that the task's headers name, over or not.

    Nothing changes without an id, with one that nobody knows, and where somebody is impersonated already: a task
    that runs within a request stays within its limits. Costs one query.
    """
    found = None
    if session_id and current_impersonation() is None:
        found = apps.get_model("django_impersonation", "ImpersonationSession").objects.filter(pk=session_id).first()
    with acting(running() if found is None else found):
        yield


def task_is_sent(headers: dict[str, Any], **kwargs: Any) -> None:
    """For Celery's signal ``before_task_publish``."""
    headers |= labels()


def task_begins(task: Any, **kwargs: Any) -> None:
    """For Celery's signal ``task_prerun``."""
    task.request.attribution = attributed_to(task.request.get("impersonation_id"))
    task.request.attribution.__enter__()


def task_ends(task: Any, **kwargs: Any) -> None:
    """For Celery's signal ``task_postrun``: later than the task's own end, which sends those that follow it."""
    attribution = task.request.get("attribution")
    if attribution is not None:
        attribution.__exit__(None, None, None)


def sign_log_entry(sender: Any, instance: Any, **kwargs: Any) -> None:
    """A new entry of the admin's log is the user's by its key, and the impersonator's by its text.

    When it is made, and not when it is saved: the admin writes several at once, without a signal.
    """
    session = current_impersonation() if instance.pk is None else None
    if session is not None:
        signature = _("Impersonated by %(impersonator)s (%(session)s).")
        signed = signature % {"impersonator": session.impersonator_email, "session": session.pk}
        instance.change_message = f"{instance.get_change_message()} {signed}".strip()
