"""The verbs: what each one does once ``states.VERBS`` has let it pass.

Each takes the supervisor, the arguments and who asks, and gives the operation that it
began or joined, or a result where there is nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from releve.config.errors import ConfigError
from releve.instance import symptoms
from releve.instance.protocol import Event, Status, result
from releve.supervisor.host import policy
from releve.supervisor.inspection import doctor as examination
from releve.supervisor.inspection import dump as dumping
from releve.supervisor.inspection import facts, workload
from releve.supervisor.inspection import status as picture
from releve.supervisor.operations import reopen as reopening
from releve.supervisor.operations import scale as scaling
from releve.supervisor.operations.target import from_configuration
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log
from releve.supervisor.reporting.operation import Operation, failure
from releve.supervisor.service import drain as draining
from releve.supervisor.verbs import work
from releve.supervisor.verbs.stop import Request

if TYPE_CHECKING:
    from releve.supervisor.supervisor import Supervisor

Arguments = dict[str, Any]


async def status(supervisor: Supervisor, arguments: Arguments, by: str) -> Event:
    """The picture of everything."""
    return picture.snapshot(supervisor)


async def history(supervisor: Supervisor, arguments: Arguments, by: str) -> Event:
    """The last attempts."""
    limit = arguments.get("limit")
    history = supervisor.service.history
    entries = symptoms.thinned(history.entries(limit if isinstance(limit, int) else None))
    return result(Status.DONE, f"{len(entries)} attempts", entries=entries, pending=history.pending)


async def check(supervisor: Supervisor, arguments: Arguments, by: str) -> Event:
    """What an upgrade would start from, without starting anything."""
    service = supervisor.service
    try:
        target = await from_configuration(service, service.configuration)()
    except ConfigError as error:
        return result(Status.USAGE, str(error), step="configuration", reason=str(error), serving=service.serving_words())
    except StepFailed as error:
        return failure(error, Status.FAILED, service.serving_words(), "mend it; nothing was touched")
    target.listeners.abandon()
    pin = target.pin
    return result(Status.DONE, f"an upgrade would start {pin.app} in {pin.resolved} with {pin.python} (Python {pin.python_version})")


async def upgrade(supervisor: Supervisor, arguments: Arguments, by: str) -> Operation:
    """A new generation from what is on disk now, or a rehearsal of it."""
    service = supervisor.service
    configuration = service.configuration
    chosen = {key: str(arguments[key]) for key in ("directory", "python") if arguments.get(key)}
    if chosen:
        configuration = configuration.changed(**chosen)
    if policy.BOUNDS in arguments:
        configuration = configuration.bound(arguments[policy.BOUNDS])
    dry = bool(arguments.get("dry_run"))
    does = work.rehearsal(service, configuration) if dry else work.upgrading(service, configuration)
    return supervisor.begin("upgrade", by, does, dry=dry)


async def reload(supervisor: Supervisor, arguments: Arguments, by: str) -> Operation:
    """New settings for the generation in service."""
    return supervisor.begin("reload", by, work.reloading(supervisor.service))


async def rollback(supervisor: Supervisor, arguments: Arguments, by: str) -> Operation | Event:
    """Back to what served before; where an upgrade is on trial, or has a canary, by ending that."""
    service = supervisor.service
    trial = supervisor.operation if service.tried else None
    if trial is None:
        return supervisor.begin("rollback", by, work.rolling_back(service))
    trial.interrupt(f"rollback by {by}")
    await trial.finished.wait()
    back = not service.on_trial and "rollback" not in service.degraded
    return result(Status.DONE if back else Status.DEGRADED, f"ended {trial.verb} {trial.number}: {service.serving_words()}")


async def scale(supervisor: Supervisor, arguments: Arguments, by: str) -> Operation:
    """More workers, or fewer."""
    reset = bool(arguments.get("reset"))
    number = scaling.wanted(supervisor.service, arguments.get("workers"), reset)
    return supervisor.begin("scale", by, work.scaling(supervisor.service, number, reset))


async def abort(supervisor: Supervisor, arguments: Arguments, by: str) -> Event:
    """The end of the operation under way, before its commit."""
    operation = supervisor.operation
    serving = supervisor.service.serving_words
    if operation is None:
        return result(Status.USAGE, "cannot abort: no operation is under way that could be ended", serving=serving())
    what, ended_by = f"{operation.verb} {operation.number}", operation.stop_reason
    if not operation.interrupt(f"aborted by {by}") and not ended_by:
        if not operation.undoing:
            return result(Status.USAGE, f"cannot abort {what}: it is committed", serving=serving())
        ended_by = "it was being undone" if operation.dry else "it had failed, and was being undone"
    before = operation.committed
    await operation.finished.wait()
    if operation.committed and not before and "rollback" in supervisor.service.degraded:
        return result(Status.DEGRADED, f"ended {what}, but there was no way back: {serving()}", serving=serving())
    done = f"{what} was ended already: {ended_by}" if ended_by else f"aborted {what}"
    if operation.committed:  # all that was left to abort
        done = f"ended the hook of {what}, which is committed"
    return result(Status.DONE, done, serving=serving())


async def reopen(supervisor: Supervisor, arguments: Arguments, by: str) -> Event:
    """The log files anew, in every process."""
    return await reopening.reopen(supervisor.service, by)


async def stop(supervisor: Supervisor, arguments: Arguments, by: str) -> Operation:
    """The end of the service; asked again with ``now``, at once."""
    request = Request.NOW if arguments.get("now") else Request.HURRY if arguments.get("hurry") else Request.PLAIN
    return supervisor.stop.ask(by, request, final=not arguments.get("signalled"))  # a signal is perhaps systemd's, in a restart


async def reexec(supervisor: Supervisor, arguments: Arguments, by: str) -> Operation:
    """The supervisor itself, replaced by what is installed now."""
    return supervisor.begin("reexec", by, work.replacing(supervisor))


async def workers(supervisor: Supervisor, arguments: Arguments, by: str) -> Event:
    """Each worker, and what it serves now."""
    return await workload.snapshot(supervisor.service)


async def dump(supervisor: Supervisor, arguments: Arguments, by: str) -> Event:
    """The stacks of one process, or of all."""
    service = supervisor.service
    known = dumping.processes(service.generations())
    if arguments.get("all"):
        chosen = known
    else:
        name = str(arguments.get("process", ""))
        serving = service.serving
        one = dumping.choose(name, known, None if serving is None else serving.number)
        if one is None:
            names = ", ".join(f"{process.name} (pid {process.pid})" for process in known) or "none"
            return result(Status.USAGE, f"cannot dump {name!r}: no such process; there are {names}", serving=service.serving_words())
        chosen = [one]
    answers = [await dumping.dump(process) for process in chosen]
    dumping.fit(answers)
    silent = [f"{answer['process']}: {answer['trouble']}" for answer in answers if answer["trouble"]]
    failed = len(silent) == len(answers)
    message = f"cannot dump {'; '.join(silent)}" if failed else f"{len(answers) - len(silent)} processes"
    return result(Status.FAILED if failed else Status.DONE, message, processes=answers, serving=service.serving_words())


async def drain(supervisor: Supervisor, arguments: Arguments, by: str) -> Event:
    """New clients shall go elsewhere."""
    service = supervisor.service
    path = draining.asked_path(service.loaded.settings, service.serving)
    before = service.drain.seconds
    if before is not None:
        return result(Status.DONE, f"drained already, since {draining.clock(before)}; ctl undrain ends it")
    _record(supervisor, "drain", by, service.drain.begin)
    service.tell_roles()
    return result(Status.DONE, f"drained: {path} answers 503, requests are served as before; ctl undrain ends it")


async def undrain(supervisor: Supervisor, arguments: Arguments, by: str) -> Event:
    """They are welcome again."""
    service = supervisor.service
    if service.drain.seconds is None:
        return result(Status.DONE, "it is not drained")
    _record(supervisor, "undrain", by, service.drain.end)
    service.tell_roles()
    return result(Status.DONE, "no longer drained: new clients are welcome")


def _record(supervisor: Supervisor, verb: str, by: str, change: Callable[[], object]) -> None:
    """Do what takes no time, and keep it in the history; a disk in trouble does not hold it up."""
    service = supervisor.service
    described = service.describe(service.active)
    attempt = service.history.begin({"verb": verb, "by": by, "from": described}, rescue=True)
    change()
    service.history.finish(attempt, "done", to=described)
    words = service.serving_words()
    log.info("%s %d, asked by %s: %s", verb, attempt, by, words)
    if supervisor.stopping is None:
        service.notifier.status(words[0].upper() + words[1:])


async def doctor(supervisor: Supervisor, arguments: Arguments, by: str) -> Event:
    """What is not as it should be, here and on this host."""
    return examination.report(examination.examine(await facts.of_service(supervisor.service)))


Verb = Callable[["Supervisor", Arguments, str], Awaitable[Operation | Event]]

VERBS: dict[str, Verb] = {
    "status": status,
    "history": history,
    "check": check,
    "upgrade": upgrade,
    "reload": reload,
    "rollback": rollback,
    "scale": scale,
    "abort": abort,
    "reopen": reopen,
    "stop": stop,
    "reexec": reexec,
    "workers": workers,
    "dump": dump,
    "drain": drain,
    "undrain": undrain,
    "doctor": doctor,
}
