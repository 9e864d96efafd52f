"""What `startproject` has made, and the app of one contestant."""

from __future__ import annotations

import os

from mysite.settings import *

from benchmarks.contestants import CONTESTANTS

CONTESTANT = CONTESTANTS[os.environ["BENCHMARK_CONTESTANT"]]
DEBUG = False
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "benchmarks.urls"
INSTALLED_APPS += CONTESTANT.apps
if CONTESTANT.middleware:
    behind = CONTESTANT.middleware_behind or MIDDLEWARE[-1]
    MIDDLEWARE.insert(MIDDLEWARE.index(behind) + 1, CONTESTANT.middleware)
TEMPLATES[0]["OPTIONS"]["context_processors"] += CONTESTANT.context_processors
DATABASES["default"] |= {
    "NAME": BASE_DIR / f"{os.environ['BENCHMARK_CONTESTANT']}.sqlite3",
    # To open the file costs everybody the same, and would make all differences look smaller.
    "CONN_MAX_AGE": None,
}
# A sign-in without the time that the hash of a password takes on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
globals().update(CONTESTANT.settings)
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"
