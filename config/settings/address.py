"""An address to listen on, as a value; ``kinds/addresses.py`` reads its text."""

from __future__ import annotations

from releve.config.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: one of TCP, a Unix socket, or a socket inherited by name.

    ``kind`` is ``tcp`` (``host``, ``port``), ``unix`` (``path``, and optionally
    ``mode``, ``owner``, ``group``) or ``fd`` (``name``, from socket activation).
    """

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    mode: int = 0o666
    owner: str | None = None
    group: str | None = None
    name: str = ""

    def __str__(self) -> str:
        """The address as written in YAML; it also names the listener everywhere."""
        if self.kind == "unix":
            return f"unix:{self.path}"
        if self.kind == "fd":
            return f"fd:{self.name}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
