"""Orders: resume, pause, quit, serve; and the ways to leave.

Connections that change hands are in ``test_handover.py``.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from harness.workers import Generation, busy, connect, eventually, finish, freeze, request, switch, thaw
from releve.server.handover.exchange import Parcel, give
from releve.server.shared.states import WorkerState
from releve.server.worker.orders import AFTER

NAME = "127.0.0.1:8000"


# Its state


def test_a_worker_that_was_not_resumed_accepts_nothing(old: Generation) -> None:
    worker = old.start()
    client = connect(old)
    client.send(request())
    assert client.waits(0.2)
    worker.resume()
    assert client.answer().pid == worker.pid


@pytest.mark.parametrize("threads", [1, 4])
def test_resume_and_pause_back_and_forth(old: Generation, new: Generation, threads: int) -> None:
    one, other = old.start(threads=threads), new.start(threads=threads)
    one.resume()
    client = connect(old)
    assert client.ask().pid == one.pid
    for number in range(6):
        giver, taker, to = (one, other, new) if number % 2 == 0 else (other, one, old)
        paused = switch(giver, taker, to)
        assert paused["kept"] == 0
        assert client.ask().pid == taker.pid
        assert connect(old).ask().pid == taker.pid


def test_every_state_and_order_is_decided() -> None:
    more = {
        WorkerState.READY: {"attend", "divert"},
        WorkerState.ATTENDING: {"attend"},
        WorkerState.SERVING: {"divert"},
    }
    for state in set(WorkerState) - {WorkerState.BOOTING, WorkerState.GONE}:
        legal = {verb for verb in ("attend", "divert", "resume", "pause", "quit") if (state, verb) in AFTER}
        assert legal == (
            {"quit"} if state is WorkerState.LEAVING else {"resume", "pause", "quit"} | more.get(state, set())
        )


def test_illegal_and_unknown_orders_change_nothing(old: Generation, new: Generation, tmp_path: Path) -> None:
    worker = old.start()
    worker.resume()
    client = connect(old)
    worker.tell("dance", (new.send,), steps=3)
    worker.tell("pause", to=8)  # without its exchange
    worker.tell("serve", listener=NAME)
    worker.tell("quit", deadline_s="soon")
    busy(client, tmp_path)
    worker.quit()
    worker.tell("resume")
    finish(tmp_path)
    assert client.answer().status == 200
    eventually(lambda: "cannot resume: the worker is leaving" in old.log, "the order is refused")
    assert old.log.count("ignored an order") == 4
    assert worker.ended() == 0


# Private connections


def test_a_private_connection_is_served_in_every_state_and_never_given(old: Generation, new: Generation) -> None:
    one = old.start()

    def private() -> tuple[socket.socket, int]:
        ours, theirs = socket.socketpair()
        ours.settimeout(10)
        one.tell("serve", (theirs.fileno(),), listener=NAME)
        theirs.close()
        ours.sendall(request("/address", more="X-Forwarded-Proto: https\r\n"))
        answer = ours.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200") and b"127.0.0.1 8000" in answer
        return ours, one.pid

    ready, _ = private()
    one.resume()
    serving, _ = private()
    assert one.pause(new) == {"type": "state", "state": "paused", "given": 0, "kept": 0}
    paused, _ = private()
    for sock in (ready, serving, paused):
        with sock:
            sock.sendall(request())
            assert f"X-Pid: {one.pid}".encode() in sock.recv(65536)


# Leaving


def test_a_stop_answers_whoever_asks_while_it_lingers(old: Generation) -> None:
    one = old.start()
    one.resume()
    asks, silent = connect(old), connect(old)
    assert asks.ask().kept and silent.ask().kept
    started = time.monotonic()
    one.quit(linger_s=1.0)
    answer = asks.ask()
    assert (answer.pid, answer.kept) == (one.pid, False)
    assert asks.ended()
    assert silent.ended()
    assert time.monotonic() - started >= 1.0
    assert one.ended() == 0


def test_a_stop_serves_the_accept_queue(old: Generation, listener: socket.socket) -> None:
    one = old.start(threads=1)
    one.resume()
    freeze(one)
    clients = [connect(old) for _ in range(100)]
    for client in clients[:-1]:
        client.send(request())
    one.tell("quit", deadline_s=20, linger_s=2)
    thaw(one)
    one.await_state("leaving")
    clients[-1].send(request())
    answers = [client.answer() for client in clients]
    assert {answer.status for answer in answers} == {200}
    assert sum(answer.kept for answer in answers) <= 1  # the one that was accepted before the order was read
    assert one.ended() == 0


def test_a_stop_serves_what_waits_in_the_exchange(old: Generation) -> None:
    one = old.start()
    one.resume()
    freeze(one)
    client, server = socket.socketpair()
    with client:
        client.settimeout(10)
        give(old.send, Parcel(NAME, "", 1, time.monotonic_ns() + 10**10, rest=request()), server.fileno())
        server.close()
        one.tell("quit", deadline_s=20, linger_s=2)
        thaw(one)
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    assert one.ended() == 0


def test_who_stands_by_does_not_answer_for_the_generation_in_service(old: Generation, new: Generation) -> None:
    one, other = old.start(), new.start()
    one.resume()
    switch(one, other, new)
    freeze(other)
    client = connect(old)
    client.send(request())
    one.quit(linger_s=2)
    assert one.ended() == 0
    thaw(other)
    assert client.answer().pid == other.pid


def test_requests_in_flight_are_finished(old: Generation, tmp_path: Path) -> None:
    one = old.start()
    one.resume()
    client = connect(old)
    busy(client, tmp_path)
    one.quit(linger_s=1)
    finish(tmp_path)
    answer = client.answer()
    assert (answer.status, answer.kept) == (200, False)
    assert client.ended()
    assert one.ended() == 0


def test_the_deadline_of_a_quit_counts(old: Generation, tmp_path: Path) -> None:
    one = old.start()
    one.resume()
    client = connect(old)
    busy(client, tmp_path)
    one.quit(deadline_s=60, linger_s=None)
    one.tell("quit", deadline_s=0.3, linger_s=0.1)  # a stop meets a generation that retires
    assert one.ended() == 0
    assert "1 request unfinished" in old.log


def test_a_worker_with_nothing_left_leaves_at_once(old: Generation) -> None:
    one = old.start()
    one.resume()
    started = time.monotonic()
    one.quit(linger_s=10)
    assert one.ended() == 0
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("threads", [1, 4])
def test_sigterm_is_a_graceful_quit(old: Generation, tmp_path: Path, threads: int) -> None:
    one = old.start(threads=threads, timeouts={"linger": 0.3})
    one.resume()
    client = connect(old)
    busy(client, tmp_path)
    one.process.send_signal(signal.SIGTERM)
    one.await_state("leaving")
    finish(tmp_path)
    assert client.answer().status == 200
    assert one.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH])
def test_signals_of_the_supervisor_do_nothing(old: Generation, number: signal.Signals) -> None:
    one = old.start()
    one.resume()
    one.process.send_signal(number)
    assert connect(old).ask().pid == one.pid


def test_a_worker_that_nobody_commands_serves_on_for_a_while_and_leaves_gracefully(
    old: Generation, tmp_path: Path
) -> None:
    one = old.start(timeouts={"linger": 0.5})  # and a while of one second
    one.resume()
    client, silent = connect(old), connect(old)
    busy(client, tmp_path)
    one.control.close()
    assert silent.ask().pid == one.pid
    assert connect(old).ask().pid == one.pid  # a new one too
    finish(tmp_path)
    assert client.answer().status == 200
    assert one.ended() == 0


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("quit", {"deadline_s": 10**400}),
        ("quit", {"deadline_s": 1, "linger_s": 1e12}),
        ("quit", {"deadline_s": []}),
        ("observe", {}),
    ],
)
def test_an_order_that_cannot_be_changes_nothing(old: Generation, kind: str, keys: dict[str, Any]) -> None:
    worker = old.start()
    worker.resume()
    client = connect(old)
    assert client.ask().status == 200
    before = len(worker.descriptors())
    with open(os.devnull) as file:
        worker.tell(kind, (file.fileno(),) if kind == "observe" else (), **keys)
    eventually(lambda: "ignored an order" in old.log, "it says so")
    assert client.ask().status == 200 and len(worker.descriptors()) == before


def test_nothing_is_left_open_by_pauses(old: Generation, new: Generation) -> None:
    # how long the thread that closes what was given waits for more, before it ends
    brief = {"shared.closing.REST_S": 0.05}
    one, other = old.start(threads=8, constants=brief), new.start(threads=8, constants=brief)
    one.resume()
    client = connect(old)
    client.ask()
    counts = []
    for _ in range(5):
        switch(one, other, new)
        switch(other, one, old)
        client.ask()
        eventually(lambda: (one.numbers.connections, other.numbers.connections) == (1, 0), "it is back")
        eventually(lambda: (one.threads(), other.threads()) == (10, 10), "nothing is being closed any more")
        counts.append((len(one.descriptors()), len(other.descriptors())))
    assert counts[1:] == counts[:-1]


# Boot


def test_a_failed_import_is_reported(old: Generation) -> None:
    worker = old.launch("no_such_module_here")
    message = worker.hear()
    assert message is not None
    assert (message["type"], message["step"]) == ("failed", "import")
    assert "no_such_module_here" in message["reason"] and "ModuleNotFoundError" in message["traceback"]
    assert worker.ended() == 3


@pytest.mark.parametrize("threads", [1, 4])
def test_an_internal_error_ends_the_process(old: Generation, threads: int) -> None:
    """The master replaces a worker that has ended; it cannot know of one whose loop has."""
    one = old.start("sabotage", threads=threads)
    one.resume()
    client = connect(old)
    assert client.ask().status == 200
    client.send(request())
    assert one.ended() == 70
    assert "internal error in the event loop" in old.log and "Traceback" in old.log


def test_a_descriptor_that_is_no_socket_is_refused(old: Generation) -> None:
    one = old.start()
    one.resume()
    before = len(one.descriptors())
    with open(__file__) as file:
        one.tell("serve", (file.fileno(),), listener=NAME)
    client = connect(old)
    assert client.ask().pid == one.pid
    client.close()
    eventually(lambda: len(one.descriptors()) == before, "it is closed")


def test_what_is_left_of_the_deadline_bounds_the_end_where_timeouts_exit_is_longer(old: Generation) -> None:
    worker = old.start("clinging", timeouts={"exit": 600.0})
    worker.resume()
    assert connect(old).ask().body == str(worker.pid).encode()
    worker.quit(deadline_s=0.5)
    worker.ended()
    assert re.search(r"exiting although threads did not exit within 0\.\d+ s \(its deadline\): clings", old.log)
