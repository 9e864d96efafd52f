"""The benchmarks run, and what they count is what the README promises. Their times are for people to read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import interval, ratios
from benchmarks.load import most_rows

ROOT = Path(__file__).parent.parent
OURS = "django-impersonation"


@pytest.fixture(scope="module")
def table() -> dict[str, list[str]]:
    """The cells of a quick run, by measure: the baseline's and ours."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "IMPERSONATION"))}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--only", OURS],
        cwd=ROOT,
        env=clean | {"PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    rows = [line.strip("|").split("|") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [cell.split()[0] for cell in rows[0][1:]] == ["baseline", OURS]
    return {name.strip(): [cell.strip() for cell in cells] for name, *cells in rows[1:]}


@pytest.mark.parametrize(
    ("measure", "queries"),
    [
        ("anonymous", 0),
        ("signed-in user", 2),
        ("signed-in user, fixed text", 0),
        ("impersonated", 2),
        ("impersonated, async", 2),
    ],
)
def test_no_page_costs_a_query_more(table: dict[str, list[str]], measure: str, queries: int) -> None:
    assert [cell.rpartition(", ")[2] for cell in table[measure]] == [f"{queries} q"] * 2


def test_everything_is_measured(table: dict[str, list[str]]) -> None:
    assert [*table][5:] == ["admin's list of 100 users", "start", "stop"]
    for baseline, ours in table.values():
        assert float(baseline.split(" ms")[0]) > 0
        assert float(ours.split(" (")[0]) > 0


def test_the_interval_is_that_of_the_sign_test() -> None:
    """By the tables of the binomial distribution: the ranks between which the median lies in 95 of 100 cases."""
    ranks = {number: interval([float(n) for n in range(number, 0, -1)]) for number in (1, 5, 6, 12, 20, 30)}
    assert ranks == {1: (1, 1), 5: (1, 5), 6: (1, 6), 12: (3, 10), 20: (6, 15), 30: (10, 21)}


def test_of_a_plan_the_step_counts_that_reads_most_of_ours() -> None:
    """What it leaves out it has read as well, once for each time that it is asked."""
    scan = {"Relation Name": "django_impersonation_event", "Actual Rows": 2.0, "Actual Loops": 10}
    joined = {"Relation Name": "shop_user", "Actual Rows": 999.0, "Actual Loops": 1}
    inner = scan | {"Rows Removed by Filter": 3}
    assert (
        most_rows({"Actual Rows": 500.0, "Actual Loops": 1, "Plans": [scan, joined, {**joined, "Plans": [inner]}]})
        == 50
    )


def test_ratios_are_paired_block_by_block() -> None:
    blocks = {("own", "x"): [[2.0, 30.0, 8.0], [3.0]], ("baseline", "x"): [[1.0, 10.0, 2.0], [2.0]]}
    assert ratios(blocks, "own", "x") == [3.0, 1.5]
