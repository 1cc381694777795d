"""Five ways through the code, as data: which files are entered, one after another.

``python tests/harness/walk.py`` starts services of this tree in temporary folders, and prints the ways of a good
upgrade, of one that does not boot, and of a setting (``ctl reload``), each in the supervisor from the request to the
outcome; of a listening socket from the configuration's text to ``accept``, in supervisor, master and worker; and of a
request's bytes from ``recv`` to ``send`` in a worker. ``--whole`` prints each step too.

A step is a call that enters another file than the one before it. Of a verb only what the conversation and the operation
themselves call is counted, in the order of the calls, not what the loop does beside them; of a listening socket only
calls that are handed it, or its address. What makes and compares frozen values (``config/frozen.py``) is left out: it
is no place to go to. The numbers say how straight a way reads, and judge nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import itertools
import json
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

HERE = Path(__file__).resolve()
FOLDERS = ("supervisor/", "instance/", "config/", "server/")
MACHINERY = ("config/frozen.py", "instance/paths.py", "instance/folder.py", "instance/ownership.py")
BEGINS = ("verbs/control_server.py", "_answer")
HOLDERS = {"Listener": "socket", "Plan": "all", "Revision": "listeners"}  # classes, by name: what of it is or has one
ACCEPTS, RECEIVES, SENDS = "_accept", ("recv", "recv_into"), ("send", "sendmsg", "sendall")  # of a socket, in C
REQUESTS = 4  # of one connection
ACCEPTOR = "server/handover/acceptor.py"
PROFILED = """
import os, runpy
from before import application

os.register_at_fork(after_in_child=lambda: runpy.run_path({here!r})["record_bytes"]({out!r}, {product!r}))
"""

Call = tuple[str, str]  # file and function
Entered = Callable[[FrameType], Call | None]


# In the processes of a service


def _entered(product: str) -> Entered:
    """What tells which function of ours a frame has just begun; None for any other."""
    beginnings: dict[CodeType, int] = {}  # the instruction at which a call begins; a coroutine goes on at others

    def entered(frame: FrameType) -> Call | None:
        code = frame.f_code
        if not code.co_filename.startswith(product) or code.co_name.startswith("<"):
            return None
        if frame.f_lasti != beginnings.setdefault(code, frame.f_lasti):
            return None
        name = code.co_filename.removeprefix(product)
        return (name, code.co_name) if name.startswith(FOLDERS) and name not in MACHINERY else None

    return entered


def _writer(path: str) -> Callable[[object], None]:
    """What appends a line of JSON, of any process."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    return lambda said: (os.write(fd, json.dumps(said).encode() + b"\n"), None)[1]


def record_verbs(path: str, product: str) -> None:
    """In the supervisor, before anything else: each call on behalf of a conversation, with its number."""
    walked: contextvars.ContextVar[int] = contextvars.ContextVar("walked", default=0)
    numbers = itertools.count(1)
    entered, write = _entered(product), _writer(path)

    def note(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or (call := entered(frame)) is None:
            return
        if call[0].endswith(BEGINS[0]) and call[1] == BEGINS[1]:
            walked.set(next(numbers))
        elif not walked.get():
            return
        try:
            if asyncio.current_task() is None:
                return
        except RuntimeError:
            return
        write([walked.get(), *call])

    sys.setprofile(note)


def record_socket(path: str, product: str, address: str) -> None:
    """In any process, before anything else: each call that is handed a listening socket or its address."""
    entered, write = _entered(product), _writer(path)
    host, _, port = address.rpartition(":")

    def holds(value: Any) -> bool:
        if isinstance(value, list | tuple):
            return any(map(holds, value))
        if isinstance(value, dict):
            return any(map(holds, value.values()))
        kind = type(value).__name__
        if kind == "socket":
            with contextlib.suppress(OSError):
                return bool(value.getsockname() == (host, int(port)))
        if kind in HOLDERS:
            return holds(getattr(value, HOLDERS[kind], None))  # None: it is being made
        return kind in ("str", "Address") and str(value) == address

    def note(frame: FrameType, event: str, of: Any) -> None:
        if event == "c_call" and of.__name__ == ACCEPTS:
            write([os.getpid(), "", ACCEPTS])
        if event == "call" and (call := entered(frame)) is not None:
            count = frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount
            if any(holds(frame.f_locals.get(name)) for name in frame.f_code.co_varnames[:count]):
                write([os.getpid(), *call])

    sys.setprofile(note)


def record_bytes(path: str, product: str) -> None:
    """In a worker that has just been forked: each call of each thread to come, and when bytes come and go.

    Nothing is written before bytes are sent: a call that takes long is another way.
    """
    threads: Any = importlib.import_module("releve.server.loop.threads")
    entered, write = _entered(product), _writer(path)
    start = threads.start_thread

    def traced(function: Callable[..., object], *arguments: object) -> None:
        kept: list[list[object]] = []
        number = threading.get_native_id()

        def note(frame: FrameType, event: str, of: Any) -> None:
            if event == "c_call" and of.__name__ in (*RECEIVES, *SENDS):
                kept.append([number, "", of.__name__])
                if of.__name__ in SENDS:
                    for said in kept:
                        write(said)
                    kept.clear()
            if event == "call" and (call := entered(frame)) is not None:
                kept.append([number, *call])

        sys.setprofile(note)
        function(*arguments)

    threads.start_thread = lambda name, *said, **more: start(name, traced, *said, **more)


# In the program


def read(path: Path) -> list[tuple[int, Call]]:
    """What was recorded, each call with the number of its walk or of its process."""
    return [(number, (name, function)) for number, name, function in map(json.loads, path.read_text().splitlines())]


def steps(calls: Iterable[Call]) -> list[Call]:
    """Those calls that enter another file."""
    return [call for before, call in itertools.pairwise([("", ""), *calls]) if before[0] != call[0]]


def upgrades_and_reload(folder: Path, product: str) -> dict[str, list[Call]]:
    """A good upgrade, one that does not boot, and a reload of one setting."""
    from harness.customized import customize
    from harness.service import serving

    with serving(folder, start=False) as service:
        written = folder / "walks"
        customize(
            service, f"import runpy; runpy.run_path({str(HERE)!r})['record_verbs']({str(written)!r}, {product!r})"
        )
        service.start()
        written.write_text("")
        service.release("two")
        service.flip("two")
        service.must("upgrade")
        service.release("three", app="raise RuntimeError('no')\n")
        service.flip("three")
        service.ctl("upgrade")
        service.configure(timeouts={"keepalive": "7s"})
        service.must("reload")
        service.stop()
    walks: dict[int, list[Call]] = {}
    for number, call in read(written):
        walks.setdefault(number, []).append(call)
    operations = [walk for walk in walks.values() if any(name.endswith("operations/attempt.py") for name, _ in walk)]
    titles = ("an upgrade", "a release that does not boot", "a setting, reloaded")
    return {title: steps(walk) for title, walk in zip(titles, operations, strict=True)}


def listening_socket(folder: Path, product: str) -> dict[str, list[Call]]:
    """A listening socket, from the text in the configuration to the first ``accept``."""
    from harness.customized import customize
    from harness.service import serving

    with serving(folder, start=False, workers=1) as service:
        written = folder / "walks"
        address = f"127.0.0.1:{service.port}"
        service.configure(listen=[address])
        record = f"['record_socket']({str(written)!r}, {product!r}, {address!r})"
        record = f"import runpy; runpy.run_path({str(HERE)!r}){record}"
        customize(service, record, record)
        service.start()
        service.get("/release")
        service.stop()
    way: list[Call] = []
    seen: list[int] = []  # processes: the way goes on in each from what the one before has done
    for pid, call in read(written):
        if pid not in seen and call[0]:
            seen.append(pid)
        if pid != seen[-1]:
            continue
        if call[0]:
            way.append(call)
        elif ACCEPTOR in (name for name, _ in way):
            break
    return {"a listening socket": steps(way)}


def request(folder: Path, product: str) -> dict[str, list[Call]]:
    """A request's bytes: the first of a connection, and one like those before it."""
    import http.client

    from harness.service import APPLICATION, serving

    with serving(folder, start=False, workers=1, threads=2) as service:
        written = folder / "walks"
        profiled = PROFILED.format(here=str(HERE), out=str(written), product=product)
        service.release("profiled", before=APPLICATION.read_text(), app=profiled)
        service.flip("profiled")
        service.start()
        written.write_text("")
        client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
        for _ in range(REQUESTS):
            client.request("GET", "/release")
            client.getresponse().read()
        client.close()
        service.stop()
    ways: list[list[Call]] = []
    of_thread: dict[int, list[Call]] = {}
    for thread, call in read(written):
        way = of_thread.setdefault(thread, [])
        if call[0]:
            way.append(call)
            continue
        if call[1] in SENDS and any(name.startswith("server/wsgi/") for name, _ in way):  # it is the answer
            ways.append(steps(way))
        way.clear()
    return {"a request, the first of a connection": ways[0], "a request like those before it": ways[REQUESTS - 1]}


def show(title: str, walked: list[Call], *, whole: bool) -> None:
    """Print a way and its numbers; a return is a step into a file that it was in before."""
    entered = Counter(name for name, _ in walked)
    print(f"{title}: {len(walked)} steps, {len(entered)} files, {len(walked) - len(entered)} returns")
    for name, times in entered.most_common(8):
        print(f"  {times:4d} {name}")
    if whole:
        for name, function in walked:
            print(f"       {name} {function}")


def main() -> None:
    """Print all ways."""
    sys.path.insert(0, str(HERE.parent.parent))
    import releve.supervisor

    product = str(Path(next(iter(releve.supervisor.__path__))).parent) + "/"
    for ways in (upgrades_and_reload, listening_socket, request):
        with tempfile.TemporaryDirectory() as folder:
            for title, walked in ways(Path(folder), product).items():
                show(title, walked, whole="--whole" in sys.argv)


if __name__ == "__main__":
    main()
