"""The example project as a server has it, on PostgreSQL."""

from __future__ import annotations

from example_project.settings import *

DEBUG = False
ALLOWED_HOSTS = ["testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SERVER = env.str("PG_URL", default="") or "postgres://postgres@127.0.0.1:5432/django_impersonation"
DATABASES = {"default": env.db_url_config(SERVER)}
# Made by the benchmark, beside the one of the tests, and dropped by it.
DATABASES["default"]["TEST"] = {"NAME": f"{DATABASES['default']['NAME']}_load"}
IMPERSONATION_ENABLED = True
IMPERSONATION_ENVIRONMENT = "production"
# Without it the API asks the record for the name of an organization.
IMPERSONATION_ORGANIZATIONS = None
