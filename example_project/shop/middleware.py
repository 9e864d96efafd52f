from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class ContentSecurityPolicyMiddleware:
    """`default-src 'self'` on the shop's own pages (Django 6 has SECURE_CSP; 5.2 does not)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        # Django's own debug pages are made of inline scripts and styles.
        debug_page = settings.DEBUG and response.status_code in (404, 500)
        if not (debug_page or request.path.startswith("/admin/")):
            response.headers.setdefault("Content-Security-Policy", "default-src 'self'")
        return response
