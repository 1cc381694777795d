"""Promise: the supervisor replaces itself, and nobody notices: same pid, workers, listeners, and waiting ``ctl``."""

from __future__ import annotations

import json
import os
import signal
import socket
import textwrap
import time
from pathlib import Path

import pytest

from harness.load import strictly
from harness.reading import read_until
from harness.service import Service, alive, eventually, serving
from releve.supervisor.host.environment import REEXECUTED


def site(service: Service, text: str = "") -> None:
    """What the next interpreter of the supervisor runs first."""
    folder = service.root / "site"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(textwrap.dedent(text))
    service.environment["PYTHONPATH"] = str(folder)


def test_between_upgrades_under_load(tmp_path: Path) -> None:
    with serving(tmp_path) as service, strictly(*service.addresses, serving=1, clients=20) as load:
        supervisor, workers = service.supervisor(), service.workers()
        service.do("reexec")
        descriptors, files = service.descriptors(supervisor), service.files()
        said = json.loads(service.must("reexec", "--json"))
        assert set(said["phases"]) == {"prove", "takeover"}
        load.wait(30)
        assert service.supervisor() == supervisor and service.workers() == workers
        # ctl's goes a little later
        eventually(lambda: service.descriptors(supervisor) == descriptors, "no descriptor more is open")
        assert service.files() == files
        service.release("two")
        service.flip("two")
        load.begin(2)
        service.do("upgrade")
        load.done(2)
        service.do("reexec")
        load.begin(1)
        service.do("rollback")
        load.done(1)
        assert service.workers() == workers
        service.do("reexec")
        service.do("scale", workers="3")
        service.do("reexec")
        assert len(service.workers()) == 3 and service.status()["service"]["workers_wanted"] == 3
        service.do("reload")
        history = service.ask("history")["entries"]
        assert [entry["outcome"] for entry in history] == ["done"] * len(history)
        assert [entry["verb"] for entry in history].count("reexec") == 5


def test_what_stood_by_and_what_was_leaving(tmp_path: Path) -> None:
    """A generation with a long request in flight goes on leaving, another one on standing by, for the rest of its
    time.
    """
    with (
        serving(tmp_path, upgrade={"standby": "8s"}) as service,
        socket.create_connection(("127.0.0.1", service.port)) as client,
    ):
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nhe")
        eventually(lambda: any(w["busy"] for w in service.generation()["workers"]), "the request is in flight")
        for name in ("two", "three"):
            service.release(name)
            service.flip(name)
            service.do("upgrade")
        assert {g["generation"]: g["state"] for g in service.status()["generations"]} == {
            1: "retiring",
            2: "standby",
            3: "serving",
        }
        service.must("reexec")
        assert {g["generation"]: g["state"] for g in service.status()["generations"]} == {
            1: "retiring",
            2: "standby",
            3: "serving",
        }
        eventually(lambda: 2 not in {g["generation"] for g in service.status()["generations"]}, "its time is over")
        client.sendall(b"ld")
        assert read_until(client, b"held").startswith(b"HTTP/1.1 200 OK")
        eventually(lambda: len(service.status()["generations"]) == 1, "the first one has left")


def test_a_program_that_does_not_start_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, start=False) as service:
        site(service)
        service.start()
        with strictly(*service.addresses, serving=1, clients=20) as load:
            for text, words in (
                ("raise SystemExit('no such library')", "exited with status 1"),
                (
                    f"import os, json\nif json.loads(os.environ.get({REEXECUTED!r}, '{{}}')): os._exit(0)",
                    "exited with status 0",
                ),
            ):
                site(service, text)
                before, service.environment = service.environment, {**service.environment, "PYTHONPATH": ""}
                done = service.ctl("reexec")
                service.environment = before
                assert (
                    done.returncode == 4 and words in done.stderr and "this supervisor keeps running" in done.stderr
                ), done.stderr
            site(service)
            load.wait(30)
            service.must("reexec")
        assert [e["outcome"] for e in service.ask("history")["entries"]] == ["done", "failed", "failed", "done"]


def test_a_stop_in_between_is_not_lost(tmp_path: Path) -> None:
    """SIGTERM while the new program is proved, or just before it runs: the service stops."""
    with serving(tmp_path, start=False) as service:
        site(service)
        service.start()
        site(service, "import time; time.sleep(0.5)")
        service.environment["PYTHONPATH"] = ""
        ctl = service.begin_ctl("reexec")
        eventually(lambda: service.status()["service"]["operation"], "the new program is being proved")
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
        ctl.communicate(timeout=30)
        service.gone()


def test_signals_while_it_is_replaced(tmp_path: Path) -> None:
    """None kills the new program before its handlers stand."""
    with serving(tmp_path) as service, strictly(*service.addresses, serving=1, clients=10):
        assert service.process is not None
        supervisor = service.supervisor()
        ctl = service.begin_ctl("reexec")
        sent = 0
        while ctl.poll() is None:
            service.process.send_signal((signal.SIGUSR1, signal.SIGCHLD, signal.SIGWINCH)[sent % 3])
            sent += 1
            time.sleep(0.002)  # many, and not so many that it does nothing else
        out, err = ctl.communicate()
        assert ctl.returncode == 0, out + err
        assert sent > 30
        assert alive(supervisor)


def test_two_at_once_and_one_in_the_queue(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        first, second = service.begin_ctl("reexec"), service.begin_ctl("reexec")
        statuses = sorted((first.wait(30), second.wait(30)))
        texts = "".join("".join(one.communicate()) for one in (first, second))
        assert statuses in ([0, 0], [0, 7]), texts
        assert statuses == [0, 0] or "is under way" in texts


def test_beside_a_dead_master_it_is_refused(tmp_path: Path) -> None:
    """Also between two tries to recover: should the new program fail, nobody could start another one."""
    with serving(tmp_path) as service, strictly(*service.addresses, serving=1, clients=12) as load:
        service.kill_supervisor()  # the next one is not the parent of what it adopts
        (service.releases / "one" / "release.py").write_text("raise RuntimeError('spoilt')\n")
        workers = service.workers()
        os.kill(service.generation()["pid"], signal.SIGKILL)
        eventually(lambda: service.generation()["orphaned"], "it is orphaned")

        def refused() -> bool:
            result = service.ask("reexec")
            assert result["status"] in (4, 7), result
            return bool(result["status"] == 4 and "the master of generation 1 exited" in result["reason"])

        eventually(refused, "it is refused between two tries to recover")
        load.wait(30)
        assert service.workers() == workers
        service.release("two")
        service.flip("two")
        load.stop()
        service.do("upgrade")
        service.must("reexec")
        assert service.who()["release"] == "two"


def test_a_master_that_dies_while_the_new_program_is_proved(tmp_path: Path) -> None:
    with serving(tmp_path, start=False) as service:
        site(service)
        service.start()
        with strictly(*service.addresses, clients=10):
            site(service, ON_THE_WAY.format(master=service.generation()["pid"], prove=True, adopted=False))
            said = service.ask("reexec")
            assert (
                said["status"] == 4 and "lost its master" in said["reason"] or "was killed by SIGKILL" in said["reason"]
            ), said
            service.wait_for(2)
        assert {one["verb"]: one["outcome"] for one in service.ask("history")["entries"]}["recover"] == "done"


ON_THE_WAY = """
import json, os, signal, time
from contextlib import suppress
told = json.loads(os.environ.get("REEXECUTED_BY_RELEVE", "null"))
if told is not None and bool(told.get("prove")) is {prove}:
    with suppress(ProcessLookupError):
        os.kill({master}, signal.SIGKILL)
    until = time.monotonic() + 5
    # until it is reaped by another one
    while {adopted} and os.path.exists("/proc/{master}") and time.monotonic() < until:
        time.sleep(0.01)
"""


@pytest.mark.parametrize("adopted", [False, True])
def test_a_master_that_dies_in_the_hand_over(tmp_path: Path, adopted: bool) -> None:
    """The new program holds its workers all the same, and finds it a successor. An adopted master is not its child."""
    with serving(tmp_path, start=False) as service:
        site(service)
        service.start()
        with strictly(*service.addresses, clients=10):
            if adopted:
                service.kill_supervisor()
            supervisor, master = service.supervisor(), service.generation()["pid"]
            site(service, ON_THE_WAY.format(master=master, prove=False, adopted=adopted))
            said = service.ctl("reexec")
            assert said.returncode in (0, 8), said.stderr  # the loss may be known by then
            eventually(lambda: not alive(master), "it has died")
            service.wait_for(2)
            assert service.supervisor() == supervisor


def test_killed_right_afterwards(tmp_path: Path) -> None:
    """The new program is followed like any other."""
    with serving(tmp_path) as service, strictly(*service.addresses, serving=1, clients=20) as load:
        workers = service.workers()
        service.must("reexec")
        service.kill_supervisor()
        load.wait(30)
        assert service.workers() == workers
        service.must("reexec")
        load.wait(30)
        assert service.workers() == workers
