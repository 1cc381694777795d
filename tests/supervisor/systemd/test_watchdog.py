"""What systemd hears from time to time, read from a real socket in its place."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from releve.supervisor.systemd.notify import Notifier
from releve.supervisor.systemd.watchdog import Watchdog, watchdog_s


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 1.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, None),  # meant for another process
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_three_times_as_often_as_needed(environ: dict[str, str], interval_s: float | None) -> None:
    assert watchdog_s(environ, 7) == interval_s


@pytest.mark.parametrize("busy", [True, False])
def test_it_beats_and_extends_while_something_is_under_way(tmp_path: Path, busy: bool) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.setblocking(False)

        async def main() -> set[bytes]:
            pulse = Watchdog(Notifier({"NOTIFY_SOCKET": address}), {"WATCHDOG_USEC": "30000"}, 1, lambda: busy)
            pulse.start()
            heard = {await asyncio.get_running_loop().sock_recv(manager, 1000) for _ in range(5)}
            pulse.stop()
            return heard

        heard = asyncio.run(asyncio.wait_for(main(), 10))
    assert heard == {b"WATCHDOG=1", *([b"EXTEND_TIMEOUT_USEC=20000000"] if busy else [])}


def test_nothing_wakes_up_where_nobody_listens() -> None:
    async def main() -> bool:
        pulse = Watchdog(Notifier({}), {"WATCHDOG_USEC": "30000"}, 1, lambda: True)
        pulse.start()
        return not pulse._timers

    assert asyncio.run(main())
