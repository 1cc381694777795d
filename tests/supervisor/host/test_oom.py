"""Whether the kernel's OOM killer ended a process, from counters on a tree that is not real."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from releve.server.scoreboard.inflight import InflightCall
from releve.supervisor.generation.inflight import ending, words
from releve.supervisor.host.oom import KILLED, NOT, PERHAPS, UNKNOWN, Oom

V2 = ("0::/service\n", "sys/fs/cgroup/service/memory.events", "low 0\noom 1\noom_kill {}\n")
V1 = (
    "5:cpu:/x\n4:rdma,memory:/service\n",
    "sys/fs/cgroup/memory/service/memory.oom_control",
    "oom_kill_disable 0\noom_kill {}\n",
)


def write(root: Path, group: tuple[str, str, str] | None, kills: int, host: int | None) -> None:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    if host is not None:
        (root / "proc/vmstat").write_text(f"nr_free_pages 7\noom_kill {host}\n")
    if group is not None:
        (root / "proc/self/cgroup").write_text(group[0])
        (root / group[1]).parent.mkdir(parents=True, exist_ok=True)
        (root / group[1]).write_text(group[2].format(kills))


@pytest.mark.parametrize("group", [V1, V2])
@pytest.mark.parametrize(
    ("killed", "host", "verdict"),
    [(1, 1, KILLED), (1, None, KILLED), (0, 0, NOT), (0, 1, NOT), (0, None, NOT)],
)
def test_the_groups_counter_decides(
    tmp_path: Path, group: tuple[str, str, str], killed: int, host: int | None, verdict: str
) -> None:
    write(tmp_path, group, 3, None if host is None else 10)
    oom = Oom(tmp_path)
    write(tmp_path, group, 3 + killed, None if host is None else 10 + host)
    assert oom.verdict() == verdict
    assert oom.verdict() == NOT  # of the next one: it was counted


@pytest.mark.parametrize(("host", "verdict"), [(0, NOT), (1, PERHAPS)])
def test_without_it_the_hosts_counter_can_only_acquit(tmp_path: Path, host: int, verdict: str) -> None:
    write(tmp_path, None, 0, 10)
    oom = Oom(tmp_path)
    write(tmp_path, None, 0, 10 + host)
    assert oom.verdict() == verdict


def test_nothing_can_be_read(tmp_path: Path) -> None:
    assert Oom(tmp_path).verdict() == UNKNOWN


def test_the_end_of_a_worker_in_words(tmp_path: Path) -> None:
    oom = Oom(tmp_path)
    seats = [
        InflightCall(0, 1),
        InflightCall(2, 5, 100.0, "GET", "/b", ""),
        InflightCall(1, 4, 90.0, "POST", "/a", "10.0.0.7:1"),
    ]
    assert words(seats, 102.25) == "while serving POST /a (12.2 s, client 10.0.0.7:1), GET /b (2.2 s)"
    assert words([InflightCall(number, number, 100.0 - number, "GET", "/") for number in range(7)], 100.0).endswith(
        ", and 2 more"
    )
    assert ending(9, [], oom) == "exited with status 9 while idle"
    assert ending(-signal.SIGKILL, None, oom) == f"was killed by SIGKILL ({UNKNOWN})"
    assert ending(-signal.SIGSEGV, [], oom) == "was killed by SIGSEGV while idle"
