"""Promise: what a running supervisor was started from may be replaced under it (``pip install`` over it), also by files
in other folders.

The old one is the tree before its files moved (``tests/peers/flat.whl``). It goes on in memory, with the modules that
it has.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import peers, reach
from harness.load import strictly
from harness.service import Service, eventually, serving
from harness.site import SYSTEM_PYTHON


@contextmanager
def replaced(root: Path, service: Service) -> Iterator[None]:
    """Start it from the old tree; once it serves, put the new one in its place."""
    site = peers.unpack("flat", root / "site")
    service.environment["PYTHONPATH"] = str(site)
    service.start()
    assert imported(service, "releve.server").startswith(str(site))
    shutil.rmtree(site / "releve")
    reach.lay_out(site)
    yield


def imported(service: Service, module: str) -> str:
    """Where the application finds it."""
    return service.get(f"/imported?name={module}").decode()


@pytest.mark.parametrize("verb", ["upgrade", "reexec", "reload", "rollback"])
def test_a_verb_of_the_running_one(tmp_path: Path, verb: str) -> None:
    """Under load: the supervisor is the old one, and what it starts is the new one."""
    with (
        serving(tmp_path, start=False, upgrade={"standby": "30s"}) as service,
        replaced(tmp_path, service),
        strictly(*service.addresses, clients=12, unordered=True) as load,
    ):
        for step in {"rollback": ("upgrade", "rollback")}.get(verb, (verb,)):
            service.must(step)
        load.wait(50)
        assert service.must("status") and service.must("history") and service.must("workers")
        service.do("upgrade")
        load.wait(50)
        assert imported(service, "releve.server.shared.link").startswith(str(tmp_path / "site"))
        service.must("reexec")
        service.must("doctor", "--json")
        service.do("upgrade")
        load.wait(50)


def test_one_that_is_killed_is_followed_by_the_new_one(tmp_path: Path) -> None:
    """The guard in the old master starts it; it takes the old generation over, and goes on from there."""
    with (
        serving(tmp_path, start=False) as service,
        replaced(tmp_path, service),
        strictly(*service.addresses, clients=12, unordered=True) as load,
    ):
        workers = service.workers()
        service.kill_supervisor()
        assert service.workers() == workers
        load.wait(50)
        for verb in ("reload", "upgrade", "rollback"):
            service.do(verb)
            load.wait(30)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user")
@pytest.mark.skipif(
    not Path(SYSTEM_PYTHON).exists(), reason=f"there is no {SYSTEM_PYTHON} here, which every user may run"
)
def test_the_sentry_of_the_old_one_starts_the_new_one() -> None:
    with tempfile.TemporaryDirectory(prefix="releve-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with serving(folder, start=False, python=SYSTEM_PYTHON, user="www-data") as service, replaced(folder, service):
            workers = service.workers()
            eventually(
                lambda: any("releve.supervisor.sentry" in one.cmdline() for one in service.processes()),
                "there is a sentry",
            )
            service.kill_supervisor()
            assert service.workers() == workers
            for verb in ("reload", "upgrade", "rollback"):
                service.do(verb)
            service.kill_supervisor()
            service.do("upgrade")
