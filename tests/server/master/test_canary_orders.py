"""The orders of a canary: attend and divert."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import pytest

from harness.master import WAIT_S, Master, answered, unanswered
from harness.workers import hold


def receive(master: Master, number: int) -> None:
    """Take so many connections out of the other generation's exchange."""
    master.other[0].settimeout(WAIT_S)
    for _ in range(number):
        data, fds, _, _ = socket.recv_fds(master.other[0], 65536, 1)
        assert data and len(fds) == 1
        os.close(fds[0])


def connect(master: Master, number: int) -> list[socket.socket]:
    return [socket.create_connection(master.listener.getsockname(), timeout=WAIT_S) for _ in range(number)]


def test_attending_workers_and_those_that_replace_them(master: Master) -> None:
    master.boot()
    master.expect("ready")
    assert master.done("attend")["workers"] == 2
    pids = master.pids("attending")
    client = unanswered(master)
    master.kill(pids[0])
    master.expect("state", state="attending")
    assert master.failed("scale", workers=3)["reason"] == "cannot scale: the generation is attending"
    assert master.failed("attend")["reason"] == "cannot attend: the generation is attending"
    master.done("resume")
    assert answered(client)


def test_an_attending_generation_can_be_paused(master: Master) -> None:
    master.boot()
    master.expect("ready")
    master.done("attend")
    master.pause()
    assert len(master.pids("paused")) == 2
    unanswered(master).close()


def test_attending_fails_if_a_worker_does_not_answer(master: Master) -> None:
    master.boot()
    master.expect("ready")
    pid = master.pids("ready")[0]
    hold(pid)
    try:
        reason = master.failed("attend")["reason"]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert reason.startswith("cannot attend: worker ") and reason.endswith(" did not answer for 6 s")


def test_diverting_workers_and_those_that_replace_them(master: Master) -> None:
    pids = master.up(workers=1)
    assert master.done("divert", [master.other[1].fileno()], to=8, share=0.5)["workers"] == 1
    clients = connect(master, 10)
    receive(master, 5)
    master.kill(pids[0])
    master.serving(1)
    clients += connect(master, 10)
    receive(master, 5)
    master.done("scale", workers=2)
    clients += connect(master, 10)
    receive(master, 4)
    master.done("divert", to=None)
    for client in clients:
        client.close()
    assert all(master.get().startswith("one ") for _ in range(6))


def test_a_pause_ends_the_diversion(master: Master) -> None:
    master.up()
    master.done("divert", [master.other[1].fileno()], to=8, share=0.9)
    master.done("pause", to=None)
    assert master.failed("divert", to=None)["reason"] == "cannot divert: the generation is paused"
    master.done("resume")
    assert all(master.get().startswith("one ") for _ in range(6))


@pytest.mark.parametrize("keys", [{"to": 8, "share": 0.5}, {"to": 8}, {"share": 0.5}])
def test_diversions_that_cannot_be(master: Master, keys: dict[str, Any]) -> None:
    master.up(workers=1)
    fds = [] if len(keys) == 2 else [master.other[1].fileno()]
    assert master.failed("divert", fds, **keys)["step"] == "order"
    assert all(master.get().startswith("one ") for _ in range(6))
