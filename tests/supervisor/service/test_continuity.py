"""Who is told what, so that another supervisor follows; and whose end ends the service."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.generations import Bare
from releve.config.settings.settings import Settings
from releve.supervisor.host import capabilities
from releve.supervisor.keepsake.keepsake import Role
from releve.supervisor.keepsake.revival import Folders
from releve.supervisor.service import continuity
from releve.supervisor.service.archive import Standing
from releve.supervisor.service.continuity import Continuity
from releve.supervisor.service.sentry_process import SentryProcess
from releve.supervisor.systemd.notify import Notifier


class Sentry(SentryProcess):
    """One that is told, and does nothing."""

    def __init__(self, pid: int = 0) -> None:
        super().__init__()
        self.pid = pid
        self.watched: list[Any] = []

    def keep_watched(self, identity: Any, what: dict[str, Any]) -> None:
        self.watched.append((identity, what["environment"]))


def standing(*roles: tuple[Bare, Role]) -> Standing:
    return Standing(roles, opening=(), standby_until=None, scaled=None, last_number=2, drained_ns=0)


def in_systemd(folder: Path) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": str(folder / "notify")})


@pytest.mark.parametrize("sentry", [0, 4242], ids=["a master is the guard", "a sentry is the guard"])
def test_every_master_keeps_its_role_and_the_first_one_leads_to_the_guard(tmp_path: Path, sentry: int) -> None:
    async def run() -> None:
        told = Sentry(sentry)
        made = Continuity(Folders(tmp_path, tmp_path), in_systemd(tmp_path), told)
        serves, waits = Bare(2), Bare(1)
        serves.master.pid = 77
        made.tell(standing((serves, Role.ACTIVE), (waits, Role.STANDBY)))
        assert [one.kept[0].role for one in (serves, waits)] == [Role.ACTIVE, Role.STANDBY]
        assert (tmp_path / "guard.pid").read_text() == f"{sentry or 77}\n"
        ((identity, environment),) = told.watched
        assert identity is serves.pin.identity and str(tmp_path) in environment["REVIVED_BY_RELEVE"]
        made.tell_coming(serves, standing(), Settings(workers=6))
        coming = serves.kept[-1].coming
        assert coming is not None and coming.workers == 6
        serves.master.pid = 0
        serves.end()
        waits.end()

    asyncio.run(run())


def test_before_anything_serves_nobody_is_named(tmp_path: Path) -> None:
    told = Sentry()
    Continuity(Folders(tmp_path, tmp_path), in_systemd(tmp_path), told).tell(standing())
    assert not told.watched and not (tmp_path / "guard.pid").exists()


def test_a_sentry_that_follows_another_one_is_named_at_once(tmp_path: Path) -> None:
    """Else systemd, when the supervisor is killed, finds nobody in the file, and starts the service anew."""
    sentry = Sentry(4242)
    Continuity(Folders(tmp_path, tmp_path), in_systemd(tmp_path), sentry)
    sentry.pid = 4343
    sentry.on_replaced()
    assert (tmp_path / "guard.pid").read_text() == "4343\n"


@pytest.mark.parametrize(
    ("systemd", "passed_s", "heard"),
    [
        pytest.param(True, 0.0, True, id="systemd may still take the guard for the main process"),
        pytest.param(True, continuity.MISTAKEN_S + 1, False, id="it does not any more"),
        pytest.param(False, 0.0, False, id="somebody signals a master"),
    ],
)
def test_the_end_of_a_guard_ends_the_service_where_systemd_means_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, systemd: bool, passed_s: float, heard: bool
) -> None:
    async def run() -> None:
        made = Continuity(Folders(tmp_path, tmp_path), in_systemd(tmp_path) if systemd else Notifier({}), Sentry())
        ended: list[bool] = []
        made.on_terminated = lambda: ended.append(True)
        one = Bare(1)
        made.listen_to(one)
        now = time.monotonic() + passed_s
        monkeypatch.setattr(continuity, "time", SimpleNamespace(monotonic=lambda: now))
        one.news.on_terminated()
        assert bool(ended) is heard
        made.may_be_mistaken()
        one.news.on_terminated()
        assert bool(ended) is systemd, "an adoption or a reload makes it possible again"
        one.end()

    asyncio.run(run())


def test_a_master_that_is_no_guard_cannot_end_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        monkeypatch.setattr(capabilities, "exceeds", lambda identity: True)
        made = Continuity(Folders(tmp_path, tmp_path), in_systemd(tmp_path), Sentry())
        made.on_terminated = lambda: pytest.fail("a lesser process has ended the service")
        one = Bare(1)
        made.listen_to(one)
        one.news.on_terminated()
        one.end()

    asyncio.run(run())
