"""Promise: who refuses a release says what was wrong with it, as far as the release itself can tell."""

from __future__ import annotations

import json
from pathlib import Path

from harness.load import Load
from harness.service import Service, serving

EVENTS = """
import sys
from before import application as fine

def application(environ, start_response):
    if environ["PATH_INFO"] == "/healthz":
        return fine(environ, start_response)
    print("asked for", environ["PATH_INFO"], file=sys.stderr)
    return events(start_response)

def events(start_response):
    start_response("200 OK", [("Content-Type", "text/event-stream"), ("X-Topic", "caf\\u20ac")])
    return [b"data: 1\\n\\n"]
"""
UNHEALTHY = """
import os, sys
def application(environ, start_response):
    print("cannot reach the database", file=sys.stderr)
    raise ConnectionError("database 'shop' is not there")
"""
CALL = "in events"
ERROR = "ValueError: cannot send header X-Topic"


def deploy(service: Service, text: str) -> None:
    service.release("bad", before=(service.releases / "one" / "app.py").read_text(), app=text)
    service.flip("bad")


def test_why_a_release_was_refused_is_in_the_answer_the_history_the_status_and_the_log(tmp_path: Path) -> None:
    """Answered with 5xx in its probation; and before it, when it fails its check."""
    with serving(tmp_path, workers=2, upgrade={"probation": "60s", "check": {"path": "/healthz"}}) as service:
        deploy(service, EVENTS)
        load = Load(*service.addresses, serving=1, clients=4, patience=90, failures=10_000)
        try:
            load.wait(20)
            load.begin(2)
            load.begin(1)
            done = service.ctl("upgrade")
            load.done(1)
        finally:
            load.kill()
        assert done.returncode == 5, done.stderr
        attempt = service.ask("history")["entries"][-1]
        failures, output = attempt["evidence"]["failures"], attempt["evidence"]["output"]
        assert attempt["evidence"]["rule"] == "errors" and len(failures) == 3
        for one in failures:
            assert one["status"] == 500 and one["request"].endswith(" HTTP/1.1") and CALL in one["trace"]
            assert one["trace"].rpartition("\n")[2].startswith(ERROR)
        assert all(line.startswith("asked for /") for one in output for line in one["lines"]) and output
        shown = service.must("history")
        for text in (done.stderr, shown, service.log()):
            assert f"failed: {failures[0]['request']}: 500" in text and CALL in text and ERROR in text
            assert "wrote last:" in text and f"  {output[0]['lines'][-1]}" in text
        assert ERROR in next(line for line in service.must("status").splitlines() if line.startswith("  last"))

        deploy(service, UNHEALTHY)
        done = service.ctl("upgrade", "--json")
        said = json.loads(done.stdout)
        assert (done.returncode, said["step"]) == (4, "check")
        asked = said["evidence"]["failures"][0]
        assert (asked["status"], asked["request"], asked["how"]) == (
            500,
            "GET /healthz HTTP/1.1",
            "request of the supervisor",
        )
        assert asked["trace"].endswith("ConnectionError: database 'shop' is not there")
        assert said["evidence"]["output"][0]["lines"] == ["cannot reach the database"]
        assert service.serving() == 1
