"""The words of pages and messages: none that docs/words.txt has something better for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CODE = ("config", "ctl", "importer", "instance", "pages", "server", "supervisor")
LIST = re.compile(r"^(?P<phrase>[^#\s].*?) -> (?P<instead>.+)$", re.MULTILINE)
# of a page: what is rendered from the code, and what shows code or what a program prints
NO_PROSE = re.compile(
    r"<!-- table .*?<!-- end -->|^ *```.*?^ *```|``.*?``|`[^`]*`|<!--.*?-->|\]\([^)]*\)", re.DOTALL | re.M
)
RENDERED = re.compile(r"<!-- table .*?<!-- end -->", re.DOTALL)
COMMENT = re.compile(r"(?:^|\s)#+ (.*)$", re.MULTILINE)


def phrases() -> dict[str, str]:
    """The list: a phrase, and what to write instead."""
    return {found["phrase"]: found["instead"] for found in LIST.finditer((DOCS / "words.txt").read_text("utf-8"))}


ALL = tuple(phrases())


def pattern(unwanted: Iterable[str]) -> re.Pattern[str]:
    """What finds them, also over the end of a line."""
    made = (re.escape(one).replace(r"\*", r"\w*").replace(r"\ ", r"\s+") for one in unwanted)
    return re.compile(rf"(?<!\w)(?:{'|'.join(made)})(?!\w)", re.IGNORECASE)


def prose(page: str) -> str:
    """A page without its code; lines stay where they are."""
    return NO_PROSE.sub(lambda found: re.sub(r"[^\n]+", " ", found[0]), page)


def comments(text: str) -> str:
    """The comments of a configuration or a unit, a line each."""
    return "\n".join(COMMENT.findall(text))


def messages(source: str) -> Iterator[str]:
    """The string constants of a module that are no docstrings."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def found_in(texts: Iterable[tuple[Path, str]], unwanted: Iterable[str]) -> list[str]:
    """Each place that has one of them: file, line of the text, and the words."""
    search = pattern(unwanted)
    return [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}: {' '.join(found[0].split())}"
        for path, text in texts
        for found in search.finditer(text)
    ]


def configurations() -> Iterator[Path]:
    """Files whose comments are read by users."""
    yield ROOT / "mkdocs.yml"
    yield from (ROOT / "systemd").iterdir()
    for pattern_ in ("*/*.yaml", "*/Containerfile"):
        yield from (ROOT / "examples").glob(pattern_)


def test_the_list_has_something_better_for_each() -> None:
    lines = [line for line in (DOCS / "words.txt").read_text("utf-8").splitlines() if line and line[0] != "#"]
    assert len(lines) == len(ALL) > 40


@pytest.mark.parametrize(
    ("text", "finds"),
    [
        ("It is mended.", True),
        ("You shall\nnot.", True),
        ("in\norder to go", True),
        ("marshalled", False),
        ("`shall`", False),
        ("```\nshall\n```\n", False),
        ("[must](../shall.md)", False),
        ("<!-- table x -->\nshall\n<!-- end -->", False),
    ],
)
def test_what_is_found(text: str, *, finds: bool) -> None:
    assert bool(pattern(ALL).search(prose(text))) is finds


def test_pages_are_in_plain_words() -> None:
    others = ("README.md", "CONTRIBUTING.md", "STYLE.md", "examples/README.md", "benchmarks/README.md")
    pages = [*(ROOT / name for name in others), *DOCS.glob("*.md")]
    texts = [(path, prose(path.read_text("utf-8"))) for path in pages]
    texts += [(path, comments(path.read_text("utf-8"))) for path in configurations()]
    assert found_in(texts, ALL) == [], "docs/words.txt says what to write instead"


def test_messages_are_in_plain_words() -> None:
    modules = [path for folder in CODE for path in (ROOT / folder).rglob("*.py")]
    texts = [(path, text) for path in modules for text in messages(path.read_text("utf-8"))]
    manuals = [(path, path.read_text("utf-8")) for path in (DOCS / "man").iterdir()]
    tables = [(path, table) for path in DOCS.glob("*.md") for table in RENDERED.findall(path.read_text("utf-8"))]
    assert found_in([*texts, *manuals, *tables], ALL) == [], "docs/words.txt says what to write instead"
