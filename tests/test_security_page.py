"""SECURITY.md: every risk names tests that exist, at least one of which is about an attack."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "SECURITY.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")][1:]


def names_in(path: str) -> set[str]:
    """A file of tests, and each test in it, in words."""
    text = (ROOT / path).read_text()
    tests = re.findall(r"^(?:async )?def test_(\w+)", text, re.M)
    return {name.replace("_", " ") for name in (Path(path).stem.removeprefix("test_"), *tests)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_risk_has_its_answer_and_its_test(row: list[str]) -> None:
    risk, answer, remains, shown = row
    assert risk
    assert answer
    assert remains
    links = re.findall(r"\[([^\]]+)\]\((tests/[\w/]+\.py)\)", shown)
    assert ", ".join(f"[{name}]({path})" for name, path in links) == shown, "nothing but links to tests"
    assert [name for name, path in links if name not in names_in(path)] == []
    attacks = [path for _, path in links if "# ABUSE" in (ROOT / path).read_text()]
    assert attacks or any(Path(path).parent.name in ("abuse", "api") for _, path in links)


def test_links_to_files_lead_somewhere() -> None:
    linked = [target for target in re.findall(r"\]\(([^)#]+)[)#]", PAGE) if "://" not in target]
    assert len(linked) > len(ROWS)
    assert [target for target in linked if not (ROOT / target).exists()] == []
