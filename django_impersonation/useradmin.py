from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_user_model
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_impersonation import flows
from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.forms import ImpersonateForm
from django_impersonation.guards import page, sealed
from django_impersonation.models import Configuration, ImpersonationSession
from django_impersonation.policy import PERMISSION, REASON_LENGTH

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class ImpersonationAdminMixin(ModelAdmin):
    """For the admin class of users: the action, the button, the prompt, and who signed in as the user.

    The default site's user admin gets it by itself; other sites put it before their own base class.
    """

    def __init__(self, model: type[Any], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        if self.actions is not None:  # None: the project shows no actions
            self.actions = [*self.actions, "impersonate_selected"]

    def has_impersonate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """May this request impersonate at all, or ``obj`` in particular? For a project's own conditions."""
        return self.has_view_permission(request, obj) and request.user.has_perm(PERMISSION)

    def has_start_impersonation_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Is impersonation on as well? Only then are the action and the button offered."""
        return _offered(request) and self.has_impersonate_permission(request, obj)

    @admin.action(description=gettext_lazy("Impersonate selected user"), permissions=["start_impersonation"])
    def impersonate_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        chosen = list(queryset[:2])
        if len(chosen) == 1:
            return HttpResponseRedirect(self._url("impersonate", chosen[0]))
        self.message_user(request, _("Select exactly one user to impersonate."), messages.ERROR)
        return None

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_impersonate"
        view = self.admin_site.admin_view(self.impersonate_view)
        return [path("<path:object_id>/impersonate/", view, name=name), *super().get_urls()]

    def impersonate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The prompt: why, and in which organization."""
        user = self.get_object(request, unquote(object_id))
        if not self.has_impersonate_permission(request, user):
            refusal = ImpersonationDenied(_("You do not have permission to impersonate users."), "no_permission")
            if request.method == "POST":
                flows.deny(request, user=user, refusal=refusal)
            return page(request, "refused", 403, title=_("Impersonation was not started"), explanation=str(refusal))
        if user is None:
            self.message_user(request, _("This user does not exist."), messages.WARNING)
            return HttpResponseRedirect(reverse(f"{self.admin_site.name}:index"))
        try:
            # Before the form: what is wrong with a reason does not matter to those who may not.
            flows.check(request, user=user)
            data = request.POST if request.method == "POST" else None
            prefilled = {"reason": request.GET.get("reason", "")[:REASON_LENGTH]}
            form = ImpersonateForm(data, user=user, impersonator=request.user, initial=prefilled)
        except ImpersonationDenied as denial:
            if request.method == "POST":
                flows.deny(request, user=user, refusal=denial)
            return self._prompt(request, user, denial=denial)
        return self._authorize(request, user, form) if form.is_valid() else self._prompt(request, user, form=form)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().render_change_form(request, context, *args, **kwargs)
        user = kwargs.get("obj")
        if user is None or not isinstance(response, TemplateResponse) or response.context_data is None:
            return response
        response.context_data |= {
            "impersonation_parent": response.resolve_template(response.template_name),
            "impersonate_url": self._url("impersonate", user) if self._may_start(request, user) else None,
            **self._history(request, user),
        }
        response.template_name = "admin/django_impersonation/user_change_form.html"
        return response

    def _may_start(self, request: HttpRequest, user: Any) -> bool:
        """Show the button only where the prompt would not refuse."""
        if not self.has_start_impersonation_permission(request, user):
            return False
        try:
            flows.check(request, user=user)
        except ImpersonationDenied:
            return False
        return True

    def _authorize(self, request: HttpRequest, user: Any, form: ImpersonateForm) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        outcome = flows.authorize(
            request,
            user=user,
            reason=reason,
            organization=form.cleaned_data.get("organization"),
            return_url=self._url("change", user),
            view_only=form.view_only,
        )
        if isinstance(outcome, ImpersonationDenied):
            return self._prompt(request, user, denial=outcome)
        self.log_change(request, user, _("Impersonation requested. Reason: %(reason)s") % {"reason": reason or "-"})
        return outcome

    def _prompt(
        self,
        request: HttpRequest,
        user: Any,
        *,
        form: ImpersonateForm | None = None,
        denial: ImpersonationDenied | None = None,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Impersonate %(user)s") % {"user": user},
            "opts": self.opts,
            "original": user,
            "form": form,
            "denial": "" if denial is None else str(denial),
            "session_minutes": ceil(conf.IMPERSONATION_SESSION_LIFETIME / timedelta(minutes=1)),
        }
        request.current_app = self.admin_site.name
        template = "admin/django_impersonation/impersonate.html"
        response = TemplateResponse(request, template, context, status=200 if denial is None else 403)
        return sealed(response, admin=True)

    def _history(self, request: HttpRequest, user: Any) -> dict[str, Any]:
        """The last sessions as this user, for those who may see sessions."""
        if not request.user.has_perm("django_impersonation.view_impersonationsession"):
            return {"impersonation_history": None, "impersonation_history_url": None}
        # By the key as text as well: with it the index holds them in their order.
        history = list(ImpersonationSession.objects.filter(user=user.pk, user_pk=str(user.pk))[:10])
        listed = self.admin_site.is_registered(ImpersonationSession)
        base = f"{self.admin_site.name}:django_impersonation_impersonationsession"
        for session in history:
            session.admin_url = reverse(f"{base}_change", args=[session.pk]) if listed else None
        url = f"{reverse(f'{base}_changelist')}?{urlencode({'user_pk': user.pk})}" if listed else None
        return {"impersonation_history": history, "impersonation_history_url": url}

    def _url(self, name: str, user: Any) -> str:
        view = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{name}"
        return reverse(view, args=[quote(user.pk)])


def _offered(request: Any) -> bool:
    """Is impersonation on, and is this request nobody's impersonation? One query a request, none a row."""
    if not hasattr(request, "_impersonation_offered"):
        request._impersonation_offered = (
            getattr(request, "impersonation", None) is None and Configuration.objects.enabled()
        )
    return bool(request._impersonation_offered)


def extend(site: admin.AdminSite) -> None:
    """Give the mixin to the user admins that a site has registered, proxies of the user model included."""
    for model in user_models():
        if site.is_registered(model) and not isinstance(site.get_model_admin(model), ImpersonationAdminMixin):
            registered = type(site.get_model_admin(model))
            namespace = {"__module__": registered.__module__}
            site.unregister(model)
            site.register(model, type(registered.__name__, (ImpersonationAdminMixin, registered), namespace))


def user_models() -> list[type[Model]]:
    """The user model and its proxies."""
    return [m for m in apps.get_models() if m._meta.concrete_model is get_user_model()._meta.concrete_model]
