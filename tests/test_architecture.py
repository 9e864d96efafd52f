"""The house: imports go one way, the core needs Django only, and nothing bends what belongs to Django."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "django_impersonation"

# A later one may import an earlier one, never the reverse (DESIGN section 3).
ORDER = [
    "conf",
    "exceptions",
    "signals",
    "impersonator",
    "context",
    "logs",
    "keys",
    "organizations",
    "policy",
    "indexes",
    "records",
    "events",
    "credentials",
    "activity",
    "models",
    "addresses",
    "codes",
    "grants",
    "prepared",
    "validity",
    "clients",
    "sessions",
    "resolution",
    "flows",
    "attribution",
    "blocked",
    "guards",
    "statements",
    "lasting",
    "redaction",
    "readonly",
    "limits",
    "surface",
    "conduct",
    "middleware",
    "sockets",
    "forms",
    "templatetags.django_impersonation",
    "views",
    "useradmin",
    "lists",
    "settings_checks",
    "checks",
    "accesschecks",
    "admin",
    "urls",
    "reports",
    "management.commands.impersonation",
    "apps",
    "api.verification",
    "api.tokens",
    "api.middleware",
    "api.authentication",
    "api.permissions",
    "api.serializers",
    "api.errors",
    "api.pagination",
    "api.directory",
    "api.endpoints",
    "api.authenticate",
    "api.views",
    "api.browser",
    "api.checks",
    "api.urls",
]
# Written by makemigrations: it names what the models name, and imports the package as the models do.
GENERATED = "migrations"
MODULES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] != GENERATED and path.name != "__init__.py"
)
CORE = [path for path in MODULES if path.parent.name != "api"]
TEMPLATES = sorted(PACKAGE.rglob("*.html"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(tree(path))


def imported(path: Path) -> Iterator[str]:
    """The rooms of our own house that a module enters, by any form of import and at any depth."""
    for node in nodes(path):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name_of(path)} imports relatively"
            # `from django_impersonation import flows` names a module, `... .flows import stop` a thing in one.
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        for dotted in found:
            inner = dotted.removeprefix("django_impersonation.")
            if inner != dotted:
                yield next(room for room in (inner, inner.rpartition(".")[0]) if room in ORDER)


@cache
def calls(path: Path) -> frozenset[str]:
    """The last names of all that is called: ``login`` for ``auth.login(...)``."""
    called = (node.func for node in nodes(path) if isinstance(node, ast.Call))
    return frozenset(getattr(func, "attr", getattr(func, "id", "")) for func in called)


@pytest.fixture(params=MODULES, ids=name_of)
def module(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(params=TEMPLATES, ids=lambda path: path.name)
def template(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted(map(name_of, MODULES))


def test_packages_themselves_hold_no_code() -> None:
    """So that importing a module runs nothing but that module."""
    for path in PACKAGE.rglob("__init__.py"):
        assert not [node for node in tree(path).body if not isinstance(node, ast.Expr)], path


def test_imports_go_one_way(module: Path) -> None:
    later = ORDER[ORDER.index(name_of(module)) :]
    assert not [room for room in imported(module) if room in later]


def test_no_import_inside_a_function(module: Path) -> None:
    hidden = [
        f"{function.name}, line {node.lineno}"
        for function in nodes(module)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom) and (name_of(module), function.name) != ("apps", "ready")
    ]
    assert not hidden


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_knows_nothing_of_the_api(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"^\s*(from|import) (rest_framework|jwt|django_impersonation\.api)\b", text, re.M)


def test_annotations_are_never_evaluated(module: Path) -> None:
    first = next(node for node in tree(module).body if not isinstance(node, ast.Expr))
    assert isinstance(first, ast.ImportFrom)
    assert (first.module, [alias.name for alias in first.names]) == ("__future__", ["annotations"])


def test_nothing_is_called_that_signs_in_or_trusts_markup(module: Path) -> None:
    forbidden = {"login", "alogin", "mark_safe", "SafeString", "SafeText", "format_html_join", "disconnect"}
    assert not forbidden & calls(module)
    assert "mark_safe" not in module.read_text()


def test_no_template_trusts_markup(template: Path) -> None:
    assert not re.search(r"\|\s*safe|autoescape\s+off|safeseq", template.read_text())


def test_no_setting_is_assigned(module: Path) -> None:
    """Neither ``settings.X = …`` nor ``setattr(settings, …)`` nor ``settings.configure(…)``."""
    targets: list[ast.expr] = []
    for node in nodes(module):
        if isinstance(node, ast.Assign | ast.Delete):
            targets += node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets.append(node.target)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("setattr", "delattr"):
            targets.append(ast.Attribute(node.args[0], ""))
    assert not [t for t in targets if isinstance(t, ast.Attribute) and ast.unparse(t.value) in ("settings", "conf")]
    assert "configure" not in calls(module)


def test_modules_stay_small(module: Path) -> None:
    """DESIGN section 3: modules under about 220 lines, functions under about 40."""
    assert len(module.read_text().splitlines()) <= 230
    functions = [node for node in nodes(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert not [f.name for f in functions if f.end_lineno - f.lineno > 44]


class Inline(HTMLParser):
    """Collects what a strict Content-Security-Policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self.script = tag == "script"
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(f"<{tag}>")
        self.found += [name for name in names if name.startswith("on") or name in ("style", "srcdoc")]
        self.found += [value for value in names.values() if value and value.strip().lower().startswith("javascript:")]

    def handle_data(self, data: str) -> None:
        if self.script and data.strip():
            self.found.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.script = False


# ABUSE 127
def test_templates_have_nothing_inline(template: Path) -> None:
    parser = Inline()
    # Tags of the template language may stand inside of an attribute, where they confuse the parser.
    parser.feed(re.sub(r"\{%.*?%\}|\{#.*?#\}", " ", template.read_text()))
    assert not parser.found
