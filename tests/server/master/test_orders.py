"""The orders to a booted master: resume, pause, quit, scale, reload, switch, cancel; and what each leaves alone."""

from __future__ import annotations

import http.client
import os
import resource
import select
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.master import APP, WAIT_S, Master, client_of, listen
from harness.workers import eventually, hold
from releve.config.settings.timeouts import Timeouts
from releve.server.shared.link import Message

SLOW = """
import time
fast = application
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        open("begun", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.01)
    elif environ["PATH_INFO"] == "/for-ever":
        open("begun", "w").close()
        time.sleep(600)
    return fast(environ, start_response)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A release."""
    (tmp_path / "app.py").write_text(APP + SLOW)
    return tmp_path


@pytest.fixture
def master(folder: Path) -> Iterator[Master]:
    """A master of a release, not booted yet."""
    with Master(folder) as one:
        yield one


class Request:
    """A request on a thread of its own."""

    def __init__(self, master: Master, path: str) -> None:
        self.answer = ""
        self._begun = master.directory / "begun"
        self._thread = threading.Thread(target=self._ask, args=(master, path))
        self._thread.start()
        for _ in range(1000):
            if self._begun.exists():
                return
            select.select([], [], [], 0.02)
        raise AssertionError("the request has not begun")

    def _ask(self, master: Master, path: str) -> None:
        try:
            self.answer = master.get(path)
        except (OSError, http.client.HTTPException) as error:
            self.answer = repr(error)

    def wait(self) -> str:
        """What was answered."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        return self.answer


def unanswered(master: Master) -> socket.socket:
    """A request that nobody takes yet."""
    client = socket.create_connection(master.listener.getsockname(), timeout=WAIT_S)
    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert not select.select([client], [], [], 0.3)[0]
    return client


def answered(client: socket.socket) -> bool:
    """Whether it is answered after all."""
    with client, client.makefile("rb") as file:
        return b"one " in file.read()


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
        ("scale", {"workers": 0}, "cannot scale: 0 workers"),
        ("scale", {"workers": "many"}, "cannot scale: the order is malformed (ValueError"),
        ("pause", {"to": 8}, "cannot pause: the exchange of the generation to give to is missing"),
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


# A canary


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
    assert reason.startswith("cannot attend: worker ") and reason.endswith(" did not answer for 6s")


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


# Death and replacement


def test_a_killed_worker_is_replaced_and_serves(master: Master) -> None:
    pids = master.up()
    gone = master.kill(pids[0])
    assert gone["status"] == -signal.SIGKILL and gone["expected"] is False
    new = master.expect("worker")
    assert new["worker"] == 3 and new["slot"] == 2  # not the dead one's: what it did last is still to be read
    assert pids[1] in master.serving(2) and pids[0] not in master.serving(2)
    assert "was killed by SIGKILL; another is started at once" in master.log


def test_a_worker_that_leaves_by_sigterm_is_replaced_before_it_has_gone(master: Master) -> None:
    pids = master.up(workers=1)
    request = Request(master, "/slow")
    os.kill(pids[0], signal.SIGTERM)
    master.expect("state", state="leaving")
    new = master.serving(1)
    assert new != pids
    (master.directory / "go").touch()
    assert request.wait() == f"one {pids[0]}"
    assert master.expect("gone")["status"] == 0
    assert master.pids("serving") == new


def test_replacements_of_a_paused_generation_wait(master: Master) -> None:
    pids = master.up(workers=1)
    master.pause()
    master.kill(pids[0])
    master.expect("state", state="ready")
    client = unanswered(master)
    master.done("resume")
    assert answered(client)


def test_resume_needs_only_one_that_lives_and_waits_for_a_new_one_if_none_does(master: Master) -> None:
    pids = master.up(workers=1)
    master.pause()
    hold(pids[0])
    resume = master.order("resume")
    master.failed("scale", workers=1)  # refused at once while it resumes: the order before it has been read
    os.kill(pids[0], signal.SIGKILL)  # while it is waited for
    failed = master.answer(resume)
    assert failed["step"] == "resume" and failed["reason"] == "cannot resume: no worker came to serve"
    assert master.done("resume")["workers"] == 1
    assert master.get().startswith("one ")


def test_a_worker_that_dies_while_it_should_pause_counts_as_paused(master: Master) -> None:
    pids = master.up()
    hold(pids[0])
    pause = master.order("pause", [master.other[1].fileno()], to=8)
    master.failed("scale", workers=1)
    os.kill(pids[0], signal.SIGKILL)
    assert master.answer(pause)["type"] == "done"


def replacements(master: Master) -> list[str]:
    """When others were to take the place of dead workers."""
    return [
        line.rpartition("another is started ")[2] for line in master.log.splitlines() if "another is started" in line
    ]


def test_a_worker_that_had_booted_is_replaced_at_once_however_often_it_dies(master: Master) -> None:
    """One that is fatal to whoever serves it (row f): the pace is the only bound, and there is always somebody."""
    master.up(workers=2)
    for _ in range(8):
        master.kill(master.serving(2)[0])
    master.serving(2)
    assert len(replacements(master)) == 8
    assert all(
        said == "at once" or float(said.removeprefix("in ").removesuffix("s")) <= 0.1 for said in replacements(master)
    )


FAILS_THREE_TIMES = """
with open({boots!r}, "a") as boots:
    boots.write("x")
    if boots.tell() <= 3:
        raise RuntimeError("not today")
"""


def test_only_boots_that_fail_back_off_each_place_for_itself(master: Master) -> None:
    pids = master.up(preload=False, workers=2)
    app, boots = master.directory / "app.py", master.directory / "boots"
    app.write_text(FAILS_THREE_TIMES.format(boots=str(boots)) + app.read_text())
    master.kill(pids[0])
    for _ in range(3):  # boots of the replacement
        master.expect("gone", status=3)
    master.kill(pids[1])  # beside a place that waits
    master.serving(2)
    assert replacements(master) == ["at once", "in 0.1s", "in 0.2s", "in 0.4s", "at once"]


def test_a_stop_does_not_wait_for_a_back_off(master: Master) -> None:
    pids = master.up(preload=False, workers=1)
    (master.directory / "app.py").write_text("raise RuntimeError('not today')\n")
    master.kill(pids[0])
    for _ in range(4):
        master.expect("gone", status=3)
    assert master.done("quit", deadline_s=5.0, linger_s=0.2)["type"] == "done"
    assert master.exit_status() == 0
    assert "another is started in 0.8s" in master.log


def test_a_fork_that_the_system_refuses_is_said_and_tried_again(master: Master) -> None:
    """EMFILE here; EAGAIN and ENOMEM come the same way."""
    pids = master.up(workers=2)
    files = resource.prlimit(master.process.pid, resource.RLIMIT_NOFILE)
    held = {int(name) for name in os.listdir(f"/proc/{master.process.pid}/fd")}
    # none is free
    resource.prlimit(master.process.pid, resource.RLIMIT_NOFILE, (min(set(range(1000)) - held), files[1]))
    master.kill(pids[0])
    for _ in range(2):
        unfilled = master.expect("unfilled")
        assert unfilled["workers"] == 1 and unfilled["reason"] == "cannot fork a worker: Too many open files"
    assert "missing workers: 1; trying again in 0.2s" in master.log
    assert master.get() == f"one {pids[1]}"
    resource.prlimit(master.process.pid, resource.RLIMIT_NOFILE, files)
    assert pids[1] in master.serving(2)


def test_a_replacement_that_hangs_in_its_import_is_ended_with_its_stack(master: Master) -> None:
    pids = master.up(preload=False, workers=1, timeouts=Timeouts(boot=0.5))
    (master.directory / "app.py").write_text("import time\ndef hang_here(): time.sleep(600)\nhang_here()\n")
    master.kill(pids[0])
    assert master.expect("gone")["status"] == -signal.SIGABRT
    assert "was not ready within 0.5s (timeouts.boot)" in master.log
    assert "in hang_here" in master.stack()
    (master.directory / "app.py").write_text(APP)
    master.serving(1)


def test_code_changed_in_place_is_reported_where_it_is_not_preloaded(master: Master) -> None:
    pids = master.up(preload=False)
    master.kill(pids[0])
    master.serving(2)
    assert "mixed" not in [message["type"] for message in master.messages]
    (master.directory / "app.py").write_text(APP.replace('"one"', '"two"'))
    master.kill(pids[1])
    assert master.expect("mixed")["files"] == ["app.py"]
    assert "mixed code: worker 4" in master.log


def test_preloaded_workers_run_the_code_of_the_boot(master: Master) -> None:
    pids = master.up(workers=1)
    (master.directory / "app.py").write_text("broken(")
    master.kill(pids[0])
    master.serving(1)
    assert master.get().startswith("one ")
    assert "mixed" not in [message["type"] for message in master.messages]


# Scale


def test_scale_up_and_down(master: Master) -> None:
    old = master.up()
    assert master.done("scale", workers=4)["workers"] == 4
    assert len(master.pids("serving")) == 4
    assert master.done("scale", workers=1)["workers"] == 1
    assert master.pids("serving") == old[:1]  # the youngest have left
    for _ in range(3):
        assert master.expect("gone")["expected"] is True
    master.kill(old[0])
    assert len(master.serving(1)) == 1


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


def test_scale_down_lets_requests_end(master: Master) -> None:
    master.up(workers=1)
    request = Request(master, "/slow")
    busy = master.pids("serving")
    master.done("scale", workers=2)
    os.kill(busy[0], 0)
    assert master.done("scale", workers=1)["workers"] == 1
    (master.directory / "go").touch()
    assert request.wait() == f"one {busy[0]}"


def test_scale_of_a_paused_generation_stays_paused(master: Master) -> None:
    master.up()
    master.pause()
    assert master.done("scale", workers=3)["workers"] == 3
    client = unanswered(master)
    assert master.done("scale", workers=1)["workers"] == 1
    master.done("resume")
    assert answered(client)


def test_scale_up_that_fails_goes_back(master: Master) -> None:
    pids = master.up(preload=False)
    (master.directory / "app.py").write_text("raise RuntimeError('no memory')")
    failed = master.failed("scale", workers=4)
    assert failed["step"] == "import" and failed["reason"] == "cannot import app: RuntimeError: no memory"
    assert "RuntimeError: no memory" in failed["traceback"]
    assert master.done("scale", workers=2)["workers"] == 2
    assert master.pids("serving") == pids


# Reload, switch, cancel


def test_reload_and_switch(master: Master) -> None:
    old = master.up()
    prepared = master.answer(master.reload(workers=3))
    assert prepared["type"] == "done" and len(prepared["workers"]) == 3
    assert master.pids("serving") == old and len(master.pids("ready")) == 3
    assert [w.revision for w in master.workers.values()] == [1, 1, 2, 2, 2]
    done = master.done("switch", revision=2)
    assert {"given", "kept"} <= set(done)
    new = master.serving(3)
    assert not set(new) & set(old)
    for _ in old:
        assert master.expect("gone")["expected"] is True
    master.kill(new[0])
    replaced = master.expect("worker")
    assert replaced["revision"] == 2
    assert len(master.serving(3)) == 3


def test_reload_brings_other_listeners_and_drops_the_old(master: Master) -> None:
    master.up()
    with listen() as other:
        master.answer(master.reload(2, other))
        master.done("switch", revision=2)
        for _ in range(2):
            master.expect("gone")
        assert master.get(listener=other).startswith("one ")
        address = master.listener.getsockname()
        master.listener.close()  # the last copy
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


def test_kept_alive_connections_survive_a_switch(master: Master) -> None:
    master.up()
    clients = [client_of(master.listener) for _ in range(20)]
    for client in clients:
        client.request("GET", "/")
        client.getresponse().read()
    master.answer(master.reload())
    assert {"given", "kept"} <= set(master.done("switch", revision=2))
    new = {str(pid) for pid in master.serving(2)}
    for client in clients:
        sock = client.sock
        client.request("POST", "/", b"x")
        assert client.getresponse().read().split()[1].decode() in new
        assert client.sock is sock
        client.close()


def test_reload_that_fails_leaves_the_old_alone(master: Master) -> None:
    pids = master.up(preload=False)
    source = (master.directory / "app.py").read_text()
    (master.directory / "app.py").write_text("import nowhere")
    failed = master.answer(master.reload(workers=3))
    assert failed["type"] == "failed" and failed["step"] == "import"
    assert failed["reason"] == "cannot import app: ModuleNotFoundError: No module named 'nowhere'"
    gone = [message for message in master.messages if message["type"] == "gone"]
    assert len(gone) == 3  # the failure is told when nothing of it is left
    assert master.pids("serving") == pids
    (master.directory / "app.py").write_text(source)
    assert master.answer(master.reload(3))["type"] == "done"
    assert master.done("switch", revision=3)


def test_cancel_of_a_prepared_reload(master: Master) -> None:
    pids = master.up()
    master.answer(master.reload())
    assert master.failed("switch", revision=9)["reason"] == "cannot switch: revision 9 is not the one prepared"
    assert master.failed("scale", workers=3)["step"] == "order"
    master.done("cancel", revision=2)
    assert [m["expected"] for m in master.messages if m["type"] == "gone"] == [True, True]
    assert master.pids("serving") == pids
    assert master.done("scale", workers=2)["workers"] == 2


def test_cancel_of_a_reload_that_hangs(master: Master) -> None:
    pids = master.up(preload=False)
    (master.directory / "app.py").write_text("import time; time.sleep(600)")
    reload = master.reload()
    master.expect("worker")
    cancel = master.order("cancel", revision=2)
    assert "the reload was cancelled" in master.answer(reload)["reason"]
    assert master.answer(cancel)["type"] == "done"
    assert master.pids("serving") == pids


def test_switch_to_workers_of_which_one_has_died(master: Master) -> None:
    pids = master.up()
    numbers = master.answer(master.reload())["workers"]
    master.kill(master.workers[numbers[0]].pid)
    failed = master.failed("switch", revision=2)
    assert failed["step"] == "switch" and "only 1 of 2 new workers are alive" in failed["reason"]
    assert master.pids("serving") == pids
    assert master.done("scale", workers=2)["workers"] == 2


def test_an_old_worker_is_replaced_while_a_reload_is_prepared(master: Master) -> None:
    pids = master.up()
    master.answer(master.reload())
    master.kill(pids[0])
    assert master.expect("worker")["revision"] == 1
    master.done("switch", revision=2)
    assert not set(master.serving(2)) & set(pids)


# The end


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
    assert "the supervisor is gone: leaving" in master.log


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


def test_workers_outlive_their_master(master: Master) -> None:
    pids = master.up()
    master.process.kill()
    master.process.wait(WAIT_S)
    assert int(master.get().split()[1]) in pids


def test_a_wedged_worker_does_not_hold_up_a_pause_for_ever(master: Master) -> None:
    pids = master.up()
    hold(pids[0])
    failed = master.failed("pause", [master.other[1].fileno()], to=8)
    assert failed["step"] == "pause"
    assert failed["reason"] == f"cannot see that all have paused: worker 1 (pid {pids[0]}) did not answer for 6s"
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


def test_multiprocess_is_true_with_more_than_one_worker(folder: Path) -> None:
    """Also on a connection that was there before, whose requests have a shape."""
    source = APP.replace('TEXT + " "', 'str(environ["wsgi.multiprocess"]) + " "')
    (folder / "app.py").write_text(source)
    with Master(folder) as master:
        pids = master.up(workers=1)
        host, port = master.listener.getsockname()[:2]
        client = http.client.HTTPConnection(host, port, timeout=WAIT_S)

        def ask() -> str:
            client.request("GET", "/")
            return client.getresponse().read().decode()

        assert [ask() for _ in range(4)] == [f"False {pids[0]}"] * 4
        master.done("scale", workers=2)
        assert [ask() for _ in range(4)] == [f"True {pids[0]}"] * 4
        assert master.kill(pids[0])["status"] == -signal.SIGKILL
        client.close()
        assert ask().startswith("True ")  # of one that was forked since
        master.serving(2)
        master.done("scale", workers=1)
        assert master.get().startswith("False ")
        client.close()
