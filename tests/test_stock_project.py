"""What the README promises: a new project, three lines of text, and support staff can sign in as a user."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README, API = (ROOT / "README.md").read_text(), (ROOT / "docs" / "api.md").read_text()
DJANGOS = '    "django.contrib.auth.middleware.AuthenticationMiddleware",\n'
OURS = '    "django_impersonation.middleware.ImpersonationMiddleware",\n'
TOKENS = '    "django_impersonation.api.middleware.ImpersonationTokenMiddleware",\n'

STORY = '''
from django.contrib.auth import get_user_model
from django.test import Client
from django_impersonation.models import Event, ImpersonationSession

bob = get_user_model().objects.create_user("bob", password="demo")
admin = Client(enforce_csrf_checks=True)

def send(page, **data):
    assert admin.get(page).status_code == 200, page
    token = admin.cookies["csrftoken"].value
    return admin.post(page, data | {"csrfmiddlewaretoken": token})

def who():
    """Whoever the admin's index greets, or the status of the refusal."""
    response = admin.get("/admin/")
    return response.context["user"].get_username() if response.status_code == 200 else response.status_code

assert send("/admin/login/", username="ada", password="demo").status_code == 302
assert who() == "ada"
change = f"/admin/auth/user/{bob.pk}/change/"
prompt = f"/admin/auth/user/{bob.pk}/impersonate/"
assert f'href="{prompt}"' in admin.get(change).content.decode()
response = send(prompt, reason="Ticket 4711")
assert response.status_code == 303, response.content.decode()
response = admin.get(response["Location"])
assert (response.status_code, response["Location"]) == (303, "/")
response = admin.get("/")
assert response.wsgi_request.user == bob
assert response.wsgi_request.impersonator == ("ada@example.com", "Ticket 4711")
assert who() == 403
response = admin.post("/impersonation/stop/")
assert response.status_code == 403 and "csrfmiddlewaretoken" in response.content.decode()
token = admin.cookies["csrftoken"].value
response = admin.post("/impersonation/stop/", {"csrfmiddlewaretoken": token})
assert (response.status_code, response["Location"]) == (303, change)
assert who() == "ada"
assert ImpersonationSession.objects.get().end_reason == "stopped"
assert list(Event.objects.order_by("position").values_list("name", flat=True)) == [
    "impersonation.enabled",
    "impersonation.requested",
    "session.created",
    "impersonation.denied",
    "session.revoked",
]
'''


API_STORY = '''
import json
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from django_impersonation.api.verification import verify

users = get_user_model().objects
ada = users.create_superuser("ada", "ada@example.com", "demo")
bob = users.create_user("bob", "bob@example.com", "demo")
admin, app = Client(), Client()
admin.force_login(ada)
sent = admin.post(f"/admin/auth/user/{bob.pk}/impersonate/", {"reason": "Ticket 4711"})["Location"]
callback, _, code = sent.partition("?code=")
assert callback == "https://app.example.com/callback"
body = {"grant_type": "authorization_code", "client_id": "client_shop", "code": code}
body["client_secret"] = settings.IMPERSONATION_API_KEY
answer = app.post("/user_management/authenticate", body, content_type="application/json").json()
assert answer["user"]["id"] == str(bob.pk)
assert answer["impersonator"] == {"email": "ada@example.com", "reason": "Ticket 4711"}

class Keys:
    """The public keys, as a service on another host gets them."""

    def get_signing_key_from_jwt(self, token):
        import jwt
        (published,) = jwt.PyJWKSet.from_json(json.dumps(app.get("/sso/jwks/client_shop").json())).keys
        return published

KEYS = Keys()
WHO
assert who(answer["access_token"]) == (str(bob.pk), None, "ada@example.com")
'''


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., str]:
    """Runs Python in a folder of its own, where nothing of our settings is known."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "IMPERSONATION"))}
    clean |= {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*args: str, code: int = 0, **environment: str) -> str:
        command = [sys.executable, "-W", "error", *args]
        done = subprocess.run(
            command, cwd=tmp_path, env=clean | environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + (done.stderr if code else "")

    return run


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    # Django's templates quote in one way or the other.
    old, new = (part.replace('"', "'") if old not in text else part for part in (old, new))
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))


def test_three_lines_are_enough(python: Callable[..., str], tmp_path: Path) -> None:
    python("-m", "django", "startproject", "mysite", ".")
    settings, urls = tmp_path / "mysite" / "settings.py", tmp_path / "mysite" / "urls.py"
    last_app = '    "django.contrib.staticfiles",\n'
    edit(settings, last_app, last_app + '    "django_impersonation",\n')
    edit(settings, DJANGOS, DJANGOS + OURS)
    edit(urls, "from django.urls import path", "from django.urls import include, path")
    admin = '    path("admin/", admin.site.urls),\n'
    edit(urls, admin, admin + '    path("impersonation/", include("django_impersonation.urls")),\n')
    checked = python("manage.py", "check", "--fail-level", "WARNING")
    assert checked == "System check identified no issues (0 silenced).\n"
    assert python("manage.py", "makemigrations", "--check", "--dry-run") == "No changes detected\n"
    python("manage.py", "migrate", "--verbosity", "0")
    user = {"DJANGO_SUPERUSER_USERNAME": "ada", "DJANGO_SUPERUSER_EMAIL": "ada@example.com"}
    python("manage.py", "createsuperuser", "--noinput", **user, DJANGO_SUPERUSER_PASSWORD="demo")
    assert "off" in python("manage.py", "impersonation", "status")
    python("manage.py", "impersonation", "enable")
    (tmp_path / "story.py").write_text(
        "import django\nfrom django.test.utils import setup_test_environment\n"
        "django.setup()\nsetup_test_environment()\n" + STORY
    )
    python("story.py", DJANGO_SETTINGS_MODULE="mysite.settings", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    told = block(README, "… test your views with it", "python")
    (tmp_path / "tests.py").write_text(told.replace("/billing/", "/admin/"))
    python("manage.py", "test", "--verbosity", "0")
    (tmp_path / "tests.py").write_text(told.replace("/billing/", "/"))
    python("manage.py", "test", "--verbosity", "0", code=1)


def block(page: str, heading: str, language: str) -> str:
    """The first block of code in this language below a heading."""
    return page.split(f"# {heading}\n")[1].split(f"```{language}\n")[1].split("```")[0]


def test_the_how_to_of_the_api_is_enough(python: Callable[..., str], tmp_path: Path) -> None:
    python("-m", "django", "startproject", "mysite", ".")
    settings, urls = tmp_path / "mysite" / "settings.py", tmp_path / "mysite" / "urls.py"
    last_app = '    "django.contrib.staticfiles",\n'
    edit(settings, last_app, last_app + '    "django_impersonation",\n')
    edit(settings, DJANGOS, DJANGOS + OURS + TOKENS)
    how_to = block(API, "Sign in to a front end on another host", "python")
    assert (OURS + TOKENS) in how_to
    assigned = "".join(line for line in how_to.splitlines(keepends=True) if line.startswith("IMPERSONATION_"))
    settings.write_text(f"import os\n{settings.read_text()}\n{assigned}")
    edit(urls, "from django.urls import path", "from django.urls import include, path")
    admin, ours = '    path("admin/", admin.site.urls),\n', '    path("", include("django_impersonation.api.urls")),\n'
    assert ours in API
    edit(urls, admin, admin + '    path("impersonation/", include("django_impersonation.urls")),\n' + ours)
    keys = {
        "IMPERSONATION_JWT_SIGNING_KEY": python("manage.py", "impersonation", "newkey").strip(),
        "IMPERSONATION_API_KEY": python("manage.py", "impersonation", "newkey", "--api").strip(),
    }
    checked = python("manage.py", "check", "--fail-level", "WARNING", **keys)
    assert checked == "System check identified no issues (0 silenced).\n"
    python("manage.py", "migrate", "--verbosity", "0", **keys)
    python("manage.py", "impersonation", "enable", **keys)
    told = block(API, "Verify a token in a service without this database", "python")
    (tmp_path / "story.py").write_text(
        "import django\nfrom django.test.utils import setup_test_environment\n"
        "django.setup()\nsetup_test_environment()\n" + API_STORY.replace("WHO\n", told[told.index("def who") :])
    )
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    python("story.py", DJANGO_SETTINGS_MODULE="mysite.settings", PYTHONPATH=path, **keys)


@pytest.mark.parametrize(
    ("forgotten", "finding"),
    [
        ("middleware", f"(django_impersonation.E001) {OURS.strip()[:-1]}"),
        ("urls", '(django_impersonation.E014) path("impersonation/", include("django_impersonation.urls"))'),
    ],
)
def test_a_forgotten_line_is_named(python: Callable[..., str], tmp_path: Path, forgotten: str, finding: str) -> None:
    python("-m", "django", "startproject", "mysite", ".")
    settings, urls = tmp_path / "mysite" / "settings.py", tmp_path / "mysite" / "urls.py"
    text = settings.read_text() + 'INSTALLED_APPS += ["django_impersonation"]\n'
    if forgotten == "urls":
        settings.write_text(text + f"MIDDLEWARE.insert(5, {OURS.strip()[:-1]})\n")
    else:
        settings.write_text(text)
        include = 'include("django_impersonation.urls")'
        urls.write_text(f"{urls.read_text()}from django.urls import include\nurlpatterns += [path('x/', {include})]\n")
    said = python("manage.py", "check", code=1)
    number, line = finding.split(maxsplit=1)
    assert number in said
    assert line in said.partition("HINT:")[2]
