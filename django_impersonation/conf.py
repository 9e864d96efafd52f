from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

DEFAULT_POLICY = "django_impersonation.policy.contained"


class Settings:
    """Every setting under its full name: read when used, so that ``override_settings`` just works."""

    @property
    def IMPERSONATION_ENVIRONMENT(self) -> str:
        return str(getattr(settings, "IMPERSONATION_ENVIRONMENT", "production"))

    @property
    def IMPERSONATION_ENABLED(self) -> bool | None:
        """None: the switch in the admin decides. Anything that is no boolean counts as off."""
        enabled = getattr(settings, "IMPERSONATION_ENABLED", None)
        return None if enabled is None else enabled is True

    @property
    def IMPERSONATION_REASON_REQUIRED(self) -> bool:
        default = self.IMPERSONATION_ENVIRONMENT == "production"
        return bool(getattr(settings, "IMPERSONATION_REASON_REQUIRED", default))

    @property
    def IMPERSONATION_SESSION_LIFETIME(self) -> timedelta:
        """At most 60 minutes, whatever is set."""
        lifetime = _duration(getattr(settings, "IMPERSONATION_SESSION_LIFETIME", timedelta(minutes=60)))
        return min(lifetime, timedelta(minutes=60))

    @property
    def IMPERSONATION_CODE_LIFETIME(self) -> timedelta:
        """At most 10 minutes (RFC 6749 section 4.1.2), whatever is set."""
        lifetime = _duration(getattr(settings, "IMPERSONATION_CODE_LIFETIME", timedelta(seconds=60)))
        return min(lifetime, timedelta(minutes=10))

    @property
    def IMPERSONATION_LANDING_URL(self) -> str | None:
        return getattr(settings, "IMPERSONATION_LANDING_URL", None)

    @property
    def IMPERSONATION_RETURN_URL(self) -> str | None:
        return getattr(settings, "IMPERSONATION_RETURN_URL", None)

    @property
    def IMPERSONATION_ON_STOP(self) -> str:
        return str(getattr(settings, "IMPERSONATION_ON_STOP", "restore"))

    @property
    def IMPERSONATION_POLICY(self) -> Callable[..., Any]:
        """Raises ``ImportError`` for a path that leads nowhere."""
        return _function(getattr(settings, "IMPERSONATION_POLICY", DEFAULT_POLICY))

    @property
    def IMPERSONATION_ORGANIZATIONS(self) -> Callable[..., Any] | None:
        """None: users have no organizations. Raises ``ImportError`` for a path that leads nowhere."""
        path = getattr(settings, "IMPERSONATION_ORGANIZATIONS", None)
        return None if path is None else _function(path)

    @property
    def IMPERSONATION_BLOCKED_VIEWS(self) -> Sequence[str]:
        return tuple(getattr(settings, "IMPERSONATION_BLOCKED_VIEWS", ()))


def _duration(value: object) -> timedelta:
    """Seconds or a timedelta; what is neither lasts no time at all, and a check says so."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return timedelta(seconds=value)
    return timedelta(0)


def _function(path: object) -> Callable[..., Any]:
    if callable(path):
        return path
    function = import_string(str(path))
    if not callable(function):
        raise ImportError(f"{path} is not callable")
    return function  # type: ignore[no-any-return]


conf = Settings()
