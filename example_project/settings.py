"""Settings of the example shop. Every value that one may want to change is read from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp

import environ
from django.core.management.utils import get_random_secret_key

from django_impersonation.keys import new_api_key, new_signing_key

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
if (BASE_DIR / ".env").is_file():
    env.read_env(BASE_DIR / ".env")


def stored_secret(name: str, make: Callable[[], str]) -> str:
    """The secret in this file, which is made on the first run and readable by its owner only."""
    path = BASE_DIR / name
    if not path.exists():
        # First whole, then under its name: another process may start at the same time.
        descriptor, temporary = mkstemp(dir=BASE_DIR, prefix=name)
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
        with suppress(FileExistsError):
            os.link(temporary, path)
        Path(temporary).unlink()
    return path.read_text()


DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = env.str("SECRET_KEY", default="") or stored_secret(".secret_key", get_random_secret_key)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "organizations",
    "example_project.shop",
    "django_impersonation",  # after django.contrib.admin: it adds "Impersonate" to the admin's users
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.shop.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_impersonation.middleware.ImpersonationMiddleware",  # directly after AuthenticationMiddleware
    "django_impersonation.api.middleware.ImpersonationTokenMiddleware",  # and this one after it, for the API
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
ASGI_APPLICATION = "example_project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")}
CACHES = {"default": env.cache_url("CACHE_URL", default="locmemcache://")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

SESSION_ENGINE = env.str("SESSION_ENGINE", default="django.contrib.sessions.backends.db")

AUTH_USER_MODEL = "shop.User"
AUTH_PASSWORD_VALIDATORS: list[dict[str, str]] = []  # every demo account's password is "demo"
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("fr", "Français"), ("es", "Español"), ("ar", "العربية")]
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"impersonation": {"()": "django_impersonation.logs.ImpersonationFilter"}},
    "formatters": {"console": {"format": "{message} {impersonator} {impersonation_id}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "filters": ["impersonation"], "formatter": "console"}},
    "loggers": {"django_impersonation": {"handlers": ["console"], "level": "INFO"}},
}

# django-organizations' own pages are not mounted; the admin's "View on site" leads to the shop instead.
ORGANIZATION_MODELS = ("organization", "organizationuser", "organizationinvitation")
ABSOLUTE_URL_OVERRIDES = {f"organizations.{model}": lambda row: "/" for model in ORGANIZATION_MODELS}

# django_impersonation: the shop tells it where organizations come from; for the rest its own defaults hold.
# Each setting below can be given in the environment under its own name; absent or empty means "default".
IMPERSONATION_ORGANIZATIONS = "django_impersonation.organizations.django_organizations"
IMPERSONATION_REDACTED_FIELDS = ["shop.User.card_number"]
# Its API, for a front end on another host. A real project has these keys in its environment only.
IMPERSONATION_CLIENT_ID = "client_demo"
IMPERSONATION_API_KEY = env.str("IMPERSONATION_API_KEY", default="") or stored_secret(".api_key", new_api_key)
IMPERSONATION_JWT_SIGNING_KEY = env.str("IMPERSONATION_JWT_SIGNING_KEY", default="") or stored_secret(
    ".jwt_signing_key", new_signing_key
)
IMPERSONATION_JWT_ISSUER = "http://127.0.0.1:8000"
IMPERSONATION_REDIRECT_URIS = ["http://localhost:3000/callback"]
IMPERSONATION_SIGN_OUT_URIS = ["http://localhost:3000"]

FROM_ENVIRONMENT = {
    "IMPERSONATION_ENVIRONMENT": env.str,
    "IMPERSONATION_ENABLED": env.bool,
    "IMPERSONATION_REASON_REQUIRED": env.bool,
    "IMPERSONATION_SESSION_LIFETIME": env.int,  # seconds
    "IMPERSONATION_CODE_LIFETIME": env.int,  # seconds
    "IMPERSONATION_CALLBACK_URL": env.str,
    "IMPERSONATION_LANDING_URL": env.str,
    "IMPERSONATION_RETURN_URL": env.str,
    "IMPERSONATION_ON_STOP": env.str,  # restore or sign_out
    "IMPERSONATION_POLICY": env.str,
    "IMPERSONATION_ORGANIZATIONS": env.str,
    "IMPERSONATION_BLOCKED_VIEWS": env.list,  # separated by commas
    "IMPERSONATION_RECORD_ACTIVITY": env.bool,
    "IMPERSONATION_DEFAULT_ACCESS": env.str,  # full or view_only
    "IMPERSONATION_VIEW_ONLY": env.str,  # enforce or observe
    "IMPERSONATION_VIEW_ONLY_VIEWS": env.list,
    "IMPERSONATION_VIEW_ONLY_TABLES": env.list,
    "IMPERSONATION_CREDENTIALS": env.list,
    "IMPERSONATION_REDACTED_FIELDS": env.list,
    "IMPERSONATION_CLIENT_ID": env.str,
    "IMPERSONATION_PUBLIC_CLIENT": env.bool,
    "IMPERSONATION_EVENTS_KEY": env.str,
    "IMPERSONATION_JWT_ISSUER": env.str,
    "IMPERSONATION_REDIRECT_URIS": env.list,
    "IMPERSONATION_SIGN_OUT_URIS": env.list,
    "IMPERSONATION_INITIATE_LOGIN_URL": env.str,
}
for name, read in FROM_ENVIRONMENT.items():
    if env.str(name, default=""):
        globals()[name] = read(name)
