"""What clients notice of upgrades, one every two seconds, with a boot that gives way to what serves and with one that
does not.

``python benchmarks/bench_giving_way.py [--rounds 5] [--seconds 20] [--rate 400] [--imports] [--write FILE]``

Two services of two workers each; in one the call that sets the scheduling policy is refused, as a container may do. The
application imports Django and more, and answers small. In each round, in an order of chance: the load alone, and the
load with upgrades on the one and on the other. What counts is the ratio within a round. Beside the latencies: how long
the threads that serve wait for a processor while another generation boots, by the kernel's own count (schedstat).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import releve
from harness.service import Service, serving

PEERS = Path(__file__).parent / "peers"
EVERY_S = 2.0
REFUSES = """
import os
def refuse(*_):
    raise PermissionError(1, "refused")
os.sched_setscheduler = refuse
"""
STEADY, USUAL, LOW = "no upgrades", "upgrades, a boot runs as usual", "upgrades, a boot gives way"


@dataclass
class Run:
    """What one load has met."""

    took_ms: list[float]
    boots_ms: list[float] = field(default_factory=list)  # of the requests that came while a generation booted
    failed: int = 0
    wait: float = 0.0  # how much of the time of boots the serving threads waited for a processor, in ms a second
    boots_s: list[float] = field(default_factory=list)


@dataclass
class Boots:
    """The boots of one run: when each was, and how long what served waited meanwhile."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    waited_ns: int = 0


def percentile(values: list[float], share: float) -> float:
    """Of values in any order."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def waited_ns(pids: set[int]) -> int:
    """For how long the threads of some processes have waited for a processor; proc_pid_schedstat."""
    found = 0
    for pid in pids:
        for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                found += int(file.read_text().split()[1])
    return found


def upgrade(service: Service, boots: Boots) -> None:
    """One upgrade; its boot is noted by what it says on the way: to ask for the status would cost processor time."""
    serves = service.workers()
    with socket.socket(socket.AF_UNIX) as conversation:
        conversation.connect(str(service.control_socket))
        conversation.sendall(b'{"version": 1, "verb": "upgrade", "arguments": {}}\n')
        began, waited = 0.0, 0
        event = {}
        for line in conversation.makefile("rb"):
            event, now = json.loads(line), time.monotonic()
            if not began and event.get("phase") == "boot":
                began, waited = now, waited_ns(serves)
            elif began and event.get("phase") == "check":
                boots.spans.append((began, now))
                boots.waited_ns += waited_ns(serves) - waited
                began = 0.0
    assert event["status"] == 0, event


def run(service: Service, rate: float, seconds: float, *, upgrades: bool) -> Run:
    """The load, with upgrades or without."""
    command = [sys.executable, str(PEERS / "steady.py"), str(service.port), "/", str(rate), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as client:
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.append(client.communicate()[0]))
        reader.start()
        boots = Boots()
        reader.join(0.5)
        while upgrades and reader.is_alive():
            began = time.monotonic()
            upgrade(service, boots)
            reader.join(max(0.0, EVERY_S - (time.monotonic() - began)))
        reader.join()
    found = [(due, took) for due, took in json.loads(said[0]) if took is not None]
    booting = [took for due, took in found if any(begin <= due <= end for begin, end in boots.spans)]
    boots_s = [end - begin for begin, end in boots.spans]
    return Run(
        [took for _, took in found],
        booting,
        len(json.loads(said[0])) - len(found),
        boots.waited_ns / 1e6 / sum(boots_s) if boots_s else 0.0,
        boots_s,
    )


@contextlib.contextmanager
def service(folder: Path, *, refuses: bool, preload: bool) -> Iterator[Service]:
    """One service; in its supervisor the policy is refused, or not."""
    upgrade = {"probation": "200ms", "check": "/"}
    settings = {"app": "heavy:application", "workers": 2, "preload": preload, "upgrade": upgrade}
    with serving(folder, start=False, **settings) as made:
        if refuses:
            (folder / "modules").mkdir()
            (folder / "modules" / "sitecustomize.py").write_text(REFUSES)
            made.environment["PYTHONPATH"] = str(folder / "modules")
        made.release("one", **{name: (PEERS / f"{name}.py").read_text() for name in ("heavy", "page", "small")})
        made.start()
        yield made


def report(rounds: int, seconds: float, rate: float, *, preload: bool) -> str:
    """Measure; the page."""
    runs: dict[str, list[Run]] = {STEADY: [], USUAL: [], LOW: []}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        services = {
            name: stack.enter_context(
                service(Path(folder, name.replace(" ", "")), refuses=name == USUAL, preload=preload)
            )
            for name in (USUAL, LOW)
        }
        for number in range(rounds):
            for name in random.sample(list(runs), len(runs)):
                chosen = services.get(name) or services[random.choice((USUAL, LOW))]
                runs[name].append(run(chosen, rate, seconds, upgrades=name != STEADY))
                chosen.settled()
                took = runs[name][-1].took_ms
                print(f"{number + 1} {name}: p99 {percentile(took, 0.99):.2f} ms", file=sys.stderr, flush=True)
    lines = [
        "# What clients notice of upgrades",
        "",
        (
            f"`python benchmarks/bench_giving_way.py`: Relève {releve.__version__}, "
            f"CPython {platform.python_version()}, Linux {platform.release()}, "
            f"2 workers, {'preloaded' if preload else 'each imports by itself'}; "
            f"{rounds} rounds of {seconds:g} s each, {rate:g} requests a second, an upgrade every {EVERY_S:g} s."
        ),
        "",
        "| | p50 | p99 | p99 beside no upgrades | p99 in boots | wait for a processor in boots | boot | failed |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    quiet = [percentile(one.took_ms, 0.99) for one in runs[STEADY]]
    for name, some in runs.items():
        p99 = [percentile(one.took_ms, 0.99) for one in some]
        cells = [name, f"{statistics.median(percentile(one.took_ms, 0.5) for one in some):.2f} ms"]
        cells += [f"{statistics.median(p99):.2f} ms"]
        if name == STEADY:
            cells += ["", "", "", ""]
        else:
            ratios = [one / other for one, other in zip(p99, quiet, strict=True)]
            boots_ms = [took for one in some for took in one.boots_ms]
            cells += [f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"]
            cells += [f"{percentile(boots_ms, 0.99):.2f} ms"]
            cells += [f"{statistics.median(one.wait for one in some):.0f} ms/s"]
            cells += [f"{statistics.median(took for one in some for took in one.boots_s) * 1000:.0f} ms"]
        lines.append(f"| {' | '.join([*cells, str(sum(one.failed for one in some))])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and with ``--write`` keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=400.0)
    parser.add_argument("--imports", action="store_true", help="not preloaded: each worker imports by itself")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    text = report(arguments.rounds, arguments.seconds, arguments.rate, preload=not arguments.imports)
    print(text, end="")
    if arguments.write is not None:
        arguments.write.write_text(text)


if __name__ == "__main__":
    main()
