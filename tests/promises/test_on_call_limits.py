"""On call: memory, descriptors, connections and disk space. Each row of ``docs/on-call.md`` shows what it says."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from harness.on_call import asking, rows, sampled, troubled
from harness.service import eventually

FULL = "/dev/full"  # full(4)


def test_memory_leaks(tmp_path: Path) -> None:
    with troubled(tmp_path, workers=1, limits={"rss": "120MiB"}) as service:
        service.get("/leak?70")
        [worker] = sampled(service)
        assert worker["rss_bytes"] > 70 << 20
        [line] = rows()["memory leaks"].shown(service)
        assert int(line.split()[-2]) > 60
        words = " MiB of memory (limits.rss); replacing it with worker 2 "

        def replaced() -> bool:  # it looks once a second, after an answer
            service.get("/")
            return words in service.log()

        service.get("/leak?60")
        eventually(replaced, "it is replaced")
        assert service.log().count(words) == 1


def test_descriptors_are_used_up(tmp_path: Path) -> None:
    with troubled(tmp_path, workers=1) as service:
        assert service.request("GET", "/open_files?60")[0] == 500
        assert rows()["descriptors are used up"].awaited(service).endswith(" of 60 descriptors")
        assert " of 60 descriptors open" in service.must("doctor")
        with asking(service, *["/"] * 8):
            eventually(lambda: "cannot accept a connection: Too many open files; raise " in service.log(), "it says so")
        assert service.ctl("restart", "--all").returncode == 0
        assert service.get("/") == b""
        assert service.log().count("cannot accept a connection: ") == 1


def test_a_flood_of_connections(tmp_path: Path) -> None:
    with troubled(tmp_path, workers=1, limits={"connections": 10}) as service, contextlib.ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
        assert rows()["a flood of connections"].awaited(service) == "└ 10 of 10 connections"
        assert "has 10 of 10 connections (limits.connections)" in service.must("doctor")
        eventually(lambda: "limits.connections (10) is reached" in service.log(), "it says so")
        assert service.get("/") == b""
        assert service.log().count("limits.connections (10) is reached") == 1


def test_the_disk_is_full(tmp_path: Path) -> None:
    with troubled(tmp_path, workers=1, log={"access": FULL}) as service:
        for _ in range(3):
            service.get("/")
        assert FULL in rows()["the disk is full (logs)"].awaited(service)
        assert service.request("GET", f"/write?{FULL}")[0] == 500
        assert rows()["the disk is full (application)"].awaited(service)
        assert service.log().count("cannot write the access log: No space left on device; ") == 1
