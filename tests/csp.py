"""Django's own Content-Security-Policy, new in 6.0, in a project of the tests."""

from __future__ import annotations

from typing import Any

SELF, NONCE = "'self'", "<CSP_NONCE_SENTINEL>"
SHOPS = "example_project.shop.middleware.ContentSecurityPolicyMiddleware"
DJANGOS = "django.middleware.csp.ContentSecurityPolicyMiddleware"


def enforce(settings: Any, policy: dict[str, list[str]]) -> None:
    """The project's policy by Django's middleware, in the place of the shop's own one."""
    settings.MIDDLEWARE = [DJANGOS if name == SHOPS else name for name in settings.MIDDLEWARE]
    assert DJANGOS in settings.MIDDLEWARE
    settings.SECURE_CSP = policy
    (engine,) = settings.TEMPLATES
    processors = [*engine["OPTIONS"]["context_processors"], "django.template.context_processors.csp"]
    settings.TEMPLATES = [engine | {"OPTIONS": engine["OPTIONS"] | {"context_processors": processors}}]
