"""Words for values, and the pictures made of results: pure."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

import pytest

from releve.ctl import history, outcome, render, status


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"), (0.44, "0.4s"), (9.96, "10.0s"), (10, "10s"), (59.9, "59s"), (60, "1m00s"), (192, "3m12s"), (3599, "59m59s"),
        (3600, "1h00m"), (18180, "5h03m"), (86399, "23h59m"), (86400, "1d00h"), (1051200, "12d04h"), (None, "-"), ("1", "-"), (True, "-"),
    ],
)  # fmt: skip
def test_age(seconds: Any, text: str) -> None:
    assert render.age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (2048, "2 KiB"), (43 << 20, "43 MiB"), (int(4.14 * (1 << 20)), "4.1 MiB"),
        (3 << 30, "3.0 GiB"), (5 << 50, "5120 TiB"), (None, "-"), ("x", "-"),
    ],
)  # fmt: skip
def test_size(count: Any, text: str) -> None:
    assert render.size(count) == text


def test_lines_are_single_and_safe() -> None:
    assert render.line("a\nb\tc  \x1b[0m") == "a b c \\x1b[0m"
    assert [render.line(value) for value in (None, "", 0, False)] == ["-", "-", "0", "False"]
    assert render.clean("a\n\tb\r\x00") == "a\n\tb\\x0d\\x00"


WORKER = {
    "worker": 1,
    "pid": 821,
    "state": "serving",
    "age_s": 192,
    "requests": 1204,
    "connections": 3,
    "busy": 1,
    "rss_bytes": 99 << 20,
    "pss_bytes": 43 << 20,
    "revision": 1,
}
FULL: dict[str, Any] = {
    "status": 8,
    "message": "degraded",
    "service": {
        "name": "shop-1a9af1ca",
        "app": "shop:app",
        "pid": 812,
        "uptime_s": 11520,
        "config": "/srv/shop/releve.yaml",
        "listeners": ["127.0.0.1:8000", "unix:/run/shop.sock"],
        "state": "degraded",
        "operation": {"verb": "upgrade", "phase": "boot", "since_s": 12, "by": "root (pid 5)"},
        "degraded": ["worker 2 dies again and again", "history cannot be written"],
        "syntax_errors": ["shop.py:3: invalid syntax"],
        "history_pending": 2,
        "workers_wanted": 3,
        "scaled": True,
        "watch": "code",
    },
    "generations": [
        {
            "generation": 8,
            "state": "serving",
            "pid": 820,
            "age_s": 192,
            "directory": "/srv/shop/current",
            "resolved": "/srv/shop/releases/42",
            "python": "/srv/shop/releases/42/.venv/bin/python",
            "python_version": "3.12.1",
            "releve": "0.1.0",
            "lent": True,
            "revision": "0123456789abcdef0123456789abcdef01234567",
            "preloaded": False,
            "orphaned": True,
            "mixed": ["shop.py", "views.py"],
            "workers": [
                WORKER,
                {**WORKER, "worker": 2, "pid": 90822, "state": "booting", "pss_bytes": None, "revision": 2},
            ],
        },
        {"generation": 7, "state": "retiring", "workers": []},
    ],
    "last": {
        "id": 12,
        "verb": "upgrade",
        "began": "2026-11-23T21:38:31+00:00",
        "from": {"generation": 7},
        "to": {"generation": 8},
        "outcome": "done",
        "seconds": 2.3,
    },
}


def test_the_plain_status_says_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    stream = io.StringIO()
    status.show_plain(FULL, stream)
    assert (
        stream.getvalue()
        == """\
shop-1a9af1ca shop:app (pid 812, up 3h12m): degraded
  config        /srv/shop/releve.yaml
  listen        127.0.0.1:8000, unix:/run/shop.sock
  workers       3 (scaled; `ctl scale --reset` goes back to the configuration)
  watch         code
  operation     upgrade: boot for 12s, by root (pid 5)
  degraded      worker 2 dies again and again
  degraded      history cannot be written
  not upgraded  shop.py:3: invalid syntax
  history       2 lines wait for the disk
  last          #12 upgrade (generation 7 → 8) done in 2.3s, 2026-11-23 21:38:31

generation 8 (master 820, 3m12s): serving
  release     /srv/shop/releases/42 (through /srv/shop/current)
  commit      0123456789ab
  python      3.12.1 (/srv/shop/releases/42/.venv/bin/python)
  releve      0.1.0, lent by the supervisor
  orphaned    its master is gone; its workers serve on under the supervisor
  code        not preloaded: each worker imports for itself
  mixed code  shop.py, views.py
  worker    pid  state      age  requests  connections  busy  memory  revision
  8.1       821  serving  3m12s     1,204            3     1  43 MiB  1
  8.2     90822  booting  3m12s     1,204            3     1  99 MiB  2

generation 7 (master -, -): retiring
  no workers
"""
    )


def test_the_tree_says_what_the_plain_text_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    plain, rich = io.StringIO(), io.StringIO()
    status.show_plain(FULL, plain)
    status.show_rich(FULL, rich)
    shown = rich.getvalue().split()
    assert [
        word
        for word in plain.getvalue().replace(":", " ").split()
        if word not in " ".join(shown).replace(":", " ").split()
    ] == []


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"service": None, "generations": None},
        {"service": [], "generations": [None, 3, {"workers": {}}, {"workers": ["x"], "mixed": 5}], "last": "x"},
    ],
)
def test_whatever_another_release_answers_is_shown_as_far_as_it_goes(result: dict[str, Any]) -> None:
    for show in (status.show_plain, status.show_rich, history.show_plain, history.show_rich):
        show({"status": 0, **result}, io.StringIO())


@pytest.mark.parametrize(
    "entries", [None, 3, [], [None], [{}], [{"id": 1, "began": "not a time", "from": 3, "to": [], "seconds": "x"}]]
)
def test_whatever_history_there_is_is_shown(entries: Any) -> None:
    for show in (history.show_plain, history.show_rich):
        show({"status": 0, "entries": entries}, io.StringIO())


def test_a_result_without_words() -> None:
    assert outcome.lines({"status": 0}) == ["ended with status 0"]


def test_several_problems_are_all_shown() -> None:
    problems = "releve.yaml:1:1: cannot a\nreleve.yaml:2:1: cannot b"
    lines = outcome.lines(
        {"event": "result", "status": 2, "message": problems, "reason": problems, "step": "configuration"}
    )
    assert lines == [problems, "  step  configuration", "  serving  as before; nothing was touched"]


REFUSED = {
    "status": 5,
    "event": "result",
    "message": "generation 2 was bad",
    "step": "probation",
    "evidence": {
        "failures": [{"worker": 2, "request": "GET /events HTTP/1.1", "status": 500, "trace": "  File x\nKeyError: 4"}],
        "output": [{"worker": 1, "lines": ["Internal \x1b[2JServer Error"]}],
    },
}
TOLD = [
    "worker 2 failed: GET /events HTTP/1.1: 500",
    "    File x",
    "  KeyError: 4",
    "worker 1 wrote last:",
    "  Internal \\x1b[2JServer Error",
]


def test_what_failed_in_a_release_that_was_refused_is_shown() -> None:
    said = outcome.lines(REFUSED)
    begin = said.index("")
    assert said[begin:-2] == ["", *(f"    {line}" for line in TOLD), ""]


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
        "10  2026-11-23 21:38:31  rollback  1 → -       rolled back  3.0s",
    ]
    assert " ".join(text.split()).endswith(f"by root (pid 32399): probation: {reason}")
