"""What the supervisor tells systemd, and what of systemd's environment stays with the supervisor.

The protocol is sd_notify(3): newline-separated assignments in one datagram to
the socket that ``NOTIFY_SOCKET`` names. Outside systemd nothing is sent.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping

from releve.config.legible import legible
from releve.supervisor.host.readable import readable

STATUS_MAX = 500


class Notifier:
    """Tells systemd about the service; does nothing outside systemd, and never raises."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))

    @property
    def active(self) -> bool:
        """Whether anybody listens."""
        return self._address is not None

    def ready(self, status: str = "") -> None:
        """The service serves (also: a reload has ended)."""
        self._send("READY=1", f"STATUS={_line(status)}" if status else "")

    def status(self, status: str) -> None:
        """The line that ``systemctl status`` shows."""
        self._send(f"STATUS={_line(status)}")

    def reloading(self, status: str = "") -> None:
        """A change of generations has begun; ``ready`` ends it."""
        self._send(
            "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", f"STATUS={_line(status)}" if status else ""
        )

    def stopping(self, status: str = "") -> None:
        """The stop has begun. Final: systemd takes nothing else after it for a running service."""
        self._send("STOPPING=1", f"STATUS={_line(status)}" if status else "")

    def main_pid(self, pid: int) -> None:
        """Which process is the service's main one."""
        self._send(f"MAINPID={pid}")

    def watchdog(self) -> None:
        """The supervisor is well (sd_watchdog_enabled(3))."""
        self._send("WATCHDOG=1")

    def store(self, name: str, fd: int) -> None:
        """Have systemd keep a duplicate of a descriptor, which it passes to whoever it starts next.

        Storing it again changes nothing.
        """
        self._send("FDSTORE=1", f"FDNAME={name}", fds=(fd,))

    def forget(self, name: str) -> None:
        """Have systemd close what it keeps under a name."""
        self._send("FDSTOREREMOVE=1", f"FDNAME={name}")

    async def barrier(self, within_s: float) -> bool:
        """Until systemd has done all that it was told (sd_notify_barrier(3)); False if it has not said so in time."""
        if self._address is None:
            return False
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                self._send("BARRIER=1", fds=(theirs,))
            finally:
                os.close(theirs)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await readable(ours)
                    return True
            return False
        finally:
            os.close(ours)

    def extend(self, seconds: float) -> None:
        """Ask systemd to wait for at least so many seconds more, in a start, a reload or a stop."""
        self._send(f"EXTEND_TIMEOUT_USEC={max(1, int(seconds * 1_000_000))}")

    def _send(self, *assignments: str, fds: tuple[int, ...] = ()) -> None:
        if self._address is None:
            return
        message = "\n".join(filter(None, assignments)).encode("utf-8", "replace")
        # A manager that is gone or does not read must never cost the service anything.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            sock.sendmsg([message], rights, 0, self._address)


def _address(text: str) -> str | None:
    """The socket's address: a path, or ``@name`` in the abstract namespace; other forms are not for us."""
    if text.startswith("/"):
        return text
    return "\0" + text[1:] if text.startswith("@") and len(text) > 1 else None


def _line(text: str) -> str:
    return legible(" ".join(text.split()))[:STATUS_MAX]
