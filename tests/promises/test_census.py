"""Promise: what an upgrade takes it gives back. The supervisor is the same after many upgrades as after a few."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from harness.census import Census, same
from harness.service import Service, eventually, serving

FEW = 5


def upgrade(service: Service) -> None:
    result = service.ask("upgrade")
    assert result["status"] == 0, result


@pytest.mark.parametrize(
    ("upgrades", "growth_bytes"),
    [
        pytest.param(10, 2 << 20, id="10"),
        pytest.param(200, 4 << 20, id="200", marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
def test_upgrades_leave_nothing_behind(tmp_path: Path, upgrades: int, growth_bytes: int) -> None:
    with serving(tmp_path, workers=1) as service:
        for _ in range(FEW):
            upgrade(service)
        before, memory = Census.of(service), psutil.Process(service.pid).memory_info().rss
        for _ in range(upgrades - FEW):
            upgrade(service)
        same(service, before)
        grown = psutil.Process(service.pid).memory_info().rss - memory
        assert grown < growth_bytes, f"{grown} bytes more after {upgrades} upgrades"
        assert service.serving() == upgrades + 1


def test_failed_upgrades_leave_nothing_behind(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1) as service:
        service.release("bad", app="import no_such_module_at_all\n")
        service.flip("bad")
        for _ in range(2):
            assert service.ask("upgrade")["status"] == 4
        before = Census.of(service)
        for _ in range(8):
            assert service.ask("upgrade")["status"] == 4
        same(service, before)


def test_reloads_and_scales_leave_nothing_behind(tmp_path: Path) -> None:
    with serving(tmp_path, workers=1) as service:

        def round_trip() -> None:
            for verb, arguments in (("reload", {}), ("scale", {"workers": "3"}), ("scale", {"reset": True})):
                result = service.ask(verb, **arguments)
                assert result["status"] == 0, (verb, result)

        round_trip()
        eventually(
            lambda: len(service.workers()) == 1 and len(service.processes()) == 3,
            "the workers that were replaced have left",
        )
        before, master = Census.of(service), service.descriptors(service.generation()["pid"])
        for _ in range(5):
            round_trip()
        same(service, before)
        eventually(
            lambda: service.descriptors(service.generation()["pid"]) == master, "the master holds what it held", 10.0
        )
