"""The order ``scale``."""

from __future__ import annotations

import http.client
import os
import signal
from pathlib import Path

from harness.master import APP, WAIT_S, Master, Request, answered, unanswered


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
