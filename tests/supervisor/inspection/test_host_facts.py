"""What the kernel shows of this host, read; and what is made of what it may show of another one."""

from __future__ import annotations

import os
import resource

import pytest

from releve.supervisor.inspection import host_facts

GONE = 2**22 + 1  # no process has such a number


def test_reserved_ports() -> None:
    assert host_facts.read_ports("8000,9000-9002\n") == {8000, 9000, 9001, 9002}
    assert host_facts.read_ports("\n") == frozenset()


def test_this_host_can_be_examined() -> None:
    assert host_facts.somaxconn() and host_facts.available_bytes() and host_facts.commit_left_bytes() is not None
    low, high = host_facts.port_range() or (0, 0)
    assert 0 < low < high < 65536
    assert host_facts.overcommit() in (0, 1, 2) and host_facts.synchronised() is not None


def test_limits_are_those_of_the_process_that_counts() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert host_facts.descriptors_hard(None) == host_facts.descriptors_hard(os.getpid())
    assert host_facts.descriptors_hard(None) == (1 << 40 if hard == resource.RLIM_INFINITY else hard)
    assert host_facts.descriptors_hard(GONE) is None


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({}, None),
        (
            {"/proc/7/limits": "Max processes             100   100  processes", "/proc/7/status": "Uid:\t9\t9\t9\t9"},
            60,
        ),
        (
            {"/proc/7/limits": "Max processes             100   100  processes", "/proc/7/status": "Uid:\t0\t0\t0\t0"},
            None,
        ),
        ({"/proc/7/limits": "Max processes             unlimited  ", "/proc/7/status": "Uid:\t9\t9\t9\t9"}, None),
        (
            {
                "/proc/7/cgroup": "0::/system.slice/shop.service",
                "/sys/fs/cgroup/system.slice/shop.service/pids.max": "50",
                "/sys/fs/cgroup/system.slice/shop.service/pids.current": "20",
                "/sys/fs/cgroup/system.slice/pids.max": "max",
                "/sys/fs/cgroup/pids.max": "25",
                "/sys/fs/cgroup/pids.current": "30",
            },
            0,
        ),
    ],
)
def test_what_is_left_is_what_the_tightest_bound_leaves(
    files: dict[str, str], left: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_facts, "_read", lambda path: files.get(path, ""))
    monkeypatch.setattr(host_facts, "tasks", lambda uid: 40)
    found = host_facts.tasks_left(7)
    assert (None if found is None or found[0] == 1 << 40 else found[0]) == left


def test_memory_is_the_hosts_or_what_the_control_groups_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    2000 kB\n"}
    monkeypatch.setattr(host_facts, "_read", lambda path: files.get(path, ""))
    assert host_facts.available_bytes() == 2000 * 1024
    files["/proc/self/cgroup"] = "0::/shop"
    files |= {f"/sys/fs/cgroup/shop/memory.{name}": text for name, text in (("max", "max"), ("current", "700"))}
    assert host_facts.available_bytes() == 2000 * 1024
    files |= {"/sys/fs/cgroup/shop/memory.max": "1000", "/sys/fs/cgroup/shop/memory.stat": "anon 5\ninactive_file 50"}
    assert host_facts.available_bytes() == 350
    files["/sys/fs/cgroup/shop/memory.current"] = "5000"
    assert host_facts.available_bytes() == 0
    del files["/proc/meminfo"], files["/proc/self/cgroup"]
    assert host_facts.available_bytes() is None
