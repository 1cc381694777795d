"""An application that was broken into, as its own user, against a supervisor of root: it hurts its own generation and
nothing else.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
from functools import partial
from pathlib import Path

import psutil
import pytest

from harness.attack import OTHER, PYTHON, USER, attacked, clients, dead, everybody_is_the_user, noted
from harness.pythons import usable
from harness.reading import read_until
from harness.service import alive, eventually

ACCOUNTS = {one.pw_name for one in pwd.getpwall()}

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user"),
    pytest.mark.skipif(not {USER, OTHER} <= ACCOUNTS, reason=f"there is no user {USER} or {OTHER} here"),
    pytest.mark.skipif(not usable(PYTHON), reason=f"{PYTHON} is not Python 3.11 or later"),
]


def test_what_an_attacker_can_reach_says_nothing_and_cannot_be_changed(open_folder: Path) -> None:
    with attacked(open_folder) as (service, loot):
        service.get("/look")
        assert noted(loot, "succeeded") == set()
        assert noted(loot, "refused") == {
            "cut the scoreboard",
            "cut the keepsake",
            "rewrite the keepsake",
            *(f"open its master's {what}" for what in ("releve-keepsake", "releve-scoreboard", "socket")),
        }
        kept = [json.loads(line) for line in noted(loot, "keepsake")]
        assert kept == [{"version": 1, "role": "candidate", "uid": -1}]


LIES = {
    "scoreboard": "its scoreboard is not the one it was given",
    "crash file": "its crash file is not the one it was given",
    "exchange": "its exchange is not the one it was given",
    "listener": "is not that listener",
    "nonsense": "cannot adopt the generation behind",
}


@pytest.mark.parametrize("lies", [("scoreboard", "nonsense"), ("crash file", "exchange", "listener")])
def test_lies_at_the_door(open_folder: Path, lies: tuple[str, ...]) -> None:
    """Each time the supervisor is killed: what is not what it was given is not taken, and clients are served
    all along.
    """
    with attacked(open_folder) as (service, loot), clients(service):
        for lie in lies:
            before, master = service.serving(), service.generation()["pid"]
            (loot / "how").write_text(lie)
            service.kill_supervisor()
            assert f"gen-{before}.sock: " in service.log() and LIES[lie] in service.log(), lie
            assert service.serving() == before + 1
            everybody_is_the_user(service)
            eventually(partial(dead, master), "it leaves; or is ended, if it obeys nobody")


def test_what_it_says_of_itself_is_not_heard(open_folder: Path) -> None:
    """A keepsake that would have the supervisor run what an attacker has written, as root, and workers that are
    none.
    """
    with attacked(open_folder) as (service, loot), clients(service):
        before = service.workers()
        (loot / "how").write_text("keepsake")
        service.kill_supervisor()
        assert service.workers() == before  # adopted, by the record
        everybody_is_the_user(service)
        service.do("upgrade")
        everybody_is_the_user(service)
        os.kill(service.generation()["pid"], signal.SIGKILL)  # what follows it, follows by the record too
        service.wait_for(3)
        assert not [name for name in service.who()["environment"] if name.endswith(("_BY_RELEVE", "_OF_RELEVE"))]
        everybody_is_the_user(service)


@pytest.mark.parametrize("lie", ["mute", "failed"])
def test_it_tells_of_no_workers(open_folder: Path, lie: str) -> None:
    """Then nobody can command them: another generation has the listeners, and no client is refused."""
    with attacked(open_folder) as (service, loot), clients(service):
        before = service.generation()
        (loot / "how").write_text(lie)
        service.kill_supervisor()
        assert service.serving() == before["generation"] + 1
        everybody_is_the_user(service)
        for pid in (before["pid"], *(worker["pid"] for worker in before["workers"])):
            eventually(partial(dead, pid), "it is ended")


def test_a_process_of_roots_that_a_release_calls_its_worker_is_not_ended(open_folder: Path) -> None:
    with attacked(open_folder) as (service, loot), clients(service):
        before = service.workers()
        service.flip("two")
        assert service.ask("upgrade")["status"] == 4
        assert "ignored worker 77: process" in service.log()
        assert service.workers() == before and service.who()["release"] == "one"


def test_workers_of_a_master_that_dies_while_it_leaves_finish_what_they_have_begun(open_folder: Path) -> None:
    with (
        attacked(open_folder, timeouts={"drain": "60s"}) as (service, _),
        socket.create_connection(("127.0.0.1", service.port)) as client,
    ):
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nhe")
        eventually(
            lambda: any(worker["busy"] for worker in service.generation()["workers"]), "the request is in flight"
        )
        before = service.generation()
        service.configure(user=OTHER)  # so that it is not taken over
        service.kill_supervisor()
        assert service.serving() == before["generation"] + 1
        os.kill(before["pid"], signal.SIGKILL)
        assert service.get("/echo") == b""  # the other one serves
        client.sendall(b"ld")
        read_until(client, b"held")
        for worker in before["workers"]:
            eventually(partial(dead, worker["pid"]), "it leaves")


def test_somebody_else_answers_at_the_door(open_folder: Path) -> None:
    """A worker that has killed its master, and says what the master would."""
    with attacked(open_folder) as (service, loot), clients(service):
        before = service.workers()
        service.get("/impostor")
        eventually(lambda: service.status()["generations"][0]["orphaned"], "the master has died")
        service.kill_supervisor()
        assert "answers for its master (pid " in service.log()
        everybody_is_the_user(service)
        assert not before & service.workers()
        eventually(lambda: not any(alive(pid) for pid in before), "nothing is left of the attacker's")


def test_master_and_supervisor_killed_at_once(open_folder: Path) -> None:
    """Then another generation has the listeners, and no client is refused."""
    with attacked(open_folder) as (service, loot), clients(service):
        before = service.generation()
        os.kill(service.pid, signal.SIGSTOP)  # which shall not have noticed
        os.kill(before["pid"], signal.SIGKILL)
        service.kill_supervisor()
        assert service.serving() == before["generation"] + 1
        assert "its master exited; starting another, then stopping its workers" in service.log()
        eventually(lambda: not any(alive(worker["pid"]) for worker in before["workers"]), "its workers leave")


def test_the_identity_is_the_configurations(open_folder: Path) -> None:
    with attacked(open_folder) as (service, loot), clients(service):
        before = service.generation()
        service.configure(user=OTHER)
        service.kill_supervisor()
        said = f"it runs as {USER}:nogroup (user and group), but the configuration says {OTHER}:{OTHER}"
        assert said in service.log()
        after = service.generation()
        assert after["generation"] == before["generation"] + 1
        assert psutil.Process(after["pid"]).uids().real == pwd.getpwnam(OTHER).pw_uid
        eventually(lambda: not alive(before["pid"]), "the other one leaves")


@pytest.mark.parametrize("damage", ["gone", "nonsense"])
def test_without_a_record_that_can_be_believed_it_leaves(open_folder: Path, damage: str) -> None:
    with attacked(open_folder) as (service, loot):
        before = service.generation()
        record = service.control_socket.parent / f"gen-{before['generation']}.json"
        assert os.stat(record).st_mode & 0o777 == 0o600 and os.stat(record).st_uid == 0
        if damage == "gone":
            record.unlink()
        else:
            record.write_text("{}")
        (loot / "how").write_text("keepsake")
        service.kill_supervisor()
        assert "; stopping it" in service.log()
        assert service.generation()["generation"] == before["generation"] + 1
        everybody_is_the_user(service)
        assert not alive(before["pid"])
