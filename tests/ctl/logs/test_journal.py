"""The command line for systemd's journal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from releve.ctl.logs.journal import command
from releve.ctl.logs.selection import Selection

SINCE = datetime(2026, 11, 23, 21, 38, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Selection(), ""),
        (Selection(lines=5, since=SINCE), "-n 5 --since @1795469911"),
        (Selection(generation=8, worker=2), "GENERATION=8 WORKER=2"),
        (Selection(level="error"), "-p err"),
    ],
)
def test_the_filters(wanted: Selection, words: str) -> None:
    assert command("shop.service", False, wanted, follow=False, as_json=False) == [
        *("journalctl", "-u", "shop.service", "-t", "releve", "-t", "systemd", "-t", "systemd-coredump"),
        *words.split(),
    ]


def test_access_lines_are_apart() -> None:
    argv = command("shop.service", False, Selection(access=True, lines=0), follow=True, as_json=False)
    assert argv == ["journalctl", "-u", "shop.service", "-t", "releve-access", "-n", "0", "-f"]


def test_the_manager_of_a_user_and_a_unit_that_nobody_knows() -> None:
    argv = command(None, True, Selection(), follow=True, as_json=True)
    assert argv == ["journalctl", "--user", "-t", "releve", "-f", "-o", "json"]
