"""Promise: the command tells the truth, also when the supervisor is killed between the deed and the record of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from harness.load import strictly
from harness.service import Service, eventually, free_port, serving

# In the supervisor only: die where the method is called, if the token is there.
DIES = """
import os, signal, sys
if "releve.supervisor" in {module!r} and any(word == "releve" for word in sys.orig_argv):
    import {module} as found
    before = found.{owner}.{method}
    def dies(self, *arguments, **keys):
        try:
            os.unlink({token!r})
        except OSError:
            return before(self, *arguments, **keys)
        os.kill(os.getpid(), signal.SIGKILL)
    found.{owner}.{method} = dies
"""
AT_THE_RECORD = ("releve.supervisor.reporting.history", "History", "finish")
AT_THE_COMMIT = ("releve.supervisor.service.service", "Service", "commit_reload")


def arm(service: Service, where: tuple[str, str, str]) -> Path:
    """Have the supervisor of a service that is not started yet die there; returns the token that does it."""
    modules, token = service.root / "modules", service.root / "token"
    modules.mkdir()
    module, owner, method = where
    (modules / "sitecustomize.py").write_text(DIES.format(module=module, owner=owner, method=method, token=str(token)))
    service.environment["PYTHONPATH"] = str(modules)
    return token


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("command", ["upgrade", "rollback", "reload", "scale 3"])
def test_killed_before_the_record(tmp_path: Path, command: str) -> None:
    """It was done, so the command says so, and it stays."""
    with serving(tmp_path, start=False) as service:
        token = arm(service, AT_THE_RECORD)
        service.start()
        if command == "rollback":
            service.do("upgrade")
        with strictly(*service.addresses, clients=10, unordered=True):
            workers = service.workers()
            token.touch()
            service.killed = True
            done = service.ctl(*command.split())
            assert done.returncode == 0 and "it completed and stays in force" in done.stdout, (
                done.returncode,
                done.stdout,
                done.stderr,
            )
            assert not token.exists()
            assert service.serving() == (2 if command == "upgrade" else 1)
            eventually(lambda: len(service.workers()) == (3 if command == "scale 3" else 2), "all workers serve")
            if command != "scale 3":
                assert not service.workers() & workers
            assert service.status()["service"]["workers_wanted"] == len(service.workers())


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_reload_that_was_switched_and_not_noted(tmp_path: Path, kind: str) -> None:
    """Its settings hold, its new address serves, the one that it dropped refuses and leaves no file."""
    with serving(tmp_path, start=False) as service:
        token = arm(service, AT_THE_COMMIT)
        first, second = free_port(), free_port()
        old, new = service.root / "old.sock", service.root / "new.sock"
        extra = {"tcp": (f"127.0.0.1:{first}", f"127.0.0.1:{second}"), "unix": (f"unix:{old}", f"unix:{new}")}[kind]
        base = list(service.settings["listen"])
        service.configure(listen=[*base, extra[0]])
        service.start()
        with strictly(*service.addresses, clients=10, serving=1):
            service.configure(listen=[*base, extra[1]], workers=3)
            token.touch()
            service.killed = True
            done = service.ctl("reload")
            assert done.returncode == 0 and "it completed and stays in force" in done.stdout, (
                done.returncode,
                done.stdout,
                done.stderr,
            )
            assert service.status()["service"]["listeners"] == [*base, extra[1]]
            assert len(service.workers()) == service.status()["service"]["workers_wanted"] == 3
            if kind == "tcp":
                assert service.request("GET", "/release", port=second)[0] == 200 and not accepts(first)
            else:
                assert new.is_socket() and not os.path.lexists(old)
            service.configure(listen=base, workers=None)
            service.do("reload")
            assert len(service.workers()) == 2
            assert not os.path.lexists(new) and not accepts(second)


def test_a_standby_whose_address_is_closed_is_adopted_with_it(tmp_path: Path) -> None:
    """An upgrade drops a TCP address; after the next supervisor has come, a rollback opens it again."""
    port = free_port()
    with serving(tmp_path, start=False) as service:
        base = list(service.settings["listen"])
        service.configure(listen=[*base, f"127.0.0.1:{port}"])
        service.start()
        assert accepts(port)
        service.configure(listen=base)
        service.do("upgrade")
        assert not accepts(port)
        service.kill_supervisor()
        assert service.generation("standby")["generation"] == 1 and not accepts(port)
        service.do("rollback")
        assert [service.request("GET", "/release", port=port)[0] for _ in range(20)] == [200] * 20


def test_a_rolling_upgrade_that_is_cut_off_gives_the_workers_back(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=3, upgrade={"mode": "rolling"}) as service:
        token = arm(service, ("releve.supervisor.generation.orders", "Orders", "give"))
        service.start()
        service.release("two")
        service.flip("two")
        with strictly(*service.addresses, clients=10, serving=1, unordered=True) as load:
            load.begin(2)
            token.touch()  # the first order after the new worker serves is the one that takes an old one away
            service.killed = True
            done = service.ctl("upgrade")
            assert done.returncode == 4 and "it was undone" in done.stderr, (done.returncode, done.stdout, done.stderr)
            load.done(1)
            assert service.serving() == 1
            eventually(lambda: len(service.workers()) == 3, "all workers are back")
