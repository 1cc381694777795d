"""The settings of the block ``timeouts``: how long to wait for whom; all but one in seconds."""

from __future__ import annotations

from releve.config.frozen import dataclass
from releve.config.settings.key import key


@dataclass(frozen=True, slots=True)
class Timeouts:
    """``timeouts``: how long to wait for a client, for a boot, for a stop."""

    header: float = key(
        10.0, "duration", "For the first byte of a connection, and for a whole request head from its first byte."
    )
    keepalive: float = key(75.0, "duration", "For the next request of an idle connection.")
    body: float = key(30.0, "duration", "For the next bytes of a request body.")
    write: float = key(30.0, "duration", "For the client to read the next bytes of a response.")
    min_rate: int | None = key(
        240,
        "size",
        "Bytes per second, on average, that a client must send of a body or read of a response.",
        off="off",
        minimum=1,
    )
    request: float | None = key(
        None,
        "duration",
        "For the application to read or write the next bytes. Then Relève logs its stack and replaces the worker.",
        off="off",
    )
    boot: float = key(60.0, "duration", "For a new generation, from its start until all its workers are ready.")
    bind: float | None = key(
        5.0,
        "duration",
        (
            "For an address of listen that, at the first start, this host does not have yet or "
            "another process still uses."
        ),
        off="off",
        start=True,
        supervisor=True,
    )
    pre_stop: float | None = key(
        None,
        "duration",
        "At a stop: how long to keep serving while load balancers notice. Then the drain begins.",
        off="off",
    )
    drain: float = key(30.0, "duration", "At a stop: for requests in flight.")
    linger: float = key(5.0, "duration", "At a stop: silence after which an idle connection is closed.")
    exit: float = key(5.0, "duration", "For a worker to exit after its last request: hooks.on_exit, threads, atexit.")
