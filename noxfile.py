"""Every check of the project. `nox --list` names them; `.ci/run` runs them."""

from __future__ import annotations

import gettext
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "migrations", "messages", "tests", "build"]

PACKAGE = "django_impersonation"
MATRIX = {
    "5.2": ["3.11", "3.12", "3.13"],
    "6.0": ["3.12", "3.13"],
    "6.1": ["3.12", "3.13"],
}
PAIRS = [(python, django) for django, pythons in MATRIX.items() for python in pythons]
OLDEST, NEWEST = PAIRS[0], PAIRS[-1]
# The newest that all of the peers in the group `bench` say they support.
BENCHMARK_DJANGO = "6.0"

DATABASES = {
    "postgresql": (
        "psycopg[binary]>=3.2",
        "postgres://postgres@127.0.0.1:5432/django_impersonation",
        "PG_URL",
    ),
    "mariadb": ("mysqlclient>=2.2", "mysql://root@127.0.0.1:3306/django_impersonation", "MARIADB_URL"),
}
REDIS_URL = "redis://127.0.0.1:6379/15"

# What .ci/run has time for; .ci/full runs everything.
DATABASE_TESTS = [
    *(f"tests/test_{name}.py" for name in ("story", "migrations", "activity", "lasting", "statements")),
    *(f"tests/test_{name}.py" for name in ("view_only", "view_only_database")),
    *(f"tests/abuse/test_{name}.py" for name in ("code", "code_races", "locks", "organizations")),
    *(f"tests/abuse/test_{name}.py" for name in ("record", "record_stays")),
    *(f"tests/api/test_{name}.py" for name in ("story", "events", "races", "replica")),
]
CACHE_TESTS = [
    "tests/test_story.py",
    *(f"tests/abuse/test_{name}.py" for name in ("code_races", "session_return", "session_start")),
]


def install(session: nox.Session, *packages: str, django: str = NEWEST[1], extra: str = "test") -> None:
    session.install("-e", f".[{extra}]", f"Django~={django}.0", *packages)


def group(name: str) -> tuple[str, ...]:
    """The packages of a dependency group; the pip of a new environment may be too old for ``--group``."""
    return nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), name)


def workers(session: nox.Session) -> list[str]:
    """One xdist worker for each core, unless the caller chose a number."""
    chosen = any(arg.startswith(("-n", "--numprocesses")) for arg in session.posargs)
    return [] if chosen else ["-n", str(os.cpu_count() or 1)]


@nox.session(python=NEWEST[0])
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    session.install("ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=NEWEST[0])
def types(session: nox.Session) -> None:
    """mypy --strict, with the stubs of Django and DRF."""
    install(session, "mypy", "django-stubs", "djangorestframework-stubs")
    session.run("mypy", "--strict", *session.posargs)


@nox.session
@nox.parametrize(["python", "django"], PAIRS, ids=["/".join(pair) for pair in PAIRS])
def tests(session: nox.Session, django: str) -> None:
    """The suite without a browser on each pair of Python and Django. Reads DATABASE_URL and CACHE_URL."""
    install(session, django=django)
    session.run("pytest", *workers(session), "-m", "not browser", *session.posargs)


@nox.session(python=OLDEST[0])
def lowest(session: nox.Session) -> None:
    """The suite with the oldest versions that pyproject.toml allows; WorkOS's SDK wants a newer PyJWT."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    pinned = [one.replace(">=", "==") for one in (*project["dependencies"], *extras["api"], *extras["demo"])]
    left_out = ("django-impersonation", "workos", "playwright", "axe")
    tools = [one for one in extras["test"] if not one.startswith(left_out)]
    session.install("-e", ".", *(one for one in pinned if not one.startswith(left_out)), *tools)
    ignored = ("--ignore=tests/e2e", "--ignore=tests/api/test_sdk.py")
    session.run("pytest", *workers(session), *ignored, *session.posargs)


@nox.session(python=NEWEST[0])
def migrations(session: nox.Session) -> None:
    """No model change lacks its migration, on the oldest Django and on the newest."""
    for django in (OLDEST[1], NEWEST[1]):
        install(session, django=django, extra="demo")
        session.run("python", "manage.py", "makemigrations", "--check", "--dry-run", *session.posargs)


@nox.session(python=NEWEST[0])
@nox.parametrize("database", list(DATABASES), ids=list(DATABASES))
def databases(session: nox.Session, database: str) -> None:
    """What a database decides, on a real server, PG_URL or MARIADB_URL; `-- tests` for the whole suite."""
    driver, default, variable = DATABASES[database]
    install(session, driver)
    url = os.environ.get(variable) or default
    chosen = session.posargs or DATABASE_TESTS
    session.run("pytest", *workers(session), "-m", "not browser", *chosen, env={"DATABASE_URL": url})


@nox.session(python=NEWEST[0])
def redis(session: nox.Session) -> None:
    """Sessions with REDIS_URL as the cache, in one process: tests empty the cache. `-- tests` for the whole suite."""
    install(session, "redis>=5")
    url = os.environ.get("REDIS_URL") or REDIS_URL
    session.run("pytest", "-m", "not browser", *(session.posargs or CACHE_TESTS), env={"CACHE_URL": url})


@nox.session(python=NEWEST[0])
def sdk(session: nox.Session) -> None:
    """The older major of WorkOS's SDK against the API; the newest one is in the suite."""
    install(session, "workos~=5.46")
    session.run("pytest", "tests/api/test_sdk.py", *session.posargs)


@nox.session
@nox.parametrize(["python", "django"], [OLDEST, NEWEST], ids=["/".join(pair) for pair in (OLDEST, NEWEST)])
def recipes(session: nox.Session, django: str) -> None:
    """docs/recipes.md and docs/coming-from.md, with the packages that they are about; needs PG_URL."""
    install(session, *group("recipes"), *group("bench"), django=django)
    required = {"DJANGO_IMPERSONATION_REQUIRE": "all", "PYTEST_ADDOPTS": None}
    chosen = ("tests/test_recipes.py", "tests/test_coming_from.py")
    session.run("pytest", *workers(session), *chosen, *session.posargs, env=required)


@nox.session(python=NEWEST[0])
def soak(session: nox.Session) -> None:
    """Twenty times the suite's garbage for the API, other garbage each time; 10,000 requests to one server."""
    install(session)
    played = ("tests/api/test_fuzz.py", "tests/test_asgi_server.py")
    full = {"DJANGO_IMPERSONATION_FULL": "1"}
    session.run("pytest", *workers(session), "--hypothesis-profile=full", *played, *session.posargs, env=full)


@nox.session(python=NEWEST[0])
def browser(session: nox.Session) -> None:
    """The end-to-end tests, in the system's Chromium."""
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        session.error("No Chromium here. On Debian: apt-get install --no-install-recommends chromium")
    install(session)
    session.run("pytest", *workers(session), "-m", "browser", *session.posargs)


@nox.session(python=NEWEST[0])
def coverage(session: nox.Session) -> None:
    """Lines and branches that no test without a browser reaches, in all the processes that tests start."""
    install(session, "coverage>=7.10")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *workers(session), "-m", "not browser", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(python=NEWEST[0])
def audit(session: nox.Session) -> None:
    """No known vulnerability in the newest of what the package and its extras need. Asks the advisories of PyPI."""
    session.install("pip-audit")
    folder = Path(session.create_tmp())
    chosen, pinned, found = folder / "chosen.json", folder / "pinned.txt", folder / "found.json"
    resolve = ("pip", "install", "--dry-run", "--ignore-installed", "--quiet", f"--report={chosen}")
    session.run(*resolve, ".[demo]", f"Django~={NEWEST[1]}.0")
    needed = [one["metadata"] for one in json.loads(chosen.read_text())["install"] if not one["is_direct"]]
    pinned.write_text("\n".join(f"{one['name']}=={one['version']}" for one in needed))
    found.unlink(missing_ok=True)
    ask = ("pip-audit", "--no-deps", "--disable-pip", f"--requirement={pinned}", "--format=json", f"--output={found}")
    session.run(*ask, success_codes=[0, 1])
    answers = json.loads(found.read_text())["dependencies"] if found.exists() else []
    asked = [answer for answer in answers if "vulns" in answer]
    # What could not be looked up is no answer, and pip-audit alone would not call it a failure.
    if len(asked) < len(needed):
        session.error(f"Only {len(asked)} of {len(needed)} packages audited: PyPI's advisories are out of reach")
    flaws = [f"{one['name']} {one['version']}: {flaw['id']}" for one in asked for flaw in one["vulns"]]
    if flaws:
        session.error("\n".join(["Known vulnerabilities:", *flaws]))


@nox.session(python=NEWEST[0])
def benchmarks(session: nox.Session) -> None:
    """Queries and times, beside those of other packages. Ten minutes; `-- --quick` tries whether it runs."""
    session.install("-e", ".", f"Django~={BENCHMARK_DJANGO}.0", *group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python=NEWEST[0])
def load(session: nox.Session) -> None:
    """Times beside a million events, on PG_URL's server. Six minutes; `-- --quick` tries whether it runs."""
    driver, default, variable = DATABASES["postgresql"]
    install(session, driver, extra="demo")
    session.run(
        "python", "-m", "benchmarks.load", *session.posargs, env={variable: os.environ.get(variable) or default}
    )


@nox.session(python=NEWEST[0])
def messages(session: nox.Session) -> None:
    """The message catalogs hold every message of the code, translated and compiled. Needs GNU gettext."""
    for tool in ("msgfmt", "msgattrib", "msgunfmt", "xgettext"):
        if shutil.which(tool) is None:
            session.error(f"{tool} is missing. On Debian: apt-get install gettext")
    session.install(f"Django~={NEWEST[1]}.0")
    catalogs = sorted(Path(PACKAGE, "locale").glob("*/LC_MESSAGES/*.po"))
    if not catalogs:
        session.error(f"{PACKAGE} has no message catalog")
    copy = Path(session.create_tmp(), PACKAGE).resolve()
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with session.chdir(copy):
        session.run("django-admin", "makemessages", "--all", "--no-obsolete", "--verbosity=0")
    problems = [problem for po in catalogs for problem in catalog_problems(po, copy.parent / po)]
    if problems:
        session.error("\n".join(["The message catalogs are not in order:", *problems]))
    session.log(f"{len(catalogs)} catalogs are complete and compiled")


def catalog_problems(po: Path, updated: Path) -> list[str]:
    """What is wrong with a committed catalog, judged by the one that makemessages has just updated."""

    def gettext_tool(*command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    def entries(path: Path) -> str:
        listed = gettext_tool("msgattrib", "--no-location", "--no-wrap", "--sort-output", str(path)).stdout
        return listed.partition("\n\n")[2]  # without the header, which holds dates

    problems = []
    fresh = updated.with_suffix(".fresh.mo")
    checked = gettext_tool("msgfmt", "--check", "--statistics", f"--output-file={fresh}", str(po))
    statistics = checked.stderr.strip()
    if checked.returncode or "fuzzy" in statistics or "untranslated" in statistics:
        problems.append(f"{po}: {statistics}")
    if entries(po) != entries(updated):
        problems.append(f"{po}: the code has other messages; run makemessages in {PACKAGE}/ and translate")
    compiled = po.with_suffix(".mo")
    if not compiled.is_file() or (fresh.is_file() and translations(compiled) != translations(fresh)):
        problems.append(f"{compiled}: missing or older than its .po; run compilemessages")
    return problems


def translations(compiled: Path) -> dict[object, str]:
    with compiled.open("rb") as file:
        return dict(vars(gettext.GNUTranslations(file))["_catalog"])


@nox.session(python=NEWEST[0])
def build(session: nox.Session) -> None:
    """Wheel and sdist hold what they should, and the wheel alone with Django makes a working site."""
    session.install("build", "twine")
    dist = Path(session.create_tmp(), "dist").resolve()
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    problems = [*wheel_problems(wheel), *sdist_problems(sdist), *classifier_problems()]
    if problems:
        session.error("\n".join(problems))
    smoke(session, wheel)


def wheel_problems(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    source = {
        str(path)
        for path in Path(PACKAGE).rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")
    }
    problems = [f"wheel lacks {name}" for name in sorted(source - names)]
    problems += [
        f"wheel has {name}"
        for name in sorted(names - source)
        if not name.startswith(f"{PACKAGE}-") or ".dist-info/" not in name
    ]
    for part in ("py.typed", "templates/", "static/", "locale/", "migrations/0001_"):
        if not any(name.startswith(f"{PACKAGE}/{part}") for name in names):
            problems.append(f"wheel has no {PACKAGE}/{part}")
    compiled = {name.removesuffix(".mo") for name in names if name.endswith(".mo")}
    written = {name.removesuffix(".po") for name in names if name.endswith(".po")}
    return problems + [f"wheel has no {name}.mo" for name in sorted(written - compiled)]


def sdist_problems(sdist: Path) -> list[str]:
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    wanted = (
        "tests/",
        "benchmarks/",
        "example_project/",
        f"{PACKAGE}/py.typed",
        "manage.py",
        "noxfile.py",
        "LICENSE",
        "README.md",
    )
    problems = [f"sdist has no {part}" for part in wanted if not any(n.startswith(part) for n in names)]
    junk = (".nox", ".venv", "__pycache__", ".pyc", ".sqlite3", ".log")
    return problems + [f"sdist has {name}" for name in names if any(part in name for part in junk)]


def classifier_problems() -> list[str]:
    claimed = nox.project.load_toml("pyproject.toml")["project"]["classifiers"]
    tested = {f"Framework :: Django :: {django}" for django in MATRIX}
    tested |= {f"Programming Language :: Python :: {python}" for python, _ in PAIRS}
    versioned = {classifier for classifier in claimed if re.search(r" :: \d+\.\d+$", classifier)}
    return [f"classifiers and matrix differ in {one}" for one in sorted(tested ^ versioned)]


SMOKE_SETTINGS = f"""
INSTALLED_APPS += ["{PACKAGE}"]
MIDDLEWARE.insert(
    MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware") + 1,
    "{PACKAGE}.middleware.ImpersonationMiddleware",
)
"""
SMOKE_URLS = f"""
from django.urls import include
urlpatterns += [path("impersonation/", include("{PACKAGE}.urls"))]
"""
SMOKE_IMPORTS = f"""
import importlib.util as u, {PACKAGE} as package
assert "site-packages" in package.__file__, package.__file__
assert not u.find_spec("rest_framework") and not u.find_spec("jwt")
"""


def smoke(session: nox.Session, wheel: Path) -> None:
    """A new project in an environment that holds only Django and the wheel."""
    site = Path(session.create_tmp(), "smoke").resolve()
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir()
    session.run("python", "-m", "venv", str(site / "venv"))
    python = str(site / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python")

    def run(*args: str) -> None:
        session.run(python, *args, external=True, env={"DJANGO_SETTINGS_MODULE": None, "PYTHONPATH": None})

    with session.chdir(site):
        run("-m", "pip", "install", "--quiet", str(wheel), f"Django~={NEWEST[1]}.0")
        run("-W", "error", "-c", SMOKE_IMPORTS)
        run("-m", "django", "startproject", "mysite", ".")
        for name, text in (("settings", SMOKE_SETTINGS), ("urls", SMOKE_URLS)):
            with Path("mysite", f"{name}.py").open("a") as file:
                file.write(text)
        run("-W", "error", "manage.py", "check", "--fail-level", "WARNING")
        run("-W", "error", "manage.py", "migrate", "--verbosity", "0")
        run("-W", "error", "manage.py", "impersonation", "status")
