"""Promise: a dry run boots and checks the real new generation, says what it found, and touches nothing that serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.load import strictly
from harness.service import Service, eventually, free_port, serving


def picture(service: Service) -> tuple[object, ...]:
    """What must be the same after a dry run."""
    generations = [
        (g["generation"], g["state"], g["pid"], [w["pid"] for w in g["workers"]])
        for g in service.status()["generations"]
    ]
    return generations, service.pids(), service.files() - {"log"}, service.descriptors()


def test_a_release_that_would_serve(tmp_path: Path) -> None:
    with serving(tmp_path, upgrade={"check": "/release"}) as service:
        service.release("two")
        service.flip("two")
        service.do("upgrade")  # so that a generation stands by
        service.release("three")
        service.flip("three")
        service.configure(listen=[*service.settings["listen"], f"127.0.0.1:{free_port()}"])
        with strictly(*service.addresses, serving=2, clients=20) as load:
            load.wait(200)
            before = picture(service)
            result = service.ask("upgrade", dry_run=True)
            assert result["status"] == 0, result
            assert "would serve" in result["message"] and str(service.releases / "three") in result["message"]
            assert list(result["phases"]) == ["preflight", "spawn", "boot", "check"]
            load.wait(200)
        eventually(lambda: picture(service)[:2] == before[:2], "everything is as it was")
        assert "is gone" not in service.log() and "SIGKILL" not in service.log(), "what we end ourselves is no loss"
        assert service.ask("rollback")["status"] == 0  # what stood by still does
        assert service.who()["release"] == "one"


@pytest.mark.parametrize(
    ("text", "step"), [("raise ImportError('no such thing')\n", "import"), ("import os\nos._exit(3)\n", "boot")]
)
def test_a_release_that_would_not(tmp_path: Path, text: str, step: str) -> None:
    with serving(tmp_path) as service:
        service.release("bad", app=text)
        service.flip("bad")
        before = picture(service)
        result = service.ask("upgrade", dry_run=True)
        assert (result["status"], result["step"]) == (4, step), result
        eventually(lambda: picture(service) == before, "everything is as it was")
        assert service.who()["release"] == "one"


def test_a_traceback_has_lines_of_its_own_in_the_log(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.release("two", app="import no_such_module_at_all\n")
        service.flip("two")
        assert service.ask("upgrade")["status"] == 4
        lines = service.log().splitlines()
        (at,) = (number for number, line in enumerate(lines) if " ERROR " in line and "upgrade 2 failed: " in line)
        assert lines[at + 1] == "  Traceback (most recent call last):"
        assert lines[at + 2].startswith(f'    File "{service.releases / "two" / "app.py"}", line 1')


def test_a_dry_run_can_be_aborted(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.release("slow", app="import time\ntime.sleep(60)\n")
        service.flip("slow")
        before = picture(service)
        result = service.ask("upgrade", dry_run=True, wait=False)
        assert result["status"] == 0
        assert service.ask("abort")["status"] == 0
        eventually(lambda: picture(service) == before, "everything is as it was")
        eventually(
            lambda: f" ERROR pid={service.pid} upgrade 2 interrupted: aborted by " in service.log(), "it is said once"
        )
