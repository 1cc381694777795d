"""A program proves that it can take over, and is not begun where nobody could start another one."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

import releve
from harness import peers
from releve.instance.instances import InstanceError
from releve.supervisor import startup
from releve.supervisor.host.environment import REEXECUTED
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.takeover import reexec, succession
from releve.supervisor.takeover.succession import SuccessionError

PROVE = "import os; from releve.supervisor.takeover import reexec; reexec.arrived(os.environ); print('goes on')"


def proof(packed: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """What a program says that is asked whether it could take that over."""
    fd = succession.write(packed)
    environment = {**os.environ, REEXECUTED: json.dumps({"fd": fd, "prove": True})}
    command = [sys.executable, "-c", PROVE]
    try:
        return subprocess.run(command, env=environment, pass_fds=(fd,), capture_output=True, text=True, timeout=60)
    finally:
        os.close(fd)


def test_a_program_that_understands_says_so_and_does_no_more() -> None:
    done = proof(json.loads(peers.SUCCESSION.read_text()))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.removeprefix("releve-proof "))
    assert said["releve"] == releve.__version__ and said["generations"] == 1
    assert said["python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_program_that_does_not_understand_fails_its_proof() -> None:
    done = proof({"version": 99, "reads": 99})
    assert done.returncode != 0 and "releve-proof" not in done.stdout and "cannot follow" in done.stderr


def test_one_that_is_started_as_usual_has_nothing_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reexec.arrived({}) is None

    def unfit(environ: object) -> None:
        raise SuccessionError("cannot understand")

    monkeypatch.setattr(reexec, "arrived", unfit)
    with pytest.raises(InstanceError, match="cannot understand"):
        startup._arrived()


@pytest.mark.parametrize("trouble", [None, "its master was killed"])
def test_nothing_is_replaced_where_no_guard_would_follow_a_failure(trouble: str | None) -> None:
    active = None if trouble is None else SimpleNamespace(led=False, trouble=trouble)
    outgoing: Any = SimpleNamespace(service=SimpleNamespace(active=active))
    why = trouble or "the generation in service lost its master"
    with pytest.raises(StepFailed, match=f"cannot replace the supervisor: {why}") as error:
        asyncio.run(reexec.reexec(outgoing, Operation("reexec", "a test", 1)))
    assert error.value.step == "prove"
