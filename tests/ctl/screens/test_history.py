"""The attempts, plain and as a table."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

import pytest

from harness.refusals import REFUSED, TOLD
from releve.ctl.screens import history


@pytest.mark.parametrize(
    "entries", [None, 3, [], [None], [{}], [{"id": 1, "began": "not a time", "from": 3, "to": [], "seconds": "x"}]]
)
def test_whatever_history_there_is_is_shown(entries: Any) -> None:
    for show in (history.show_plain, history.show_rich):
        show({"status": 0, "entries": entries}, io.StringIO())


def test_what_failed_is_in_the_history_in_a_few_words_and_of_the_last_attempt_in_all() -> None:
    attempts = [
        {"id": number, "verb": "upgrade", "reason": "bad", "evidence": REFUSED["evidence"]} for number in (1, 2)
    ]
    for show in (history.show_plain, history.show_rich):
        stream = io.StringIO()
        show({"entries": attempts}, stream)
        text = stream.getvalue().rstrip()
        assert text.endswith("\n".join(["", "#2", *(f"  {line}" for line in TOLD)])) and text.count("KeyError: 4") == 3
        assert "bad; GET /events HTTP/1.1: 500 (KeyError: 4)" in " ".join(text.split())


def test_the_history_on_a_narrow_terminal_has_the_reason_below_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    reason = " ".join(["the new one was bad"] * 8)
    began = datetime(2026, 11, 23, 21, 38, 31).astimezone().isoformat()
    common = {"began": began, "by": "root (pid 32399)", "from": {"generation": 1}}
    attempts = [
        {"id": 9, "verb": "upgrade", "to": {"generation": 2}, "outcome": "done", "seconds": 5.5, **common},
        {
            "id": 10,
            "verb": "rollback",
            "outcome": "rolled back",
            "seconds": 3,
            "step": "probation",
            "reason": reason,
            **common,
        },
    ]
    stream = io.StringIO()
    history.show_rich({"entries": attempts}, stream)
    text = stream.getvalue()
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    assert [line.rstrip() for line in text.splitlines()[:4]] == [
        "id  began                verb      generation  outcome      took",
        " 9  2026-11-23 21:38:31  upgrade   1 → 2       done         5.5s",
        "    by root (pid 32399)",
        "10  2026-11-23 21:38:31  rollback  1           rolled back  3.0s",
    ]
    assert " ".join(text.split()).endswith(f"by root (pid 32399): probation: {reason}")


SERVED = {"from": {"generation": 8}, "to": {"generation": 8}}


@pytest.mark.parametrize(
    ("entry", "details", "last"),
    [
        # a record of an older supervisor has no message
        ({"verb": "restart", "outcome": "done", **SERVED}, "-", ""),
        (
            {"verb": "restart", "outcome": "done", "message": "replaced 8.1 with 8.3; the old workers exit", **SERVED},
            "replaced 8.1 with 8.3",
            ": replaced 8.1 with 8.3",
        ),
        (
            {"verb": "upgrade", "outcome": "done", "message": "generation 9 serves /srv/shop/2", "from": 8, "to": 9},
            "generation 9 serves /srv/shop/2",
            "",  # a status names the release below
        ),
        (
            {"verb": "restart", "outcome": "failed", "step": "import", "message": "replaced 8.1 with 8.3"}
            | {"reason": "cannot import shop; replaced 8.1 with 8.3; not replaced: 8.2", **SERVED},
            "import: cannot import shop; replaced 8.1 with 8.3; not replaced: 8.2",
            ": import: cannot import shop; replaced 8.1 with 8.3; not replaced: 8.2",
        ),
        (
            {"verb": "restart", "outcome": "interrupted", "message": "replaced 8.1 with 8.3", **SERVED},
            "replaced 8.1 with 8.3",
            ": replaced 8.1 with 8.3",
        ),
    ],
)
def test_what_an_attempt_has_done(entry: dict[str, Any], details: str, last: str) -> None:
    assert history.row(entry).cells[-1] == details
    assert history.sentence({"began": "now", **entry}).endswith(f", now{last}")
