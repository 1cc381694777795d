"""Relève beside its peers: one worker each on one core, wrk on another, rounds interleaved so that drift cancels.

``python benchmarks/bench_peers.py [--loads bare,browser] [--peers granian] [--rounds 5] [--seconds 3] [--write FILE]``

Each peer comes from its package, into a virtual environment of its own with the Python that runs this. What cannot be
installed is named with the reason. Every answer is checked before it is measured. Prints a table of requests per second
(median of the rounds) and of the ratio to Relève's in the same round (median, least, most); and the same of the CPU
time that all processes of the server use for a request. That is what counts where wrk has no more to give (it ends near
26,000 new connections a second), or where others use the machine. Where there are clients beside wrk, their requests
are in the CPU time and not in the count. Behind nginx (the load `nginx`) the proxy shares wrk's core, and its CPU time
does not count. Needs wrk and two cores; the load `nginx` needs nginx too.
"""

from __future__ import annotations

import argparse
import http.client
import math
import os
import platform
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from peers.cpu import used_s
from peers.loads import LOADS, Load
from peers.plot import Rates, svg
from peers.servers import BEHIND, FRONT, HERE, ROOT, SERVERS, Server

START_S = 20.0
SERVER_CORE, CLIENT_CORE = 0, 1


@dataclass(frozen=True)
class Figure:
    """Of one round: requests per second, the slowest percent in milliseconds, errors, requests per second beside, and
    the server's CPU time per request in microseconds.
    """

    rate: float
    p99_ms: float
    errors: int
    beside: float
    cpu_us: float


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def ask(port: int, path: str) -> bytes:
    """The body of one good answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    if response.status == 502:
        raise ConnectionError("nginx is there, and nobody behind it yet")
    assert response.status == 200, response.status
    return response.read()


def check_small(port: int) -> None:
    """The small application says what it should."""
    assert ask(port, "/") == b"Hello, world\n" and len(ask(port, "/large")) == 102_400


def check_page(port: int) -> None:
    """So does the page."""
    assert ask(port, "/articles").count(b"<tr>") == 50


CHECKS = {"small": check_small, "page": check_page}


class Running:
    """A server that answers, pinned to its core; ended with all that it started."""

    def __init__(
        self,
        server: Server,
        folder: Path,
        app: str = "small",
        cores: str = str(SERVER_CORE),
        *,
        environment: tuple[tuple[str, str], ...] = (),
        behind: bool = False,
    ) -> None:
        """``behind``: behind nginx, which runs beside the client."""
        self.port = free_port()
        self.home = home = folder / server.name
        home.mkdir(exist_ok=True)
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "XDG_RUNTIME_DIR": str(home),
            "XDG_STATE_HOME": str(home),
            **dict(environment),
        }
        (home / "socket").unlink(missing_ok=True)  # of the round before
        self.process = self._start(server, home, app, cores)
        self._processes = [self.process]
        if behind:
            (home / FRONT.name).mkdir(exist_ok=True)
            self._processes.append(self._start(FRONT, home / FRONT.name, app, str(CLIENT_CORE)))
        deadline = time.monotonic() + START_S
        while True:
            try:
                CHECKS[app](self.port)
                return
            except AssertionError:  # a wrong answer
                self.stop()
                raise
            except OSError:
                if time.monotonic() > deadline or any(one.poll() is not None for one in self._processes):
                    self.stop()
                    raise RuntimeError((home / "log").read_text()[-500:]) from None
                time.sleep(0.05)

    def _start(self, server: Server, home: Path, app: str, cores: str) -> subprocess.Popen[bytes]:
        with (home / "log").open("ab") as log:
            return subprocess.Popen(
                ["taskset", "-c", cores, *server.argv(app, self.port, home)],
                cwd=HERE,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End it, and nginx before it."""
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def measure(server: Running, load: Load, seconds: int, cores: str = str(CLIENT_CORE)) -> Figure:
    """One round of one server."""
    port = server.port
    client = ["taskset", "-c", cores]
    beside = None
    if load.beside:
        argv = [
            *client,
            sys.executable,
            str(HERE / "beside.py"),
            str(port),
            load.beside,
            str(load.clients),
            str(seconds + 1),
        ]
        beside = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)
    argv = [*client, "wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "--latency"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(load.script)
        script.flush()
        if load.script:
            argv += ["-s", script.name]
        before_s = used_s(server.process.pid)
        said = subprocess.run(
            [*argv, f"http://127.0.0.1:{port}{load.path}"], capture_output=True, text=True, check=True
        ).stdout
        cpu_s = used_s(server.process.pid) - before_s
    requests = re.search(r"(\d+) requests in ", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", said)
    errors = [int(number) for number in re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", said)]
    assert requests is not None and rate is not None and p99 is not None, said
    p99_ms = float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]
    return Figure(
        float(rate[1]),
        p99_ms,
        sum(errors),
        float(beside.communicate()[0]) if beside else 0.0,
        1e6 * cpu_s / max(1, int(requests[1])),
    )


def compare(servers: list[Server], load: Load, rounds: int, seconds: int, rates: Rates) -> list[str]:
    """The table of one load; its medians go to ``rates``."""
    if load.behind:
        names = [server.name for server in servers]
        servers = [server for server in BEHIND if server.name in names]
    else:
        servers = [server for server in servers if not server.program or (load.app == "small" and not load.beside)]
    figures: dict[str, list[Figure]] = {server.name: [] for server in servers}
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for server in random.sample(servers, len(servers)):
                try:
                    running = Running(server, Path(folder), load.app, environment=load.environment, behind=load.behind)
                except (AssertionError, RuntimeError) as error:
                    left_out[server.name] = str(error).strip().rpartition("\n")[2] or "it gives a wrong answer"
                    continue
                try:
                    measure(running, load, 1)
                    figures[server.name].append(measure(running, load, seconds))
                finally:
                    running.stop()
    lines = [
        f"### {load.name}: {load.what}",
        "",
        "| server | requests/s | p99 | Relève is faster by | CPU per request | Relève's is less by | beside | errors |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    figures = {name: found for name, found in figures.items() if name not in left_out}
    ours = figures["releve"]
    rates[load.name] = {name: statistics.median(one.rate for one in found) for name, found in figures.items()}
    for name, found in sorted(figures.items(), key=lambda item: -statistics.median(one.rate for one in item[1])):
        faster = less = ""
        if name != "releve":
            # some serve none beside
            faster = spread(
                [our.rate / one.rate if one.rate else math.inf for our, one in zip(ours, found, strict=True)]
            )
            less = spread([one.cpu_us / our.cpu_us for our, one in zip(ours, found, strict=True)])
        beside = f"{statistics.median(one.beside for one in found):.0f}/s" if load.beside else ""
        p99 = statistics.median(one.p99_ms for one in found)
        rate = statistics.median(one.rate for one in found)
        cpu = statistics.median(one.cpu_us for one in found)
        lines.append(
            f"| {name} | {rate:,.0f} | {p99:.2f} ms | {faster} | {cpu:.1f} µs | {less} | {beside} | "
            f"{sum(one.errors for one in found)} |"
        )
    lines += [f"| {name} | left out: {reason} |" for name, reason in left_out.items()]
    return [*lines, ""]


def spread(ratios: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def scaling(server: Server, loads: list[Load], rounds: int, seconds: int) -> list[str]:
    """One worker on one core, and two workers on two cores with the client beside them."""
    lines = [
        "### scaling: two workers beside one",
        "",
        "| load | one worker | two workers | ratio |",
        "| --- | --: | --: | --: |",
    ]
    two = replace(
        server,
        command=tuple(
            "2" if before == "-w" else part for before, part in zip(("", *server.command), server.command, strict=False)
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        for load in loads:
            pairs = []
            for _ in range(rounds):
                pair = []
                for which, cores, client in ((server, str(SERVER_CORE), str(CLIENT_CORE)), (two, "0,1", "0,1")):
                    running = Running(which, Path(folder), load.app, cores)
                    try:
                        measure(running, load, 1, client)
                        pair.append(measure(running, load, seconds, client).rate)
                    finally:
                        running.stop()
                pairs.append(pair)
            ratios = [pair[1] / pair[0] for pair in pairs]
            rates = [statistics.median(pair[index] for pair in pairs) for index in (0, 1)]
            lines.append(f"| {load.name} | {rates[0]:,.0f}/s | {rates[1]:,.0f}/s | {spread(ratios)} |")
    return [*lines, ""]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--loads", default=",".join(load.name for load in LOADS))
    parser.add_argument("--peers", default=",".join(server.name for server in SERVERS if server.name != "releve"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--write", type=Path, help="write the tables to this file too, and a picture beside it")
    asked = parser.parse_args()
    if shutil.which("wrk") is None or (os.cpu_count() or 1) < 2:
        sys.exit("cannot measure: wrk (Debian package wrk) and two cores are needed")
    wanted = ["releve", *asked.peers.split(",")]
    servers = []
    lines = []
    for server in SERVERS:
        if server.name in wanted:
            trouble = server.install()
            lines.append(
                f"- {server.name}: {trouble and f'left out, it cannot be installed: {trouble}' or server.note}"
            )
            if trouble is None:
                servers.append(server)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    head = (
        f"Relève {commit}, CPython {platform.python_version()}, Linux {platform.release()}, {asked.rounds} "
        f"rounds of {asked.seconds:g} s"
    )
    lines = [head, "", *lines, ""]
    print("\n".join(lines), flush=True)
    rates: Rates = {}
    for load in LOADS:
        if load.name in asked.loads.split(","):
            table = compare(servers, load, asked.rounds, asked.seconds, rates)
            print("\n".join(table), flush=True)
            lines += table
    both = [load for load in LOADS if load.name in ("browser", "django") and load.name in asked.loads.split(",")]
    if both:
        table = scaling(servers[0], both, asked.rounds, asked.seconds)
        print("\n".join(table), flush=True)
        lines += table
    if asked.write is not None:
        asked.write.parent.mkdir(parents=True, exist_ok=True)
        picture = asked.write.with_suffix(".svg")
        picture.write_text(svg(rates, f"Requests per second, as a share of Relève's. {head}"))
        asked.write.write_text(
            f"# Relève beside its peers\n\n![the figures below]({picture.name})\n\n" + "\n".join(lines)
        )


if __name__ == "__main__":
    main()
