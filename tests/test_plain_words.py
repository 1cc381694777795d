"""The words of messages and pages: plain ones."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("config", "ctl", "importer", "server", "supervisor")
# by readers: correct, remove the cause, help
STUMBLED_ON = re.compile(r"\b(mend|mends|mended|mending)\b", re.IGNORECASE)


def texts(source: str) -> Iterator[str]:
    """The string constants of a module that are no docstrings."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_nobody_has_to_look_a_word_up() -> None:
    modules = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    pages = [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "man").iterdir(),
        *(ROOT / "systemd").iterdir(),
    ]
    said = [(path.name, text) for path in modules for text in texts(path.read_text("utf-8"))]
    said += [(path.name, line) for path in pages for line in path.read_text("utf-8").splitlines()]
    assert [one for one in said if STUMBLED_ON.search(one[1])] == []
