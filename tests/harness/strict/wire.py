"""One connection of a client: made, read from, found to be still there."""

from __future__ import annotations

import asyncio
import contextlib

from harness.strict.answer import Broken


async def connect(target: str, patience_s: float) -> Wire:
    """A connection to ``tcp:HOST:PORT`` or ``unix:PATH``. Raises Broken."""
    loop = asyncio.get_running_loop()
    kind, _, place = target.partition(":")
    try:
        async with asyncio.timeout(patience_s):
            if kind == "unix":
                _, wire = await loop.create_unix_connection(Wire, place)
            else:
                host, _, port = place.rpartition(":")
                _, wire = await loop.create_connection(Wire, host.strip("[]"), int(port))
    except TimeoutError:
        raise Broken("timeout", f"connect to {target}") from None
    except OSError as error:
        raise Broken("refused", f"connect to {target}: {error}") from None
    return wire


class Wire(asyncio.Protocol):
    """One connection: what has arrived on it and whether it has ended."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended: str | None = None
        self.news = asyncio.Event()
        self.position = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.news.set()

    def eof_received(self) -> bool:
        self.ended = self.ended or "closed"
        self.news.set()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self.ended = f"reset ({error})"
        self.ended = self.ended or "closed"
        self.news.set()

    async def change(self, seconds: float | None) -> None:
        """Wait until something arrives, the end, a wake-up, or ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.news.wait()
        self.news.clear()

    def untroubled(self) -> None:
        """While idle it says nothing and stays. Raises Broken."""
        if self.data:
            raise Broken("extra", f"{len(self.data)} bytes nobody asked for: {bytes(self.data[:60])!r}")
        if self.ended:
            raise Broken("idle", f"{self.ended} while idle, unannounced")

    def close(self) -> None:
        self.transport.close()
