"""docs/operations.md, docs/upgrades.md, docs/verbs.md and docs/hooks.md show the tables that the code acts by."""

import dataclasses
import re
from pathlib import Path

import pytest

from releve.config.settings.hooks import Hooks
from releve.pages import manual_releve as manual
from releve.pages import operations as reference
from releve.pages.marked import renewed
from releve.supervisor.verbs.verbs import VERBS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / name for name in ("operations.md", "upgrades.md", "verbs.md", "hooks.md")]


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_the_page_is_up_to_date(file: Path) -> None:
    page = file.read_text("utf-8")
    assert renewed(page, reference.TABLES) == page, f"python -m releve.pages.operations docs/{file.name} renews it"


def test_every_table_is_on_a_page() -> None:
    pages = "".join(page.read_text("utf-8") for page in PAGES)
    for render in reference.TABLES.values():
        assert render() in pages


def test_every_hook_is_explained() -> None:
    page = (DOCS / "hooks.md").read_text("utf-8")
    assert [field.name for field in dataclasses.fields(Hooks) if f"\n| `{field.name}` |" not in page] == []


def test_every_verb_is_explained() -> None:
    page = (DOCS / "verbs.md").read_text("utf-8").split("\n## Exit statuses")[0]
    assert [verb for verb in VERBS if f"| `ctl {verb}" not in page] == []


def test_a_signal_is_explained_by_what_ctl_knows() -> None:
    known = (DOCS / "man" / "ctl.1").read_text("utf-8").replace("\\-", "-")
    said = re.findall(r"--\w+", reference.signals() + manual.manual().replace("\\-", "-").partition("SIGUSR2")[2])
    assert "--now" in said and [option for option in said if option not in known] == []
