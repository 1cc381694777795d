"""What processes take, asked of real ones."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from releve.supervisor.host.usage import memory


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
