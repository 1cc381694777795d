"""The picture of a service, plain and as a tree."""

from __future__ import annotations

import io
from typing import Any

import pytest

from harness.results import FULL, WORKER
from releve.ctl.screens import history, status
from releve.ctl.screens.styled_lines import text_of


def test_the_plain_status_says_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    stream = io.StringIO()
    status.show_plain(FULL, stream)
    assert (
        stream.getvalue()
        == """\
shop-1a9af1ca shop:app (pid 812, up 3h12m): degraded: worker 2 dies again and again; history cannot be written; \
saturated: all 16 threads busy for 12 s, 37 waiting
  config        /srv/shop/releve.yaml
  listen        127.0.0.1:8000 (queue 30/2,048), unix:/run/shop.sock
  workers       2/3 (scaled; `ctl scale --reset` goes back to the configuration)
  busy          16/16 threads, 37 waiting
  watch         code
  operation     upgrade: boot for 12s, by root (pid 5)
  not upgraded  shop.py:3: invalid syntax
  history       2 lines wait for the disk
  last          #12 upgrade (generation 7 → 8) done in 2.3s, 2026-11-23 21:38:31

generation 8 (master 820, 3m12s): serving
  release     /srv/shop/releases/42 (through /srv/shop/current)
  commit      0123456789ab
  python      3.12.1 (/srv/shop/releases/42/.venv/bin/python)
  releve      0.1.0, lent by the supervisor
  orphaned    its master exited; its workers keep serving under the supervisor
  code        not preloaded: each worker imports it
  mixed code  shop.py, views.py
  worker    pid  state      age  busy  cpu  memory   connections  descriptors  requests  restarts  revision
  8.1       821  serving  3m12s   1/8  12%  43 MiB      3/10,000    25/20,032     1,204         0  1
  8.2     90822  booting  3m12s   1/8  12%  99 MiB  9,990/10,000    25/20,032     1,204        11  2
    └ 9,990 of 10,000 connections
    └ restarted 11 times, last 1m15s ago: worker 3 (pid 90820) was killed by SIGKILL (not by this host's OOM killer) \
while serving GET /report

generation 7 (master -, -): retiring
  no workers
"""
    )


@pytest.mark.parametrize(
    ("service", "headline"),
    [
        ({"state": "serving"}, "serving"),
        ({"state": "serving", "saturated": "all 2 busy"}, "serving, saturated: all 2 busy"),
        ({"state": "serving", "failing": "9 of 10"}, "serving, failing: 9 of 10"),
        (
            {"state": "serving", "saturated": "all 2 busy", "failing": "9 of 10"},
            "serving, saturated: all 2 busy; failing: 9 of 10",
        ),
        ({"state": "degraded", "degraded": ["1 of 2 workers", "no log"]}, "degraded: 1 of 2 workers; no log"),
        (
            {"state": "degraded", "degraded": ["1 of 2 workers"], "saturated": "the only thread busy for 3 s"},
            "degraded: 1 of 2 workers; saturated: the only thread busy for 3 s",
        ),
        ({"state": "on trial", "degraded": ["1 of 2 workers"]}, "on trial, degraded: 1 of 2 workers"),
    ],
)
def test_the_headline(service: dict[str, Any], headline: str) -> None:
    assert status.picture({"service": service}).state == headline


def test_the_tables_of_generations_are_aligned_and_have_the_same_columns() -> None:
    long = {**WORKER, "worker": 10, "pid": 4194304, "state": "attending"}
    result = {
        "service": {"state": "serving"},
        "generations": [{"generation": 8, "workers": [WORKER]}, {"generation": 12, "workers": [long]}],
    }
    for width in (None, 200, 80, 60):
        heads = [line for line in map(text_of, status.lines(result, width)) if line.startswith("  worker")]
        assert len(heads) == 2 and len(set(heads)) == 1


def test_an_older_supervisor_says_less_and_what_is_missing_is_left_out() -> None:
    worker = {name: WORKER[name] for name in ("worker", "pid", "state", "connections", "busy")}
    result = {
        "service": {"state": "serving", "listeners": ["127.0.0.1:8000"], "workers_wanted": 1},
        "generations": [{"generation": 8, "workers": [worker]}],
    }
    shown = status.picture(result)
    assert shown.facts == [("listen", "127.0.0.1:8000"), ("workers", "1")]
    assert shown.parts[0].rows[0].cells == ("8.1", "821", "serving", "-", "1", "-", "-", "3", "-", "-", "-")
    assert not shown.parts[0].rows[0].below


def test_a_terminal_shows_what_the_plain_text_says(monkeypatch: pytest.MonkeyPatch) -> None:
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
