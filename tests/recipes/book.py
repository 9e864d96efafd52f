"""docs/recipes.md, taken literally: each recipe's code is what the test's project is made of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

BOOK = Path(__file__).parent.parent.parent / "docs" / "recipes.md"


def recipes() -> dict[str, str]:
    """The text of each recipe under its heading."""
    parts = re.split(r"^## (.+)$", BOOK.read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(recipe: str) -> list[tuple[str, str]]:
    """The recipe's Python, each block with the file that its first line names."""
    found = re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```$", recipes()[recipe], flags=re.M | re.S)
    assert len(found) == recipes()[recipe].count("```python"), recipe
    return found


def lines_of_code(recipe: str) -> list[str]:
    """What a project has to write, without imports."""
    lines = [line for _, code in blocks(recipe) for line in code.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith(("import ", "from ")) and not line.lstrip().startswith("#")]


def follow(recipe: str, folder: Path, project: dict[str, Any]) -> None:
    """The recipe's settings go into ``project``, its other files into ``folder``."""
    for name, code in blocks(recipe):
        if name == "settings.py":
            exec(compile(code, name, "exec"), project)
        else:
            write(folder / name, code)


def write(path: Path, code: str) -> None:
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    with path.open("a") as file:
        file.write(code)
