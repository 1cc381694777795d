"""The site's hook for MkDocs: pages that lie outside of ``docs/``, the links between all of them, and their contents.

In the repository a page links to files as they lie there; on the site the same link leads to the page made of that
file, or to the file itself, which is then part of the site. Nothing is written: the pages exist in memory. The search
is ours (search.js).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parent.parent
SEARCH = Path(__file__).with_name("search.js")
DOCS = "docs/"
DECISIONS = "adr/index.md"
LINK = re.compile(r"(\]\()((?![a-z]+:|#|/)[^)\s#]+)")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
SECTION = re.compile(r"^## ", re.MULTILINE)
CONTENTS = "[TOC]\n\n"
CONTENTS_FROM = 3  # sections

# file of the repository -> page of the site
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "STYLE.md": "style.md",
    "examples/README.md": "examples.md",
    "benchmarks/README.md": "benchmarks/index.md",
} | {
    f"benchmarks/results/{path.name}": f"benchmarks/results/{path.name}"
    for path in sorted((ROOT / "benchmarks/results").glob("*.md"))
}
SOURCES = {page: source for source, page in PAGES.items()}


def place(source: str, link: str) -> str:
    """Where on the site a link of a file of the repository leads."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if target == f"{DOCS}adr":
        return DECISIONS
    return PAGES.get(target, target.removeprefix(DOCS))


def rewritten(text: str, source: str, page: str) -> str:
    """The text of a file, its links as its page on the site needs them."""
    start = posixpath.dirname(page) or "."
    return LINK.sub(lambda found: found[1] + posixpath.relpath(place(source, found[2]), start), text)


def decisions() -> str:
    """The list of all decisions."""
    lines = ["# Decisions", "", "What somebody may want to undo later, and why it is as it is.", ""]
    for path in sorted((ROOT / "docs/adr").glob("[0-9]*.md")):
        title = path.read_text("utf-8").split("\n", 1)[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def linked() -> Iterator[str]:
    """Files of the repository that are no pages, and that pages link to."""
    pages = [*PAGES, *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))]
    for source in pages:
        for found in LINK.finditer((ROOT / source).read_text("utf-8")):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[2]))
            if target not in PAGES and not target.startswith(DOCS) and (ROOT / target).is_file():
                yield target


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """MkDocs asks which files there are."""
    from mkdocs.structure.files import File

    def add(uri: str, **what: Any) -> None:
        files.append(File.generated(config, uri, **what))

    for source, page in PAGES.items():
        add(page, content=(ROOT / source).read_text("utf-8"))
    add(DECISIONS, content=decisions())
    for path in sorted(set(linked())):
        add(path, content=(ROOT / path).read_bytes())
    return files


def with_contents(markdown: str) -> str:
    """A page with a table of contents between its introduction and its first section, if it has a few of them."""
    blanked = FENCED.sub(lambda found: " " * len(found[0]), markdown)
    sections = [found.start() for found in SECTION.finditer(blanked)]
    if len(sections) < CONTENTS_FROM:
        return markdown
    return markdown[: sections[0]] + CONTENTS + markdown[sections[0] :]


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """MkDocs has read a page."""
    uri = page.file.src_uri
    return markdown if uri == DECISIONS else with_contents(rewritten(markdown, SOURCES.get(uri, DOCS + uri), uri))


def on_post_build(config: Any, **_: Any) -> None:
    """MkDocs has written the site, its search first: ours takes its place, with the index as a script."""
    search = Path(config["site_dir"]) / "search"
    index = (search / "search_index.json").read_text("utf-8")
    (search / "search_index.js").write_text(f"var search_index = {index};\n", "utf-8")
    (search / "main.js").write_text(SEARCH.read_text("utf-8"), "utf-8")
    for name in ("search_index.json", "worker.js"):
        (search / name).unlink()
