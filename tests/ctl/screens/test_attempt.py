"""One attempt in full."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

import pytest

from releve.ctl.screens import history

BEGAN = datetime(2026, 11, 23, 21, 38, 31).astimezone().isoformat()
OLD = {"generation": 7, "directory": "/srv/shop/41", "revision": None}
FAILED: dict[str, Any] = {
    "id": 12,
    "verb": "upgrade",
    "outcome": "failed",
    "began": BEGAN,
    "seconds": 65.2,
    "by": "root (pid 829)",
    "from": OLD,
    "to": OLD,
    "target": {"directory": "/srv/shop/42", "revision": "3a4f5131"},
    "step": "import",
    "reason": "cannot import shop: No module named 'stripe'",
    "notes": ["one", "two"],
    "phases": {"preflight": 0.05, "boot": 65.1},
    "traceback": "Traceback (most recent call last):\n  line 1\n" + "  more\n" * 40 + "KeyError: \x1b[1m",
    "evidence": {"failures": [{"worker": 1, "request": "GET /healthz", "status": 500}]},
}


def shown(entry: dict[str, Any]) -> list[str]:
    stream = io.StringIO()
    history.show_plain({"entries": [entry], "whole": True}, stream)
    return stream.getvalue().splitlines()


def test_one_that_failed_is_shown_with_its_whole_traceback() -> None:
    lines = shown(FAILED)
    assert lines[:14] == [
        "#12 upgrade: failed",
        "  began    2026-11-23 21:38:31 (took 1m05s)",
        "  by       root (pid 829)",
        "  release  /srv/shop/42, commit 3a4f5131",
        "  serving  generation 7, /srv/shop/41",
        "  step     import",
        "  reason   cannot import shop: No module named 'stripe'",
        "  note     one",
        "  note     two",
        "  phases   preflight 0.1s, boot 1m05s",
        "",
        "    Traceback (most recent call last):",
        "      line 1",
        "      more",
    ]
    assert lines[-2:] == ["    KeyError: \\x1b[1m", "    worker 1 failed: GET /healthz: 500"]
    assert len(lines) == 13 + 40 + 2


def test_one_that_is_done_has_what_served_before_and_after() -> None:
    entry = {"id": 2, "verb": "upgrade", "outcome": "done", "began": BEGAN, "message": "generation 8 serves"}
    assert shown({**entry, "from": OLD, "to": {"generation": 8, "directory": "/srv/shop/42"}})[2:] == [
        "  before  generation 7, /srv/shop/41",
        "  after   generation 8, /srv/shop/42",
        "  result  generation 8 serves",
    ]


@pytest.mark.parametrize("entry", [{}, {"from": 3, "to": [], "target": 1, "phases": 2, "notes": 3, "evidence": 4}])
def test_whatever_is_in_it_is_shown(entry: dict[str, Any]) -> None:
    for show in (history.show_plain, history.show_rich):
        show({"entries": [entry], "whole": True}, io.StringIO())


def test_on_a_narrow_terminal_a_reason_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    history.show_rich({"entries": [{**FAILED, "traceback": ""}], "whole": True}, stream)
    assert max(map(len, stream.getvalue().splitlines())) <= 40
