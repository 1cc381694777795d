"""The picture of a service, plain and as a tree."""

from __future__ import annotations

import io
from typing import Any

import pytest

from releve.ctl.screens import history, status

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
  orphaned    its master exited; its workers keep serving under the supervisor
  code        not preloaded: each worker imports it
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
