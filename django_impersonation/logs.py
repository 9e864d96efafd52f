from __future__ import annotations

import logging

from django_impersonation.context import acting_session, session_behind


class ImpersonationFilter(logging.Filter):
    """Gives log records ``impersonator`` (an e-mail address) and ``impersonation_id``: "" where there is none.

    It belongs on a handler: those of a logger do not see the records of the loggers below it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        # Django says some things of a request (that it was not found) when it is over, and names it then.
        session = acting_session() or session_behind(getattr(record, "request", None))
        record.impersonator = "" if session is None else session.impersonator_email
        record.impersonation_id = "" if session is None else session.pk
        return True
