"""Promise: kill anything, command anything, deploy anything, at any moment. A chaos run, seeded.

`make chaos SEED=7 SECONDS=120` runs the plan of that seed again; see `harness/chaos_plan.py`.
"""

from __future__ import annotations

import os
import random
import time
from itertools import islice
from pathlib import Path

import pytest

from harness.chaos import CLIENTS, TIMEOUTS, UPGRADE, WORKERS, Census, Run, deploy
from harness.chaos_plan import episodes
from harness.load import Load
from harness.service import serving

SEED = os.environ.get("CHAOS_SEED") or "1"
SECONDS = float(os.environ.get("CHAOS_SECONDS") or 15)  # of episodes, and some more to begin and to end


def test_the_plan_derives_from_the_seed_alone() -> None:
    assert list(islice(episodes(7), 50)) == list(islice(episodes(7), 50))
    assert list(islice(episodes(7), 50)) != list(islice(episodes(8), 50))


@pytest.mark.chaos
@pytest.mark.timeout(SECONDS * 2 + 300)
def test_chaos(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6) if SEED == "random" else int(SEED)
    print(f"chaos: seed {seed}, {SECONDS:g} seconds")
    with serving(tmp_path, workers=WORKERS, upgrade=UPGRADE, timeouts=TIMEOUTS, log={"access": "off"}) as service:
        deploy(service)
        before = Census.take(service)
        load = Load(*service.addresses, clients=CLIENTS, think=2.0, think_mean=0.15, patience=30, failures=100_000)
        run = Run(service, load)
        try:
            load.wait(3 * CLIENTS)
            until = time.monotonic() + SECONDS
            for episode in episodes(seed):
                print(f"{time.monotonic():.3f} {episode}", flush=True)
                run.perform(episode)
                if time.monotonic() >= until:
                    break
            before.compare(service)
            run.see_clients()
            answered = load.stop()["answered"]
        finally:
            load.kill()
        print(f"chaos: {answered} requests answered; {dict(run.done)}; {dict(run.statuses)}")
