"""Promise: a release that turns bad after it was ready is noticed, and the old workers serve again, by themselves."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness.load import Load, strictly
from harness.service import Service, eventually, serving

HEAD = """
import os, sys, threading, time
from importlib import import_module

sys.path.insert(0, {one!r})
import app as before

calls = 0
began = time.monotonic()
"""
FIFTY = """
def application(environ, start_response):
    global calls
    calls += 1
    if calls >= 50:
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return []
    return before.application(environ, start_response)
"""
CRASH = """
def crash():
    time.sleep(2)
    os._exit(7)

def application(environ, start_response):
    return before.application(environ, start_response)

def after_fork():
    threading.Thread(target=crash, daemon=True).start()

os.register_at_fork(after_in_child=after_fork)
"""
WEDGE = """
import ctypes

def application(environ, start_response):
    global calls
    calls += 1
    if calls > 20:
        ctypes.PyDLL(None).sleep(600)  # with the interpreter's lock
    return before.application(environ, start_response)
"""
DEADLOCK = """
lock = threading.Lock()

def application(environ, start_response):
    global calls
    calls += 1
    if calls > 20:
        lock.acquire()
    return before.application(environ, start_response)
"""


def deploy(service: Service, text: str) -> None:
    """A release that is the first one, but for what ``text`` makes of it."""
    source = (service.releases / "one" / "app.py").read_text()
    service.release(
        "bad", before=source, app=re.sub("sys.path.insert.*\nimport app as before", "import before", HEAD) + text
    )
    service.flip("bad")


def went_back(service: Service, before: set[int], rule: str) -> dict[str, Any]:
    """The upgrade has ended with 5, the old workers serve, and the history knows why."""
    done = service.ctl("upgrade", "--json")
    outcome: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 5, done.stdout + done.stderr
    assert outcome["step"] == "probation" and outcome["evidence"]["rule"] == rule
    assert service.serving() == 1 and service.workers() == before
    last = service.ask("history")["entries"][-1]
    assert (last["verb"], last["outcome"], last["evidence"]["rule"]) == ("upgrade", "rolled back", rule)
    assert f"upgrade {last['id']} rolled back: {outcome['message']}; " in service.log()
    return outcome


CLIENTS = 20
WITHIN_S = 20.0  # the bound of 2 s, ten times
LOST = {"lost", "truncated", "idle"}


@pytest.mark.parametrize(
    ("text", "rule", "kinds"),
    [(FIFTY, "errors", {"status"}), (CRASH, "exit", LOST), (WEDGE, "heartbeat", LOST), (DEADLOCK, "check", LOST)],
)
def test_back_on_the_old_workers(tmp_path: Path, text: str, rule: str, kinds: set[str]) -> None:
    """By itself, soon after the first bad sign; lost is only what the bad release answered wrongly or held."""
    upgrade: dict[str, Any] = {"probation": "60s"}
    if rule == "check":
        upgrade["check"] = {"path": "/healthz", "timeout": "500ms"}
    with serving(tmp_path, threads=2, upgrade=upgrade) as service:
        before = service.workers()
        deploy(service, text)
        load = Load(*service.addresses, serving=1, clients=CLIENTS, patience=90, failures=10_000)
        try:
            load.wait(50)
            load.begin(2)
            load.begin(1)  # and back again
            outcome = went_back(service, before, rule)
            back = time.monotonic()
            load.done(1)
            load.wait(5 * CLIENTS)
            failures = load.report()["failures"]
            assert {failure["kind"] for failure in failures} <= kinds
            if failures:  # else what it holds is held yet
                first, last = failures[0]["at"], failures[-1]["at"]
                assert back - first < WITHIN_S and last - first < WITHIN_S
            if rule != "errors":  # else each of them is an answer, and a wrong one
                assert len(failures) <= 2 * CLIENTS
            if rule == "exit":
                assert "exited with status 7" in outcome["message"]
            if rule == "heartbeat":
                assert "event loop stuck" in outcome["message"]
        finally:
            load.kill()
        service.configure(upgrade={"retire": "100ms"})
        for generation in service.status()["generations"]:
            if generation["generation"] != 1:
                service.must("stop", "--now")  # what is deadlocked has up to an hour for its requests
                break


POLLED = ("/ready", "/healthz")
CLIENTS_FAIL = """
def application(environ, start_response):
    if environ["PATH_INFO"] in {polled!r}:
        return before.application(environ, start_response)
    start_response("500 Internal Server Error", [("Content-Length", "0")])
    return []
"""


@pytest.mark.parametrize("polled", POLLED)
def test_the_polls_of_a_balancer_do_not_hide_that_every_client_gets_an_error(tmp_path: Path, polled: str) -> None:
    """Answered by us, or by the application at the path that is for balancers; at least twelve for each request of a
    client.
    """
    upgrade = {"probation": "20s", "check": {"path": "/healthz"}}
    readiness: dict[str, Any] = {"readiness": polled} if polled == "/ready" else {}
    with serving(tmp_path, upgrade=upgrade, workers=2, **readiness) as service:
        before = service.workers()
        deploy(service, CLIENTS_FAIL.replace("{polled!r}", repr(POLLED)))
        over = threading.Event()

        def poll() -> None:
            """And a client that asks for a page, now and then."""
            balancer = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
            client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
            while not over.is_set():
                for connection, path in ((balancer, polled),) * 12 + ((client, "/release"),):
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    answer.read()
                    assert path != polled or answer.status == 200
            balancer.close()
            client.close()

        thread = threading.Thread(target=poll)
        thread.start()
        try:
            outcome = went_back(service, before, "errors")
        finally:
            over.set()
            thread.join(60)
        new = outcome["figures"]["new"]
        assert new["errors"] >= 20
        if polled == "/ready":
            assert new["errors"] == new["requests"]
        else:
            assert new["errors"] == new["requests"] - new["polled"] and new["share"] < 0.1


def test_a_good_release_is_committed_and_too_little_traffic_is_said(tmp_path: Path) -> None:
    """With the default settings."""
    with serving(tmp_path, start=False) as service:
        service.short = False
        service.settings.pop("upgrade", None)
        service.configure()
        service.start()
        outcome = service.ask("upgrade")
        assert outcome["status"] == 0 and outcome["phases"]["probation"] >= 4.9
        assert any("too little traffic to judge: 0 requests in 5 s" in note for note in outcome["notes"])


def test_trouble_that_both_generations_have_is_not_held_against_the_new_one(tmp_path: Path) -> None:
    down = tmp_path / "down"
    text = f"""
import os, before
def application(environ, start_response):
    if os.path.exists({str(down)!r}):
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return []
    return before.application(environ, start_response)
"""
    with serving(tmp_path, start=False) as service:
        source = (service.releases / "one" / "app.py").read_text()
        for name in ("one", "two"):
            service.release(name, before=source, app=text)
        service.configure(upgrade={"probation": "2s", "check": {"path": "/healthz"}})
        service.start()
        service.flip("two")
        upgrade = service.begin_ctl("upgrade", "--json")
        eventually(
            lambda: (service.status()["service"]["operation"] or {}).get("phase") == "probation", "the probation begins"
        )
        down.touch()
        out, _ = upgrade.communicate(timeout=30)
        outcome = json.loads(out)
        assert outcome["status"] == 0, outcome
        assert any("in the old generation too" in note for note in outcome["notes"])
        down.unlink()


def test_a_rollback_ends_the_probation(tmp_path: Path) -> None:
    with (
        serving(tmp_path, upgrade={"probation": "60s"}) as service,
        strictly(*service.addresses, serving=1, clients=12) as load,
    ):
        before = service.workers()
        service.release("two")
        service.flip("two")
        load.begin(2)
        upgrade = service.begin_ctl("upgrade")
        eventually(
            lambda: (service.status()["service"]["operation"] or {}).get("phase") == "probation", "the probation begins"
        )
        assert service.serving() == 2
        busy = service.ctl("upgrade")
        assert busy.returncode == 7, busy.stderr
        load.begin(1)
        service.do("rollback")
        load.done(1)
        out, err = upgrade.communicate(timeout=30)
        assert upgrade.returncode == 5, out + err
        assert service.serving() == 1 and service.workers() == before
