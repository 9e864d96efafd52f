from __future__ import annotations

from typing import Any

import pytest

from tests.people import ENGINES, Browser, clear_caches, make_people


@pytest.fixture
def people(db: None) -> Any:
    return make_people()


@pytest.fixture
def sasha(people: Any) -> Browser:
    """The browser of the support agent, signed in to the admin."""
    return Browser(people.sasha)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, settings: Any, tmp_path: Any) -> str:
    """Each of Django's session engines in turn."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    clear_caches()
    return str(request.param)
