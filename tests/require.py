"""What a test needs of the machine, and whether it may be missing."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(reason: str) -> NoReturn:
    """CI must have everything; elsewhere a test may be skipped, and says why."""
    if os.environ.get("DJANGO_IMPERSONATION_REQUIRE") == "all":
        pytest.fail(reason)
    pytest.skip(reason)
