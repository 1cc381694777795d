"""The settings of the block ``proxy``: whom to believe what he says of a client."""

from __future__ import annotations

from releve.config.frozen import dataclass
from releve.config.settings.key import key


@dataclass(frozen=True, slots=True)
class Proxy:
    """``proxy``: whom to believe what a client's request has come through."""

    trusted: tuple[str, ...] = key(
        ("127.0.0.1", "::1", "unix:"),
        "networks",
        ("Peers whose X-Forwarded-For, -Proto and -Prefix count: addresses, networks, and unix: for Unix sockets."),
    )
    protocol: bool = key(
        False,
        "flag",
        "Require a PROXY protocol header from trusted peers, on each connection. No other peer may connect.",
    )
