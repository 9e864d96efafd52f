from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_impersonation import flows
from django_impersonation.conf import conf
from django_impersonation.exceptions import ImpersonationDenied
from django_impersonation.guards import sealed
from django_impersonation.lists import CalendarFilter, ReadOnlyAdmin
from django_impersonation.models import Activity, Configuration, Event, ImpersonationSession
from django_impersonation.useradmin import ImpersonationAdminMixin

__all__ = ["ImpersonationAdminMixin"]

# More requests than a person reads in a page.
SHOWN = 500


class StatusFilter(admin.SimpleListFilter):
    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return ImpersonationSession.Status.choices

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        narrow = {"active": "live", "expired": "expired", "revoked": "revoked"}.get(self.value() or "")
        return getattr(queryset, narrow)() if narrow else queryset


@admin.register(ImpersonationSession)
class ImpersonationSessionAdmin(ReadOnlyAdmin):
    actions = ["revoke"]
    change_form_template = "admin/django_impersonation/session_change_form.html"
    fields = (
        "id",
        ("status", "end_reason"),
        "reason",
        ("impersonator_label", "impersonator_email"),
        ("user_label", "user_email"),
        ("organization_name", "organization_id"),
        ("created_at", "ended_at", "expires_at"),
        ("ip_address", "user_agent"),
        ("view_only", "client_id"),
    )
    list_display = ("created_at", "impersonator_label", "user_label", "reason", "organization_name", "status")
    list_filter = (StatusFilter, "end_reason", ("created_at", CalendarFilter))
    lookups = (
        "status",
        "end_reason",
        "end_reason__exact",
        "created_at__gte",
        "created_at__lt",
        "user_pk",
        "impersonator_pk",
    )

    @admin.display(description=gettext_lazy("status"))
    def status(self, session: ImpersonationSession) -> str:
        return session.status_label

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        found = list(Activity.objects.filter(session=kwargs["obj"])[: SHOWN + 1])
        context |= {"activities": found[:SHOWN], "more_activities": len(found) > SHOWN}
        return super().render_change_form(request, context, *args, **kwargs)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        allowed = request.user.has_perm("django_impersonation.revoke_impersonationsession")
        return allowed and flows.current(request) is None

    @admin.action(description=gettext_lazy("Revoke selected sessions"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        live = list(queryset.live())
        flows.revoke(queryset, request=request)
        revoked = ImpersonationSession.objects.filter(pk__in=[session.pk for session in live], end_reason="revoked")
        for session in revoked:
            self.log_change(request, session, _("Revoked."))
        count = len(revoked)
        text = ngettext("%(count)d session was revoked.", "%(count)d sessions were revoked.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS if count else messages.WARNING)


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    fields = (
        "id",
        ("name", "position"),
        ("code", "count"),
        "reason",
        ("impersonator_label", "impersonator_email"),
        ("user_label", "user_email"),
        ("organization_name", "organization_id"),
        ("created_at", "environment"),
        "session",
    )
    list_display = ("created_at", "name", "code", "count", "impersonator_label", "user_label", "reason")
    list_filter = ("name", ("created_at", CalendarFilter))
    lookups = ("name", "name__exact", "created_at__gte", "created_at__lt", "user_pk", "impersonator_pk")
    search_keys = ("pk", "session")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # With the session: asked for by itself it would come from a replica, which may not have it yet.
        return super().get_queryset(request).select_related("session")


@admin.register(Configuration)
class ConfigurationAdmin(ReadOnlyAdmin):
    """One page: the switch of this environment."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) or _may_configure(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return super().has_module_permission(request) or _may_configure(request)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="django_impersonation_configuration_changelist")]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._switch(request)
        row = Configuration.objects.filter(environment=conf.IMPERSONATION_ENVIRONMENT).first()
        context = {
            **self.admin_site.each_context(request),
            "title": _("Configuration"),
            "opts": self.opts,
            "environment": conf.IMPERSONATION_ENVIRONMENT,
            "enabled": Configuration.objects.enabled(),
            "fixed": conf.IMPERSONATION_ENABLED is not None,
            "changed_at": row and row.changed_at,
            "changed_by": row and row.changed_by,
            "live_sessions": ImpersonationSession.objects.live().count(),
            "can_configure": _may_configure(request),
        }
        request.current_app = self.admin_site.name
        template = "admin/django_impersonation/configuration.html"
        return sealed(TemplateResponse(request, template, context), admin=True)

    def _switch(self, request: HttpRequest) -> HttpResponse:
        wanted = request.POST.get("enable")
        if not _may_configure(request):
            raise PermissionDenied
        if wanted not in ("0", "1"):
            self.message_user(request, _("Nothing was changed."), messages.ERROR)
        else:
            try:
                changed = flows.switch(wanted == "1", by=request.user)
            except ImpersonationDenied as refusal:
                self.message_user(request, str(refusal), messages.ERROR)
            else:
                text = _("Impersonation is on now.") if wanted == "1" else _("Impersonation is off now.")
                self.message_user(request, text, messages.SUCCESS)
                if changed:
                    self.log_change(request, Configuration.objects.current(), text)
        return HttpResponseRedirect(request.path)


def _may_configure(request: HttpRequest) -> bool:
    # Not for an impersonator either: the record would name the wrong person.
    return request.user.has_perm("django_impersonation.configure_impersonation") and flows.current(request) is None
