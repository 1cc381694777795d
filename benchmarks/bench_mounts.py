"""What mounts cost: one application alone, beside the same one as one mount, and as one of a thousand.

``python benchmarks/bench_mounts.py [--rounds 7] [--seconds 3] [--write FILE]``

One worker on one core, wrk on another, rounds interleaved in an order of chance. For each round the processor time that
a request costs the service, and its ratio to that of the application alone in the same round; then the look-up by
itself, in this process. Needs wrk and two cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent))

from bench_peers import Figure, Running, measure
from peers.loads import LOADS
from peers.servers import HERE, ROOT, SERVERS, Server

from releve.server.wsgi.mounts import mounted

CONFIG = """
directory: {here}
listen: 127.0.0.1:{port}
workers: 1
threads: 8
log:
  access: {home}/access.log
runtime_directory: {home}/run
state_directory: {home}/state
"""
MANY = 1000
CALLS = 100_000


@dataclass(frozen=True)
class Round:
    """One round of one way to serve it."""

    rate: float
    cpu_us: float  # of a request, in all processes of the service


def ways() -> list[Server]:
    """The application alone, and mounted where the load asks for it, beside none and 999 others."""
    serve = replace(SERVERS[0], command=(str(SERVERS[0].box / "bin" / "releve"), "-c", "{home}/config"))
    found = [replace(serve, name="alone", config=f"app: small:application{CONFIG}".replace("{here}", str(HERE)))]
    for number in (1, MANY):
        lines = ["mounts:", "  '': small:application", "  /page: small:application"]  # which the load asks for
        lines += [f"  /other-{other}: small:application" for other in range(1, number)]
        found.append(
            replace(
                serve,
                name=f"{number:,} mount{'s' if number > 1 else ''}",
                config="\n".join(lines) + CONFIG.replace("{here}", str(HERE)),
            )
        )
    return found


def cpu_s(running: Running) -> float:
    """Processor time that the service has used so far."""
    family = [psutil.Process(running.process.pid), *psutil.Process(running.process.pid).children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in family)


def one_round(server: Server, folder: Path, seconds: int) -> Round:
    """Start it, warm it, measure it."""
    load = next(load for load in LOADS if load.name == "browser")
    running = Running(server, folder)
    try:
        measure(running, load, 1)
        before = cpu_s(running)
        figure: Figure = measure(running, load, seconds)
        assert figure.errors == 0, figure
        return Round(figure.rate, (cpu_s(running) - before) / (figure.rate * seconds) * 1e6)
    finally:
        running.stop()


def look_up_us(mounts: int, prefix: str) -> float:
    """Of one request by itself, in microseconds: the best of seven."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return ()

    applications = {"": application, **{f"{prefix}/customer-{number}": application for number in range(mounts)}}
    paths = [f"{prefix}/customer-{number % mounts}/page/{number}" for number in range(CALLS)]
    taken = []
    for called in (application, mounted(applications)):
        best = float("inf")
        for _ in range(7):
            environs = [{"PATH_INFO": path, "SCRIPT_NAME": ""} for path in paths]
            began = time.thread_time()
            for environ in environs:
                called(environ, None)
            best = min(best, time.thread_time() - began)
        taken.append(best / CALLS * 1e6)
    return taken[1] - taken[0]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    if shutil.which("wrk") is None or (os.cpu_count() or 1) < 2:
        sys.exit("cannot measure: wrk (Debian package wrk) and two cores are needed")
    trouble = SERVERS[0].install()
    if trouble is not None:
        sys.exit(f"cannot measure: {trouble}")
    servers = ways()
    rounds: dict[str, list[Round]] = {server.name: [] for server in servers}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(asked.rounds):
            for server in random.sample(servers, len(servers)):
                rounds[server.name].append(one_round(server, Path(folder), asked.seconds))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    lines = [
        (
            f"Relève {commit}, CPython {platform.python_version()}, Linux {platform.release()}, "
            f"{asked.rounds} rounds of {asked.seconds} s"
        ),
        "",
        "| served | requests/s | processor time of a request | beside the application alone | beside 1 mount |",
        "| --- | --: | --: | --: | --: |",
    ]
    for name, found in rounds.items():
        cells = [
            name,
            f"{statistics.median(one.rate for one in found):,.0f}",
            f"{statistics.median(one.cpu_us for one in found):.2f} µs",
        ]
        for other in ("alone", "1 mount"):
            ratios = [one.cpu_us / base.cpu_us for one, base in zip(found, rounds[other], strict=True)]
            cells.append(
                f"{statistics.median(ratios):.3f} ({min(ratios):.3f}–{max(ratios):.3f})" if name != other else ""
            )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "The look-up by itself:", "", "| mounts | prefixes | time |", "| --: | --- | --: |"]
    for number in (1, 10, 100, MANY, 10 * MANY):
        lines.append(f"| {number:,} | `/customer-N` | {look_up_us(number, ''):.2f} µs |")
    lines.append(f"| {MANY:,} | `/a/b/customer-N` | {look_up_us(MANY, '/a/b'):.2f} µs |")
    print("\n".join(lines))
    if asked.write is not None:
        asked.write.write_text("# What mounts cost\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
