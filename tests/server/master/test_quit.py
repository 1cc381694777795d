"""The end of a generation: the order ``quit``, and the loss of the supervisor."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from harness.master import WAIT_S, Master, Request, client_of
from harness.workers import hold


def test_quit_ends_all_and_answers(master: Master) -> None:
    master.up()
    order = master.order("quit", deadline_s=5, linger_s=0.1)
    assert master.answer(order)["type"] == "done"
    assert master.exit_status() == 0
    assert [m["expected"] for m in master.messages if m["type"] == "gone"] == [True, True]
    assert master.left_over() == []


def test_quit_waits_for_requests(master: Master) -> None:
    master.up()
    request = Request(master, "/slow")
    order = master.order("quit", deadline_s=15, linger_s=0)
    master.expect("state", state="leaving")
    (master.directory / "go").touch()
    assert request.wait().startswith("one ")
    assert master.answer(order)["type"] == "done"
    assert master.exit_status() == 0


def test_quit_kills_what_is_left_at_the_deadline_and_an_earlier_one_counts(master: Master) -> None:
    pids = master.up()
    request = Request(master, "/for-ever")
    hold(pids[0])
    orders = [master.order("quit", deadline_s=600, linger_s=None), master.order("quit", deadline_s=0.2, linger_s=None)]
    assert {master.until(lambda m: m["type"] == "done")["id"] for _ in orders} == set(orders)
    assert master.exit_status() == 0
    assert -signal.SIGKILL in [m["status"] for m in master.messages if m["type"] == "gone"]
    assert not request.wait().startswith("one ")
    assert master.left_over() == []


def test_quit_while_workers_import(master: Master) -> None:
    (master.directory / "app.py").write_text("import time; time.sleep(600)")
    master.boot(preload=False)
    master.expect("worker")
    assert master.answer(master.order("quit", deadline_s=600, linger_s=None))["type"] == "done"
    assert master.exit_status() == 0
    assert master.left_over() == []


def test_the_end_of_the_link_is_a_graceful_quit(master: Master) -> None:
    master.up()
    request = Request(master, "/slow")
    for worker in master.workers.values():
        os.close(worker.control)
        worker.control = os.open("/dev/null", os.O_RDONLY)
    master.link.close()
    (master.directory / "go").touch()
    assert request.wait().startswith("one ")
    assert master.process.wait(WAIT_S) == 0
    assert master.left_over() == []
    assert "the supervisor exited; this generation stops" in master.log


def test_workers_outlive_their_master(master: Master) -> None:
    pids = master.up()
    master.process.kill()
    master.process.wait(WAIT_S)
    assert int(master.get().split()[1]) in pids


def test_a_quit_that_serves_on_answers_who_comes_until_the_last_worker_is_spent(master: Master) -> None:
    """The test holds the listener, as systemd does: who is not accepted by anybody would wait for ever."""
    pids = master.up(workers=3, threads=1)
    request = Request(master, "/slow")
    quit_ = master.order("quit", deadline_s=20.0, linger_s=0.2, serve_on=True)
    for _ in pids:
        master.expect("state", state="leaving")
    answers = {master.get() for _ in range(30)}
    assert answers <= {f"one {pid}" for pid in pids}
    (master.directory / "go").touch()
    assert request.wait().removeprefix("one ") in map(str, pids)
    assert master.answer(quit_)["type"] == "done"
    assert master.exit_status() == 0


def test_who_is_served_on_ends_with_its_response_and_idle_ones_after_a_while(master: Master) -> None:
    master.up(workers=1)
    kept = client_of(master.listener)
    kept.request("GET", "/")
    kept.getresponse().read()
    quit_ = master.order("quit", deadline_s=20.0, linger_s=1.0, serve_on=True)
    master.expect("state", state="leaving")
    new = client_of(master.listener)
    new.request("GET", "/")
    answer = new.getresponse()
    assert (answer.status, answer.getheader("Connection")) == (200, "close")
    new.close()
    assert master.answer(quit_)["type"] == "done" and master.exit_status() == 0
    kept.close()


@pytest.mark.parametrize("again", [False, True])
def test_a_quit_that_serves_on_ends_at_its_deadline_or_when_it_is_said_again(master: Master, again: bool) -> None:
    master.up(workers=2, threads=1)
    request = Request(master, "/for-ever")
    quit_ = master.order("quit", deadline_s=600.0 if again else 1.0, linger_s=0.2, serve_on=True)
    master.expect("state", state="leaving")
    if again:
        assert master.get().startswith("one ")
        master.order("quit", deadline_s=0.5, linger_s=0.2)
    assert master.answer(quit_)["type"] == "done" and master.exit_status() == 0
    assert "one" not in request.wait()


def test_a_boot_that_fails_when_the_supervisor_has_gone_says_why_in_the_log(folder: Path) -> None:
    (folder / "app.py").write_text(
        """
import os, time
while not os.path.exists("go"):
    time.sleep(0.01)
raise RuntimeError("no memory")
"""
    )
    with Master(folder) as master:
        master.boot()
        master.expect("phase", phase="import")
        master.link.close()
        (folder / "go").touch()
        assert master.process.wait(WAIT_S) == 1
        assert "ERROR" in master.log and "cannot import app: RuntimeError: no memory" in master.log
