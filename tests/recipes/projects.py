"""How each package's own documentation wants to be installed. The recipe comes on top of it.

Each function changes the settings of a plain project, and writes what a project of its kind has beside them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from environ import Env

from django_impersonation.keys import new_api_key, new_signing_key
from tests.recipes.book import write

Project = dict[str, Any]
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


def django_allauth(project: Project, folder: Path) -> None:
    project["INSTALLED_APPS"] += [
        "django.contrib.humanize",
        "allauth",
        "allauth.account",
        "allauth.socialaccount",
        "allauth.socialaccount.providers.dummy",
        "allauth.mfa",
        "allauth.usersessions",
    ]
    project["MIDDLEWARE"] += ["allauth.account.middleware.AccountMiddleware", "shop.sessions.OwnSessionsMiddleware"]
    project["AUTHENTICATION_BACKENDS"] = [MODEL_BACKEND, "allauth.account.auth_backends.AuthenticationBackend"]
    project |= {
        "ACCOUNT_LOGIN_BY_CODE_ENABLED": True,
        "MFA_SUPPORTED_TYPES": ["totp", "recovery_codes", "webauthn"],
        "MFA_TRUST_ENABLED": True,
        "USERSESSIONS_TRACK_ACTIVITY": True,
    }


def django_otp(project: Project, folder: Path) -> None:
    write(folder / "office" / "apps.py", OTP_ADMIN)
    project["INSTALLED_APPS"][0] = "office.apps.SecondFactorAdminConfig"
    project["INSTALLED_APPS"] += ["django_otp", "django_otp.plugins.otp_static"]
    project["MIDDLEWARE"] += ["django_otp.middleware.OTPMiddleware"]


OTP_ADMIN = """
from django.contrib.admin.apps import AdminConfig

class SecondFactorAdminConfig(AdminConfig):
    default_site = "django_otp.admin.OTPAdminSite"
"""


def django_axes(project: Project, folder: Path) -> None:
    project["INSTALLED_APPS"] += ["axes"]
    project["MIDDLEWARE"] += ["axes.middleware.AxesMiddleware"]
    project["AUTHENTICATION_BACKENDS"] = ["axes.backends.AxesStandaloneBackend", MODEL_BACKEND]
    project |= {
        "AXES_FAILURE_LIMIT": 1,
        "AXES_LOCKOUT_PARAMETERS": [["username", "ip_address"]],
        "AXES_ENABLE_ACCESS_FAILURE_LOG": True,
    }


def django_auditlog(project: Project, folder: Path) -> None:
    project["INSTALLED_APPS"] += ["auditlog"]
    project["MIDDLEWARE"] += ["shop.middleware.ImpersonatorAuditMiddleware"]


def django_simple_history(project: Project, folder: Path) -> None:
    write(folder / "shop" / "models.py", NOTES)
    project["INSTALLED_APPS"] += ["simple_history"]
    project["MIDDLEWARE"] += ["simple_history.middleware.HistoryRequestMiddleware"]


NOTES = """
from django.db import models
from simple_history.models import HistoricalRecords

class Note(models.Model):
    text = models.CharField(max_length=100)
    history = HistoricalRecords()
"""


def django_reversion(project: Project, folder: Path) -> None:
    write(folder / "shop" / "models.py", REVISED)
    project["INSTALLED_APPS"] += ["reversion"]
    project["MIDDLEWARE"] += ["reversion.middleware.RevisionMiddleware"]


REVISED = """
import reversion
from django.db import models

@reversion.register
class Note(models.Model):
    text = models.CharField(max_length=100)
"""


def django_pghistory(project: Project, folder: Path) -> None:
    write(folder / "shop" / "models.py", TRACKED)
    project["DATABASES"] = {"default": Env.db_url_config(os.environ["DATABASE_URL"])}
    project["INSTALLED_APPS"] += ["pgtrigger", "pghistory"]
    project["MIDDLEWARE"] += ["shop.middleware.BothHistoryMiddleware"]


TRACKED = """
import pghistory
from django.db import models

@pghistory.track()
class Note(models.Model):
    text = models.CharField(max_length=100)
"""


def structlog(project: Project, folder: Path) -> None:
    pass


def sentry_sdk(project: Project, folder: Path) -> None:
    os.environ["SENTRY_DSN"] = "https://key@sentry.invalid/1"


def opentelemetry_instrumentation_django(project: Project, folder: Path) -> None:
    pass


def celery(project: Project, folder: Path) -> None:
    write(folder / "shop" / "tasks.py", TASKS)


TASKS = """
from queue import Queue
from celery import Celery
from django_impersonation.attribution import labels

app = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=True)
app.conf.broker_transport_options = {"polling_interval": 0.01}
seen = Queue()

@app.task(bind=True, max_retries=1)
def look(self, then=""):
    carried = {name: self.request.get(name) for name in ("impersonator", "impersonation_id")}
    seen.put((carried, labels()))
    if then == "send":
        look.delay()
    elif then == "retry" and not self.request.retries:
        self.retry(countdown=0)
    elif then == "fail":
        raise ValueError("a task that fails")
"""


def channels(project: Project, folder: Path) -> None:
    write(folder / "shop" / "consumers.py", CONSUMER)
    write(folder / "shop" / "routing.py", ROUTING)
    project["INSTALLED_APPS"] += ["channels"]
    project["CHANNEL_LAYERS"] = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


CONSUMER = """
from channels.generic.websocket import AsyncJsonWebsocketConsumer

class Consumer(AsyncJsonWebsocketConsumer):
    left = []

    async def connect(self):
        await self.accept()
        await self.channel_layer.group_add("all", self.channel_name)

    async def receive_json(self, content):
        by = self.scope.get("impersonator")
        await self.send_json([str(self.scope["user"]), by and by.email])

    async def news(self, event):
        await self.send_json(event["text"])

    async def disconnect(self, code):
        self.left.append(code)
        await self.channel_layer.group_discard("all", self.channel_name)
"""
ROUTING = """
from django.urls import path
from shop.consumers import Consumer

websocket_urlpatterns = [path("ws/", Consumer.as_asgi())]
"""


def django_ninja(project: Project, folder: Path) -> None:
    write(folder / "shop" / "payments.py", PAYMENTS)
    _tokens(project)


PAYMENTS = """
from ninja import Router

router = Router()

@router.get("/transfer")
def look(request):
    return "who may"

@router.post("/transfer")
def transfer(request):
    return "done"

@router.api_operation(["GET", "POST"], "/balance")
def balance(request):
    return 42
"""


def django_unfold(project: Project, folder: Path) -> None:
    project["INSTALLED_APPS"][:0] = ["unfold", "django.contrib.staticfiles"]


def django_jazzmin(project: Project, folder: Path) -> None:
    project["INSTALLED_APPS"][:0] = ["jazzmin", "django.contrib.staticfiles"]


def djangorestframework_simplejwt(project: Project, folder: Path) -> None:
    project["SECRET_KEY"] = "long enough to sign its tokens with it"
    _tokens(project)


def lasting(project: Project, folder: Path) -> None:
    """No recipe: all that signs users in, at once."""
    project["SECRET_KEY"] = "long enough to sign the tokens of Simple JWT"
    project["TWO_FACTOR_WEBAUTHN_RP_NAME"] = "Shop"
    project["MIDDLEWARE"] += ["allauth.account.middleware.AccountMiddleware"]
    project["INSTALLED_APPS"] += [
        "rest_framework",
        "rest_framework.authtoken",
        "rest_framework_simplejwt.token_blacklist",
        "knox",
        "oauth2_provider",
        "allauth",
        "allauth.account",
        "allauth.socialaccount",
        "allauth.mfa",
        "allauth.idp.oidc",
        "social_django",
        "two_factor",
        "two_factor.plugins.phonenumber",
        "two_factor.plugins.webauthn",
        "django_otp",
        *(f"django_otp.plugins.otp_{kind}" for kind in ("totp", "hotp", "email", "static")),
    ]


def _tokens(project: Project) -> None:
    """With our API, for a front end on another host."""
    place = project["MIDDLEWARE"].index("django_impersonation.middleware.ImpersonationMiddleware") + 1
    project["MIDDLEWARE"].insert(place, "django_impersonation.api.middleware.ImpersonationTokenMiddleware")
    project["INSTALLED_APPS"] += ["rest_framework"]
    project |= {
        "IMPERSONATION_CLIENT_ID": "client_shop",
        "IMPERSONATION_API_KEY": new_api_key(),
        "IMPERSONATION_JWT_SIGNING_KEY": new_signing_key(),
        "IMPERSONATION_JWT_ISSUER": "https://shop.example.com",
        "IMPERSONATION_REDIRECT_URIS": ["https://app.example.com/callback"],
        "IMPERSONATION_SIGN_OUT_URIS": ["https://app.example.com"],
    }
