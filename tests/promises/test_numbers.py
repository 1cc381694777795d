"""What log, history and status say of one attempt has one number; ages and losses go on under the next supervisor."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from harness.service import eventually, serving

SLOW = """
import os
os.read(os.open({gate!r}, os.O_RDONLY), 1)
from app import application
"""


def test_an_attempt_has_one_number_in_log_history_and_status(tmp_path: Path) -> None:
    """Also after a supervisor that replaced itself; while the application is imported, status does not say what nobody
    knows yet.
    """
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with serving(tmp_path, readiness="/ready") as service:
        for verb in ("drain", "undrain", "upgrade", "reexec"):  # the first two are attempts without an operation
            service.do(verb)
        service.release("two", slow=SLOW.format(gate=str(gate)))
        service.flip("two")
        service.configure(app="slow:application")
        service.do("upgrade", wait=False)
        with gate.open("wb") as file:  # opened once the import reads
            status, last = service.status(), service.ask("history")["entries"][-1]
            operation = status["service"]["operation"]
            assert (
                (operation["verb"], operation["number"])
                == (last["verb"], last["id"])
                == ("upgrade", status["last"]["id"])
            )
            assert service.generation("booting")["preloaded"] is None
            assert "not preloaded" not in service.must("status")
            file.write(b"x")
        eventually(lambda: service.status()["service"]["operation"] is None, "it is done")
        assert service.generation()["preloaded"] is True
        service.stop()
        log = service.log()
        begun = [json.loads(line) for line in (tmp_path / "state" / "history.jsonl").read_text().splitlines()]
        for entry in (entry for entry in begun if entry["event"] == "begin"):
            assert f" {entry['verb']} {entry['id']}" in log.replace("(stop", " stop"), entry


def test_numbers_go_on_across_failures_and_supervisors(tmp_path: Path) -> None:
    """None is given out twice, whatever becomes of an attempt; also after what another version has left, and something
    has spoilt.
    """
    kept = tmp_path / "state" / "history.jsonl"
    kept.parent.mkdir(mode=0o700)
    older = [
        {"event": "begin", "id": 41, "verb": "start"},
        {"event": "end", "id": 41, "outcome": "done", "to": {"generation": 1}},
    ]
    kept.write_text(
        "".join(json.dumps(line) + "\n" for line in older)
        + '{"event":"begin","id":"90"}\n\0\0\0{"event":"begin","id":9'
    )
    with serving(tmp_path, readiness="/ready") as service:
        service.release("broken", app="raise RuntimeError")
        service.flip("broken")
        assert service.ask("upgrade")["status"] == 4
        service.flip("one")
        service.do("upgrade")
        service.do("rollback")
        service.configure(threads=0)
        assert service.ask("reload")["status"] == 2
        service.configure(threads=1)
        service.do("reexec")
        service.kill_supervisor()
        service.do("reload")
        service.do("drain")
        entries, log = service.ask("history")["entries"], service.log()
        verbs = ("start", "start", "upgrade", "upgrade", "rollback", "reload", "reexec", "adopt", "reload", "drain")
        assert [(entry["id"], entry["verb"]) for entry in entries] == list(enumerate(verbs, 41))
        for entry in entries[1:-1]:
            assert log.count(f"{entry['verb']} {entry['id']} started by") == 1, entry


def started_s(pid: int) -> float:
    """Since the host was booted: psutil adds that moment, which it knows to a second only."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # from the third on, proc_pid_stat(5)
    return int(fields[22 - 3]) / os.sysconf("SC_CLK_TCK")


def test_ages_and_losses_go_on_under_the_next_supervisor(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        os.kill(min(service.workers()), signal.SIGKILL)
        eventually(lambda: service.generation()["losses"] and len(service.workers()) == 2, "it is missed, and replaced")
        said, before = service.generation(), time.clock_gettime(time.CLOCK_BOOTTIME)
        service.kill_supervisor()
        found = service.generation()
        assert found["losses"] == said["losses"] == "1 crash in 30 s"
        for worker in found["workers"]:
            assert worker["age_s"] >= before - started_s(worker["pid"]) - 0.2, worker
        assert found["age_s"] >= said["age_s"]
