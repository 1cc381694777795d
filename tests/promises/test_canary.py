"""Promise: a canary gets the share that was asked for, counted; and whatever ends it, no client is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.crowd import REQUEST, connect, crowd, generation
from harness.load import Load, strictly
from harness.service import Service, alive, eventually, serving
from harness.workers import hold

LONG = {"share": "30%", "for": "600s"}
FIVES = """
import os
from before import application as fine

def application(environ, start_response):
    if environ["PATH_INFO"] == "/healthz":
        return fine(environ, start_response)
    headers = [("Content-Length", "0"), ("X-Generation", os.environ["RELEVE_GENERATION"])]
    start_response("500 Internal Server Error", headers)
    return []
"""


def operation(service: Service) -> dict[str, Any]:
    """The one under way; empty if there is none, or nobody can tell."""
    with contextlib.suppress(OSError, AssertionError):
        return dict(service.status()["service"]["operation"] or {})
    return {}


def diverting(service: Service) -> bool:
    """Whether every worker has been told."""
    return "new connections" in operation(service).get("doing", "")


def begin(service: Service) -> subprocess.Popen[str]:
    """An upgrade to the second release."""
    if not (service.releases / "two").exists():
        service.release("two")
    service.flip("two")
    return service.begin_ctl("upgrade", "--json")


@contextlib.contextmanager
def canary(service: Service) -> Iterator[subprocess.Popen[str]]:
    """An upgrade to a second release whose canary has begun."""
    upgrade = begin(service)
    try:
        eventually(lambda: diverting(service), "connections go to the canary")
        yield upgrade
    finally:
        if upgrade.poll() is None:
            upgrade.kill()
        upgrade.wait(10)


def outcome(upgrade: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = upgrade.communicate(timeout=60)
    assert out, err
    found: dict[str, Any] = json.loads(out)
    assert found["status"] == upgrade.returncode
    return found


def last(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = [entry for entry in service.ask("history")["entries"] if entry["verb"] == "upgrade"][-1]
    return found


def only_the_old_one_serves(service: Service) -> None:
    """And nothing is passed on any more, not even by way of the supervisor."""

    def diverted() -> int:
        return sum(worker["diverted"] for worker in service.generation()["workers"])

    before = diverted()
    assert crowd(("127.0.0.1", service.port), 50) == {"1": 50}
    assert diverted() == before


@pytest.mark.parametrize(
    ("share", "connections", "workers"),
    [
        pytest.param("10%", 2000, 3, id="a tenth"),
        pytest.param("15%", 10_000, 2, id="no whole part", marks=pytest.mark.soak),
        pytest.param("10%", 10_000, 4, id="ten thousand", marks=pytest.mark.soak),
        pytest.param("1%", 10_000, 2, id="the least", marks=pytest.mark.soak),
        pytest.param("50%", 10_000, 3, id="half", marks=pytest.mark.soak),
    ],
)
def test_the_share_that_was_asked_for(tmp_path: Path, share: str, connections: int, workers: int) -> None:
    """Seen by the clients, and told by the outcome and the history: within two points."""
    asked = float(share[:-1]) / 100
    with serving(tmp_path, workers=workers, upgrade={"canary": {"share": share, "for": "600s"}}) as service:
        with canary(service) as upgrade:
            answers = crowd(("127.0.0.1", service.port), connections)
            assert abs(answers["2"] / connections - asked) <= 0.02, answers
            assert abs(answers["2"] - connections * asked) <= workers, "and, but for one of each worker, exactly"
            service.must("abort")
            said = outcome(upgrade)
        assert said["status"] == 5 and said["aborted"]
        figures = said["figures"]["canary"]
        assert figures["asked"] == asked
        counted = figures["connections"]
        assert (counted["accepted"], counted["diverted"], counted["undiverted"]) == (connections, answers["2"], 0)
        assert abs(counted["share"] - asked) <= 0.02
        assert figures["requests"] == {"answered": connections, "diverted": answers["2"], "share": counted["share"]}
        assert last(service)["figures"]["canary"] == figures
        assert crowd(("127.0.0.1", service.port), 50) == {"1": 50}


def test_connections_and_requests_are_counted_apart(tmp_path: Path) -> None:
    """Behind kept connections a share of the connections is none of the requests: both are told."""
    with (
        serving(tmp_path, upgrade={"canary": LONG}) as service,
        strictly(service.tcp, serving=1, clients=6, think=0) as load,
    ):
        load.begin(2)
        with canary(service) as upgrade:
            load.wait(300)
            service.must("abort")
            figures = outcome(upgrade)["figures"]["canary"]
        load.done(1)
        assert figures["requests"]["answered"] > figures["connections"]["accepted"]
        assert 0.2 < figures["connections"]["share"] < 0.4
        assert figures["requests"]["share"] < figures["connections"]["share"]


@pytest.mark.parametrize("settings", [{}, {"threads": 1, "upgrade": {"mode": "rolling"}}], ids=["switch", "rolling"])
def test_an_upgrade_with_a_canary_loses_nothing(tmp_path: Path, settings: dict[str, Any]) -> None:
    upgrade = {**settings.get("upgrade", {}), "canary": {"share": "25%", "for": "1s"}}
    with (
        serving(tmp_path, **{**settings, "upgrade": upgrade}) as service,
        strictly(*service.addresses, serving=1, clients=16, unordered=True) as load,
    ):
        service.release("two")
        service.flip("two")
        load.begin(2)
        text = service.must("upgrade")
        load.done(2)
        assert "canary: asked 25%, served " in text and "new connections and" in text
        assert service.serving() == 2 and service.who()["release"] == "two"
        phases = last(service)["phases"]
        assert list(phases).index("canary") < list(phases).index("switch") and phases["canary"] >= 0.9
        load.begin(1)
        service.do("rollback")
        load.done(1)


def test_a_canary_that_answers_500_goes_back(tmp_path: Path) -> None:
    """Only what it answered wrongly is lost: no connection is, and the old workers never stopped."""
    with serving(tmp_path, upgrade={"canary": LONG, "check": "/healthz"}) as service:
        before = service.workers()
        service.release("two", before=(service.releases / "one" / "app.py").read_text(), app=FIVES)
        service.flip("two")
        load = Load(*service.addresses, serving=1, clients=20)
        try:
            load.wait(30)
            load.begin(2)
            done = service.ctl("upgrade", "--json")
            said = json.loads(done.stdout)
            assert done.returncode == 5, done.stdout
            assert (said["step"], said["evidence"]["rule"]) == ("canary", "errors")
            assert "the old generation in the same time: 0 of " in said["reason"]
            assert last(service)["outcome"] == "rolled back" and last(service)["evidence"]["rule"] == "errors"
            load.done(1)
            load.wait(40)
            report = load.report()
            assert set(report["kinds"]) == {"status"}, report["failures"]
            lost = report["failed"]
            load.wait(60)
            assert load.report()["failed"] == lost
            assert service.workers() == before
        finally:
            load.kill()


@contextlib.contextmanager
def under_load(root: Path) -> Iterator[tuple[Service, Load, subprocess.Popen[str]]]:
    """A canary, and clients that came while it was there: nearly a third of those that keep their connections are with
    it.
    """
    with (
        serving(root, upgrade={"canary": LONG}) as service,
        canary(service) as upgrade,
        strictly(*service.addresses, clients=24) as load,
    ):
        eventually(lambda: set(load.report()["by_generation"]) == {"1", "2"}, "both generations have answered")
        yield service, load, upgrade
        assert load.report()["announced_closes"] == 0, "connections are handed back, not closed"
        only_the_old_one_serves(service)


def test_a_rollback_ends_it(tmp_path: Path) -> None:
    with under_load(tmp_path) as (service, load, upgrade):
        before = service.workers()
        status = service.status()
        assert status["service"]["state"] == "on trial"
        assert {g["generation"]: g["state"] for g in status["generations"]} == {1: "serving", 2: "attending"}
        assert [service.ask(*busy)["status"] for busy in (("upgrade",), ("reload",), ("scale",))] == [7, 7, 7]
        service.do("rollback")
        assert outcome(upgrade)["status"] == 5
        load.wait(50)
        assert service.serving() == 1 and service.workers() == before
        service.settled()


def test_stopped_meanwhile(tmp_path: Path) -> None:
    """Everybody who is connected is answered, whichever generation has them."""
    with serving(tmp_path, upgrade={"canary": LONG}, timeouts={"linger": "2s"}) as service, canary(service) as upgrade:
        load = Load(service.tcp, clients=24, think=1)
        try:
            load.wait(50)
            service.must("stop")
            assert outcome(upgrade)["status"] == 5
            report = load.report()
            other = [failure for failure in report["failures"] if failure["kind"] != "refused"]
            assert not set(report["kinds"]) - {"refused"}, other
        finally:
            load.kill()


def test_the_supervisor_is_killed(tmp_path: Path) -> None:
    """Before the switch: back to the old generation, which stops to divert; the new one hands back what it has, and
    leaves.
    """
    with under_load(tmp_path) as (service, load, upgrade):
        before = service.workers()
        service.kill_supervisor()
        load.wait(50)
        assert service.serving() == 1 and service.workers() == before
        said = outcome(upgrade)
        assert said["status"] == 4 and "another one took over; it was undone" in said["message"]
        service.settled()
        assert last(service)["outcome"] == "interrupted"


def test_the_new_master_is_killed(tmp_path: Path) -> None:
    """Its workers hand back what they have; nobody is lost, and the upgrade has failed."""
    with under_load(tmp_path) as (service, load, upgrade):
        before = service.workers()
        os.kill(service.generation("attending")["pid"], signal.SIGKILL)
        said = outcome(upgrade)
        assert said["status"] == 5 and said["evidence"]["rule"] == "master"
        load.wait(50)
        assert service.serving() == 1 and service.workers() == before


def test_all_of_the_new_generation_is_killed(tmp_path: Path) -> None:
    """What waits in its exchange goes to the old one."""
    with serving(tmp_path, upgrade={"canary": LONG}) as service, canary(service) as upgrade:
        new = service.generation("attending")
        everybody = [new["pid"], *(worker["pid"] for worker in new["workers"])]
        for pid in everybody:
            hold(pid)
        clients = [connect(("127.0.0.1", service.port)) for _ in range(20)]
        for client in clients:
            client.sendall(REQUEST)
        eventually(
            lambda: sum(w["diverted"] for w in service.generation()["workers"]) >= 5, "some wait in its exchange"
        )
        for pid in everybody:
            os.kill(pid, signal.SIGKILL)
        assert Counter(map(generation, clients)) == {"1": 20}
        said = outcome(upgrade)
        assert said["status"] == 5 and said["evidence"]["rule"] in ("master", "exit"), said


def test_the_old_master_is_killed(tmp_path: Path) -> None:
    """Its workers divert on, orphaned, and the upgrade comes to its end."""
    with (
        serving(tmp_path, upgrade={"canary": {"share": "30%", "for": "4s"}}) as service,
        strictly(*service.addresses, serving=1, clients=16, unordered=True) as load,
    ):
        load.begin(2)
        with canary(service) as upgrade:
            os.kill(service.generation()["pid"], signal.SIGKILL)
            eventually(lambda: service.generation()["orphaned"], "its workers are orphans")
            answers = crowd(("127.0.0.1", service.port), 100)
            assert abs(answers["2"] - 30) <= 2
            assert outcome(upgrade)["status"] == 0
        load.done(2)
        assert service.serving() == 2


def test_an_orphaned_generation_is_upgraded_with_a_canary(tmp_path: Path) -> None:
    """Nobody but the supervisor can tell its workers, and it does; going back works as well."""
    with serving(tmp_path, upgrade={"canary": LONG}) as service:
        broken = service.releases / "one" / "app.py"
        good = broken.read_text()
        broken.write_text("raise RuntimeError('no successor of this release')\n")
        os.kill(service.generation()["pid"], signal.SIGKILL)
        eventually(lambda: service.generation()["orphaned"], "its workers are orphans")
        with canary(service) as upgrade:
            answers = crowd(("127.0.0.1", service.port), 100)
            assert abs(answers[str(service.generation("attending")["generation"])] - 30) <= 2
            service.must("abort")
            assert outcome(upgrade)["status"] == 5
            only_the_old_one_serves(service)
        broken.write_text(good)


def test_workers_that_come_later_divert_too(tmp_path: Path) -> None:
    """One that takes the place of a dead one, and those that take the places of recycled ones."""
    with serving(tmp_path, upgrade={"canary": LONG}, limits={"requests": 60}) as service, canary(service):
        victim = min(service.workers())
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not alive(victim) and len(service.workers()) == 2, "another one has taken its place")
        first = service.workers()

        def replaced() -> bool:
            answers = crowd(("127.0.0.1", service.port), 100)
            assert abs(answers["2"] - 30) <= 6, answers  # one more or less for each worker that counts anew
            return not first & service.workers()

        eventually(replaced, "they have been recycled")
        assert service.ask("abort")["status"] == 0


def test_proxied_connections_are_passed_on_before_their_header_is_read(tmp_path: Path) -> None:
    header = b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\n"
    with serving(tmp_path, upgrade={"canary": {"share": "50%", "for": "600s"}}, proxy={"protocol": True}) as service:
        with canary(service):
            answers = crowd(("127.0.0.1", service.port), 40, first=header)
            answers += crowd(str(service.unix), 40, first=header)
            assert abs(answers["2"] - 40) <= 2
            assert service.ask("abort")["status"] == 0
        assert service.log().count("192.0.2.7 - - ") == 80
