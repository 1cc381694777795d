"""Hooks that are commands: which runs when, what each is told, and what becomes of an upgrade when one fails, hangs or
is interrupted.
"""

from __future__ import annotations

import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.load import Load
from harness.service import alive, eventually, serving
from releve.supervisor.operations.hooks import TURNS, VARIABLES

BAD = """
def application(environ, start_response):
    start_response("500 Internal Server Error", [("Content-Length", "0")])
    return []
"""


def notes(root: Path) -> dict[str, str]:
    """A hook for each turn that writes down what it is told."""
    return {
        name: f"env -0 > {shlex.quote(str(root))}/$RELEVE_HOOK.tmp; echo {name} >> {root}/turns; pwd > {root}/{name}"
        for name in TURNS
    }


def turns(root: Path) -> list[str]:
    """Which have run since the last time."""
    file = root / "turns"
    found = file.read_text().split() if file.exists() else []
    file.unlink(missing_ok=True)
    return found


def told(root: Path, name: str) -> dict[str, str]:
    """The environment of a hook's last run."""
    pairs = (root / f"{name}.tmp").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def gone(pid: int) -> bool:
    return not alive(pid)


def noted(result: dict[str, Any]) -> str:
    return "\n".join(result["notes"])


def started(path: Path) -> int:
    """The pid that a hook has written; once it has."""
    return int(eventually(lambda: path.exists() and path.read_text().strip(), f"{path.name} is written"))


def test_each_turn_has_its_hook_and_each_hook_knows_where_it_is(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, hooks=notes(tmp_path), env={"GREETING": "hello"}) as service:
        service.start()
        assert turns(tmp_path) == ["before", "after_ready", "after_switch", "after_commit"]
        first = told(tmp_path, "before")
        assert (first["RELEVE_VERB"], first["RELEVE_OLD_DIRECTORY"], first["GREETING"]) == ("start", "", "hello")
        two = service.release("two")
        service.flip("two")

        dry = service.ask("upgrade", dry_run=True)
        assert dry["status"] == 0 and "a dry run skips hooks: before, after_ready" in noted(dry)
        service.do("reload")
        assert turns(tmp_path) == []

        result = service.ask("upgrade")
        assert result["status"] == 0, result
        assert turns(tmp_path) == ["before", "after_ready", "after_switch", "after_commit"]
        steps = list(result["phases"])
        assert steps.index("preflight") < steps.index("before") < steps.index("spawn")
        assert steps.index("check") < steps.index("after_ready") < steps.index("switch")
        for name in ("before", "after_ready", "after_switch", "after_commit"):
            environment = told(tmp_path, name)
            assert (
                (tmp_path / name).read_text().strip()
                == environment["PWD"]
                == environment["RELEVE_NEW_DIRECTORY"]
                == str(two)
            )
            assert set(VARIABLES) <= set(environment), "every variable is there, if only empty"
            assert environment["PATH"].split(":")[0] == os.path.dirname(environment["RELEVE_PYTHON"])
            assert (environment["RELEVE_OLD_RELEASE"], environment["RELEVE_NEW_RELEASE"]) == ("one", "two")
            # the second was the rehearsal's
            assert environment["RELEVE_GENERATION"] == ("" if name == "before" else "3")
            assert environment["RELEVE_HOOK"] == name

        assert service.ask("rollback")["status"] == 0
        assert turns(tmp_path) == ["on_rollback"]
        environment = told(tmp_path, "on_rollback")
        assert (environment["RELEVE_OLD_RELEASE"], environment["RELEVE_NEW_RELEASE"]) == ("one", "two")
        assert environment["PWD"] == str(two), "the release that knows what it has migrated"
        assert environment["RELEVE_VERB"] == "rollback"

        service.release("bad", app=BAD)
        service.flip("bad")
        service.configure(upgrade={"check": "/release"})
        assert service.ask("upgrade")["step"] == "check"
        assert turns(tmp_path) == ["before", "on_failure"]
        environment = told(tmp_path, "on_failure")
        assert environment["RELEVE_STEP"] == "check" and "500" in environment["RELEVE_REASON"]


def test_a_hook_that_fails_before_the_switch_ends_the_upgrade(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.release("two")
        service.flip("two")
        before = service.pids()
        service.configure(
            hooks={
                "before": "echo looking; echo 'no such table: shop' >&2; exit 3",
                "on_failure": "echo x > failed; exit 9",
            }
        )
        done = service.ctl("upgrade")
        said = done.stdout + done.stderr
        assert done.returncode == 4, said
        assert "the hook before exited with status 3: no such table: shop" in said
        assert said.count("looking") == said.count("no such table: shop") == 1, "each line stands once"
        assert service.log().count("looking") == 1
        assert "the hook on_failure exited with status 9 and printed nothing" in said
        assert "before failed" in done.stderr, "a step of its own in the progress"
        assert service.pids() == before, "nothing was started"
        assert "hook before: looking" in service.log()
        assert (service.releases / "two" / "failed").exists()

        service.configure(hooks={"after_ready": ["sh", "-c", "exit 4"]})
        result = service.ask("upgrade")
        assert (result["status"], result["step"]) == (4, "after_ready"), result
        eventually(lambda: service.pids() == before, "the new generation has ended")

        service.configure(hooks={"before": ["./not-there"]})
        result = service.ask("upgrade")
        assert (result["status"], result["step"]) == (4, "before")
        assert "cannot run the hook before" in result["message"] and "no such file" in result["message"]
        assert service.who()["release"] == "one"

        signals = ["grep", "SigBlk", "/proc/self/status"]
        service.configure(hooks={"after_ready": signals, "after_switch": "exit 5", "after_commit": "kill -9 $$"})
        result = service.ask("upgrade")
        assert result["status"] == 0, result
        assert "the hook after_switch exited with status 5" in noted(result)
        assert "the hook after_commit was killed by SIGKILL" in noted(result)
        assert "hook after_ready: SigBlk: 0000000000000000" in service.log(), "it hears every signal"
        assert service.who()["release"] == "two"


def test_a_hook_that_hangs_is_ended_with_all_it_has_started(tmp_path: Path) -> None:
    hangs = (
        f"trap '' TERM; sleep 600 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/shell; while :; do sleep 600; done"
    )
    with serving(tmp_path, hooks={"after_commit": f"sleep 600 & echo $! > {tmp_path}/left"}) as service:
        assert not alive(started(tmp_path / "left")), "what a hook leaves ends with it"
        service.configure(hooks={"before": {"run": hangs, "timeout": "2s"}})
        result = service.ask("upgrade")
        assert (result["status"], result["step"]) == (4, "before")
        assert "was killed after 2 s" in result["message"]
        for name in ("child", "shell"):
            eventually(partial(gone, started(tmp_path / name)), "it has ended")
        # one that hears SIGTERM has time to clean up
        cleans = f"trap 'echo > {tmp_path}/clean; exit 1' TERM; while :; do sleep 0.05; done"
        service.configure(hooks={"before": {"run": cleans, "timeout": "2s"}})
        assert service.ask("upgrade")["step"] == "before"
        assert (tmp_path / "clean").exists()


def waits(root: Path) -> str:
    return f"echo $$ > {root}/waits; exec sleep 600"


def test_an_abort_and_a_stop_end_a_hook(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.configure(hooks={"before": waits(tmp_path), "on_failure": f"echo $RELEVE_REASON > {tmp_path}/why"})
        service.ask("upgrade", wait=False)
        pid = started(tmp_path / "waits")
        assert service.status()["service"]["operation"]["phase"] == "before"
        assert service.ask("abort")["status"] == 0
        assert not alive(pid)
        assert "aborted by" in (tmp_path / "why").read_text()

        (tmp_path / "waits").unlink()
        service.configure(hooks={"after_commit": waits(tmp_path)})
        service.ask("upgrade", wait=False)
        pid = started(tmp_path / "waits")
        aborted = service.ask("abort")
        assert aborted["status"] == 0 and "which is committed" in aborted["message"]
        assert not alive(pid) and service.serving() == 2

        (tmp_path / "waits").unlink()
        service.configure(hooks={"before": waits(tmp_path), "on_failure": f"touch {tmp_path}/never"})
        service.ask("upgrade", wait=False)
        pid = started(tmp_path / "waits")
        service.stop()
        assert not alive(pid) and not (tmp_path / "never").exists()


def test_a_rollback_waits_for_no_hook(tmp_path: Path) -> None:
    hooks = {
        "after_switch": waits(tmp_path),
        "on_rollback": f"echo $RELEVE_STEP > {tmp_path}/back; echo $$ > {tmp_path}/pid; exec sleep 600",
    }
    with serving(tmp_path) as service:
        service.release("bad", app=BAD)
        service.flip("bad")
        service.configure(hooks=hooks, upgrade={"probation": "60s"})
        load = Load(*service.addresses, serving=1, clients=4, unordered=True)
        try:
            load.wait(50)
            load.begin(2)
            service.ask("upgrade", wait=False)
            pid = started(tmp_path / "pid")
            assert (tmp_path / "back").read_text().strip() == "probation"
            assert service.who()["release"] == "one", "it serves while the hook is not through"
            assert not alive(started(tmp_path / "waits"))
            assert service.ask("abort")["status"] == 0, "nothing depends on the hook"
            assert not alive(pid)
        finally:
            load.kill()
        last = service.ask("history")["entries"][-1]
        assert last["outcome"] == "rolled back" and last["step"] == "probation"


def test_what_a_hook_writes_is_bounded(tmp_path: Path) -> None:
    noisy = [
        sys.executable,
        "-c",
        (
            "import sys; sys.stdout.write(('x' * 100 + '\\n') * 20_000 + '\\033[31mred\\033[0m\\a' + 'y' * "
            "300_000); sys.exit(1)"
        ),
    ]
    with serving(tmp_path) as service:
        service.configure(hooks={"before": noisy})
        result = service.ask("upgrade")
        assert (result["status"], result["step"]) == (4, "before")
        assert len(result["traceback"]) <= 65536 + 20
        assert "\033" not in service.log() and "\a" not in service.log()


def test_a_hook_of_a_supervisor_that_was_killed_is_ended_by_the_next(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.configure(hooks={"before": waits(tmp_path)})
        service.ask("upgrade", wait=False)
        pid = started(tmp_path / "waits")
        service.kill_supervisor()
        eventually(lambda: not alive(pid), "the hook has ended")
        assert ", a hook that the previous supervisor left running" in service.log()
        service.configure(hooks=None)
        service.do("upgrade")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user")
def test_a_hook_runs_as_the_user_of_the_release(open_folder: Path) -> None:
    out = open_folder / "out"
    out.mkdir()
    out.chmod(0o777)
    hook = f"id -u > {out}/user; umask > {out}/mask"
    with serving(
        open_folder, start=False, python="/usr/bin/python3", user="nobody", umask="0027", hooks={"before": hook}
    ) as service:
        service.start()
        assert (out / "user").read_text().strip() == "65534"
        assert (out / "mask").read_text().strip() == "0027"


SHOP = (Path(__file__).parents[1] / "harness" / "shop.py").read_text()


def test_a_generation_that_stands_by_holds_no_database_connection(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    functions = {"after_fork": "shop:forked", "on_pause": "shop:paused", "on_resume": "shop:resumed"}
    with serving(
        tmp_path, start=False, app="shop:application", hooks=functions, upgrade={"check": "/query", "probation": "1s"}
    ) as service:
        service.environment |= {"RELEVE_TEST_OPEN": str(tmp_path / "open"), "RELEVE_TEST_TOLD": str(tmp_path / "told")}
        service.release("one", shop=SHOP)
        service.start()

        def open_in(pids: set[int]) -> set[int]:
            return {int(file.name.partition("-")[0]) for file in (tmp_path / "open").iterdir()} & pids

        old = service.workers()
        while open_in(old) != old:
            assert service.request("GET", "/query")[0] == 200
        service.do("upgrade")
        standing_by = {w["pid"] for w in service.generation("standby")["workers"]}
        assert standing_by == old
        eventually(lambda: not open_in(old), "the standby has closed them")
        assert service.request("GET", "/query")[0] == 200
        service.do("rollback")
        assert int(service.get("/query")) in old
        lines = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
        for pid in old:
            assert [word for word, by, _ in lines if by == str(pid)] == ["forked", "paused", "resumed"]

        service.release("two", shop=SHOP + "\ndef forked():\n    raise LookupError('no scheduler')\n")
        service.flip("two")
        done = service.ctl("upgrade")
        assert done.returncode == 4
        assert "cannot run hooks.after_fork: LookupError: no scheduler" in done.stdout + done.stderr
        assert "in forked" in done.stdout + done.stderr
