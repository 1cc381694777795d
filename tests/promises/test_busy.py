"""What is told of a service that is busy: each figure against a real one whose application answers when it may."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from harness.service import Service, eventually, serving

WORKERS, THREADS, BEYOND = 2, 2, 3


@contextlib.contextmanager
def asking(service: Service, number: int, gate: Path, unix: bool = False) -> Iterator[None]:
    """So many clients that wait for an answer, which none gets while the gate is there."""
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            client = stack.enter_context(socket.socket(socket.AF_UNIX if unix else socket.AF_INET))
            client.connect(str(service.unix) if unix else ("127.0.0.1", service.port))
            client.sendall(f"GET /held?while={gate} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
        yield


def told(service: Service) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The service, and the workers that serve."""
    found = service.status()
    return found["service"], next(one for one in found["generations"] if one["state"] == "serving")["workers"]


def test_threads_busy_and_clients_waiting(tmp_path: Path) -> None:
    """All threads of all workers, and the queues of both listeners; the log says it when it begins."""
    gate = tmp_path / "gate"
    gate.touch()
    with serving(tmp_path, workers=WORKERS, threads=THREADS) as service:
        before, workers = told(service)
        assert before["load"] == {"busy": 0, "threads": WORKERS * THREADS, "waiting": 0, "full_s": None}
        assert (before["workers_serving"], before["workers_wanted"], before["saturated"]) == (WORKERS, WORKERS, None)
        assert [(one["busy"], one["threads"]) for one in workers] == [(0, THREADS)] * WORKERS
        with asking(service, WORKERS * THREADS, gate):
            eventually(lambda: told(service)[0]["load"]["full_s"] is not None, "no thread is free")
            with asking(service, BEYOND, gate), asking(service, BEYOND, gate, unix=True):
                now = eventually(lambda: (said := told(service)[0])["saturated"] and said, "it is saturated")
                assert now["load"]["busy"] == WORKERS * THREADS and now["load"]["waiting"] == 2 * BEYOND
                assert [one["busy"] for one in told(service)[1]] == [THREADS] * WORKERS
                assert re.fullmatch(r"all 4 threads busy for \d+ s, 6 waiting", now["saturated"])
                assert service.status()["message"].startswith("serving, saturated: all 4 threads busy for ")
                assert "saturated: all 4 threads busy" in service.log()
            gate.unlink()
            free = eventually(lambda: not (said := told(service)[0])["load"]["busy"] and said, "all are answered")
            assert (free["saturated"], free["load"]["waiting"]) == (None, 0)


def test_clients_that_nobody_accepts_are_in_the_queue_of_their_listener(tmp_path: Path) -> None:
    """While the workers are stopped, nobody does."""
    gate = tmp_path / "no gate"
    with serving(tmp_path, limits={"backlog": 50}) as service:
        workers = service.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: all(psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in workers), "stopped")
            with asking(service, BEYOND, gate), asking(service, 1, gate, unix=True):
                said = service.status()["service"]
                assert said["queues"] == [
                    {"listener": said["listeners"][0], "waiting": BEYOND, "most": 50},
                    {"listener": said["listeners"][1], "waiting": 1, "most": 50},
                ]
                assert said["load"]["waiting"] == BEYOND + 1
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)


def test_connections_and_descriptors_of_their_limits(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1, limits={"connections": 77}) as service:
        [before] = told(service)[1]
        assert (before["connections"], before["connections_max"]) == (0, 77)
        assert before["descriptors"] == len(os.listdir(f"/proc/{before['pid']}/fd"))
        assert before["descriptors"] < before["descriptors_max"] and before["descriptors_max"] > 2 * 77
        with asking(service, BEYOND, tmp_path / "no gate"):  # they are answered, and stay
            [now] = eventually(
                lambda: [one for one in told(service)[1] if one["connections"] == BEYOND], "all are accepted"
            )
            assert now["descriptors"] == before["descriptors"] + BEYOND


def test_restarts_and_the_last_exit_of_each_worker_also_after_a_reexec(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as service:
        assert [(one["restarts"], one["last_exit"]) for one in told(service)[1]] == [(0, None)] * 2
        for restarts in (1, 2):
            victim = max(told(service)[1], key=lambda one: int(one["restarts"]))
            os.kill(victim["pid"], signal.SIGKILL)
            pid = victim["pid"]
            eventually(
                lambda pid=pid: len(found := service.workers()) == 2 and pid not in found,  # type: ignore[misc]
                "another one serves in its place",
            )
            for _ in range(2):
                other, new = sorted(told(service)[1], key=lambda one: int(one["restarts"]))
                assert (other["restarts"], new["restarts"], other["last_exit"]) == (0, restarts, None)
                said = f"worker {victim['worker']} (pid {victim['pid']}) was killed by SIGKILL"
                assert new["last_exit"]["what"].startswith(said) and 0 <= new["last_exit"]["age_s"] < 60
                service.do("reexec")


def test_processor_time(tmp_path: Path) -> None:
    """A worker that computes uses about one processor as soon as it has been sampled; `ctl workers` says so too."""
    app = (
        "import os\n"
        "def application(environ, start_response):\n"
        "    while os.path.exists(environ['QUERY_STRING'][6:]):\n"
        "        sum(range(100_000))\n"
        "    start_response('200 OK', [('Content-Length', '0')])\n"
        "    return []\n"
    )
    gate = tmp_path / "gate"
    gate.touch()
    with serving(tmp_path, start=False, workers=2, threads=2) as service:
        service.release("one", app=app)
        service.start()
        with asking(service, 1, gate):

            def computes() -> list[dict[str, Any]]:
                workers = json.loads(service.must("workers", "--json"))["workers"]
                return [one for one in workers if (one["cpu_percent"] or 0) > 20]

            [hot] = eventually(computes, "it is sampled")
            assert hot["busy"] == 1
            idle = next(one for one in told(service)[1] if one["pid"] != hot["pid"])
            assert idle["cpu_percent"] < hot["cpu_percent"]
            gate.unlink()
