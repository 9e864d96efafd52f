"""Environments of the processes that tests start."""

from __future__ import annotations

import os


def bare() -> dict[str, str]:
    """Nothing of this process's own, but what lets coverage measure another one too."""
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {"PATH": "", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"} | measured
