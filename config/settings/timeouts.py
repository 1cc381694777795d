"""The settings of the block ``timeouts``: how long to wait for whom; all but one in seconds."""

from __future__ import annotations

from releve.config.frozen import dataclass
from releve.config.settings.key import key


@dataclass(frozen=True, slots=True)
class Timeouts:
    """``timeouts``: how long to wait for a client, for a boot, for a stop."""

    header: float = key(
        10.0, "duration", "For a whole request head, from its first byte; and for the first byte of a connection."
    )
    keepalive: float = key(75.0, "duration", "For the next request of an idle connection.")
    body: float = key(30.0, "duration", "Without a byte of the request body.")
    write: float = key(30.0, "duration", "Without the client taking a byte of the response.")
    min_rate: int | None = key(
        240,
        "size",
        "Bytes a second that a client must send of a body or take of a response, on average.",
        off="off",
        minimum=1,
    )
    request: float | None = key(
        None,
        "duration",
        "Since the application took or gave a byte; then its stack is logged, and its worker replaced.",
        off="off",
    )
    boot: float = key(60.0, "duration", "For a new generation, from its start until all its workers are ready.")
    bind: float | None = key(
        5.0,
        "duration",
        (
            "At the first start, for an address of listen that this host does not have yet, or that "
            "another process still holds."
        ),
        off="off",
        start=True,
        supervisor=True,
    )
    pre_stop: float | None = key(
        None,
        "duration",
        "At a stop, how long to serve on as before, while balancers in front take notice; then the drain begins.",
        off="off",
    )
    drain: float = key(30.0, "duration", "For requests in flight, at a stop.")
    linger: float = key(5.0, "duration", "Silence after which an idle connection is closed, at a stop.")
    exit: float = key(
        5.0, "duration", "For the end of a worker that has served its last request: hooks.on_exit, threads, atexit."
    )
