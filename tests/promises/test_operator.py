"""Promise: whoever operates it sees what each worker does, in whatever state, and what a dead one did last.

And can drain the host, and is told what will go wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import peers
from harness.service import Service, eventually, serving
from harness.workers import hold

APP = """
import ctypes, os, time
import release_app as before

def loops():
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pass

WAYS = {
    "/sleeps": lambda: time.sleep(60),
    "/loops": loops,
    "/holds_the_lock": lambda: ctypes.PyDLL(None).sleep(60),  # with the interpreter's lock
    "/aborts": lambda: os.abort(),
    "/dies": lambda: os.kill(os.getpid(), 9),
}

def application(environ, start_response):
    way = WAYS.get(environ["PATH_INFO"])
    if way is not None:
        open(environ["QUERY_STRING"], "w").close()
        way()
    return before.application(environ, start_response)
"""
APPLICATION = Path(__file__).parents[1] / "harness" / "application.py"


def release(service: Service, name: str) -> None:
    service.release(name, app=APP, release_app=APPLICATION.read_text())


@contextlib.contextmanager
def starts(tmp_path: Path, **settings: Any) -> Iterator[Service]:
    with serving(tmp_path, start=False, timeouts={"drain": "1s"}, **settings) as service:
        release(service, "one")
        service.start()
        yield service


def asks(service: Service, way: str, tmp_path: Path) -> str:
    """Ask for something that lasts, and wait until the application has it; its target."""
    mark = tmp_path / f"in{time.monotonic_ns()}"
    target = f"{way}?{mark}"

    def ask() -> None:
        with contextlib.suppress(OSError, Exception):
            service.request("GET", target)

    threading.Thread(target=ask, daemon=True).start()
    eventually(mark.exists, f"the application has {way}")
    return target


def dumped(service: Service, name: str) -> dict[str, Any]:
    """What the one process says."""
    done = service.ctl("dump", "--json", name)
    (one,) = json.loads(done.stdout)["processes"]
    assert isinstance(one, dict)
    assert bool(one["trouble"]) is (done.returncode == 4), done
    return one


def in_service(service: Service) -> list[str]:
    generation = service.generation()
    return [f"{generation['generation']}.{worker['worker']}" for worker in generation["workers"]]


# sleep(3) ends by the signal, in the main thread: hence in others only
@pytest.mark.parametrize(("way", "threads"), [("/sleeps", 4), ("/loops", 1), ("/holds_the_lock", 4)])
def test_a_worker_says_where_its_threads_are_whatever_they_do(tmp_path: Path, way: str, threads: int) -> None:
    with starts(tmp_path, workers=1, threads=threads) as service:
        target = asks(service, way, tmp_path)
        for _ in range(2):  # the second one finds nothing of the first
            one = dumped(service, "1")
            served = [thread for thread in one["threads"] if thread["role"] == "serving"]
            assert [thread["request"]["target"] for thread in served] == [target]
            assert re.search(r'app\.py", line \d+ in ', served[0]["stack"][-1]), served[0]["stack"]
            assert len(one["threads"]) == (2 if threads == 1 else threads + 2)
            assert all(thread["stack"] for thread in one["threads"])
            # Its own word, but where nobody can get at the lock.
            assert one["note"] == (
                "it did not answer within 2 s: its stacks were taken by signal" if way == "/holds_the_lock" else ""
            )
        plain = service.ctl("dump", "1").stdout
        assert re.search(rf"thread \d: [\d.]+s  GET {re.escape(target)}  127\.0\.0\.1:\d+\n", plain), plain
        assert "frames of Relève" in plain
        assert ("event loop, idle" in plain) is (way != "/holds_the_lock")
        service.must("stop", "--now")


def test_every_kind_of_process_can_be_asked(tmp_path: Path) -> None:
    with starts(tmp_path, workers=1, upgrade={"standby": "60s"}) as service:
        assert "poll" in dumped(service, "master")["threads"][0]["stack"][-1] or dumped(service, "1.master")["threads"]
        release(service, "two")
        service.flip("two")
        service.do("upgrade")
        standby = dumped(service, "1.1")
        assert standby["state"] == "paused" and not standby["trouble"] and len(standby["threads"]) > 2
        everyone = json.loads(service.must("dump", "--all", "--json"))["processes"]
        assert [one["process"] for one in everyone] == ["1.master", "1.1", "2.master", "2.1"]
        assert all(one["threads"] and not one["trouble"] for one in everyone)
        nobody = service.ctl("dump", "9")
        assert nobody.returncode == 2 and "the processes are 1.master (pid " in nobody.stderr
        assert service.ctl("dump").returncode == service.ctl("dump", "1", "--all").returncode == 2


def test_an_orphan_answers_too_and_one_that_is_stopped_is_said_to_be(tmp_path: Path) -> None:
    with starts(tmp_path, workers=1) as service:
        (service.releases / "one" / "app.py").write_text("raise RuntimeError('it boots no more')\n")
        pid = service.generation()["workers"][0]["pid"]
        os.kill(service.generation()["pid"], signal.SIGKILL)
        eventually(lambda: any(one["orphaned"] for one in service.status()["generations"]), "it is orphaned")
        target = asks(service, "/sleeps", tmp_path)
        one = dumped(service, str(pid))
        assert [thread["request"]["target"] for thread in one["threads"] if thread["request"]] == [target]
        hold(pid)
        one = dumped(service, str(pid))
        assert "it is stopped" in one["trouble"]
        assert [thread["request"]["target"] for thread in one["threads"]] == [target]  # its scoreboard says so
        (worker,) = json.loads(service.must("workers", "--json"))["workers"]
        os.kill(pid, signal.SIGCONT)
        assert worker["heartbeat_age_s"] > 0.2
        assert not dumped(service, str(pid))["trouble"]
        service.must("stop", "--now")


def test_dumps_at_once_do_not_mix(tmp_path: Path) -> None:
    with starts(tmp_path, workers=2, threads=4) as service:
        running = [service.begin_ctl("dump", "--json", f"1.{1 + number % 2}") for number in range(6)]
        for number, one in enumerate(running):
            out, _ = one.communicate(timeout=30)
            (process,) = json.loads(out)["processes"]
            assert process["process"] == f"1.{1 + number % 2}"
            assert len(process["threads"]) == 4 + 1 + 1 and all(thread["stack"] for thread in process["threads"])


def test_workers_shows_what_each_serves(tmp_path: Path) -> None:
    with starts(tmp_path, workers=2) as service:
        targets = {asks(service, "/sleeps", tmp_path) for _ in range(3)}
        for _ in range(4):
            service.get("/echo")
        found = json.loads(service.must("workers", "--json"))["workers"]
        assert [(one["generation"], one["worker"], one["state"]) for one in found] == [
            (1, 1, "serving"),
            (1, 2, "serving"),
        ]
        served = [request for one in found for request in one["requests_now"]]
        assert {request["target"] for request in served} == targets
        assert all(request["method"] == "GET" and request["peer"].startswith("127.0.0.1:") for request in served)
        assert all(0 < request["age_s"] < 30 for request in served)
        assert sum(one["busy"] for one in found) == 3
        eventually(
            lambda: (
                sum(one["statuses"]["2xx"] for one in json.loads(service.must("workers", "--json"))["workers"]) == 4
            ),
            "all are counted",
        )
        assert all(
            one["heartbeat_age_s"] is not None and (one["pss_bytes"] or one["rss_bytes"]) > 1_000_000 for one in found
        )
        plain = service.must("workers")
        assert sum(f"GET {target}  127.0.0.1:" in plain for target in targets) == 3
        service.must("stop", "--now")


@pytest.mark.parametrize(
    ("way", "how"),
    [("/dies", r"was killed by SIGKILL \(.*(OOM killer|kernel).*\)"), ("/aborts", "was killed by SIGABRT")],
)
def test_a_worker_that_was_killed_leaves_what_it_did(tmp_path: Path, way: str, how: str) -> None:
    with starts(tmp_path, workers=1) as service:
        beside = asks(service, "/sleeps", tmp_path)
        target = asks(service, way, tmp_path)
        served = rf"GET {re.escape(beside)} \(\d+\.\d s, client 127\.0\.0\.1:\d+\), GET {re.escape(target)} \("
        line = rf"worker 1 \(pid \d+\) {how} while serving {served}"
        eventually(lambda: re.search(line, service.log()), "the log says what it did")
        eventually(service.workers, "another one serves")


def test_the_last_requests_are_evidence_in_the_history(tmp_path: Path) -> None:
    with starts(tmp_path, workers=1, upgrade={"probation": "20s"}) as service:
        release(service, "two")
        service.flip("two")
        upgrade = service.begin_ctl("upgrade")
        eventually(
            lambda: (service.status()["service"]["operation"] or {}).get("phase") == "probation", "it is on trial"
        )
        target = asks(service, "/dies", tmp_path)
        assert upgrade.wait(30) == 5
        entry = json.loads(service.must("history", "--json"))[-1]
        assert "was killed by SIGKILL" in entry["reason"] and f"while serving GET {target}" in entry["reason"]
        assert f"while serving GET {target}" in entry["evidence"]["workers"][0]


READY: dict[str, Any] = {"readiness": "/ready", "upgrade": {"check": "/healthz"}}


def balancer(service: Service, path: str = "/ready") -> int:
    return service.request("GET", path)[0]


def test_a_drained_host_stays_drained_whatever_happens_to_its_processes(tmp_path: Path) -> None:
    with starts(tmp_path, workers=1, **READY) as service:
        assert balancer(service) == 200
        assert "/ready answers 503" in service.must("drain")
        assert balancer(service) == 503
        assert balancer(service, "/healthz") == 200  # readiness is asked elsewhere
        assert "already drained" in service.must("drain")
        release(service, "two")
        service.flip("two")
        service.do("upgrade")
        assert service.who()["release"] == "two" and balancer(service) == 503
        before = service.workers()
        os.kill(next(iter(before)), signal.SIGKILL)
        eventually(lambda: service.workers() and service.workers() != before, "another worker serves")
        assert balancer(service) == 503
        service.do("reload")
        assert balancer(service) == 503
        service.must("reexec")
        assert balancer(service) == 503 and service.status()["service"]["draining"]["since_s"] > 0
        service.kill_supervisor()
        assert balancer(service) == 503
        assert service.status()["service"]["draining"]["unheard"] == []
        assert "draining  since " in service.must("status")
        service.do("rollback")
        assert balancer(service) == 503
        service.must("undrain")
        assert balancer(service) == 200
        assert service.status()["service"]["draining"] is None
        assert [one["verb"] for one in json.loads(service.must("history", "--json"))].count("drain") == 1
        assert "not drained" in service.must("undrain")


def test_without_a_path_of_its_own_the_checks_path_says_so_and_upgrades_still_pass(tmp_path: Path) -> None:
    with starts(tmp_path, workers=1, upgrade={"check": "/healthz"}) as service:
        assert balancer(service, "/healthz") == 200
        service.must("drain")
        assert balancer(service, "/healthz") == 503 and service.get("/echo") == b""
        for _ in range(30):  # a balancer's questions are nothing that a new generation is judged by
            assert balancer(service, "/healthz") == 503
        service.do("upgrade")
        assert service.serving() == 2 and balancer(service, "/healthz") == 503
        service.must("undrain")
        assert balancer(service, "/healthz") == 200


def test_nobody_could_see_it(tmp_path: Path) -> None:
    with starts(tmp_path, workers=1) as service:
        refused = service.ctl("drain")
        assert refused.returncode == 2 and "set readiness: /ready" in refused.stderr
        assert service.status()["service"]["draining"] is None


def test_a_release_that_knows_nothing_of_it(tmp_path: Path) -> None:
    """The frozen server of the first version."""
    peer = str(peers.peer("v1"))
    with serving(tmp_path, start=False, workers=1, env={"PYTHONPATH": peer}, **READY) as service:
        service.start()
        refused = service.ctl("drain")
        assert refused.returncode == 2 and "does not know readiness" in refused.stderr
        assert "its release cannot dump stacks" in dumped(service, "1")["trouble"]
        (worker,) = json.loads(service.must("workers", "--json"))["workers"]
        assert worker["requests_now"] == [] and worker["heartbeat_age_s"] < 30
        service.configure(env=None)
        service.do("upgrade")
        service.must("drain")
        service.do("rollback")
        assert service.status()["service"]["draining"]["unheard"] == [1]
        os.kill(next(iter(service.workers())), signal.SIGKILL)
        eventually(
            lambda: re.search(r"worker 1 \(pid \d+\) was killed by SIGKILL \([^)]*\)\n", service.log()),
            "all that is known is logged",
        )
        eventually(service.workers, "another worker serves")


def test_a_stop_says_so_to_who_still_asks(tmp_path: Path) -> None:
    with starts(tmp_path, workers=1, readiness="/ready") as service:
        asks(service, "/sleeps", tmp_path)
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as kept:
            ask = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"
            kept.sendall(ask)
            assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
            stop = service.begin_ctl("stop")
            eventually(lambda: service.status()["service"]["state"] == "stopping", "it stops")
            kept.sendall(ask)
            assert kept.recv(65536).startswith(b"HTTP/1.1 503 ")
        assert stop.wait(30) == 0


def test_a_balancer_hears_of_a_stop_while_the_service_waits_for_it_to(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1, readiness="/ready", timeouts={"pre_stop": "60s"}) as service:
        assert balancer(service) == 200
        stop = service.begin_ctl("stop")
        eventually(lambda: balancer(service) == 503, "a new connection hears that it stops")
        assert service.get("/echo") == b""
        service.must("stop", "--now")
        assert stop.wait(30) == 0


def test_the_doctor_examines_what_runs_and_what_does_not(tmp_path: Path) -> None:
    with starts(tmp_path, workers=1, limits={"backlog": 65535}, proxy={"trusted": ["0.0.0.0/0"]}) as service:
        done = service.ctl("doctor", "--json")
        found = {one["check"]: one["severity"] for one in json.loads(done.stdout)["findings"]}
        assert (
            done.returncode == 8
            and found["proxy"] == "problem"
            and found["health"] == "ok"
            and found["symlink"] == "ok"
        )
        (service.root / "current").chmod(0o777)
        (service.releases / "one").chmod(0o777)
        plain = service.ctl("doctor").stdout
        assert (
            re.search(r"^problem +writable +every user may write to .*releases/one", plain, re.MULTILINE)
            and "do: chmod o-w" in plain
        )
        (service.releases / "one").chmod(0o755)
        service.configure(proxy=None, limits=None)
        service.do("upgrade")
        assert service.ctl("doctor").returncode == 0
