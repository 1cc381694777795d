"""ARCHITECTURE.md is true: its folders say what they are, and are in the order of their levels; every file that it
names exists.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from test_layering import LEVEL

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([\w/]+)/` \| (.*) \|$", PAGE, re.MULTILINE)


def test_every_folder_is_there_with_its_sentence() -> None:
    said = {
        folder: ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text("utf-8"))) for folder in LEVEL
    }
    assert dict(ROWS) == {
        folder: sentence for folder, sentence in said.items() if folder not in ("server", "supervisor")
    }


def test_they_stand_in_the_order_of_their_levels() -> None:
    for top in ("server/", "supervisor/"):
        numbers = [LEVEL[folder] for folder, _ in ROWS if folder.startswith(top)]
        assert numbers == sorted(numbers)


def test_a_sentence_is_all_that_a_folder_holds_of_its_own() -> None:
    for folder in LEVEL:
        assert len(ast.parse((ROOT / folder / "__init__.py").read_text("utf-8")).body) == 1, folder


@pytest.mark.parametrize("path", sorted({path for path in re.findall(r"`([\w/.-]+)`", PAGE) if "/" in path}))
def test_what_it_names_exists(path: str) -> None:
    assert (ROOT / path).exists()
