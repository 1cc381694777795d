"""What processes take, asked of real ones."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from releve.supervisor.host import proc
from releve.supervisor.host.usage import CpuMeter, memory


def test_a_live_process_is_measured_and_a_gone_one_left_out() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(20)
    found = memory([os.getpid(), gone.pid, -1, 2**31 - 1])
    assert list(found) == [os.getpid()]
    usage = found[os.getpid()]
    assert usage.rss_bytes > 1_000_000
    assert usage.pss_bytes is None or 0 < usage.pss_bytes <= usage.rss_bytes * 2


def test_what_may_not_be_looked_at_costs_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: psutil.Process) -> None:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "memory_full_info", denied)
    assert memory([os.getpid()])[os.getpid()].pss_bytes is None
    monkeypatch.setattr(psutil.Process, "oneshot", denied)
    assert memory([os.getpid()]) == {}


class Clock:
    """A clock, and processes that use half a processor each."""

    def __init__(self) -> None:
        self.now = 100.0
        self.used: dict[int, float] = {1: 0.0, 2: 0.0}
        self.meter = CpuMeter(self.used.get, lambda: self.now)

    def pass_s(self, seconds: float, share: float = 0.5) -> None:
        self.now += seconds
        self.used = {pid: used + seconds * share for pid, used in self.used.items()}
        self.meter._read = self.used.get


def test_it_is_reckoned_since_the_last_sample_that_is_old_enough() -> None:
    clock = Clock()
    assert clock.meter.percent(1) is None
    clock.meter.sample([1])
    clock.pass_s(0.5)
    assert clock.meter.percent(1) is None, "too short for the kernel's ticks"
    clock.pass_s(4.5)
    assert clock.meter.percent(1) == 50.0
    clock.meter.sample([1])
    clock.pass_s(0.5, 1.0)
    assert clock.meter.percent(1) == 3.0 / 5.5 * 100, "the last sample is too young, the one before it is not"
    clock.pass_s(4.5, 1.0)
    assert clock.meter.percent(1) == 100.0


def test_what_is_gone_is_forgotten_and_time_that_runs_backwards_is_none() -> None:
    clock = Clock()
    clock.meter.sample([1, 2, 3])
    clock.pass_s(5.0)
    assert clock.meter.percent(2) == 50.0 and clock.meter.percent(3) is None
    clock.meter.sample([1])
    assert clock.meter.percent(2) is None
    clock.pass_s(5.0, -0.1)  # another process has its number
    assert clock.meter.percent(1) == 0.0


def test_what_the_kernel_tells_of_this_process() -> None:
    before = proc.cpu_s(os.getpid())
    assert before is not None and before > 0
    while proc.cpu_s(os.getpid()) == before:  # until the next tick
        sum(range(10_000))
    assert (proc.cpu_s(os.getpid()) or 0) > before
    assert proc.cpu_s(2**22 + 1) is None
