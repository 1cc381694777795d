"""How the clients are to behave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """All that may be said when the strict client is started."""

    to: tuple[str, ...]  # addresses: tcp:HOST:PORT or unix:PATH
    clients: int = 40
    think: float = 10.0  # longest pause between two requests, seconds
    think_mean: float = 0.2  # their mean
    keepalive: float = 75.0  # the server may close a connection idle for so many seconds
    patience: float = 30.0  # longest wait for an answer, seconds
    split: float = 0.05  # share of requests sent in two parts
    rounds: bool = False  # all clients keep their connection, and send when told
    unordered: bool = False  # a proxy is in front: its connections may go back
    host: str = "localhost"  # Host header
    seed: int = 1
    failures: int = 50  # so many are reported one by one
