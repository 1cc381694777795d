"""Promise: no request is lost, however often one upgrades, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.often import LOADED, upgrade_often
from harness.service import serving

SETTINGS: dict[str, Any] = {"upgrade": {"probation": "50ms"}, "log": {"access": "off"}}


@pytest.mark.parametrize("upgrades", [pytest.param(8, id="8"), pytest.param(50, id="50", marks=pytest.mark.soak)])
def test_many_in_a_row(tmp_path: Path, upgrades: int) -> None:
    with serving(tmp_path, **SETTINGS) as service:
        seen = upgrade_often(service, upgrades, clients=16, think=4.0, think_mean=0.3)
        print(seen)
        assert seen.grown_bytes < 4 << 20


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_thousand_and_a_million_requests(tmp_path: Path) -> None:
    with serving(tmp_path, **SETTINGS) as service:
        seen = upgrade_often(service, 1000, 1_000_000, **LOADED)
        print(seen)
        assert seen.grown_bytes < 24 << 20  # its history grows by a thousand attempts
