from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST
from organizations.models import Organization

from django_impersonation import flows
from django_impersonation.guards import forbid_impersonation
from django_impersonation.organizations import allows
from example_project.shop.forms import ProfileForm
from example_project.shop.models import User


class SignedInRequest(HttpRequest):
    """What a view behind `login_required` receives."""

    user: User


def open_organizations(request: HttpRequest) -> list[Organization]:
    """The user's organizations, by name; for an impersonator only the one he chose."""
    if not request.user.is_authenticated:
        return []
    mine = Organization.active.filter(users=request.user).order_by("name")
    return [organization for organization in mine if allows(request, organization.pk)]


def current_organization(request: HttpRequest) -> Organization | None:
    """The impersonator's choice, else the one switched to, else the first."""
    mine = open_organizations(request)
    if not mine:
        return None
    impersonation = flows.current(request)
    wanted = impersonation.organization_id if impersonation else request.session.get("organization_id")
    return next((one for one in mine if str(one.pk) == wanted), mine[0])


def home(request: HttpRequest) -> HttpResponse:
    context = {"organization": current_organization(request), "organizations": open_organizations(request)}
    return render(request, "shop/home.html", context)


@require_POST
@login_required
def switch_organization(request: SignedInRequest) -> HttpResponse:
    wanted = request.POST.get("organization")
    for organization in open_organizations(request):
        if str(organization.pk) == wanted:
            request.session["organization_id"] = wanted
            return redirect("home")
    raise PermissionDenied


@login_required
def profile(request: SignedInRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=request.user)
    if form.is_valid():
        form.save()
        messages.success(request, "Your profile was saved.")
        return redirect("profile")
    return render(request, "shop/profile.html", {"form": form})


@login_required
@forbid_impersonation
def billing(request: SignedInRequest) -> HttpResponse:
    """Too private for anybody but the customer: an impersonator gets a refusal and a *Stop* button."""
    return render(request, "shop/billing.html")
