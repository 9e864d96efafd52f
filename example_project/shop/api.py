from __future__ import annotations

from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_impersonation import flows
from django_impersonation.api.authentication import ImpersonationAuthentication
from django_impersonation.models import Impersonator
from example_project.shop.models import User
from example_project.shop.views import current_organization


class SignedInRequest(Request):
    """What `Me` receives behind `IsAuthenticated`."""

    user: User
    impersonator: Impersonator | None


class Me(APIView):
    """Who is signed in, in which organization, and who is really behind it."""

    authentication_classes = (ImpersonationAuthentication, SessionAuthentication)
    permission_classes = (IsAuthenticated,)
    renderer_classes = (JSONRenderer,)

    def get(self, request: SignedInRequest) -> Response:
        user = request.user
        organization = current_organization(request)
        impersonator = request.impersonator if flows.current(request) else None
        return Response(
            {
                "user": {"id": str(user.pk), "email": user.email, "name": user.name},
                "organization": organization and {"id": str(organization.pk), "name": organization.name},
                "impersonator": impersonator and {"email": impersonator.email, "reason": impersonator.reason},
            }
        )
