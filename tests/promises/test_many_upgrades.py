"""Promise: no request is lost, however often one upgrades, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.census import Census, same
from harness.load import strictly
from harness.service import serving

FEW = 5
# Bodies with a length and in chunks, streams, and requests that last longer than an upgrade.
TEMPLATES: list[dict[str, Any]] = [
    {"weight": 12, "pad": 4000},
    {"weight": 2, "pad": 200_000},
    {"weight": 2, "pad": 60_000, "chunked": True},
    {"method": "GET", "target": "/release?{nonce}", "weight": 2, "body": None, "echo": "header"},
    {"method": "GET", "target": "/stream?n=20&s=0.05", "weight": 1, "body": None, "echo": "header"},
    {"method": "GET", "target": "/slow?s=2", "weight": 1, "body": None, "echo": "header"},
]


@pytest.mark.parametrize(
    ("upgrades", "growth_bytes"),
    [
        pytest.param(50, 4 << 20, id="50"),
        pytest.param(1000, 24 << 20, id="1000", marks=[pytest.mark.soak, pytest.mark.timeout(7200)]),  # its history grows by 1000 attempts
    ],
)
def test_under_the_strict_client(tmp_path: Path, upgrades: int, growth_bytes: int) -> None:
    options: dict[str, Any] = {"clients": 16, "think": 4.0, "think_mean": 0.3, "templates": TEMPLATES}
    with serving(tmp_path, upgrade={"probation": "50ms"}, log={"access": "off"}) as service:

        def upgrade(to: int) -> None:
            load.begin(to)
            outcome = service.ask("upgrade")
            assert outcome["status"] == 0, outcome
            load.done(to)

        with strictly(*service.addresses, serving=1, **options) as load:
            for number in range(2, 2 + FEW):
                upgrade(number)
            before, memory = Census.of(service), psutil.Process(service.pid).memory_info().rss
            for number in range(2 + FEW, 2 + upgrades):
                upgrade(number)
            report = load.stop()
        assert service.serving() == upgrades + 1
        assert report["answered"] == report["sent"]
        assert all(report["by_template"].get(str(number)) for number in range(len(TEMPLATES))), report["by_template"]
        same(service, before)
        grown = psutil.Process(service.pid).memory_info().rss - memory
        assert grown < growth_bytes, f"{grown} bytes more after {upgrades} upgrades"
        print(f"{upgrades} upgrades, {report['answered']} requests, {report['connects']} connects, {grown} bytes more")
