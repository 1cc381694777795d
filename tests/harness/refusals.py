"""The result of a release that was refused, and what is told of it."""

from __future__ import annotations

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
