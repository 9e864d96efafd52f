from __future__ import annotations

from django.apps import AppConfig, apps
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.checks import Tags, register
from django.utils.translation import gettext_lazy as _


class ImpersonationConfig(AppConfig):
    name = "django_impersonation"
    verbose_name = _("Impersonation")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Models and the admin can be imported from here on, not before.
        from django_impersonation import accesschecks, checks, limits, resolution

        checks.register_all()
        register(accesschecks.check_access, Tags.security)
        register(accesschecks.check_surface, Tags.security, deploy=True)
        limits.connect()
        user_logged_in.connect(resolution.on_login, dispatch_uid="django_impersonation.on_login")
        user_logged_out.connect(resolution.on_logout, dispatch_uid="django_impersonation.on_logout")
        if apps.is_installed("django.contrib.admin"):
            from django.contrib.admin import site
            from django.contrib.admin.models import LogEntry
            from django.db.models.signals import post_init

            from django_impersonation.attribution import sign_log_entry
            from django_impersonation.useradmin import extend

            extend(site)
            post_init.connect(sign_log_entry, LogEntry, dispatch_uid="django_impersonation.sign_log_entry")
