"""Announcements. What must be on record was written before one is sent.

The sender is ``ImpersonationSession``.
"""

from __future__ import annotations

from django.dispatch import Signal

# Arguments: request, impersonation. Sent after the commit and before the response, so that a receiver
# may fill ``request.session``, the user's new session. A receiver that raises ends the impersonation.
impersonation_started = Signal()

# Arguments: request (None outside of one), impersonation. Sent after the commit, once for each session. What a
# receiver raises is logged, here and below: it changes nothing.
impersonation_ended = Signal()

# Arguments: request, impersonator, user, code (the refusal's stable code).
impersonation_denied = Signal()
