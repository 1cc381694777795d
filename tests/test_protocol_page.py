"""docs/protocol.md lists exactly the messages that the code sends and takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from releve.instance.protocol import VERSION
from releve.server.master import orders
from releve.server.prefork.words import WORDS
from releve.server.worker import worker
from releve.supervisor.channels import reports
from releve.supervisor.generation.news import News
from releve.supervisor.sentry import Sentry

PAGE = (Path(__file__).parents[1] / "docs" / "protocol.md").read_text("utf-8")


def listed(header: str) -> set[str]:
    """The first column of the table that begins with a header."""
    table = PAGE[PAGE.index(f"| {header} |") :].split("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("supervisor to master", {"boot", "alive", *orders.TABLE}),
        ("master to supervisor", {*reports.DOOR, *reports.LINK}),
        ("to the worker", set(worker.Worker.ORDERS)),
        ("supervisor to sentry", set(Sentry.ORDERS)),
        ("sentry to supervisor", {"terminated"}),
        ("from the worker", set(WORDS)),
        ("to the observed", {"stacks"}),
        ("from the observed", {"observed", "stacks"}),
    ],
)
def test_the_page_lists_what_the_code_knows(header: str, known: set[str]) -> None:
    assert listed(header) == known


def test_what_has_a_form_is_taken() -> None:
    assert set(reports.LINK) == set(News.EFFECTS)


def test_the_page_names_the_version_of_the_control_protocol() -> None:
    assert f'{{"version": {VERSION}, "verb":' in PAGE
