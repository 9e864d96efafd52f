from __future__ import annotations

import logging
from typing import Any

from django import template
from django.middleware.csrf import get_token
from django.template.context import Context
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from django_impersonation import flows, redaction
from django_impersonation.records import utc

register = template.Library()
logger = logging.getLogger("django_impersonation")


@register.simple_tag(takes_context=True)
def staff_bar(context: Context, *, side: str = "bottom") -> SafeString | str:
    """The bar of an impersonated page, at its "bottom" or "top"; nothing on any other page.

    A bar that cannot be rendered never breaks the page: the error is logged, and the request stays tagged.
    """
    request = context.get("request")
    impersonation = flows.current(request)
    if request is None or impersonation is None:
        return ""
    # The page must not be stored and served to others. Private, and the only thing that keeps cache_page from it.
    request._cache_update_cache = False
    nonce = context.get("csp_nonce")
    try:
        return render_to_string(
            "django_impersonation/staff_bar.html",
            {
                "impersonation": impersonation,
                "expires": str(int(utc(impersonation.expires_at).timestamp())),
                "side": "top" if side == "top" else "bottom",
                "nonce": getattr(request, "csp_nonce", None) if nonce is None else nonce,
                "csrf_token": get_token(request),
                "stop_url": reverse("django_impersonation:stop"),
            },
        )
    except Exception:
        logger.exception("the staff bar could not be rendered")
        return ""


@register.filter
def redact(value: Any, request: Any) -> Any:
    """``{{ user.card_number|redact:request }}``: the value, or dots for an impersonator.

    A request that the middleware has not seen gets dots too: nobody can tell who looks.
    """
    return redaction.redact(value, request)


@register.simple_tag(takes_context=True)
def redacted(context: Context, instance: Any, name: str) -> Any:
    """``{% redacted user "card_number" %}``: dots for an impersonator if the settings name it, else the value."""
    hidden = name in redaction.redacted_fields(type(instance)) and redaction.hides(context.get("request"))
    return redaction.REDACTED if hidden else getattr(instance, name)
