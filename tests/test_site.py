"""The site: every page is in its menu, its links lead somewhere, and what its pages say of the code is so.

`make site` builds it, strictly; what can be seen without MkDocs is seen here.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from harness.browser import CHROMIUM, browsing
from releve.instance import protocol
from releve.supervisor.verbs.verbs import VERBS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SITE = ROOT / ".cache" / "site"
SOURCES = "\n".join(  # with strings whole that are written in two pieces, on a line each
    re.sub(r'"\s*\n\s*f?"', "", path.read_text("utf-8"))
    for folder in ("config", "ctl", "instance", "pages", "server", "supervisor")
    for path in (ROOT / folder).rglob("*.py")
)
TROUBLES = (DOCS / "troubleshooting.md").read_text("utf-8")
OURS = re.compile(
    r"`((?:cannot|generation|mixed code|no |not |was not|does not|releve\.yaml:|the |raise |…)[^`]*)`"
)  # what is quoted of us


def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hook", ROOT / ".ci" / "site.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def menu(entries: list[Any]) -> list[str]:
    """The pages of a menu, its folders opened."""
    found: list[str] = []
    for entry in entries:
        for value in entry.values():
            found += menu(value) if isinstance(value, list) else [value]
    return found


def test_every_page_is_in_the_menu_once() -> None:
    """A page that somebody adds has to be put where a reader looks for it: into nav of mkdocs.yml. The results of the
    benchmarks are linked from the page about them.
    """
    site = hook()
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if path.parent.name != "adr"}
    wanted = pages | {page for page in site.PAGES.values() if "/results/" not in page} | {site.DECISIONS}
    found = menu(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    assert len(found) == len(set(found))
    assert set(found) == wanted


def test_the_search_needs_neither_a_worker_nor_a_request(tmp_path: Path) -> None:
    """A page that is read from the disk may start no worker and fetch no file; it may load scripts."""
    search = tmp_path / "search"
    search.mkdir()
    for name in ("main.js", "worker.js", "lunr.js"):
        (search / name).write_text("new Worker()")
    (search / "search_index.json").write_text('{"docs": []}')
    hook().on_post_build({"site_dir": str(tmp_path)})
    assert {path.name for path in search.iterdir()} == {"main.js", "lunr.js", "search_index.js"}
    assert (search / "search_index.js").read_text() == 'var search_index = {"docs": []};\n'
    assert re.findall(r"new Worker|XMLHttpRequest|fetch\(|getScript", (search / "main.js").read_text()) == []


def built() -> str | None:
    """Why there is no site to look at: `make site` makes it, which `make test` does not."""
    made = SITE / "search" / "main.js"
    fresh = made.exists() and made.read_text("utf-8") == (ROOT / ".ci" / "search.js").read_text("utf-8")
    return None if fresh else "there is no site of this day: make site"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian: apt-get install chromium)")
@pytest.mark.skipif(bool(built()), reason=str(built()))
def test_the_search_works_from_the_disk(tmp_path: Path) -> None:
    shown = "[...document.querySelectorAll('#mkdocs-search-results a')].map(link => link.href)"
    with browsing(tmp_path) as browser:
        browser.open(f"{SITE.as_uri()}/search.html?q=rollback")
        found = browser.eventually(f"{shown}.length > 3 && {shown}")
        assert any(link.startswith(f"{SITE.as_uri()}/verbs.html") for link in found), found
        assert all(Path(link.removeprefix("file://").partition("#")[0]).is_file() for link in found)
        browser.run("let field = document.getElementById('mkdocs-search-query'); field.value = 'gunicorn'")
        browser.run("field.dispatchEvent(new Event('input'))")
        assert f"{SITE.as_uri()}/from-gunicorn.html" in [link.partition("#")[0] for link in browser.run(shown)]
    assert browser.said("Network.loadingFailed") == []


@pytest.mark.parametrize(
    ("source", "page", "text", "becomes"),
    [
        ("README.md", "index.md", "[a](docs/configuration.md)", "[a](configuration.md)"),
        ("README.md", "index.md", "[a](docs/adr) [b](ARCHITECTURE.md)", "[a](adr/index.md) [b](architecture.md)"),
        ("README.md", "index.md", "[a](systemd/releve@.service)", "[a](systemd/releve@.service)"),
        ("docs/mounts.md", "mounts.md", "[a](../examples/README.md#django)", "[a](examples.md#django)"),
        (
            "docs/adr/0005-dropped-listeners.md",
            "adr/0005-dropped-listeners.md",
            "[a](../protocol.md)",
            "[a](../protocol.md)",
        ),
        ("benchmarks/README.md", "benchmarks/index.md", "[a](results/peers.md)", "[a](results/peers.md)"),
        (
            "STYLE.md",
            "style.md",
            "[a](https://example.org/x.md) [b](#here)",
            "[a](https://example.org/x.md) [b](#here)",
        ),
    ],
)
def test_a_link_leads_to_the_page_that_a_file_became(source: str, page: str, text: str, becomes: str) -> None:
    assert hook().rewritten(text, source, page) == becomes


def test_a_page_has_its_contents_before_its_first_section() -> None:
    page = "# Title\n\nIntroduction.\n\n```\n## no section\n```\n\n## One\n\n## Two\n"
    assert hook().with_contents(page) == page
    longer = f"{page}\n## Three\n"
    assert hook().with_contents(longer) == longer.replace("## One", "[TOC]\n\n## One")


def test_every_result_is_linked_from_the_page_on_benchmarks() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    assert [path.name for path in (ROOT / "benchmarks" / "results").glob("*.md") if f"/{path.name})" not in page] == []


def test_every_picture_is_shown_dark_and_light_and_loads_nothing() -> None:
    """A page of the site loads nothing from elsewhere, and so does no picture; and they are small."""
    page = (DOCS / "screens.md").read_text("utf-8")
    pictures = {path.relative_to(DOCS).as_posix(): path.read_text("utf-8") for path in DOCS.glob("screens/*.svg")}
    shown = re.findall(r'<source media="\(prefers-color-scheme: dark\)" srcset="(\S+)">\n<img .*?src="(\S+)" alt', page)
    assert sorted(name for both in shown for name in both) == sorted(pictures) and pictures
    assert all(dark.replace("-dark", "-light") == light for dark, light in shown)
    assert re.findall(r'<a href="(\S+)"><picture>', page) == [light for _, light in shown if "-200-" in light]
    outside = r"url\((?!#)|@import|@font-face|(?:href|src)=|https?://(?!www\.w3\.org/2000/svg)"
    assert {name: re.findall(outside, text) for name, text in pictures.items() if re.search(outside, text)} == {}
    assert sum(map(len, pictures.values())) < 400_000


def test_every_decision_is_listed() -> None:
    listed = hook().decisions()
    assert [path.name for path in (DOCS / "adr").glob("*.md") if f"({path.name})" not in listed] == []


def test_every_verb_is_in_the_table_of_what_clients_experience() -> None:
    page = (DOCS / "verbs.md").read_text("utf-8")
    assert [verb for verb in VERBS if f"`ctl {verb}" not in page] == []


def test_every_status_is_in_the_table_for_pipelines() -> None:
    page = (DOCS / "deploying.md").read_text("utf-8")
    rows = page.split("## Use the exit status in CI")[1].split("\n## ")[0]
    told = {
        int(number)
        for row in re.findall(r"^\| (\d.*?) \|", rows, re.MULTILINE)
        for number in re.findall(r"\b(\d)\b", row)
    }
    assert told == {int(status) for status in protocol.Status}


def test_the_messages_that_are_quoted_are_ours() -> None:
    quoted = OURS.findall(TROUBLES)
    assert len(quoted) > 30
    pieces = {
        piece.strip(" :;,()") for message in quoted for piece in re.split(r"…s?|releve\.yaml:7:3:|[:;] ", message)
    }
    assert sorted(piece for piece in pieces if len(piece) > 3 and piece not in SOURCES) == []


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian: apt-get install chromium)")
@pytest.mark.skipif(bool(built()), reason=str(built()))
def test_no_page_is_wider_than_a_telephone(tmp_path: Path) -> None:
    """What is wider, such as a table, scrolls within it."""
    widths = {}
    with browsing(tmp_path) as browser:
        browser.tell("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
        for page in SITE.rglob("*.html"):
            browser.open(page.as_uri())
            widths[page.relative_to(SITE).as_posix()] = browser.run("document.documentElement.scrollWidth")
    assert len(widths) > 30 and {page: width for page, width in widths.items() if width > 360} == {}
