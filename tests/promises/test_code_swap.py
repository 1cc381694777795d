"""Promise: a generation is one release; an upgrade changes code, virtual environment and interpreter, and nothing else
does.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from harness.load import strictly
from harness.pythons import find_python, make_venv
from harness.service import PYTHON, Service, eventually, serving

OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
OTHERS = [version for version in ("3.11", "3.12", "3.13", "3.14") if version != OWN]


def kill_a_worker(service: Service, state: str) -> None:
    """Kill one worker of the generation in that state, and wait for its replacement."""
    workers = {w["pid"] for w in service.generation(state)["workers"]}
    victim = min(workers)
    os.kill(victim, signal.SIGKILL)

    def replaced() -> bool:
        now = service.generation(state)["workers"]
        # ready: told to wait before it ever served
        wanted = {"serving": {"serving"}, "standby": {"paused", "ready"}}[state]
        return (
            len(now) == len(workers)
            and victim not in {w["pid"] for w in now}
            and all(w["state"] in wanted for w in now)
        )

    eventually(replaced, f"the killed worker of the generation in {state} is replaced")


def everyone_says(service: Service, path: str) -> set[bytes]:
    """The answers of all workers in service: asked until each has answered."""
    seen: dict[str, bytes] = {}

    def asked() -> bool:
        who = service.who()
        seen[str(who["pid"])] = service.get(path)
        return {str(pid) for pid in service.workers()} <= set(seen)

    eventually(asked, "every worker has answered once", 20.0)
    return set(seen.values())


def test_symlinked_releases_with_pwd_unset(tmp_path: Path) -> None:
    with serving(tmp_path, start=False) as service:
        service.environment.pop("PWD", None)
        service.start()
        for number, name in enumerate(("two", "three", "one"), 2):
            service.release(name)
            service.flip(name)
            service.do("upgrade")
            who = service.who()
            assert (who["release"], who["generation"]) == (name, str(number))
            assert who["folder"] == who["cwd"] == who["pwd"] == str(service.releases / name)
            assert everyone_says(service, "/late") == {name.encode()}


@pytest.mark.parametrize("preload", [True, False], ids=["preload", "each worker imports"])
def test_a_respawned_worker_runs_the_code_of_its_generation(tmp_path: Path, preload: bool) -> None:
    """In service and standing by, after the link has moved, and for modules that the first request imports."""
    with serving(tmp_path, preload=preload, workers=2) as service:
        service.release("two")
        service.flip("two")
        kill_a_worker(service, "serving")
        assert service.who()["release"] == "one"
        assert everyone_says(service, "/late") == {b"one"}
        service.do("upgrade")
        service.release("three")
        service.flip("three")
        kill_a_worker(service, "standby")
        kill_a_worker(service, "serving")
        assert everyone_says(service, "/late") == {b"two"}
        service.do("rollback")
        assert service.serving() == 1
        assert everyone_says(service, "/late") == {b"one"}
        assert service.who()["folder"] == str(service.releases / "one")


def test_files_changed_in_place(tmp_path: Path) -> None:
    """What was imported at preload stays, also in a respawned worker; a new generation has the new text."""
    with serving(tmp_path, preload=True) as service:
        service.release("one", release="RELEASE = 'one, edited'\n")
        kill_a_worker(service, "serving")
        assert {service.who()["release"] for _ in range(20)} == {"one"}
        service.do("upgrade")
        assert service.who()["release"] == "one, edited"


def test_files_changed_in_place_without_preload_are_told(tmp_path: Path) -> None:
    with serving(tmp_path, preload=False) as service:
        assert not service.generation()["mixed"]
        service.release("one", release="RELEASE = 'one, edited'\n")
        kill_a_worker(service, "serving")
        assert any("release.py" in name for name in service.generation()["mixed"]), service.generation()
        assert (
            "mixed code" in service.must("status")
            if service.ctl("status").returncode == 0
            else "mixed code" in service.ctl("status").stdout
        )


def test_a_different_virtual_environment(tmp_path: Path) -> None:
    """Each release brings its own; packages of the one are not seen by the other."""
    with serving(tmp_path, start=False) as service:
        for name in ("one", "two"):
            package = tmp_path / f"package-{name}"
            package.mkdir()
            (package / "dependency.py").write_text(f"VERSION = {name!r}\n")
            text = service.release(name).joinpath("app.py").read_text()
            service.release(name, app=f"import dependency\nassert dependency.VERSION == {name!r}\n{text}")
            make_venv(PYTHON, service.releases / name / ".venv", package)
        service.start()
        with strictly(*service.addresses, serving=1, clients=8) as load:
            assert service.who()["prefix"] == str(service.releases / "one" / ".venv")
            service.flip("two")
            load.begin(2)
            service.do("upgrade")
            load.done(2)
        who = service.who()
        assert who["prefix"] == str(service.releases / "two" / ".venv")
        assert service.get("/imported?name=dependency").decode() == str(tmp_path / "package-two" / "dependency.py")
        assert service.generation()["lent"]
        service.do("rollback")
        assert service.get("/imported?name=dependency").decode() == str(tmp_path / "package-one" / "dependency.py")


@pytest.mark.parametrize("version", OTHERS)
def test_a_different_python_and_back(tmp_path: Path, version: str) -> None:
    """Its interpreter has no Relève: the supervisor lends its server. Connections change hands between the two."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    with (
        serving(tmp_path, workers=2) as service,
        strictly(*service.addresses, serving=1, clients=24, think=2.0) as load,
    ):
        own = service.who()["python"]
        folder = service.release("two")
        make_venv(python, folder / ".venv")
        service.flip("two")
        load.begin(2)
        service.do("upgrade")
        load.done(2)
        assert ".".join(map(str, service.who()["python"][:2])) == version
        assert service.generation()["lent"]
        assert service.generation()["python_version"].startswith(version)
        load.wait(100)
        service.release("three")
        service.flip("three")
        load.begin(3)
        service.do("upgrade")
        load.done(3)
        assert service.who()["python"] == own
        load.wait(100)
        load.begin(2)
        service.do("rollback")
        load.done(2)
        assert ".".join(map(str, service.who()["python"][:2])) == version


def test_the_lent_server_brings_nothing_else(tmp_path: Path) -> None:
    """A release without Relève can import neither the supervisor's packages nor its command line."""
    with serving(tmp_path, start=False) as service:
        make_venv(PYTHON, service.releases / "one" / ".venv")
        service.start()
        for name in ("yaml", "click", "psutil", "releve.supervisor"):
            status, _ = service.request("GET", f"/imported?name={name}")
            assert status == 500, f"{name} can be imported by the application"
