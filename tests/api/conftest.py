from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import CALLBACK, ApiClient


@pytest.fixture
def direct(settings: Any) -> None:
    """The prompt sends the code to the client's callback."""
    settings.IMPERSONATION_REDIRECT_URIS = [CALLBACK]
    settings.IMPERSONATION_CALLBACK_URL = CALLBACK


@pytest.fixture
def signin(direct: None, settings: Any) -> None:
    """The prompt sends the browser to the client's sign-in route."""
    settings.IMPERSONATION_INITIATE_LOGIN_URL = "https://app.example.com/sign-in"


@pytest.fixture
def api() -> ApiClient:
    return ApiClient()
