"""How long an upgrade, a reload and a rollback take, and what a client notices of them.

For the small application of the tests, under the load of the strict client; prints a
table. Run it on an otherwise idle machine: ``python benchmarks/bench_upgrade.py [ROUNDS]``; or
``python benchmarks/bench_upgrade.py often [UPGRADES [REQUESTS]]``, which upgrades again and again
until so many requests are answered (1000 and a million; half an hour).
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from harness.load import Load, strictly
from harness.often import LOADED, upgrade_often
from harness.service import Service, eventually, serving

IDLE = 10_000


def timed(service: Service, load: Load, verb: str, to: int | None) -> tuple[float, dict[str, float]]:
    """Seconds until the supervisor says that it is done, and of each phase."""
    if to is not None:
        load.begin(to)
    began = time.monotonic()
    result = service.ask(verb)
    seconds = time.monotonic() - began
    assert result["status"] == 0, result
    if to is not None:
        load.done(to)
    return seconds, result["phases"]


def verbs(rounds: int) -> None:
    """The table of verbs, and the latencies that the client saw meanwhile."""
    seconds: dict[str, list[float]] = {"upgrade": [], "reload": [], "rollback": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as service,
        strictly(*service.addresses, serving=1, clients=20, think=1.0, think_mean=0.05) as load,
    ):
        load.wait(500)
        quiet = load.report()["seconds"]
        serves = newest = 1
        for _ in range(rounds):
            newest += 1
            seconds["upgrade"].append(timed(service, load, "upgrade", newest)[0])
            seconds["reload"].append(timed(service, load, "reload", None)[0])
            seconds["rollback"].append(timed(service, load, "rollback", serves)[0])
        report = load.report()
    counts = ", ".join(f"{report[key]} {key}" for key in ("answered", "failed", "announced_closes"))
    print(f"{rounds} rounds under load: {counts}")
    for verb, values in seconds.items():
        print(f"  {verb:9} median {statistics.median(values) * 1000:7.1f} ms   worst {max(values) * 1000:7.1f} ms")
    for name, figures in (("before", quiet), ("in all", report["seconds"])):
        print(f"  answers {name}: " + "   ".join(f"{key} {value * 1000:.1f} ms" for key, value in figures.items()))


def idle(connections: int) -> None:
    """What it takes to hand over many idle connections."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as service,
        strictly(*service.addresses, serving=1, rounds=True, clients=connections) as load,
    ):
        load.say(f"wait {connections}")
        _, forward = timed(service, load, "upgrade", 2)
        left = sum(worker["connections"] for worker in service.generation("standby")["workers"])
        _, back = timed(service, load, "rollback", 1)
        report = load.round()
    print(
        f"{connections} idle connections: the switch took {forward['switch'] * 1000:.0f} ms, after it "
        f"the old workers held {left}; "
        f"the way back {back['switch'] * 1000:.0f} ms; {report['failed']} lost"
    )


def bad_release(rounds: int) -> None:
    """From the first bad sign of a release, a worker that dies, until the old workers answer again."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), upgrade={"probation": "30s"}) as service:
        for number in range(rounds):
            service.release(f"bad{number}")
            service.flip(f"bad{number}")
            old = service.workers()
            ctl = service.begin_ctl("upgrade")
            eventually(
                lambda: (service.status()["service"]["operation"] or {}).get("phase") == "probation", "it is on trial"
            )
            victim = service.workers() - old
            os.kill(victim.pop(), signal.SIGKILL)
            began = time.monotonic()
            eventually(lambda old=old: service.who()["pid"] in old, "the old workers serve")
            seconds.append(time.monotonic() - began)
            ctl.communicate()
            assert ctl.returncode == 5
            service.settled()
    median, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
    print(
        f"{rounds} bad releases: the old workers answered {median:.0f} ms after the first sign, at worst {worst:.0f} ms"
    )


def often(upgrades: int = 1000, requests: int = 1_000_000) -> None:
    """A thousand upgrades in a row, and what they cost the clients."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), upgrade={"probation": "50ms"}, log={"access": "off"}) as service,
    ):
        print(upgrade_often(service, upgrades, requests, **LOADED))


if __name__ == "__main__":
    if sys.argv[1:2] == ["often"]:
        often(*map(int, sys.argv[2:]))
        sys.exit()
    verbs(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
    idle(1000)
    idle(IDLE)
    bad_release(10)
