"""The guard file, for systemd (``PIDFile=``): whom to take for the main process when the supervisor is killed; so the
unit lives on.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from releve.instance import paths
from releve.server.shared.runtime import GUARD_NAME
from releve.supervisor.reporting.log import log


class GuardFile:
    """The file in the runtime directory, where systemd looks after us; else nothing is written."""

    def __init__(self, runtime: Path | None, active: bool) -> None:
        self._path = runtime / GUARD_NAME if runtime is not None and active else None
        self._named = 0  # 0: nobody

    def name(self, pid: int) -> None:
        """Name whoever starts another supervisor."""
        if self._path is None:
            return
        self._named = pid
        try:
            with paths.parent(self._path) as (folder, name):
                folder.write(name, f"{pid}\n".encode(), 0o644)
        except OSError as error:
            log.warning(
                "cannot write %s: %s; if this supervisor is killed, systemd restarts the service",
                self._path,
                error.strerror,
            )

    def renew(self) -> bool:
        """Write it again where it has gone; whether it had."""
        if self._path is None or not self._named or self._path.exists():
            return False
        self.name(self._named)
        return True

    def stand_in(self) -> None:
        """Name the supervisor itself, for a while: systemd reads the file, and finds the main process that it knows."""
        self.name(os.getpid())

    def remove(self) -> None:
        """Name nobody, for good."""
        self._named = 0
        if self._path is not None:
            with suppress(OSError):
                paths.remove(self._path)
