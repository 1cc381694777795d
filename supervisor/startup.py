"""The start of a supervisor: settings, folders, lock and log, until its loop runs."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path

from releve.config.errors import ConfigError, Place, Problem
from releve.config.reading.load import Loaded
from releve.config.settings.log import Log
from releve.config.settings.settings import Settings
from releve.instance import instances
from releve.instance.instances import InstanceError
from releve.instance.protocol import Status
from releve.server.shared import faults
from releve.server.shared.runtime import CARD_NAME
from releve.server.shared.system import raise_descriptor_limit, set_title
from releve.supervisor.channels.door import doors
from releve.supervisor.host import children, system
from releve.supervisor.keepsake import revival
from releve.supervisor.keepsake.revival import Folders
from releve.supervisor.listeners.inherited import inherited_sockets
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.history import History
from releve.supervisor.reporting.log import log, own
from releve.supervisor.service.configuration import Configuration
from releve.supervisor.service.lock import LockError, LockHeld, RuntimeLock
from releve.supervisor.service.sentry_process import SentryProcess
from releve.supervisor.service.service import Service
from releve.supervisor.supervisor import Supervisor
from releve.supervisor.systemd.notify import Notifier
from releve.supervisor.takeover import reexec, succession
from releve.supervisor.takeover.succession import Succession, SuccessionError
from releve.supervisor.verbs.permit import Permit, permit

# four for each worker that masters can tell us of, as many as a scoreboard has slots, of a few generations
DESCRIPTORS = 8192


def run(configuration: Configuration) -> int:
    """Be the supervisor of a service until it is stopped; returns the exit status of ``releve``.

    Raises ConfigError (the settings), InstanceError and LockError (the folders), of which systemd is told.
    """
    try:
        return _run(configuration)
    except (ConfigError, InstanceError, LockError) as error:
        Notifier(os.environ).status(f"Cannot start: {error}")
        raise


def _run(configuration: Configuration) -> int:
    system.fill_standard()
    raise_descriptor_limit(DESCRIPTORS)
    arrived = _arrived()
    lived = revival.folders(os.environ) if arrived is None else arrived.bequest.folders
    loaded, broken = _read(configuration, new=lived is None)
    _begin_log(configuration, loaded.settings.log, new=lived is None)
    _tell_of_settings(loaded)
    folders = lived or _folders(configuration, loaded.settings)
    allowed = permit(folders.control_group, revived=lived is not None)
    sentry = SentryProcess()
    sentry.take_over(os.environ)
    lock = _lock(folders.runtime, allowed, arrived, new=lived is None)
    if lock is None:  # another one supervises, or there is nothing to
        sentry.dismiss()
        return Status.DONE
    set_title(f"releve: supervisor {configuration.title}", "releve")
    try:
        allowed.warn(folders.runtime)
        _warn_of_history(folders.state)
        children.become_subreaper()

        async def main() -> int:
            history = History(str(folders.state), None if arrived is None else arrived.going_on)
            inherited = inherited_sockets(os.environ, os.getpid()) if arrived is None else succession.inherited(arrived)
            service = Service(configuration, loaded.settings, history, Notifier(os.environ), folders, inherited, sentry)
            status = await Supervisor(service, lock, allowed, broken, arrived).main()
            sentry.dismiss(ending=True)
            # the loop's handlers go with it: another SIGTERM would be the exit status of a stop that is over
            system.hold_signals()
            return status

        return asyncio.run(main())
    except SuccessionError as error:
        log.error("%s; the guard starts another supervisor", error)
        os._exit(Status.UNEXPECTED)  # nothing that we hold may be tidied up: it serves
    finally:
        lock.release()


def _arrived() -> Succession | None:
    """What the program before this one hands over in the same process. Raises InstanceError."""
    try:
        return reexec.arrived(os.environ)
    except SuccessionError as error:
        raise InstanceError(str(error)) from error


def _read(configuration: Configuration, *, new: bool) -> tuple[Loaded, ConfigError | None]:
    """The settings, and what is wrong with them. Raises ConfigError for a ``new`` service.

    One that follows another supervisor takes over what runs all the same, with its own settings.
    """
    try:
        return configuration.read(), None
    except ConfigError as error:
        if new:
            raise
        return Loaded(Settings(), configuration.path), error


def _begin_log(configuration: Configuration, settings: Log, *, new: bool) -> None:
    """Raises ConfigError if the file cannot be opened; a supervisor that follows another one does without."""
    try:
        own.follow(settings)
    except StepFailed as error:
        if new:
            raise ConfigError([Problem(Place(str(configuration.path or "the command line")), error.reason)]) from error
        own.follow(dataclasses.replace(settings, file="-"))
        log.error("%s", error.reason)


def _tell_of_settings(loaded: Loaded) -> None:
    """Say where settings come from, and what they make think of. Raises ConfigError for what only tests set."""
    if faults.trouble():
        raise ConfigError([Problem(Place("the environment"), faults.trouble())])
    for key, source in loaded.sources.items():
        log.info("%s comes from %s", key, source)
    for note in loaded.notes:
        log.warning("%s", note)


def _folders(configuration: Configuration, settings: Settings) -> Folders:
    """Where a new service lives. Raises InstanceError."""
    return Folders(
        configuration.runtime_directory(settings.runtime_directory),
        configuration.state_directory(settings.state_directory),
        settings.control_group,
    )


def _lock(runtime: Path, allowed: Permit, arrived: Succession | None, *, new: bool) -> RuntimeLock | None:
    """The lock of the runtime directory; None if a guard has started this process, and it is not needed.

    Raises LockError; LockHeld for a ``new`` service.
    """
    if arrived is not None:
        return RuntimeLock.held(runtime, arrived.bequest.lock, allowed.folder)
    try:
        lock = RuntimeLock.acquire(runtime, allowed.folder)
    except LockHeld as error:
        if new:
            raise
        # several guards may each have started one
        log.info("not needed: the supervisor with pid %s took over", error.pid)
        return None
    if not new and not (runtime / CARD_NAME).exists() and not any(doors(runtime)):
        log.info("not needed: the service was stopped")  # in order: one that is killed leaves its card behind
        lock.release()
        return None
    return lock


def _warn_of_history(state: Path) -> None:
    if instances.is_temporary(state, os.geteuid()):
        log.warning(
            "the history is in %s, which may not survive a reboot or a new container: set state_directory to keep it",
            state,
        )
