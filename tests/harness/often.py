"""One upgrade after another, under the strict client: nothing is lost, and nothing is left behind.

With the figures of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psutil

from harness.census import Census, same
from harness.load import strictly
from harness.service import Service

FEW = 5  # upgrades after which the supervisor has whatever it keeps
STEP = 500  # answers that are waited for at once
# Enough clients for a thousand requests per upgrade; few of them ask what takes long by itself.
LOADED: dict[str, Any] = {"warm": 10_000, "ordinary": 800, "clients": 64, "think": 2.0, "think_mean": 0.03}


def requests(ordinary: int) -> list[dict[str, Any]]:
    """Templates of the strict client: bodies with a length and in chunks; a stream, and one that lasts longer than an
    upgrade.
    """
    return [
        {"weight": ordinary, "pad": 4000},
        {"weight": 2, "pad": 200_000},
        {"weight": 2, "pad": 60_000, "chunked": True},
        {
            "method": "GET",
            "target": "/release?{nonce}",
            "weight": max(2, ordinary // 8),
            "body": None,
            "echo": "header",
        },
        {"method": "GET", "target": "/stream?n=20&s=0.05", "weight": 1, "body": None, "echo": "header"},
        {"method": "GET", "target": "/slow?s=2", "weight": 1, "body": None, "echo": "header"},
    ]


@dataclass(frozen=True)
class Figures:
    """What a run has shown."""

    upgrades: int
    seconds: float  # that they took in all
    slowest_s: float  # of them
    requests: int
    lost: int
    connects: int
    before: dict[str, float]  # seconds until an answer before the first upgrade: p50, p99, max
    meanwhile: dict[str, float]  # the same from then on
    grown_bytes: int  # resident memory of the supervisor, after the first few upgrades and at the end

    def __str__(self) -> str:
        def ms(figures: dict[str, float]) -> str:
            return "   ".join(f"{key} {value * 1000:.1f} ms" for key, value in figures.items())

        return (
            f"{self.upgrades} upgrades, one after another: {self.requests} requests on {self.connects} "
            f"connections, {self.lost} lost\n"
            f"  upgrade   mean {self.seconds / self.upgrades * 1000:.0f} ms   worst {self.slowest_s * 1000:.0f} ms\n"
            f"  answers before:    {ms(self.before)}\n"
            f"  answers meanwhile: {ms(self.meanwhile)}\n"
            f"  the supervisor grew by {self.grown_bytes >> 10} KiB"
        )


def upgrade_often(
    service: Service, upgrades: int, least: int = 0, *, warm: int = 0, ordinary: int = 12, **options: Any
) -> Figures:
    """At least so many upgrades, until at least so many requests are answered; ``warm``: answers before the first one.

    Raises AssertionError when anything is lost, or the supervisor keeps something of an upgrade.
    """
    supervisor, slowest_s, number = psutil.Process(service.pid), 0.0, 1
    with strictly(*service.addresses, serving=1, templates=requests(ordinary), **options) as load:
        for _ in range(0, warm, STEP):
            load.wait(STEP)
        quiet, answered = load.say("afresh")["seconds"], 0
        began = time.monotonic()
        while number <= upgrades or answered < least:
            number += 1
            started = time.monotonic()
            load.begin(number)
            outcome = service.ask("upgrade")
            assert outcome["status"] == 0, outcome
            load.done(number)
            slowest_s = max(slowest_s, time.monotonic() - started)
            if number == 1 + FEW:
                before, memory = Census.of(service), supervisor.memory_info().rss
            answered = load.report()["answered"] if number > upgrades else 0
        seconds = time.monotonic() - began
        report = load.stop()
    assert service.serving() == number
    assert report["answered"] == report["sent"]
    assert len(report["by_template"]) == len(requests(ordinary)), report["by_template"]
    same(service, before)
    return Figures(
        upgrades=number - 1,
        seconds=seconds,
        slowest_s=slowest_s,
        requests=report["answered"],
        lost=report["failed"],
        connects=report["connects"],
        before=quiet,
        meanwhile=report["seconds"],
        grown_bytes=supervisor.memory_info().rss - memory,
    )
