"""The orders reload, switch and cancel, and what each leaves alone."""

from __future__ import annotations

import socket

import pytest

from harness.master import Master, client_of, listen


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
    assert failed["step"] == "switch" and "only 1 of 2 new workers run" in failed["reason"]
    assert master.pids("serving") == pids
    assert master.done("scale", workers=2)["workers"] == 2


def test_an_old_worker_is_replaced_while_a_reload_is_prepared(master: Master) -> None:
    pids = master.up()
    master.answer(master.reload())
    master.kill(pids[0])
    assert master.expect("worker")["revision"] == 1
    master.done("switch", revision=2)
    assert not set(master.serving(2)) & set(pids)
