"""In the worker, before its loop: the application and its hooks, loaded here or inherited from the master."""

from __future__ import annotations

import contextlib

from releve.server.process import hazards, reseed
from releve.server.shared import system
from releve.server.shared.faults import fault
from releve.server.shared.link import EXIT_BOOT, Link, LinkError, clip
from releve.server.worker.exit import inherit, leave_unbooted
from releve.server.worker.setup import Application, WorkerSetup
from releve.server.wsgi import django as databases
from releve.server.wsgi import hooks
from releve.server.wsgi.application import BootError, traceback_text

UNBOOTED_S = 1.0  # for the end of a worker whose boot has failed


def load(setup: WorkerSetup) -> tuple[Application, hooks.Functions]:
    """The application, and its functions that are called at a turn of the worker's life.

    Ends the process where that fails, whatever is raised.
    """
    settings = setup.settings
    try:
        fault("worker_boot")
        system.die_with_parent(True)  # an import that hangs would not see the end of the control pair
        if setup.application is None:
            application = setup.load()
        else:
            application = setup.application
            inherit()
            reseed.seed_anew()
        if setup.application is None and (files := setup.astray()):
            setup.control.send({"type": "mixed", "files": files, "astray": True})
        functions = hooks.find(settings.hooks)
        hooks.after_fork(functions)
        for text in (
            *hazards.missed(setup.early),
            *(hazards.patches(settings.threads) if setup.application is None else ()),
        ):
            setup.control.send({"type": "remark", "text": clip(text, 600)})
        if setup.application is None and databases.in_use():
            with contextlib.suppress(Exception):
                databases.close()  # what the import has opened in this thread, which may never need it again
        system.die_with_parent(False)
    except BaseException as error:
        report_failure(setup.control, error)
        leave_unbooted(setup.number, min(settings.timeouts.exit, UNBOOTED_S), EXIT_BOOT)
    return application, functions


def report_failure(control: Link, error: BaseException) -> None:
    """Tell the master why this worker does not come to serve."""
    if not isinstance(error, BootError):
        error = BootError(f"cannot import the application: {type(error).__name__}: {error}", traceback_text(error))
    with contextlib.suppress(LinkError):
        control.send(
            {"type": "failed", "step": error.step, "reason": clip(error.reason), "traceback": clip(error.traceback)}
        )
