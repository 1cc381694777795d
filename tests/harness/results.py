"""Results of verbs, as a supervisor answers them: what the screens of ``ctl`` are tested with."""

from __future__ import annotations

from typing import Any

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
    "threads": 8,
    "waiting": 0,
    "connections_max": 10_000,
    "cpu_percent": 12.3,
    "descriptors": 25,
    "descriptors_max": 20_032,
    "restarts": 0,
    "last_exit": None,
}
KILLED = "worker 3 (pid 90820) was killed by SIGKILL (not by this host's OOM killer) while serving GET /report"
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
        "saturated": "all 16 threads busy for 12 s, 37 waiting",
        "load": {"busy": 16, "threads": 16, "waiting": 37, "full_s": 12.4},
        "queues": [{"listener": "127.0.0.1:8000", "waiting": 30, "most": 2048}],
        "workers_serving": 2,
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
                {
                    **WORKER,
                    "worker": 2,
                    "pid": 90822,
                    "state": "booting",
                    "pss_bytes": None,
                    "revision": 2,
                    "connections": 9_990,
                    "restarts": 11,
                    "last_exit": {"what": KILLED, "age_s": 75.2},
                },
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


REQUEST = {"method": "GET", "target": "/report?\x1b[2J", "peer": "10.0.0.7:4711", "age_s": 12.3}
WORKERS: dict[str, Any] = {
    "status": 0,
    "workers": [
        {
            "generation": 8, "worker": 2, "pid": 812, "state": "serving", "age_s": 192, "heartbeat_age_s": 0.001,
            "connections": 3,
            "busy": 1, "requests": 1204, "statuses": {"2xx": 1200, "3xx": 1, "4xx": 2, "5xx": 1}, "pss_bytes": 43 << 20,
            "rss_bytes": 99 << 20, "requests_now": [REQUEST], "threads": 8, "waiting": 2, "connections_max": 10_000,
            "cpu_percent": 12.3,
        },
        {"generation": 7, "worker": 1, "pid": 701, "state": "paused", "heartbeat_age_s": 31.0, "requests_now": []},
    ],
}  # fmt: skip
DUMP: dict[str, Any] = {
    "status": 0,
    "processes": [
        {
            "process": "8.2", "pid": 812, "state": "serving", "trouble": "",
            "threads": [
                {"thread": "0x4", "number": 1, "role": "serving", "request": REQUEST,
                 "stack": ['File "/v/releve/server/worker/lead.py", line 1 in a',
                           'File "/v/releve/server/wsgi/call.py", line 2 in b',
                           'File "/srv/app.py", line 3 in c']},
                {"thread": "0x5", "number": 2, "role": "leading", "request": None,
                 "stack": ['File "/v/releve/server/worker/lead.py", line 1 in a',
                           'File "/v/releve/server/loop/loop.py", line 2 in b']},
                {"thread": "0x6", "number": None, "role": "other", "request": None,
                    "stack": ['File "/srv/own.py", line 1 in x']},
                {"thread": "0x7", "number": 3, "role": "idle", "request": None, "stack": []},
                {"thread": "0x8", "number": 4, "role": "idle", "request": None, "stack": []},
            ],
        },
        {"process": "8.master", "pid": 800, "state": "serving", "trouble": "it is stopped (SIGSTOP)", "threads": []},
    ],
}  # fmt: skip
DOCTOR: dict[str, Any] = {
    "status": 8,
    "message": "2 checks: 1 problem, 0 warnings",
    "findings": [
        {
            "check": "proxy",
            "severity": "problem",
            "text": "proxy.trusted has 0.0.0.0/0",
            "advice": "list the proxies only",
        },
        {"check": "clock", "severity": "ok", "text": "the clock is synchronized", "advice": ""},
    ],
}


HISTORY: dict[str, Any] = {
    "entries": [
        {
            "id": 10,
            "verb": "rollback",
            "began": "2026-11-23T21:38:31+00:00",
            "by": "root (pid 32399)",
            "from": {"generation": 7},
            "to": {"generation": 8},
            "outcome": "rolled back",
            "seconds": 5.5,
            "step": "probation",
            "reason": "12 of 40 requests answered with 5xx (30.0%), the generation before had 0.1%",
        }
    ]
}
