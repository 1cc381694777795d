"""The settings of the block ``upgrade``, and of the blocks that its ``check`` and its ``canary`` may be."""

from __future__ import annotations

from releve.config.frozen import dataclass
from releve.config.settings.key import key


@dataclass(frozen=True, slots=True)
class Check:
    """``upgrade.check``: the request that a new worker must answer before it gets traffic."""

    path: str = key("/", "target", "Path and query of the request.")
    host: str = key("localhost", "host", "Host header; Django expects one of its ALLOWED_HOSTS.")
    headers: dict[str, str] = key({}, "headers", "More request headers.")
    https: bool = key(False, "flag", "Mark the request as https (X-Forwarded-Proto).")
    expect: str = key("200-399", "statuses", "Statuses that pass: numbers and ranges, such as 200-299,404.")
    timeout: float = key(5.0, "duration", "Time limit for the whole answer.")


@dataclass(frozen=True, slots=True)
class Canary:
    """``upgrade.canary``: the part of the new connections that a new generation serves before the switch."""

    share: float = key(
        0.1,
        "share",
        "Share of the new connections; it is exact, not random.",
        minimum=0.01,
        maximum=0.99,
    )
    for_: float = key(30.0, "duration", "How long the canary lasts. Then the switch follows.")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """``upgrade``: how generations follow one another."""

    check: Check | None = key(
        None,
        "check",
        "Path (or path, host, headers, https, expect, timeout) that each new worker must answer to get traffic.",
        off="off",
    )
    mode: str = key(
        "switch",
        "choice",
        (
            "switch: start all new workers beside the old ones. rolling: replace worker by worker, with at most one "
            "more than usual, to save memory."
        ),
        choices=("switch", "rolling"),
    )
    canary: Canary | None = key(
        None,
        "canary",
        "Share (or share, for) of the new connections that a new generation serves before the switch, as a trial.",
        off="off",
        supervisor=True,
    )
    probation: float | None = key(
        5.0,
        "duration",
        "How long a new generation is watched after the switch. If it fails, Relève rolls back.",
        off="off",
    )
    standby: float | None = key(
        60.0,
        "duration",
        "How long the old generation stays ready for a rollback after the commit.",
        off="off",
    )
    retire: float = key(3600.0, "duration", "Time limit for the last requests of an old generation.")
