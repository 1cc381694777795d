"""What a start costs: the processor time of the imports of each process of ours, beside a bare interpreter.

``python benchmarks/bench_start.py [--rounds 15] [--write FILE]``

Each import runs in an interpreter of its own, the ways interleaved in an order of chance; a second way of each makes
the values with ``dataclasses.dataclass`` in place of ``releve.config.frozen``. What counts is the ratio within a round.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import subprocess
import sys
from pathlib import Path

import releve

BARE = "bare interpreter"
PROCESSES = {
    BARE: "pass",
    "supervisor": "import releve.supervisor.supervisor",
    "master": "import releve.server.__main__",
    "ctl": "import releve.ctl.main",
}
LIBRARYS = "import dataclasses; from releve.config import frozen; frozen.dataclass = dataclasses.dataclass; "


def measure(code: str) -> float:
    """Milliseconds of processor time, of user and system, that a new interpreter needs for some code."""
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"cannot measure {code!r}: the interpreter exited with status {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000


def spread(values: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def report(rounds: int) -> str:
    """The table of so many rounds; one more comes before it, which compiles."""
    ways = {
        name: code
        for process, code in PROCESSES.items()
        for name, code in ((process, code), (f"{process} *", LIBRARYS + code))
    }
    del ways[f"{BARE} *"]
    seen: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in random.sample(list(ways), len(ways)):
            took_ms = measure(ways[name])
            if number:
                seen[name].append(took_ms)
    lines = [
        "# What a start costs",
        "",
        (
            f"Relève {releve.__version__}, CPython {platform.python_version()}, Linux "
            f"{platform.release()}, {rounds} rounds, with bytecode"
        ),
        "",
        "| process | processor time of its imports | beside the library's dataclasses |",
        "| --- | --: | --: |",
    ]
    for process in PROCESSES:
        ratios = [ours / theirs for ours, theirs in zip(seen[process], seen.get(f"{process} *", []), strict=False)]
        lines.append(f"| {process} | {statistics.median(seen[process]):.0f} ms | {spread(ratios) if ratios else ''} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and with ``--write`` keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    text = report(arguments.rounds)
    print(text, end="")
    if arguments.write is not None:
        arguments.write.write_text(text)


if __name__ == "__main__":
    main()
