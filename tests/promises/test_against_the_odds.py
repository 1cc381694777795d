"""Promise: somebody serves, and what was sent is answered, though two things go wrong at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

from harness.service import Service, alive, eventually, serving
from releve.supervisor.operations.attempt import perform
from releve.supervisor.reporting.operation import Job, Operation


def end(service: Service, number: int) -> None:
    """A generation ends completely, by itself."""
    found = [one for one in service.status()["generations"] if one["generation"] == number]
    pids = [one["pid"] for one in found] + [worker["pid"] for one in found for worker in one["workers"]]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(map(alive, pids)), "it has ended")


def waiting(root: Path) -> dict[str, str]:
    """A hook that runs until the file ``go`` is there."""
    return {"after_switch": f"touch {root}/begun; while [ ! -e {root}/go ]; do sleep 0.02; done"}


def test_a_generation_that_ends_while_a_hook_runs_is_not_committed(tmp_path: Path) -> None:
    with serving(tmp_path, hooks=waiting(tmp_path), start=False) as service:
        (tmp_path / "go").touch()
        service.start()
        (tmp_path / "go").unlink()
        (tmp_path / "begun").unlink()
        service.release("two")
        service.flip("two")
        ctl = service.begin_ctl("upgrade", "--json")
        eventually((tmp_path / "begun").exists, "the hook runs")
        eventually(lambda: "too little traffic to judge" in service.log(), "the probation is over")
        end(service, 2)
        (tmp_path / "go").touch()
        out, err = ctl.communicate(timeout=60)
        assert ctl.returncode == 5, out + err
        assert "cannot commit: generation 2 exited" in json.loads(out)["message"]
        assert service.who()["release"] == "one" and service.serving() == 1


def test_a_generation_that_ends_while_the_old_one_pauses(tmp_path: Path) -> None:
    """The pause lasts as long as an old worker is stuck. Then it is the old generation that serves again."""
    with serving(tmp_path) as service:
        stuck = min(service.workers())
        service.release(
            "two",
            app="import time\ntime.sleep(1)\nfrom before import application\n",
            before=(service.releases / "one" / "app.py").read_text(),
        )
        service.flip("two")
        ctl = service.begin_ctl("upgrade")
        eventually(lambda: service.phase() == "boot", "it boots")
        os.kill(stuck, signal.SIGSTOP)
        eventually(lambda: service.phase() == "switch", "it is switched to")
        eventually(
            lambda: any(
                one["generation"] == 2 and one["state"] == "serving" for one in service.status()["generations"]
            ),
            "it serves",
        )
        end(service, 2)
        os.kill(stuck, signal.SIGCONT)
        out, err = ctl.communicate(timeout=60)
        assert ctl.returncode in (4, 5), out + err
        assert service.who()["release"] == "one" and service.serving() == 1
        assert len(service.workers()) == 2


def test_a_stop_in_a_hook_of_the_first_start_answers_what_was_sent(tmp_path: Path) -> None:
    with serving(tmp_path, hooks=waiting(tmp_path), start=False) as service:
        service.start(wait=False)
        eventually((tmp_path / "begun").exists, "the hook runs, and the generation serves")
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as client:
            client.sendall(b"GET /slow?s=2 HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(
                lambda: sum(one["busy"] for one in service.ask("workers")["workers"]) == 1, "the application has it"
            )
            os.kill(service.pid, signal.SIGTERM)
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert service.process is not None and service.process.wait(30) == 0
        service.gone()


def test_a_stop_of_a_supervisor_that_adopts_is_a_stop(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        (master,) = (one["pid"] for one in service.status()["generations"])
        os.kill(master, signal.SIGSTOP)  # it is called for 5 s, then woken
        os.kill(service.pid, signal.SIGKILL)
        assert service.process is not None
        service.process.wait(10)
        service.start(wait=False)
        lock = tmp_path / "run" / "lock"
        eventually(lambda: lock.read_text().strip() == str(service.pid), "it has the lock")
        eventually(lambda: handles(service.pid, signal.SIGTERM), "it hears signals")
        os.kill(service.pid, signal.SIGTERM)
        assert service.process.wait(60) == 0
        service.gone()
        assert " stopped\n" in service.log()


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal (proc_pid_status(5), SigCgt)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(caught >> (number - 1) & 1)


async def ends(operation: Operation) -> dict[str, Any]:
    async def work(operation: Operation) -> str:
        raise AssertionError("it was interrupted before it began")

    nothing: Any = SimpleNamespace(
        active=None, describe=lambda generation: None, serving_words=lambda: "nothing is serving"
    )
    task = asyncio.get_running_loop().create_task(perform(nothing, operation, Job("upgrade", work)))
    operation.task = task  # type: ignore[assignment]
    assert operation.interrupt("at once")
    return await task


def test_an_operation_interrupted_before_its_first_step_still_ends() -> None:
    outcome = asyncio.run(ends(Operation("upgrade", "a test", 1)))
    assert outcome["aborted"] and outcome["message"].endswith("interrupted: at once")


async def asked_on_its_way_back(operation: Operation) -> bool:
    operation.begun = operation.undoing = True
    operation.task = asyncio.get_running_loop().create_task(asyncio.sleep(0))
    interrupted = operation.interrupt("aborted")
    await operation.task
    return interrupted


def test_the_way_back_is_not_interrupted() -> None:
    """What was not undone would be forgotten: an aborted upgrade came to life again after the next stop."""
    assert not asyncio.run(asked_on_its_way_back(Operation("upgrade", "a test", 1)))


def test_losses_of_an_earlier_try_are_not_held_against_a_reload_after_a_reexec(tmp_path: Path) -> None:
    """A number that has lost workers is not given again, whichever program counts."""
    with serving(tmp_path) as service:

        def killed() -> None:
            known = service.workers()
            ctl = service.begin_ctl("reload")
            until = time.monotonic() + 20
            while time.monotonic() < until and ctl.poll() is None:
                for child in psutil.Process(service.generation()["pid"]).children():
                    with suppress(psutil.NoSuchProcess):  # it has just been killed, and reaped
                        if child.pid not in known:
                            child.kill()
            ctl.communicate(timeout=30)

        killed()
        service.must("reexec")
        service.do("reload")
