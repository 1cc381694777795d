"""When a worker asks to be replaced, and how its master does it: the replacement first."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from harness.master import APP, Master
from harness.workers import Client, Generation, eventually, request
from releve.config.settings.limits import Limits
from releve.server.worker.recycle import LOOK_S, Recycling, rss_bytes


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_requests_with_jitter() -> None:
    limits = [Recycling(Limits(requests=100, requests_jitter=50)) for _ in range(200)]
    dues = {next(number for number in range(300) if one.due(number)) for one in limits}
    assert min(dues) >= 100 and max(dues) <= 150 and len(dues) > 10
    assert Recycling(Limits()).due(10**9) is None


def test_memory_is_looked_at_after_requests_and_not_often() -> None:
    clock, size, looks = Clock(), 100, 0

    def rss() -> int:
        nonlocal looks
        looks += 1
        return size

    one = Recycling(Limits(rss=1000), clock, rss)
    assert one.due(1) is None and looks == 2
    size = 5 << 20
    assert one.due(2) is None and looks == 2, "not within a second"
    clock.now += LOOK_S
    assert one.due(1) is None and looks == 2, "not while nothing is answered"
    assert one.due(2) == "uses 5 MiB of memory (limits.rss)"


def test_a_limit_below_what_a_worker_starts_with_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    one = Recycling(Limits(rss=1000), rss=lambda: 2 << 20)
    assert one.due(10) is None
    assert "it is less than the 2 MiB that this worker uses at its start" in caplog.text


def test_the_memory_of_this_process() -> None:
    assert 1 << 20 < rss_bytes() < 4 << 30


# The worker


def test_a_worker_asks_once_and_goes_on(generation: Generation) -> None:
    worker = generation.start("ways", limits={"requests": 5})
    worker.resume()
    client = Client(generation.listeners[0][1].getsockname())
    for _ in range(20):
        assert client.ask("/").body == b"hello"
    message = worker.hear()
    assert message is not None and message["type"] == "recycle" and "requests (limits.requests)" in message["reason"]
    worker.pause()


@pytest.mark.parametrize("threads", [1, 4])
def test_a_request_that_lasts_shows_its_stack_once(generation: Generation, threads: int, tmp_path: Path) -> None:
    worker = generation.start("views", threads=threads, timeouts={"request": 0.1})
    worker.resume()
    client = Client(generation.listeners[0][1].getsockname())
    client.send(request(f"/wait?at={tmp_path}/at&until={tmp_path}/until", more="X-Request-ID: a\x85b 7\r\n"))
    message = worker.hear()
    assert message is not None and message["type"] == "recycle" and "without progress for 0.1 s" in message["reason"]
    eventually(lambda: "in wait\n" in generation.log, "the stack is in the log")
    other = Client(generation.listeners[0][1].getsockname())
    if threads > 1:
        for _ in range(20):
            assert other.ask().status == 200
    (tmp_path / "until").touch()
    assert client.answer().status == 200
    assert generation.log.count("the application read and wrote nothing for 0.1 s (timeouts.request)") == 1
    assert f"GET /wait?at={tmp_path}/at&until={tmp_path}/until id a\\xc2\\x85b 7: the application" in generation.log


# The master


def asks(master: Master) -> str:
    """The pid of the worker that answers."""
    return master.get().split()[-1]


def write(folder: Path, text: str = APP) -> None:
    (folder / "app.py").write_text(text)


def test_the_replacement_serves_before_the_old_one_leaves(tmp_path: Path) -> None:
    write(tmp_path)
    with Master(tmp_path) as master:
        (pid,) = master.up(workers=1, limits=Limits(requests=3))
        for _ in range(3):  # a fourth may come to the replacement
            assert asks(master) == str(pid)
        new = master.expect("worker", worker=2)["pid"]
        master.until(lambda m: m.get("type") == "state" and m.get("worker") == 2 and m.get("state") == "serving")
        gone = master.expect("gone", worker=1)
        assert gone["pid"] == pid and gone["expected"] is True and gone["status"] == 0
        assert asks(master) == str(new)
        assert "answered" in master.log and "; replacing it with worker" in master.log


def test_one_at_a_time(tmp_path: Path) -> None:
    write(tmp_path)
    with Master(tmp_path) as master:
        master.up(workers=2, limits=Limits(requests=1))
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                asks(master)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            for number in (3, 4, 5, 6):
                master.expect("worker", worker=number)
        finally:
            stop.set()
            thread.join()
        serving: set[int] = set()
        extra = 0
        master.rewind()
        for message in master.messages:
            if message.get("type") == "worker":
                extra += 1
            if message.get("type") == "state":
                if message["state"] == "serving":
                    serving.add(message["worker"])
                elif message["worker"] in serving:
                    serving.discard(message["worker"])
                    assert len(serving) >= 2, "never fewer than there should be"
        assert extra >= 6


def test_a_replacement_that_fails_is_tried_again(tmp_path: Path) -> None:
    """The old one serves on meanwhile."""
    flag = tmp_path / "broken"
    app = tmp_path / "flaky.py"
    app.write_text(
        f"import os\nif os.path.exists({str(flag)!r}): raise RuntimeError('not now')\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '2')])\n    return [b'ok']\n"
    )
    with Master(tmp_path) as master:
        master.up("flaky:application", preload=False, workers=1, limits=Limits(requests=2))
        flag.touch()
        for _ in range(4):
            assert asks(master) == "ok"
        eventually(lambda: "it keeps serving, trying again" in master.log, "it has failed once")
        assert asks(master) == "ok"
        flag.unlink()
        master.expect("gone", worker=1)
        assert asks(master) == "ok"


def test_the_replacement_is_killed_while_it_boots(tmp_path: Path) -> None:
    write(tmp_path)
    with Master(tmp_path) as master:
        (pid,) = master.up(workers=1, limits=Limits(requests=2))
        for _ in range(2):
            assert asks(master) == str(pid)
        os.kill(master.expect("worker", worker=2)["pid"], signal.SIGKILL)
        master.expect("gone", worker=1)
        assert int(asks(master)) not in (pid,)


def test_not_while_paused(tmp_path: Path) -> None:
    write(tmp_path)
    with Master(tmp_path) as master:
        master.up(workers=1, limits=Limits(requests=2))
        master.done("pause")
        master.done("resume")
        for _ in range(3):
            asks(master)
        master.expect("gone", worker=1)
