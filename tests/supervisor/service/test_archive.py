"""What is kept of a generation for the next supervisor, and by whom."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from harness.generations import Bare
from harness.pins import PIN
from releve.config.settings.settings import Settings
from releve.supervisor.channels.door import open_door
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host import capabilities, system
from releve.supervisor.host.identity import Identity
from releve.supervisor.keepsake import keepsake, record
from releve.supervisor.keepsake.keepsake import Role
from releve.supervisor.keepsake.revival import Folders
from releve.supervisor.service.archive import Archive, Standing

STANDING = Standing(roles=(), opening=(), standby_until=12.5, scaled=3, last_number=9, drained_ns=7)
OTHER = dataclasses.replace(PIN, identity=Identity(user=65534, group=65534))


def words(fd: int) -> dict[str, Any]:
    """What is in a memory file, which is closed."""
    found: dict[str, Any] = json.loads(os.pread(fd, 1 << 20, 0))
    os.close(fd)
    return found


def test_a_master_keeps_what_its_generation_is_and_how_to_go_on(tmp_path: Path) -> None:
    async def run() -> None:
        one, archive = Bare(4), Archive(Folders(tmp_path, tmp_path / "state"))
        said = words(archive.keepsake(one, Role.STANDBY, STANDING))
        assert said["revive"] == archive.revival and said["uid"] == os.geteuid()
        archive.keep(one, Role.STANDBY, STANDING, Settings(workers=8))
        archive.keep(one, Role.ACTIVE, STANDING)
        standby, active = one.kept
        assert (standby.standby_until, active.standby_until) == (12.5, None), "only of the one that stands by"
        assert (active.scaled, active.last_number, active.drained_ns) == (3, 9, 7)
        assert standby.coming is not None and standby.coming.workers == 8 and active.coming is None
        one.end()
        archive.keep(one, Role.ACTIVE, STANDING)
        assert len(one.kept) == 2 and one.state is GenerationState.GONE

    asyncio.run(run())


def test_a_lesser_master_is_told_its_role_and_the_rest_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        monkeypatch.setattr(capabilities, "exceeds", lambda identity: True)
        monkeypatch.setattr(system, "in_memory", lambda path: False)
        archive = Archive(Folders(tmp_path, tmp_path))
        one = Bare(4, pin=OTHER)
        assert words(archive.keepsake(one, Role.ACTIVE, STANDING)) == {"version": 1, "role": "active", "uid": -1}
        assert not list(tmp_path.iterdir()), "no door leads to it"
        one.door = open_door(tmp_path, 4)
        with caplog.at_level(logging.WARNING, "releve"):
            for _ in range(2):
                os.close(archive.keepsake(one, Role.ACTIVE, STANDING))
        written = record.read(record.beside(one.door.path))
        assert written is not None
        kept = keepsake.understand(written)
        assert kept.role is Role.ACTIVE and kept.held is not None and kept.scaled == 3
        assert caplog.text.count("is on a disk") == 1
        one.door.close()
        one.end()

    asyncio.run(run())


def test_a_record_that_cannot_be_written_is_said_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        monkeypatch.setattr(capabilities, "exceeds", lambda identity: True)
        one = Bare(4, pin=OTHER)
        one.door = open_door(tmp_path, 4)

        def full(data: bytes) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(type(one.door), "note", lambda door, data: full(data))
        with caplog.at_level(logging.ERROR, "releve"):
            os.close(Archive(Folders(tmp_path, tmp_path)).keepsake(one, Role.ACTIVE, STANDING))
        assert "cannot write the record of generation 4" in caplog.text
        one.door.close()
        one.end()

    asyncio.run(run())
