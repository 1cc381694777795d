"""Workers that die or leave by themselves, and what follows them."""

from __future__ import annotations

import os
import resource
import signal

from harness.master import APP, Master, Request, answered, unanswered
from harness.workers import hold
from releve.config.settings.timeouts import Timeouts


def test_a_killed_worker_is_replaced_and_serves(master: Master) -> None:
    pids = master.up()
    gone = master.kill(pids[0])
    assert gone["status"] == -signal.SIGKILL and gone["expected"] is False
    new = master.expect("worker")
    assert new["worker"] == 3 and new["slot"] == 2  # not the dead one's: what it did last is still to be read
    assert pids[1] in master.serving(2) and pids[0] not in master.serving(2)
    assert "was killed by SIGKILL; starting another now" in master.log


def test_a_worker_that_leaves_by_sigterm_is_replaced_before_it_has_gone(master: Master) -> None:
    pids = master.up(workers=1)
    request = Request(master, "/slow")
    os.kill(pids[0], signal.SIGTERM)
    master.expect("state", state="leaving")
    new = master.serving(1)
    assert new != pids
    (master.directory / "go").touch()
    assert request.wait() == f"one {pids[0]}"
    assert master.expect("gone")["status"] == 0
    assert master.pids("serving") == new


def test_a_worker_that_leaves_by_sigterm_and_does_not_come_to_its_end_is_a_loss(master: Master) -> None:
    pids = master.up(workers=1)
    request = Request(master, "/slow")
    os.kill(pids[0], signal.SIGTERM)
    master.expect("state", state="leaving")
    master.serving(1)
    gone = master.kill(pids[0])
    assert (gone["status"], gone["expected"]) == (-signal.SIGKILL, False)
    assert [line.split()[2] for line in master.log.splitlines() if "was killed by SIGKILL" in line] == ["WARNING"]
    assert request.wait() != f"one {pids[0]}"


def test_replacements_of_a_paused_generation_wait(master: Master) -> None:
    pids = master.up(workers=1)
    master.pause()
    master.kill(pids[0])
    master.expect("state", state="ready")
    client = unanswered(master)
    master.done("resume")
    assert answered(client)


def test_resume_needs_only_one_that_lives_and_waits_for_a_new_one_if_none_does(master: Master) -> None:
    pids = master.up(workers=1)
    master.pause()
    hold(pids[0])
    resume = master.order("resume")
    master.failed("scale", workers=1)  # refused at once while it resumes: the order before it has been read
    os.kill(pids[0], signal.SIGKILL)  # while it is waited for
    failed = master.answer(resume)
    assert failed["step"] == "resume" and failed["reason"] == "cannot resume: no worker started to serve"
    assert master.done("resume")["workers"] == 1
    assert master.get().startswith("one ")


def test_a_worker_that_dies_while_it_should_pause_counts_as_paused(master: Master) -> None:
    pids = master.up()
    hold(pids[0])
    pause = master.order("pause", [master.other[1].fileno()], to=8)
    master.failed("scale", workers=1)
    os.kill(pids[0], signal.SIGKILL)
    assert master.answer(pause)["type"] == "done"


def replacements(master: Master) -> list[str]:
    """When others were to take the place of dead workers."""
    return [line.rpartition("starting another ")[2] for line in master.log.splitlines() if "starting another" in line]


def test_a_worker_that_had_booted_is_replaced_at_once_however_often_it_dies(master: Master) -> None:
    """One that is fatal to whoever serves it (row f): the pace is the only bound, and there is always somebody."""
    master.up(workers=2)
    for _ in range(8):
        master.kill(master.serving(2)[0])
    master.serving(2)
    assert len(replacements(master)) == 8
    assert all(
        said == "now" or float(said.removeprefix("in ").removesuffix(" s")) <= 0.1 for said in replacements(master)
    )


FAILS_THREE_TIMES = """
with open({boots!r}, "a") as boots:
    boots.write("x")
    if boots.tell() <= 3:
        raise RuntimeError("not today")
"""


def test_only_boots_that_fail_back_off_each_place_for_itself(master: Master) -> None:
    pids = master.up(preload=False, workers=2)
    app, boots = master.directory / "app.py", master.directory / "boots"
    app.write_text(FAILS_THREE_TIMES.format(boots=str(boots)) + app.read_text())
    master.kill(pids[0])
    for _ in range(3):  # boots of the replacement
        master.expect("gone", status=3)
    master.kill(pids[1])  # beside a place that waits
    master.serving(2)
    assert replacements(master) == ["now", "in 0.1 s", "in 0.2 s", "in 0.4 s", "now"]


def test_a_stop_does_not_wait_for_a_back_off(master: Master) -> None:
    pids = master.up(preload=False, workers=1)
    (master.directory / "app.py").write_text("raise RuntimeError('not today')\n")
    master.kill(pids[0])
    for _ in range(4):
        master.expect("gone", status=3)
    assert master.done("quit", deadline_s=5.0, linger_s=0.2)["type"] == "done"
    assert master.exit_status() == 0
    assert "starting another in 0.8 s" in master.log


def test_a_fork_that_the_system_refuses_is_said_and_tried_again(master: Master) -> None:
    """EMFILE here; EAGAIN and ENOMEM come the same way."""
    pids = master.up(workers=2)
    files = resource.prlimit(master.process.pid, resource.RLIMIT_NOFILE)
    held = {int(name) for name in os.listdir(f"/proc/{master.process.pid}/fd")}
    # none is free
    resource.prlimit(master.process.pid, resource.RLIMIT_NOFILE, (min(set(range(1000)) - held), files[1]))
    master.kill(pids[0])
    for _ in range(2):
        unfilled = master.expect("unfilled")
        assert unfilled["workers"] == 1 and unfilled["reason"] == "cannot fork a worker: Too many open files"
    assert "missing workers: 1; trying again in 0.2 s" in master.log
    assert master.get() == f"one {pids[1]}"
    resource.prlimit(master.process.pid, resource.RLIMIT_NOFILE, files)
    assert pids[1] in master.serving(2)


def test_a_replacement_that_hangs_in_its_import_is_ended_with_its_stack(master: Master) -> None:
    pids = master.up(preload=False, workers=1, timeouts=Timeouts(boot=0.5))
    (master.directory / "app.py").write_text("import time\ndef hang_here(): time.sleep(600)\nhang_here()\n")
    master.kill(pids[0])
    assert master.expect("gone")["status"] == -signal.SIGABRT
    assert "was not ready within 0.5 s (timeouts.boot)" in master.log
    assert "in hang_here" in master.stack()
    (master.directory / "app.py").write_text(APP)
    master.serving(1)


def test_code_changed_in_place_is_reported_where_it_is_not_preloaded(master: Master) -> None:
    pids = master.up(preload=False)
    master.kill(pids[0])
    master.serving(2)
    assert "mixed" not in [message["type"] for message in master.messages]
    (master.directory / "app.py").write_text(APP.replace('"one"', '"two"'))
    master.kill(pids[1])
    assert master.expect("mixed")["files"] == ["app.py"]
    assert "mixed code: worker 4" in master.log


def test_preloaded_workers_run_the_code_of_the_boot(master: Master) -> None:
    pids = master.up(workers=1)
    (master.directory / "app.py").write_text("broken(")
    master.kill(pids[0])
    master.serving(1)
    assert master.get().startswith("one ")
    assert "mixed" not in [message["type"] for message in master.messages]
