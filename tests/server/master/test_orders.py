"""The orders to a booted master, most of all resume and pause: what each does, and what it leaves alone."""

from __future__ import annotations

import os
import select
import signal
import socket
from typing import Any

import pytest

from harness.master import APP, WAIT_S, Master, Request, answered, client_of, unanswered
from harness.workers import eventually, hold
from releve.server.shared.link import Link, Message


def test_pause_and_resume(master: Master) -> None:
    pids = master.up()
    done = master.pause()
    assert {"given", "kept"} <= set(done)
    assert master.pids("paused") == pids
    client = unanswered(master)
    assert master.done("resume")["workers"] == 2
    assert answered(client)
    assert master.pids("serving") == pids


def test_pause_gives_idle_connections_to_the_exchange(master: Master) -> None:
    master.up()
    client = client_of(master.listener)
    client.request("GET", "/")
    client.getresponse().read()
    master.pause()  # the worker may be busy with the end of the request yet: then it gives after
    master.other[0].settimeout(WAIT_S)
    data, fds, _, _ = socket.recv_fds(master.other[0], 65536, 1)
    assert data and len(fds) == 1
    os.close(fds[0])
    client.close()


def test_a_resume_supersedes_a_pause_and_the_last_order_counts(master: Master) -> None:
    pids = master.up()
    orders = [
        master.order("pause", [master.other[1].fileno()], to=8),
        master.order("resume"),
        master.order("pause", to=None),
        master.order("resume"),
    ]
    answers: dict[int, Message] = {}
    while len(answers) < len(orders):
        message = master.until(lambda m: m["type"] in ("done", "failed"))
        answers[message["id"]] = message
    assert answers[orders[-1]]["type"] == "done"
    assert all(a["type"] == "done" or (a["step"] == "order" and "followed" in a["reason"]) for a in answers.values())
    assert master.serving(2) == pids
    assert master.get().startswith("one ")


@pytest.mark.parametrize(
    ("kind", "keys", "reason"),
    [
        ("switch", {"revision": 2}, "cannot switch: no reload is prepared"),
        ("cancel", {"revision": 2}, "cannot cancel: no reload is prepared"),
        ("scale", {"workers": 0}, "cannot scale to 0 workers"),
        ("scale", {"workers": "many"}, "cannot scale: the order is malformed (ValueError"),
        ("pause", {"to": 8}, "cannot pause: the exchange of the receiving generation is missing"),
        (
            "reload",
            {"revision": 2, "listeners": ["a", "b"], "settings": {}},
            "cannot reload: 0 descriptors for 2 listeners",
        ),
        ("scale", {"workers": float("inf")}, "cannot scale: the order is malformed (OverflowError"),
        ("quit", {"linger_s": None}, "cannot quit: the order is malformed (KeyError"),
        ("quit", {"deadline_s": 10**400}, "cannot quit: the order is malformed (Unfit"),
        ("quit", {"deadline_s": 1, "linger_s": 1e12}, "cannot quit: the order is malformed (Unfit"),
    ],
)
def test_orders_that_cannot_be_change_nothing(master: Master, kind: str, keys: dict[str, Any], reason: str) -> None:
    pids = master.up()
    failed = master.failed(kind, **keys)
    assert failed["step"] == "order" and failed["reason"].startswith(reason)
    assert master.get().startswith("one ")
    assert master.done("scale", workers=2)["workers"] == 2
    assert master.pids("serving") == pids


def test_orders_before_ready_are_refused(master: Master) -> None:
    (master.directory / "app.py").write_text("import os\nos.read(os.open('gate', os.O_RDONLY), 1)\n" + APP)
    os.mkfifo(master.directory / "gate")
    master.boot(preload=False, workers=1)
    master.expect("worker")
    assert master.failed("resume")["reason"] == "cannot resume: the generation is booting"
    with (master.directory / "gate").open("w"):
        pass
    master.expect("ready")


def test_a_worker_that_leaves_while_it_should_pause_counts_as_paused(master: Master) -> None:
    pids = master.up()
    request = Request(master, "/slow")
    for pid in pids:
        hold(pid)
        os.kill(pid, signal.SIGTERM)
    pause = master.order("pause", [master.other[1].fileno()], to=8)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    assert master.answer(pause)["type"] == "done"
    (master.directory / "go").touch()
    assert request.wait().startswith("one ")


@pytest.mark.parametrize("within_s", [None, True, 0, -1, "1", float("nan"), float("inf"), 1e12, 10**400])
def test_a_supervisor_that_says_nonsense_of_its_life_is_not_ended(master: Master, within_s: Any) -> None:
    """The master goes on, and so does who said it."""
    pids = master.up(workers=1)
    master.link.send({"type": "alive", "within_s": within_s} if within_s is not None else {"type": "alive"})
    assert master.done("pause") and master.done("resume")["workers"] == len(pids)


def test_garbage_on_the_link_is_passed_over(master: Master) -> None:
    """One message; the next one is whole."""
    pids = master.up()
    master.link.socket.send(b"}{")
    assert master.done("pause") and master.done("resume")["workers"] == len(pids)
    assert "ignored an order: a message that is not JSON" in master.log


def test_sigterm_does_not_end_a_generation(master: Master) -> None:
    pids = master.up()
    master.process.terminate()
    eventually(lambda: "ignored SIGTERM" in master.log, "SIGTERM is heard")
    assert master.done("scale", workers=2)["workers"] == 2
    assert sorted(master.pids("serving")) == sorted(pids)


def test_a_wedged_worker_does_not_hold_up_a_pause_for_ever(master: Master) -> None:
    pids = master.up()
    hold(pids[0])
    failed = master.failed("pause", [master.other[1].fileno()], to=8)
    assert failed["step"] == "pause"
    assert failed["reason"] == f"cannot confirm that all paused: worker 1 (pid {pids[0]}) did not answer for 6 s"
    os.kill(pids[0], signal.SIGCONT)
    master.expect("state", state="paused", worker=1)
    assert master.done("resume")["workers"] == 2


def test_a_supervisor_slow_to_read_loses_no_message(master: Master) -> None:
    master.boot(workers=60, threads=1)
    for _ in range(100):  # until it has said all it can without being read
        if master.log.count("workers are ready"):
            break
        select.select([], [], [], 0.1)
    master.expect("ready")
    assert len(master.workers) == 60
    master.done("resume")
    assert len(master.pids("serving")) == 60


def test_an_order_of_a_supervisor_that_has_gone_is_not_answered_to_the_next_one(master: Master) -> None:
    """Its number may be that of another order by then."""
    name = str(master.directory / "door")
    (master.directory / "go").touch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(name)
        door.listen()
        app = master.directory / "app.py"
        app.write_text("import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.01)\n" + app.read_text())
        keepsake = os.memfd_create("keepsake")
        master.up(preload=False, wire={"door": True, "keepsake": True}, more_fds=(door.fileno(), keepsake))
        os.close(keepsake)
    (master.directory / "go").unlink()
    order = master.order("scale", workers=3)
    master.expect("worker", worker=3)
    master.link.close()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(name)
    master.link = Link(sock)
    for worker in master.workers.values():
        os.close(worker.control)
        os.close(worker.pidfd)
    master.workers.clear()
    master.expect("hello", adopted=True)
    before = len(master.messages)
    (master.directory / "go").touch()
    master.expect("state", worker=3, state="serving")
    last = master.order("stacks")
    master.answer(last)
    answered = [message["id"] for message in master.messages[before:] if message["type"] in ("done", "failed")]
    assert order not in answered and answered == [last]
