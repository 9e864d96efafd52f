from __future__ import annotations

from typing import NamedTuple


class Impersonator(NamedTuple):
    """``request.impersonator``: who is really acting, and why."""

    email: str
    reason: str
