"""What ``misbehaving`` has noted of what was done to it, and what a client of it got."""

from __future__ import annotations

import json

from harness.workers import Client, Generation, connect, eventually


def events(generation: Generation) -> list[str]:
    """What the application has noted since the last time."""
    return json.loads(connect(generation).ask("/events").body)[1:]  # type: ignore[no-any-return]


def await_events(generation: Generation, count: int = 1) -> list[str]:
    """The same, once there are so many: for what happens behind the end of a response."""
    seen: list[str] = []

    def enough() -> bool:
        seen.extend(events(generation))
        return len(seen) >= count

    eventually(enough, f"{count} events")
    return seen


def serves(generation: Generation, client: Client | None = None) -> None:
    """An ordinary request is answered; its ``close`` is awaited, which would be one too many for the next test else."""
    assert (client or connect(generation)).ask("/closing").body == b"ab"
    await_events(generation)


def rest(client: Client) -> bytes:
    """Everything until the server closes."""
    data = b""
    while piece := client.socket.recv(65536):
        data += piece
    return data
