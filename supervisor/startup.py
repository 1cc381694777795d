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
from releve.server.shared.system import raise_descriptor_limit
from releve.supervisor.channels.door import doors
from releve.supervisor.host import children, system
from releve.supervisor.keepsake import revival
from releve.supervisor.listeners.inherited import inherited_sockets
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.history import History
from releve.supervisor.reporting.log import log, own
from releve.supervisor.service.configuration import Configuration
from releve.supervisor.service.lock import LockHeld, RuntimeLock
from releve.supervisor.service.sentry_process import SentryProcess
from releve.supervisor.service.service import Service
from releve.supervisor.supervisor import Supervisor
from releve.supervisor.systemd.notify import Notifier
from releve.supervisor.takeover import reexec, succession
from releve.supervisor.takeover.succession import SuccessionError
from releve.supervisor.verbs.permit import permit

# four for each worker that masters can tell us of, as many as a scoreboard has slots, of a few generations
DESCRIPTORS = 8192


def run(configuration: Configuration) -> int:
    """Be the supervisor of a service until it is stopped; returns the exit status of ``releve``.

    Raises ConfigError (the settings), InstanceError and LockError (the folders).
    """
    system.fill_standard()
    raise_descriptor_limit(DESCRIPTORS)
    try:
        arrived = reexec.arrived(os.environ)
    except SuccessionError as error:
        raise InstanceError(str(error)) from error
    lived = (
        revival.folders(os.environ)
        if arrived is None
        else revival.Folders(Path(arrived.bequest.runtime), Path(arrived.bequest.state), arrived.bequest.control_group)
    )
    try:
        loaded, broken = configuration.read(), None
    except ConfigError as error:
        if lived is None:
            raise
        # what runs is taken over all the same, with its own settings
        loaded, broken = Loaded(Settings(), configuration.path), error
    _begin_log(configuration, loaded.settings.log, new=lived is None)
    if faults.trouble():
        raise ConfigError([Problem(Place("the environment"), faults.trouble())])
    for key, source in loaded.sources.items():
        log.info("%s comes from %s", key, source)
    for note in loaded.notes:
        log.warning("%s", note)
    runtime = lived.runtime if lived else configuration.runtime_directory(loaded.settings.runtime_directory)
    state = lived.state if lived else configuration.state_directory(loaded.settings.state_directory)
    group = lived.control_group if lived else loaded.settings.control_group
    folders = revival.Folders(runtime, state, group)
    allowed = permit(group, revived=lived is not None)
    sentry = SentryProcess()
    sentry.take_over(os.environ)
    try:
        if arrived is None:
            lock = RuntimeLock.acquire(runtime, allowed.folder)
        else:
            lock = RuntimeLock.held(runtime, arrived.bequest.lock, allowed.folder)
    except LockHeld as error:
        sentry.dismiss()
        if lived is None:
            raise
        # several guards may each have started one
        log.info("not needed: the supervisor with pid %s has taken over", error.pid)
        return Status.DONE
    if lived is not None and arrived is None and not (runtime / CARD_NAME).exists() and not any(doors(runtime)):
        log.info("not needed: the service was stopped meanwhile")  # in order: one that is killed leaves its card behind
        sentry.dismiss()
        lock.release()
        return Status.DONE
    try:
        allowed.warn(runtime)
        if instances.is_temporary(state, os.geteuid()):
            log.warning(
                (
                    "the history is kept in %s, which may not outlive a boot or a container: set "
                    "state_directory to keep it"
                ),
                state,
            )
        children.become_subreaper()

        async def main() -> int:
            history = History(str(state), None if arrived is None else arrived.going_on)
            inherited = inherited_sockets(os.environ, os.getpid()) if arrived is None else succession.inherited(arrived)
            service = Service(configuration, loaded.settings, history, Notifier(os.environ), folders, inherited, sentry)
            status = await Supervisor(service, runtime, lock, allowed, broken, arrived).main()
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


def _begin_log(configuration: Configuration, settings: Log, *, new: bool) -> None:
    """Raises ConfigError if the file cannot be opened; a supervisor that follows another one does without."""
    try:
        own.follow(settings)
    except StepFailed as error:
        if new:
            raise ConfigError([Problem(Place(str(configuration.path or "the command line")), error.reason)]) from error
        own.follow(dataclasses.replace(settings, file="-"))
        log.error("%s", error.reason)
