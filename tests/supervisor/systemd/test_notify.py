"""What systemd is told, read from a real socket in its place."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from releve.supervisor.host.environment import strip
from releve.supervisor.systemd.notify import Notifier


def _manager(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(address)
    sock.settimeout(2)
    return sock


@pytest.mark.parametrize("abstract", [False, True])
def test_every_message_is_one_datagram_of_assignments(tmp_path: Path, abstract: bool) -> None:
    name = f"@releve-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with _manager("\0" + name[1:] if abstract else name) as manager:
        notifier = Notifier({"NOTIFY_SOCKET": name})
        assert notifier.active
        notifier.ready("generation 1 serves\nhere")
        assert manager.recv(1000) == b"READY=1\nSTATUS=generation 1 serves here"
        notifier.status("relève")
        assert manager.recv(1000) == "STATUS=relève".encode()
        notifier.extend(1.5)
        assert manager.recv(1000) == b"EXTEND_TIMEOUT_USEC=1500000"
        notifier.stopping()
        assert manager.recv(1000) == b"STOPPING=1"
        notifier.reloading()
        reloading, clock = manager.recv(1000).split(b"\n")
        assert reloading == b"RELOADING=1"
        assert clock.startswith(b"MONOTONIC_USEC=")


@pytest.mark.parametrize("value", ["", "relative", "@", "vsock:2:1234", "/nobody/listens/here"])
def test_nothing_is_sent_and_nothing_raised_where_nobody_listens(value: str) -> None:
    Notifier({"NOTIFY_SOCKET": value} if value else {}).ready("serving")


def test_a_manager_that_does_not_read_costs_nothing(tmp_path: Path) -> None:
    with _manager(str(tmp_path / "notify")):
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(1000):  # far more than its queue holds
            notifier.status("x" * 400)


def test_what_names_the_supervisor_is_stripped_and_what_names_the_unit_stays() -> None:
    ours = dict.fromkeys(
        (
            "NOTIFY_SOCKET",
            "LISTEN_PID",
            "LISTEN_FDS",
            "LISTEN_FDNAMES",
            "LISTEN_PIDFDID",
            "WATCHDOG_PID",
            "WATCHDOG_USEC",
            "FDSTORE",
        ),
        "1",
    )
    stays = {"INVOCATION_ID": "ab", "STATE_DIRECTORY": "/var/lib/x", "PATH": "/bin"}
    assert strip(ours | stays) == stays


@pytest.mark.parametrize("does", [True, False])
def test_the_barrier_waits_for_systemd_and_not_for_ever(tmp_path: Path, does: bool) -> None:
    async def main(notifier: Notifier, manager: socket.socket) -> bool:
        waiting = asyncio.get_running_loop().create_task(notifier.barrier(20 if does else 0.05))
        await asyncio.sleep(0)
        message, fds, _, _ = socket.recv_fds(manager, 4096, 4)
        assert message == b"BARRIER=1" and not waiting.done()
        if does:
            os.close(fds[0])
        said = await waiting
        if not does:
            os.close(fds[0])
        return said

    with _manager(str(tmp_path / "notify")) as manager:
        assert asyncio.run(main(Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}), manager)) is does
    assert asyncio.run(Notifier({}).barrier(20)) is False
