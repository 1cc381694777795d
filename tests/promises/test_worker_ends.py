"""Promise: a worker ends as a process ends, and nothing that the application started there is left."""

from __future__ import annotations

import gzip
import os
import re
import shelve
import signal
import socket
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.service import Service, alive, eventually, serving

APPLICATION = (Path(__file__).parents[1] / "harness" / "application.py").read_text()

APP = """
import atexit, concurrent.futures as futures, dbm.dumb, gzip, multiprocessing, os, random, shelve, subprocess, sys
import tempfile, threading, time, zipfile
import release_app as before

HERE = os.environ["NOTES"]
kept = []

def note(text):
    with open(os.path.join(HERE, "notes"), "a") as file:
        file.write(f"{os.getpid()} {text}\\n")

atexit.register(note, "atexit")

class Odd(type):
    __hash__ = None

odd = Odd("odd", (), {})()

def waits(text):
    while not os.path.exists(os.path.join(HERE, "go")):
        time.sleep(0.01)
    note(text)

def thread():
    threading.Thread(target=waits, args=("thread",), name="keeper").start()

def heir():
    return threading.Thread().daemon

def task():
    kept.append(futures.ThreadPoolExecutor(1))
    kept[-1].submit(waits, "task")

def processes():
    kept.append(futures.ProcessPoolExecutor(2))
    kept[-1].submit(abs, -1).result()
    return " ".join(map(str, kept[-1]._processes))

def daemon():
    process = multiprocessing.Process(target=time.sleep, args=(600,), daemon=True)
    process.start()
    return process.pid

def files():
    for kind, name in ((open, "plain"), (gzip.open, "packed")):
        kept.append(kind(os.path.join(HERE, name), "wt"))
        kept[-1].write("whole")
    kept.append(zipfile.ZipFile(os.path.join(HERE, "zipped"), "w"))
    kept[-1].writestr("a", "whole")
    kept.append(shelve.Shelf(dbm.dumb.open(os.path.join(HERE, "shelf"), "c"), writeback=True))
    kept[-1]["a"] = ["who"]
    kept[-1]["a"].append("le")
    kept.append(tempfile.NamedTemporaryFile(dir=HERE, prefix="passing"))

def folder():
    kept.append(tempfile.TemporaryDirectory(dir=HERE))
    return kept[-1].name

def program():
    return subprocess.Popen(["sleep", "600"]).pid

def orphan():
    command = ["/bin/sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"]
    return subprocess.run(command, capture_output=True, text=True).stdout

def segment():
    from multiprocessing.shared_memory import SharedMemory
    kept.append(SharedMemory(create=True, size=64))
    return kept[-1].name

def free():
    return subprocess.Popen(["/bin/sleep", "600"], start_new_session=True, env={}).pid  # no process of the service

def left():
    note("on_exit")

def forked():
    pass

def breaks():
    note("on_exit")
    if os.fork():
        raise ValueError("no goodbye")

def helped():
    one = threading.Thread(target=note, args=("late",))
    one.start()
    one.join()

def trouble():
    for one in (helped, sys.exit, lambda: 1 / 0):
        atexit.register(one)

ALL = (thread, heir, task, processes, daemon, files, folder, program, orphan, segment, free, trouble)
WAYS = {"/" + way.__name__: way for way in ALL}
# more

def application(environ, start_response):
    way = WAYS.get(environ["PATH_INFO"])
    if way is None:
        return before.application(environ, start_response)
    body = str(way() or "").encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@contextmanager
def starts(tmp_path: Path, more: str = "", **settings: Any) -> Iterator[Service]:
    with serving(tmp_path, start=False, **{"workers": 1, **settings}) as service:
        service.environment["NOTES"] = str(tmp_path)
        service.release("one", app=APP.replace("# more", more), release_app=APPLICATION)
        service.start()
        yield service


def noted(root: Path, pid: int) -> list[str]:
    """What a process has noted, in order."""
    lines = [line.split() for line in (root / "notes").read_text().splitlines()] if (root / "notes").exists() else []
    return [text for by, text in lines if by == str(pid)]


def beaten(service: Service, pid: int) -> float:
    """When a worker has last given a sign of life (monotonic); not later than it was."""
    asked = time.monotonic()
    (age_s,) = [one["heartbeat_age_s"] for one in service.ask("workers")["workers"] if one["pid"] == pid]
    return asked - float(age_s)


@pytest.mark.parametrize(
    ("threads", "preload"), [(1, False), (4, True)], ids=["one thread, each for itself", "more threads, preloaded"]
)
def test_a_worker_ends_as_a_process_ends(tmp_path: Path, threads: int, preload: bool) -> None:
    with starts(
        tmp_path, hooks={"on_exit": "app:left"}, timeouts={"exit": "30s"}, threads=threads, preload=preload
    ) as service:
        (pid,) = service.workers()
        children = [int(found) for way in ("processes", "daemon") for found in service.get(f"/{way}").split()]
        folder = Path(service.get("/folder").decode())
        for way in ("thread", "task", "files"):
            service.get(f"/{way}")
        assert service.get("/heir") == b"", "threads that views start are no daemons"
        assert folder.is_dir() and all(map(alive, children)) and len(children) == 3
        service.do("reload")
        eventually(lambda: noted(tmp_path, pid), "it has begun to end")
        assert alive(pid) and noted(tmp_path, pid) == ["on_exit"], "its threads have time"
        assert service.get("/echo") == b"", "another one serves"
        since = time.monotonic()
        eventually(lambda: beaten(service, pid) > since, "it is no loop that hangs")
        (tmp_path / "go").touch()
        eventually(lambda: not alive(pid), "it has ended")
        first, *middle, last = noted(tmp_path, pid)
        assert (first, sorted(middle), last) == ("on_exit", ["task", "thread"], "atexit")
        assert (tmp_path / "plain").read_text() == "whole"
        assert gzip.decompress((tmp_path / "packed").read_bytes()) == b"whole"
        with zipfile.ZipFile(tmp_path / "zipped") as zipped, shelve.open(str(tmp_path / "shelf"), "r") as shelf:
            assert (zipped.read("a"), shelf["a"]) == (b"whole", ["who", "le"])
        assert not list(tmp_path.glob("passing*"))
        assert not folder.exists() and not any(map(alive, children))
        assert "exiting although" not in service.log()


@pytest.mark.parametrize("threads", [1, 4])
def test_the_end_of_a_worker_is_bounded_and_leaves_nothing(tmp_path: Path, threads: int) -> None:
    """However it comes: recycled, scaled away, reloaded, stopped."""

    def leaves(begin: Any) -> None:
        (pid,) = service.workers()
        child = int(service.get("/program"))
        service.get("/thread")
        begin()
        eventually(lambda: not alive(pid) and not alive(child), "both have ended")
        assert f"(pid {pid}): pid {child} (sleep); start_new_session=True keeps a process alive" in service.log()
        assert "exiting although threads did not exit within 0.2 s (timeouts.exit): keeper" in service.log()

    def recycle() -> None:
        for _ in range(20):
            service.get("/echo")

    with starts(tmp_path, timeouts={"exit": "200ms"}, limits={"requests": 20}, threads=threads) as service:
        free = int(service.get("/free"))
        try:
            leaves(partial(service.do, "reload"))
            leaves(recycle)
            leaves(service.stop)
            assert alive(free)
        finally:
            os.kill(free, signal.SIGKILL)


def test_what_goes_wrong_at_the_end_of_a_worker_does_not_keep_it_from_the_rest(tmp_path: Path) -> None:
    with starts(tmp_path, hooks={"on_exit": "app:breaks"}, threads=4) as service:
        (pid,) = service.workers()
        service.get("/trouble")
        service.do("reload")
        eventually(lambda: not alive(pid), "it has ended")
        assert noted(tmp_path, pid) == ["on_exit", "late", "atexit"]
        assert "error while the worker exits, in hooks.on_exit; continuing with the next step" in service.log()
        assert "ValueError: no goodbye" in service.log() and "ZeroDivisionError" in service.log()
        by = {int(line.split()[0]) for line in (tmp_path / "notes").read_text().splitlines()}
        assert by == {pid}, "what the hook has forked is no worker"


def test_the_live_gauges_of_prometheus_live_as_long_as_their_worker(tmp_path: Path) -> None:
    """By the function that the page on hooks shows."""
    pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
    page = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text("utf-8")
    (shown,) = re.findall(r"```python\n(def say_goodbye\(\):\n.*?)```", page, re.DOTALL)
    gauge = """
os.environ["PROMETHEUS_MULTIPROC_DIR"] = HERE
from prometheus_client import CollectorRegistry, Gauge, generate_latest, multiprocess
busy = Gauge("busy", "help", multiprocess_mode="livesum")
def metrics():
    busy.set(1)
    multiprocess.MultiProcessCollector(registry := CollectorRegistry())
    return generate_latest(registry).decode()
WAYS["/metrics"] = metrics
"""
    with starts(tmp_path, more=gauge + shown, hooks={"on_exit": "app:say_goodbye"}) as service:
        (pid,) = service.workers()
        assert b"\nbusy 1.0\n" in service.get("/metrics") and (tmp_path / f"gauge_livesum_{pid}.db").exists()
        service.do("reload")
        eventually(lambda: not alive(pid), "it has ended")
        assert b"\nbusy 1.0\n" in service.get("/metrics"), "of two workers, one has gone"
        assert not (tmp_path / f"gauge_livesum_{pid}.db").exists()


def test_a_worker_that_has_not_booted_ends_as_any_other(tmp_path: Path) -> None:
    fails = (
        "shop = program()\nopen({0!r} + '/shared', 'w').write(str(shop))\ndef forked():\n    raise OSError('no shop')"
    )
    with starts(tmp_path, hooks={"after_fork": "app:forked"}, preload=False) as service:
        (pid,) = service.workers()
        service.release("two", app=APP.replace("# more", fails.format(str(tmp_path))), release_app=APPLICATION)
        service.flip("two")
        failed = service.ask("upgrade")
        assert failed["status"] != 0 and "no shop" in str(failed)
        child = int((tmp_path / "shared").read_text())
        assert not alive(child)
        eventually(lambda: f"pid {child} (sleep); start_new_session=True" in service.log(), "it is named")
        assert [line.split()[1] for line in (tmp_path / "notes").read_text().splitlines()] == ["atexit"]
        assert service.workers() == {pid} and noted(tmp_path, pid) == []


def test_a_worker_that_is_scaled_away_ends_as_any_other(tmp_path: Path) -> None:
    with starts(tmp_path, hooks={"on_exit": "app:left"}, workers=2) as service:
        two = service.workers()
        service.do("scale", workers=1)
        (gone,) = eventually(lambda: two - service.workers(), "one has gone")
        eventually(lambda: noted(tmp_path, gone) == ["on_exit", "atexit"], "it has ended in order")


def test_what_the_import_has_made_for_all_outlives_the_first_worker_that_ends(tmp_path: Path) -> None:
    shared = f"open({str(tmp_path)!r} + '/shared', 'w').write(f'{{daemon()}} {{folder()}} {{segment()}}')"
    with starts(tmp_path, more=shared, preload=True, hooks={"on_exit": "app:left"}) as service:
        (pid,) = service.workers()
        child, folder, segment = (tmp_path / "shared").read_text().split()
        service.do("reload")
        eventually(lambda: not alive(pid), "it has ended")
        assert noted(tmp_path, pid) == ["on_exit", "atexit"]
        assert alive(int(child)) and Path(folder).is_dir() and Path("/dev/shm", segment).exists()
        service.stop()
        assert not alive(int(child)) and not Path(folder).exists() and not Path("/dev/shm", segment).exists()


def test_a_worker_that_is_killed_at_its_deadline_takes_its_children_along(tmp_path: Path) -> None:
    stuck = "def stuck():\n    import ctypes\n    ctypes.PyDLL(None).sleep(600)\nWAYS['/stuck'] = stuck"
    with starts(tmp_path, more=stuck, upgrade={"retire": "1s"}) as service:
        (pid,) = service.workers()
        child, free = int(service.get("/program")), int(service.get("/free"))
        try:
            with unanswered(service, "/stuck"):
                service.ask("reload")
                eventually(lambda: not alive(pid) and not alive(child), "both have ended")
            assert (
                f"ending 1 process that the application started in worker 1 (pid {pid}): pid {child} (sleep)"
                in service.log()
            )
            assert alive(free)
        finally:
            os.kill(free, signal.SIGKILL)


@contextmanager
def unanswered(service: Service, path: str) -> Iterator[None]:
    """A request that nobody answers."""
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        yield


def test_a_program_that_ends_with_its_generation_is_named(tmp_path: Path) -> None:
    """Its worker is not its parent any more."""
    with starts(tmp_path, upgrade={"standby": "off"}) as service:
        orphan, free = int(service.get("/orphan")), int(service.get("/free"))
        try:
            service.do("upgrade")
            eventually(lambda: not alive(orphan), "it has ended")
            said = (
                f"ending 1 process that the application of generation 1 started: pid {orphan} (sleep); "
                "start_new_session=True"
            )
            eventually(lambda: said in service.log(), "it is named")
            assert alive(free)
        finally:
            with suppress(ProcessLookupError):
                os.kill(free, signal.SIGKILL)


def test_what_multiprocessing_cleans_up_is_cleaned_up_before_the_generation_ends(tmp_path: Path) -> None:
    with starts(tmp_path, upgrade={"standby": "off"}) as service:
        segment = Path("/dev/shm") / service.get("/segment").decode()
        assert segment.exists()
        service.do("upgrade")
        service.settled()
        assert not segment.exists() and "ending" not in service.log()


def test_random_generators_of_the_import_do_not_repeat_in_the_workers(tmp_path: Path) -> None:
    generators = """
class Shop:
    codes = random.Random()
    fixed = random.Random(42)
    sure = random.SystemRandom()

def forked():
    note(f"{Shop.codes.random()},{Shop.fixed.random()},{random.random()}")
"""
    with starts(tmp_path, more=generators, preload=True, workers=3, hooks={"after_fork": "app:forked"}) as service:
        service.do("reload")
        said = [line.split()[1].split(",") for line in (tmp_path / "notes").read_text().splitlines() if "," in line]
        assert len(said) == 6
        codes, fixed, common = (len(set(column)) for column in zip(*said, strict=True))
        assert (codes, fixed, common) == (6, 1, 6)
        assert service.log().count("the import created 1 random generator without a seed (app.py, line ") == 1


def test_those_of_numpy_do_not_repeat_either(tmp_path: Path) -> None:
    pytest.importorskip("numpy", reason="numpy is not installed")
    generators = """
import numpy
class Shop:
    ours = {"codes": [numpy.random.default_rng()]}
    old = numpy.random.RandomState()
    fixed = numpy.random.default_rng(42)

def forked():
    note(f"{Shop.ours['codes'][0].random()},{Shop.old.rand()},{Shop.fixed.random()},{numpy.random.rand()}")
"""
    with starts(tmp_path, more=generators, preload=True, workers=3, hooks={"after_fork": "app:forked"}):
        said = [line.split()[1].split(",") for line in (tmp_path / "notes").read_text().splitlines() if "," in line]
        assert len(said) == 3
        assert [len(set(column)) for column in zip(*said, strict=True)] == [3, 3, 1, 3]
