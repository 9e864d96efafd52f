from __future__ import annotations

from django.core.exceptions import PermissionDenied


class ImpersonationError(Exception):
    """An impersonation that may not go on: ``str()`` is a sentence for people, ``code`` is for programs."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code

    def __str__(self) -> str:
        return str(self.message)


class ImpersonationDenied(ImpersonationError):
    """The policy says no. A policy function raises it to refuse with a sentence of its own."""


class WriteRefused(ImpersonationDenied, PermissionDenied):
    """Something that an impersonator must not write; where nobody catches it, the answer is 403."""


class InvalidGrant(ImpersonationError):
    """The authorization code is unknown, used, expired or not for this browser (RFC 6749 section 5.2)."""
