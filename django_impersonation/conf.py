from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

DEFAULT_POLICY = "django_impersonation.policy.contained"
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)


class Settings:
    """Every setting under its full name: read when used, so that ``override_settings`` just works."""

    @property
    def IMPERSONATION_ENVIRONMENT(self) -> str:
        """Empty for what is no text: an environment without a name is off."""
        return _text("IMPERSONATION_ENVIRONMENT", "production")

    @property
    def IMPERSONATION_ENABLED(self) -> bool | None:
        """None: the switch in the admin decides. Anything that is no boolean counts as off."""
        if not self.IMPERSONATION_ENVIRONMENT:
            return False
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
    def IMPERSONATION_CALLBACK_URL(self) -> str | None:
        """None: our own callback, for browsers of this site. Else a registered address, for the API's client."""
        return getattr(settings, "IMPERSONATION_CALLBACK_URL", None)

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

    @property
    def IMPERSONATION_RECORD_ACTIVITY(self) -> bool:
        """Anything but False counts as on."""
        return getattr(settings, "IMPERSONATION_RECORD_ACTIVITY", True) is not False

    @property
    def IMPERSONATION_DEFAULT_ACCESS(self) -> str:
        """ "full" or "view_only". What is neither counts as the latter, and a check says so."""
        return "full" if getattr(settings, "IMPERSONATION_DEFAULT_ACCESS", "full") == "full" else "view_only"

    @property
    def IMPERSONATION_VIEW_ONLY(self) -> str:
        """ "enforce", or "observe", which only logs. What is neither counts as the former."""
        return "observe" if getattr(settings, "IMPERSONATION_VIEW_ONLY", "enforce") == "observe" else "enforce"

    @property
    def IMPERSONATION_VIEW_ONLY_VIEWS(self) -> Sequence[str]:
        return _texts("IMPERSONATION_VIEW_ONLY_VIEWS")

    @property
    def IMPERSONATION_VIEW_ONLY_TABLES(self) -> Sequence[str]:
        return _texts("IMPERSONATION_VIEW_ONLY_TABLES")

    @property
    def IMPERSONATION_CREDENTIALS(self) -> Sequence[str]:
        return _texts("IMPERSONATION_CREDENTIALS")

    @property
    def IMPERSONATION_REDACTED_FIELDS(self) -> Sequence[str]:
        return _texts("IMPERSONATION_REDACTED_FIELDS")

    @property
    def IMPERSONATION_CLIENT_ID(self) -> str:
        return _text("IMPERSONATION_CLIENT_ID")

    @property
    def IMPERSONATION_PUBLIC_CLIENT(self) -> bool:
        """May the client do without a secret (RFC 6749 section 2.1)? Then every code needs PKCE."""
        return getattr(settings, "IMPERSONATION_PUBLIC_CLIENT", False) is True

    @property
    def IMPERSONATION_API_KEY(self) -> str:
        """The client's secret, and the key to every endpoint."""
        return _text("IMPERSONATION_API_KEY")

    @property
    def IMPERSONATION_EVENTS_KEY(self) -> str:
        """A key to the events alone."""
        return _text("IMPERSONATION_EVENTS_KEY")

    @property
    def IMPERSONATION_JWT_SIGNING_KEY(self) -> Sequence[str]:
        """RSA private keys in PEM: the first signs, all are published. A line break may be written as ``\\n``."""
        pems = _text("IMPERSONATION_JWT_SIGNING_KEY") or "\n".join(_texts("IMPERSONATION_JWT_SIGNING_KEY"))
        return tuple(_PEM.findall(pems.replace("\\n", "\n")))

    @property
    def IMPERSONATION_JWT_ISSUER(self) -> str:
        return _text("IMPERSONATION_JWT_ISSUER")

    @property
    def IMPERSONATION_REDIRECT_URIS(self) -> Sequence[str]:
        return _texts("IMPERSONATION_REDIRECT_URIS")

    @property
    def IMPERSONATION_SIGN_OUT_URIS(self) -> Sequence[str]:
        """Where a client's logout may lead; the first is the default."""
        return _texts("IMPERSONATION_SIGN_OUT_URIS")

    @property
    def IMPERSONATION_INITIATE_LOGIN_URL(self) -> str | None:
        """The client's sign-in route. None: the code goes to the callback directly."""
        return getattr(settings, "IMPERSONATION_INITIATE_LOGIN_URL", None)


def _text(name: str, default: str = "") -> str:
    """What is no text is not set: ``str`` would make the key "None" of a variable that the environment lacks."""
    value = getattr(settings, name, default)
    return value if isinstance(value, str) else ""


def _texts(name: str) -> Sequence[str]:
    """What is no list is not set: a text would be taken for a list of its letters."""
    value = getattr(settings, name, ())
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list | tuple) else ()


def _duration(value: object) -> timedelta:
    """Seconds or a timedelta; what is neither lasts no time at all, and a check says so."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return timedelta(seconds=value)
        except (OverflowError, ValueError):
            return timedelta(0)
    return timedelta(0)


def _function(path: object) -> Callable[..., Any]:
    if callable(path):
        return path
    function = import_string(str(path))
    if not callable(function):
        raise ImportError(f"{path} is not callable")
    return function  # type: ignore[no-any-return]


conf = Settings()
