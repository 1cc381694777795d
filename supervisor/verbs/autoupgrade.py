"""Upgrades by themselves, when files change. Follows the settings of the generation in service."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from releve.supervisor.reporting.log import log
from releve.supervisor.service.service import Service
from releve.supervisor.verbs.file_watcher import Watcher, WatchError, syntax_errors

_RETRY_S = 0.2  # while another operation is under way


class AutoUpgrade:
    """Holds the watcher that the settings ask for, if any. Lives in the supervisor's loop."""

    def __init__(self, service: Service, upgrade: Callable[[str], bool]) -> None:
        self._service = service
        self._upgrade = upgrade
        self._watcher: Watcher | None = None
        self._mode = ("off", "")
        self._pending = False
        self.syntax_errors: list[str] = []  # what keeps ``watch: code`` from upgrading

    def follow(self) -> None:
        """Watch what the generation in service was started from, if the settings say so."""
        active = self._service.active
        if active is None:
            return
        settings = active.settings
        where = active.pin.resolved if settings.watch == "code" else settings.directory
        mode = (settings.watch, where)
        if mode == self._mode:
            return
        self.stop()
        self._mode = mode
        if settings.watch != "off":
            config = self._service.configuration.path
            files = [str(config)] if config is not None and settings.watch == "code" else []
            watcher = Watcher(settings.watch, settings.directory, asyncio.get_running_loop(), self._changed, files)
            try:
                watcher.start()
            except WatchError as error:
                log.error("%s", error)
                return
            self._watcher = watcher
            log.info("watching %s (%s)", where, settings.watch)

    def stop(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None
        self._mode = ("off", "")

    def _changed(self, files: list[str]) -> None:
        active = self._service.active
        if active is not None and active.pin.python_version.split(".")[:2] == [
            str(part) for part in sys.version_info[:2]
        ]:
            self.syntax_errors = syntax_errors(files)  # of another Python's grammar only an upgrade can tell
        if self.syntax_errors:
            for error in self.syntax_errors:
                log.error("cannot upgrade: %s; %s", error, self._service.serving_words())
            return
        log.info("changed: %s", ", ".join(files[:5]) or self._mode[1])
        self._try()

    def _try(self) -> None:
        if self._mode[0] == "off":
            return
        if not self._upgrade(self._mode[0]) and not self._pending:
            self._pending = True
            asyncio.get_running_loop().call_later(_RETRY_S, self._again)

    def _again(self) -> None:
        self._pending = False
        self._try()
