"""Promise: deadlines are monotonic.

A wall clock that jumps by an hour, either way, in the middle of anything, changes nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.load import strictly
from harness.service import Service, eventually, serving

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")) or sorted(
    Path("/usr/lib").glob("faketime/libfaketimeMT.so.1")
)
HOUR_S = 3600
NEAR_S = 60.0  # far from an hour, and far from what this test takes
NOW = """
import os, time
from before import application as before
while os.path.exists({gate!r}):
    time.sleep(0.02)
def application(environ, start_response):
    if environ["PATH_INFO"] != "/now":
        return before(environ, start_response)
    body = b"%d" % time.time()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed")


# libfaketime (0.9.10) reckons the absolute time of clock_nanosleep(2) by the wall clock even where that sleeps by the
# monotonic one, as Python's does: after a jump it fails with EINVAL. That is the library's, so here sleep is another
# call.
SLEEP = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds)[0].clear()\n"


class Clock:
    """The wall clock of a service, and of nobody else."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._modules = folder / "modules"
        self._modules.mkdir()
        (self._modules / "sitecustomize.py").write_text(SLEEP)
        self.offset_s = 0
        self.set(0)

    def set(self, offset_s: int) -> None:
        """So many seconds ahead of ours, from now on."""
        self.offset_s = offset_s
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{offset_s:+d}\n")
        beside.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """With which a process has it."""
        return {
            "PYTHONPATH": str(self._modules),
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


@contextlib.contextmanager
def asking(service: Service, path: str) -> Iterator[list[bytes]]:
    """A request in flight around a block; its answer is there afterwards."""
    answers: list[bytes] = []
    thread = threading.Thread(target=lambda: answers.append(service.get(path)))
    thread.start()
    eventually(lambda: sum(w["busy"] for w in service.generation()["workers"]), "the request is in flight")
    yield answers
    thread.join(60)


@pytest.mark.parametrize(
    "jump_s", [pytest.param(HOUR_S, id="forward", marks=pytest.mark.soak), pytest.param(-HOUR_S, id="back")]
)
def test_a_jump_of_an_hour(tmp_path: Path, jump_s: int) -> None:
    clock, gate, access = Clock(tmp_path), tmp_path / "gate", tmp_path / "access.log"
    upgrade = {"probation": "1s", "standby": "4s", "check": "/healthz"}
    with serving(
        tmp_path, start=False, upgrade=upgrade, timeouts={"drain": "20s"}, log={"access": str(access)}
    ) as service:
        source = (service.releases / "one" / "app.py").read_text()
        service.release("one", before=source, app=NOW.format(gate=str(gate)))
        service.environment.update(clock.environment)
        service.start()

        def jump(offset_s: int) -> None:
            """The service, and the log that it writes, follow at once."""
            clock.set(offset_s)
            assert abs(int(service.get("/now")) - time.time() - offset_s) < NEAR_S
            eventually(lambda: abs(logged(access) - time.time() - offset_s) < NEAR_S, "the access log has it")

        with strictly(*service.addresses, serving=1, clients=10) as load:
            gate.touch()
            load.begin(2)
            ctl = service.begin_ctl("upgrade", "--json")
            eventually(lambda: service.phase() == "boot", "the upgrade boots")
            jump(jump_s)
            gate.unlink()
            eventually(lambda: service.phase() == "probation", "the probation begins")
            jump(0)
            out, err = ctl.communicate(timeout=60)
            assert ctl.returncode == 0, out + err
            assert 0.9 < json.loads(out)["phases"]["probation"] < NEAR_S
            load.done(2)

            # The generation that stands by does so for its time, not for none and not for an hour.
            began = time.monotonic()
            clock.set(jump_s)
            load.wait(20)
            standing_by = len(service.status()["generations"]) == 2
            assert standing_by or time.monotonic() - began > 3, "an hour ahead is not 4 s later"
            eventually(lambda: len(service.status()["generations"]) == 1, "its time is over")
            load.wait(20)

            # The history counts seconds that passed.
            clock.set(0)
            for entry in service.ask("history")["entries"]:
                assert entry["outcome"] == "done" and 0 <= entry["seconds"] < NEAR_S, entry
        gate.touch()
        with asking(service, f"/held?while={gate}&s=1") as answers:
            stop = service.begin_ctl("stop")
            eventually(lambda: service.phase() == "drain", "the drain has begun")
            clock.set(jump_s)
            gate.unlink()
            out, err = stop.communicate(timeout=60)
            assert stop.returncode == 0, out + err
        assert answers == [b"held"]
        assert service.process is not None and service.process.wait(20) == 0


def logged(access: Path) -> float:
    """The time of the last whole line of an access log, seconds since the epoch."""
    size = access.stat().st_size
    with access.open("rb") as file:
        file.seek(max(0, size - 4096), os.SEEK_SET)
        found = re.findall(rb"\[([^\]]+)\] .*\n", file.read())
    return datetime.datetime.strptime(found[-1].decode(), "%d/%b/%Y:%H:%M:%S %z").timestamp()
