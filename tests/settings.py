"""The example project, with a page for each thing that a test has to ask."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import gettempdir

from example_project.settings import *

ROOT_URLCONF = "tests.urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECRET_KEY = "tests"
DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
IMPERSONATION_ENABLED = True


if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, because the races need threads with connections of their own.
    DATABASES["default"]["TEST"] = {"NAME": Path(gettempdir()) / f"impersonation-{os.getpid()}.sqlite3"}
    DATABASES["default"]["OPTIONS"] = {"timeout": 30, "init_command": "PRAGMA synchronous=OFF"}
