"""The settings of the block ``limits``: what one client may ask for, and what one worker may hold."""

from __future__ import annotations

from releve.config.frozen import dataclass
from releve.config.settings.key import key

HEAD_MAX_BYTES = 1 << 24  # a head is held in memory, once for each connection


@dataclass(frozen=True, slots=True)
class Limits:
    """``limits``: what one client may ask for."""

    request_line: int = key(8190, "size", "Longest request line.", minimum=64, maximum=HEAD_MAX_BYTES)
    headers: int = key(100, "count", "Largest number of header fields in one request.", minimum=1, maximum=10_000)
    header: int = key(8190, "size", "Longest single header field.", minimum=64, maximum=HEAD_MAX_BYTES)
    head: int = key(65536, "size", "Longest request head, all lines together.", minimum=256, maximum=HEAD_MAX_BYTES)
    body: int | None = key(None, "size", "Longest request body.", off="unlimited", minimum=1)
    spool: int | None = key(
        1 << 30,
        "size",
        (
            "Total size of the files where one worker keeps request bodies while clients send them. off: no "
            "files, and a slow body occupies a thread."
        ),
        off="off",
        minimum=1,
    )
    streams: int | None = key(
        None,
        "count",
        (
            "Number of requests in one worker that the application may get before their body is complete. auto: a "
            "quarter of threads, for fast clients."
        ),
        off="auto",
        minimum=1,
        maximum=1000,
    )
    connections: int = key(
        10000,
        "count",
        "Largest number of open connections of one worker. Beyond that, the one that is idle longest is closed.",
        minimum=1,
        maximum=1_000_000,
    )
    requests: int | None = key(
        None,
        "count",
        "Number of requests after which a worker is replaced.",
        off="off",
        minimum=1,
    )
    requests_jitter: int = key(
        0,
        "count",
        "Largest random number that is added to limits.requests, so that workers are not replaced together.",
        minimum=0,
    )
    rss: int | None = key(None, "size", "Resident memory above which a worker is replaced.", off="off", minimum=1)
    backlog: int = key(
        2048,
        "count",
        "Length of the accept queue of each listener; the kernel caps it at net.core.somaxconn.",
        minimum=1,
        maximum=65_535,
    )

    @property
    def descriptors(self) -> int:
        """How many descriptors the connections of one worker may take: a socket each, and the file of its body."""
        return self.connections * (1 if self.spool is None else 2)
