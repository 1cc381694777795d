"""The guard file, for systemd (``PIDFile=``): whom to take for the main process when the supervisor is killed; so the unit lives on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from releve.supervisor import paths
from releve.supervisor.log import log

NAME = "guard.pid"


class GuardFile:
    """The file in the runtime directory, where systemd looks after us; else nothing is written."""

    def __init__(self, runtime: Path | None, active: bool) -> None:
        self._path = runtime / NAME if runtime is not None and active else None

    def name(self, pid: int) -> None:
        """Name whoever starts another supervisor."""
        if self._path is None:
            return
        try:
            with paths.parent(self._path) as (folder, name):
                folder.write(name, f"{pid}\n".encode(), 0o644)
        except OSError as error:
            log.warning("cannot write %s: %s; if this supervisor is killed, systemd starts the service anew", self._path, error.strerror)

    def hide(self) -> None:
        """Name nobody, for a while or for good."""
        if self._path is not None:
            with suppress(OSError):
                paths.remove(self._path)
