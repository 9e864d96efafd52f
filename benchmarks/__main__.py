"""This package and its peers side by side, as a Markdown table. README.md says how it is measured, and why so."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sqlite3
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from math import comb
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from django.core.management import call_command

from benchmarks.contestants import CONTESTANTS

# How often a block does it; 10 times unless named here.
COUNTS = {"admin's list of 100 users": 3, "start": 3, "stop": 3}
# Frames. CPython keeps them in chunks of 16 KiB, which hold about 136 of the worker's `deeper`.
OFFSETS = 272

Blocks = dict[tuple[str, str], list[list[float]]]
Queries = dict[str, dict[str, int]]


class Worker:
    """The process of one contestant."""

    def __init__(self, name: str, folder: str) -> None:
        environment = os.environ | {"BENCHMARK_CONTESTANT": name, "DJANGO_SETTINGS_MODULE": "benchmarks.settings"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "benchmarks.worker"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.name, self.process = name, subprocess.Popen(command, env=environment, **pipes)
        self.queries = self.answer()

    def block(self, *question: Any) -> float:
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        line = self.process.stdout.readline()
        return json.loads(line) if line else sys.exit(f"The process of {self.name} has ended.")

    def close(self) -> None:
        self.process.communicate()


def run(names: list[str], folder: str, *, processes: int, rounds: int, quick: bool) -> tuple[Blocks, Queries]:
    """The seconds of every block, by contestant and measure: one list for each set of processes."""
    blocks: Blocks = defaultdict(list)
    queries: Queries = {}
    for _ in range(processes):
        workers = [Worker(name, folder) for name in names]
        queries = {worker.name: worker.queries for worker in workers}
        for measure in (*queries["baseline"], "start", "stop"):
            for name in names:
                blocks[name, measure].append([])
            count = 1 if quick else COUNTS.get(measure, 10)
            for _ in range(rounds):
                offset = random.randrange(OFFSETS)
                for worker in random.sample(workers, len(workers)):
                    blocks[worker.name, measure][-1].append(worker.block(measure, offset, count))
        for worker in workers:
            worker.close()
    return blocks, queries


def ratios(blocks: Blocks, name: str, measure: str) -> list[float]:
    """For each set of processes, the median of the ratios to the baseline's block of the same round."""
    pairs = zip(blocks[name, measure], blocks["baseline", measure], strict=True)
    return [median(own / base for own, base in zip(*both, strict=True)) for both in pairs]


def interval(values: list[float]) -> tuple[float, float]:
    """Where the median lies, by the sign test at 95 %; with fewer than 6 values, all that they span."""
    values, number = sorted(values), len(values)
    cut = next(k for k in range(number) if sum(comb(number, i) for i in range(k + 1)) > 0.025 * 2**number)
    outermost = max(cut - 1, 0)
    return values[outermost], values[-1 - outermost]


def table(blocks: Blocks, queries: Queries) -> str:
    heads = [f"{name} {version(name)}" if name.startswith("django-") else name for name in queries]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for measure in (*queries["baseline"], "start", "stop"):
        cells = [f"{1000 * median(chain(*blocks['baseline', measure])):.2f} ms"]
        for name in [*queries][1:]:
            found = ratios(blocks, name, measure)
            cells.append("{:.2f} ({:.2f}-{:.2f})".format(median(found), *interval(found)))
        if measure in queries["baseline"]:
            cells = [f"{cell}, {queries[name][measure]} q" for cell, name in zip(cells, queries, strict=True)]
        lines.append(f"| {measure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--processes", type=int, default=12, help="fresh sets of processes (12)")
    parser.add_argument("--rounds", type=int, default=10, help="blocks for each measure in a set of processes (10)")
    parser.add_argument("--only", nargs="+", choices=[*CONTESTANTS][1:], help="these, beside the baseline")
    parser.add_argument("--quick", action="store_true", help="everything once: does it run?")
    options = parser.parse_args()
    names = [name for name in CONTESTANTS if name == "baseline" or name in (options.only or CONTESTANTS)]
    try:
        packages = [name for name in ("Django", *names) if not name.startswith(("baseline", "with-"))]
        versions = [f"{name} {version(name)}" for name in packages]
    except PackageNotFoundError as error:
        sys.exit(f"{error.name} is not installed. For everything: pip install --group bench -e .")
    if options.quick:
        options.processes = options.rounds = 1
    before = os.getloadavg()[0]
    with TemporaryDirectory() as folder:
        call_command("startproject", "mysite", folder)
        blocks, queries = run(names, folder, processes=options.processes, rounds=options.rounds, quick=options.quick)
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {', '.join(versions)};"
        f" {options.processes} x {options.rounds} blocks; load {before:.1f} before, {os.getloadavg()[0]:.1f} after.\n"
    )
    print(table(blocks, queries))


if __name__ == "__main__":
    main()
