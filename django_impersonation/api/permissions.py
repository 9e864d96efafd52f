from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from django_impersonation import flows, guards


class ForbidImpersonation(BasePermission):
    """Refuses a view to impersonators, signed in by cookie or by token."""

    forbids_impersonation = True
    message = _("This page is not available while you are impersonating a user.")
    code = "impersonation_forbidden"

    def has_permission(self, request: Request, view: APIView) -> bool:
        impersonation = flows.current(request)
        if impersonation is None:
            return True
        # DRF rolls the view's transaction back: the middleware writes the record, after it.
        guards.note_refusal(request._request, impersonation)
        return False
