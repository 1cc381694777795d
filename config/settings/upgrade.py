"""The settings of the block ``upgrade``, and of the blocks that its ``check`` and its ``canary`` may be."""

from __future__ import annotations

from releve.config.frozen import dataclass
from releve.config.settings.key import key


@dataclass(frozen=True, slots=True)
class Check:
    """``upgrade.check``: the request that a new worker must answer before it gets traffic."""

    path: str = key("/", "target", "Path and query to ask for.")
    host: str = key("localhost", "host", "Host header; Django wants one of its ALLOWED_HOSTS.")
    headers: dict[str, str] = key({}, "headers", "More request headers.")
    https: bool = key(False, "flag", "Say that the request came by https (X-Forwarded-Proto).")
    expect: str = key("200-399", "statuses", "Statuses that pass: numbers and ranges, as in 200-299,404.")
    timeout: float = key(5.0, "duration", "For the whole answer.")


@dataclass(frozen=True, slots=True)
class Canary:
    """``upgrade.canary``: the part of the new connections that a new generation serves before the switch."""

    share: float = key(0.1, "share", "Of the new connections; counted, not left to chance.", minimum=0.01, maximum=0.99)
    for_: float = key(30.0, "duration", "How long; then the switch follows.")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """``upgrade``: how generations follow one another."""

    check: Check | None = key(
        None,
        "check",
        "Path (or path, host, headers, https, expect, timeout) asked of every new worker before it gets traffic.",
        off="off",
    )
    mode: str = key(
        "switch",
        "choice",
        (
            "switch: all new workers beside all old ones; rolling: worker by worker, never more than one "
            "extra, for tight memory."
        ),
        choices=("switch", "rolling"),
    )
    canary: Canary | None = key(
        None,
        "canary",
        "Share (or share, for) of the new connections that a new generation serves, watched, before the switch.",
        off="off",
        supervisor=True,
    )
    probation: float | None = key(
        5.0, "duration", "How long a new generation is watched after the switch; what is bad goes back.", off="off"
    )
    standby: float | None = key(60.0, "duration", "How long the old generation stays warm after the commit.", off="off")
    retire: float = key(3600.0, "duration", "How long the last requests of an old generation may take.")
