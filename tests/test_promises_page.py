"""docs/promises.md: what it lists is promised on the page that it names, and held by tests that exist."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGE = (DOCS / "promises.md").read_text("utf-8")
SECTION = re.compile(r"^## \[.*?\]\((?P<page>.*?)\)\n(?P<list>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
PROMISE = re.compile(r"^- (?P<words>.*?)\n(?P<tests>(?: {4}- `[^`]*`\n)+)", re.MULTILINE | re.DOTALL)


def plain(text: str) -> str:
    """The words of a page, without its marks, in one line."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*`]|^\s*(?:\d\.|-) ", "", text, flags=re.MULTILINE).split())


def promises() -> list[tuple[str, str, list[str]]]:
    """Page, sentence, and the tests that hold it."""
    return [
        (section["page"], one["words"], re.findall(r"- `(.+)`", one["tests"]))
        for section in SECTION.finditer(PAGE)
        for one in PROMISE.finditer(section["list"])
    ]


@functools.cache
def functions(path: Path) -> frozenset[str]:
    """The names of the functions of a module."""
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_the_whole_page_is_read() -> None:
    listed = re.findall(r"^- ", PAGE, re.MULTILINE), re.findall(r"^ {4}- ", PAGE, re.MULTILINE)
    assert (len(listed[0]), len(listed[1])) == (len(promises()), sum(len(tests) for _, _, tests in promises()))
    assert len(promises()) > 100


@pytest.mark.parametrize("page", sorted({page for page, _, _ in promises()}))
def test_each_promise_is_made_on_its_page(page: str) -> None:
    text = plain((DOCS / page).read_text("utf-8"))
    assert [promise for where, promise, _ in promises() if where == page and plain(promise) not in text] == []


def test_each_promise_is_held_by_tests_that_exist() -> None:
    modules = {path.relative_to(ROOT).as_posix(): functions(path) for path in (ROOT / "tests").rglob("test_*.py")}
    named = {tuple(test.split("::")) for _, _, tests in promises() for test in tests}
    missing = sorted((file, name) for file, name in named if name not in modules.get(file, ()))
    assert all(name.startswith("test_") for _, name in named)
    assert {f"{file}::{name}": [path for path in modules if name in modules[path]] for file, name in missing} == {}, (
        "of each test that is not where docs/promises.md says: where there is one of its name"
    )
