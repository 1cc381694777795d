"""Logs of a running service: files that every process goes over to at a reopen, and what the application writes,
whoever writes it.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import threading
from pathlib import Path

import psutil
import pytest

from harness.customized import customize
from harness.pythons import usable
from harness.service import Service, eventually, serving

TALKATIVE = """
import logging, os, subprocess, sys

print("imported: print")
os.write(2, b"imported: os.write\\n")
logging.warning("imported: logging")
sys.stderr.write("imported: unended")

def application(environ, start_response):
    word = environ["PATH_INFO"].strip("/")
    if word == "boom":
        raise ValueError("boom")
    if word == "wait":
        os.read(os.open(environ["QUERY_STRING"], os.O_RDONLY), 1)
    print(word, "print")
    print(word, "to stderr", file=sys.stderr)
    os.write(1, f"{word} os.write\\n".encode())
    subprocess.run(["echo", word, "child"], check=True)
    logging.warning("%s logging", word)
    sys.stderr.write(word + " unended")
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


def talkative(service: Service, name: str) -> None:
    service.release(name, app=TALKATIVE)
    service.flip(name)


def held(pid: int) -> set[str]:
    """The log files that a process has open."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = os.readlink(fd)
        except OSError:
            continue
        if name.endswith((".access", ".log", ".1")):
            found.add(Path(name).name)
    return found


def processes(service: Service) -> list[int]:
    """Every master and worker."""
    status = service.status()
    return [pid for g in status["generations"] for pid in (g["pid"], *(w["pid"] for w in g["workers"]))]


def rotate(folder: Path) -> None:
    for name in ("our.access", "our.log"):
        (folder / name).rename(folder / f"{name}.1")


FILES = {"access": "our.access", "file": "our.log"}
LOOKS_OFTEN = "from releve.supervisor.generation import totals; totals.EVERY_S = 1.0"
OLD, NEW = {"our.access.1", "our.log.1"}, {"our.access", "our.log"}


def test_everything_that_the_application_writes_is_kept_and_tagged(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=1, log=FILES) as service:
        talkative(service, "one")
        service.start()
        worker = service.get("/hello").decode()
        assert service.request("GET", "/boom")[0] == 500
        log = tmp_path / "our.log"
        eventually(lambda: "hello unended" in log.read_text(), "a line that nobody ends is written after a while")
        master = service.generation()["pid"]
        text = log.read_text()
        for stream, said in (("STDOUT", "print"), ("STDERR", "unended"), ("STDERR", "WARNING:root:imported: logging")):
            said = said if ":" in said else f"imported: {said}"
            assert re.search(rf"^\S+ \S+ {stream} gen=1 pid={master} {said}$", text, re.MULTILINE), (said, text)
        for stream, said in (("STDOUT", "print"), ("STDERR", "to stderr"), ("STDERR", "unended")):
            assert re.search(rf"^\S+ \S+ {stream} gen=1 worker=1 pid={worker} hello {said}$", text, re.MULTILINE), (
                said,
                text,
            )
        assert {"imported: os.write", "hello os.write", "hello child", "  ValueError: boom"} <= set(text.splitlines())
        assert f"ERROR gen=1 worker=1 pid={worker} GET /boom: the application failed" in text
        # the supervisor's lines are there too, and nothing is elsewhere
        assert " INFO pid=" in text and service.log() == ""
        access = tmp_path / "our.access"
        eventually(
            lambda: [line.split()[6] for line in access.read_text().splitlines()] == ["/hello", "/boom"],
            "both lines are written",
        )


def test_a_reopen_reaches_every_process_of_every_generation(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=2, log=FILES, upgrade={"standby": "1h"}) as service:
        talkative(service, "one")
        service.start()
        service.do("upgrade")
        standby = service.generation("standby")
        active = service.generation()
        everybody = [pid for g in (standby, active) for pid in (g["pid"], *(w["pid"] for w in g["workers"]))]
        rotate(tmp_path)
        assert all(held(pid) == OLD for pid in everybody)
        assert "reopened the log files of generation 1, 2" in service.must("reopen")
        assert all(held(pid) == NEW for pid in everybody) and held(service.pid) == {"our.log"}
        assert os.stat(tmp_path / "our.access").st_mode & 0o777 == 0o640 & ~_umask()
        service.must("scale", "3")  # forked after it
        service.get("/after")
        eventually(lambda: "/after" in (tmp_path / "our.access").read_text(), "the line is written")
        assert "after child" in (tmp_path / "our.log").read_text()
        assert all(held(pid) == NEW for pid in processes(service))
        service.do("rollback")
        service.get("/back")
        assert "gen=1 worker=" in (tmp_path / "our.log").read_text()


def test_workers_that_a_reload_has_replaced_and_orphans_are_reached(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=1, log=FILES) as service:
        talkative(service, "one")
        service.start()
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        waiting = threading.Thread(target=service.get, args=(f"/wait?{gate}",))
        waiting.start()
        (before,) = service.workers()
        opened = os.open(gate, os.O_WRONLY)  # returns once the application has opened it to read
        service.do("reload")
        rotate(tmp_path)
        service.must("reopen")
        assert held(before) == NEW and before not in service.workers()  # it is still busy with its last request
        os.close(opened)
        waiting.join(30)
        eventually(lambda: "/wait" in (tmp_path / "our.access").read_text(), "its last line is in the new file")
        generation = service.generation()
        (worker,) = service.workers()
        service.release("one", app="raise RuntimeError('no successor boots')\n")
        os.kill(generation["pid"], signal.SIGKILL)
        eventually(lambda: "the supervisor commands its" in (tmp_path / "our.log").read_text(), "the death is seen")
        (tmp_path / "our.access").rename(tmp_path / "our.access.1")
        answer = service.ask("reopen")
        assert answer["status"] == 0, answer
        assert service.generation()["orphaned"] and held(worker) == NEW
        service.get("/orphan")
        eventually(lambda: "/orphan" in (tmp_path / "our.access").read_text(), "the line is written")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run workers as somebody else")
@pytest.mark.skipif(not usable("/usr/bin/python3"), reason="/usr/bin/python3 is not Python 3.11 or later")
def test_workers_that_may_not_open_the_files_go_on_after_a_rotation(open_folder: Path) -> None:
    logs = open_folder / "logs"
    logs.mkdir(mode=0o700)
    files = {"access": "logs/our.access", "file": "logs/our.log"}
    with serving(open_folder, start=False, python="/usr/bin/python3", workers=1, log=files, user="nobody") as service:
        talkative(service, "one")
        service.start()
        worker = int(service.get("/one"))
        assert psutil.Process(worker).uids().real == pwd.getpwnam("nobody").pw_uid
        rotate(logs)
        service.must("reopen")
        assert int(service.get("/two")) == worker and held(worker) == NEW
        eventually(lambda: "/two" in (logs / "our.access").read_text(), "the line is written")
        assert "two print" in (logs / "our.log").read_text()


def test_a_rotation_without_a_word_is_noticed(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=1, log=FILES) as service:
        customize(service, LOOKS_OFTEN)
        talkative(service, "one")
        service.start()
        worker = int(service.get("/one"))
        rotate(tmp_path)
        for name in NEW:
            (tmp_path / name).touch()
        eventually(lambda: held(worker) == NEW, "the worker has gone over to the new files")
        rotate(tmp_path)  # and makes none: whether logrotate is about to is seen at the second look
        eventually(lambda: held(worker) == NEW, "the worker has gone over to the new files")


def test_a_file_that_cannot_be_opened_again_costs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    with serving(tmp_path, start=False, workers=1, log={"access": "logs/our.access"}) as service:
        service.release("one")
        service.start()
        worker = next(iter(service.workers()))
        folder.rename(tmp_path / "moved")
        done = service.ctl("reopen")
        assert done.returncode == 4 and f"cannot open the access log {folder}/our.access" in done.stdout + done.stderr
        service.get("/release")
        assert service.workers() == {worker} and held(worker) == {"our.access"}
        (tmp_path / "moved").rename(folder)
        service.must("reopen")


def test_a_supervisor_that_follows_a_killed_one_reopens_everything(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=1, log=FILES) as service:
        talkative(service, "one")
        service.start()
        worker = int(service.get("/one"))
        os.kill(service.pid, signal.SIGSTOP)
        rotate(tmp_path)
        follower = service.kill_supervisor()  # the pid of the one that follows
        service.must("reopen")
        assert held(worker) == NEW and int(service.get("/two")) == worker
        eventually(lambda: "/two" in (tmp_path / "our.access").read_text(), "the line is written")
        # Its standard output is what it was, not the log: a new generation without log.file would write there.
        service.must("reexec")
        rotate(tmp_path)
        service.must("reopen")
        assert held(worker) == held(follower) | {"our.access"} == NEW
        assert os.readlink(f"/proc/{follower}/fd/1") == os.readlink(f"/proc/{follower}/fd/2") == str(service.log_file)


def test_the_log_moves_with_a_reload_and_back(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=1, log={"access": "off"}) as service:
        talkative(service, "one")
        service.start()
        service.get("/first")
        service.configure(log={"access": "-", "file": "two.log", "format": "json"})
        service.do("reload")
        service.get("/second")
        service.do("upgrade")
        service.get("/third")
        service.configure(log={"access": "-", "output": "plain"})
        service.do("reload")
        service.get("/fourth")
        service.must("stop")
        said = [json.loads(line) for line in (tmp_path / "two.log").read_text().splitlines() if line.startswith("{")]
        printed = {
            (one["generation"], one["worker"], one["message"])
            for one in said
            if one.get("stream") == "stdout" and "worker" in one
        }
        assert printed == {(1, 2, "second print"), (2, 1, "third print")}
        assert {one["process"] for one in said} == {"supervisor", "master", "worker"}
        assert {one.get("release") for one in said if one["process"] == "worker"} == {
            str(tmp_path / "releases" / "one")
        }
        log = service.log()
        # the access log stays on standard output
        assert "STDOUT gen=1 worker=1" in log and '"GET /second HTTP/1.1"' in log
        assert "second print" not in log and "\nfourth print\n" in log


def test_a_rollback_goes_back_to_the_settings_of_what_serves_again(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1) as service:
        service.configure(workers=2, log={"file": "two.log"})
        service.do("upgrade")
        assert service.status()["service"]["workers_wanted"] == 2
        service.do("rollback")
        assert service.status()["service"]["workers_wanted"] == 1
        service.must("stop")
        moved = (tmp_path / "two.log").read_text()
        assert "INFO pid" in moved and " stopped\n" not in moved and " stopped\n" in service.log()


def test_a_log_that_cannot_be_opened_refuses_the_start_and_a_change(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=1, log={"file": "missing/our.log"}) as service:
        service.release("one")
        service.configure()
        service.start(wait=False)
        assert service.process is not None and service.process.wait(30) == 2
        assert f"cannot open the log {tmp_path}/missing/our.log: No such file or directory" in service.log()
        service.configure(log={"file": "-"})
        service.start()
        service.configure(log={"file": "missing/our.log"})
        done = service.ctl("upgrade")
        assert done.returncode == 4 and "cannot open the log" in done.stdout + done.stderr


def test_a_boot_that_fails_tells_ctl_and_the_log(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=1, log=FILES) as service:
        service.release("one")
        service.start()
        service.release(
            "two",
            app="import sys\nprint('about to fail')\nsys.stderr.write('last words')\nraise RuntimeError('at import')\n",
        )
        service.flip("two")
        done = service.ctl("upgrade")
        assert done.returncode == 4 and "RuntimeError: at import" in done.stdout + done.stderr
        text = (tmp_path / "our.log").read_text()
        assert re.search(r"STDOUT gen=2 pid=\d+ about to fail\n", text) and re.search(
            r"STDERR gen=2 pid=\d+ last words\n", text
        )


def _umask() -> int:
    mask = os.umask(0o22)
    os.umask(mask)
    return mask
