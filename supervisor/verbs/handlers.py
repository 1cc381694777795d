"""What each verb does once it is admitted.

Each handler takes its context, the arguments and who asks, and gives the operation that it began or joined, or a result
where there is nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from releve.config.errors import ConfigError
from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.instance import symptoms
from releve.instance.protocol import Event, Status, result
from releve.supervisor.host import policy
from releve.supervisor.inspection import doctor as examination
from releve.supervisor.inspection import dump as dumping
from releve.supervisor.inspection import facts, workload
from releve.supervisor.inspection import logs as places_of_logs
from releve.supervisor.inspection import settings as settings_in_force
from releve.supervisor.inspection import status as picture
from releve.supervisor.operations import reopen as reopening
from releve.supervisor.operations import restart as restarting
from releve.supervisor.operations import scale as scaling
from releve.supervisor.operations.target import from_configuration
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import log
from releve.supervisor.reporting.operation import Job, Operation, failure
from releve.supervisor.service import drain as draining
from releve.supervisor.service.service import Service
from releve.supervisor.verbs import jobs
from releve.supervisor.verbs.autoupgrade import AutoUpgrade
from releve.supervisor.verbs.dispatcher import Dispatcher
from releve.supervisor.verbs.stop import Request, Stop

Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Context:
    """What verbs work with."""

    service: Service
    dispatcher: Dispatcher
    stop: Stop
    autoupgrade: AutoUpgrade
    replace: Callable[[], Job]  # the supervisor itself, by what is installed now


async def status(context: Context, arguments: Arguments, by: str) -> Event:
    """The picture of everything."""
    dispatcher = context.dispatcher
    operation = dispatcher.stopping or dispatcher.operation
    return picture.snapshot(context.service, dispatcher.state, operation, context.autoupgrade.syntax_errors)


async def history(context: Context, arguments: Arguments, by: str) -> Event:
    """The last attempts; the newest of them where not all fit into one answer. Or one of them, by its number."""
    limit, number = arguments.get("limit"), arguments.get("attempt")
    history = context.service.history
    if isinstance(number, int):
        return _one_of(history.entries(), number)
    attempts = symptoms.thinned(history.entries(limit if isinstance(limit, int) else None))
    entries = symptoms.fitting(attempts)
    left_out = len(attempts) - len(entries)
    more = {"left_out": left_out} if left_out else {}
    return result(Status.DONE, counted(len(entries), "attempt"), entries=entries, pending=history.pending, **more)


def _one_of(attempts: list[dict[str, Any]], number: int) -> Event:
    for attempt in attempts:
        if attempt["id"] == number:
            return result(Status.DONE, "1 attempt", entries=[attempt])
    kept = f"#{attempts[0]['id']} to #{attempts[-1]['id']}" if attempts else "no attempts"
    return result(Status.USAGE, f"cannot show #{number}: the history has {kept}; `ctl history` lists the last ones")


async def check(context: Context, arguments: Arguments, by: str) -> Event:
    """What an upgrade would start from, without starting anything."""
    service = context.service
    try:
        target = await from_configuration(service, service.configuration, patient=False)()
    except ConfigError as error:
        return result(
            Status.USAGE, str(error), step="configuration", reason=str(error), serving=service.serving_words()
        )
    except StepFailed as error:
        return failure(error, Status.FAILED, service.serving_words(), "remove the cause; nothing was changed")
    target.listeners.abandon()
    pin = target.pin
    return result(
        Status.DONE,
        f"an upgrade would start {pin.app} in {pin.resolved} with {pin.python} (Python {pin.python_version})",
    )


async def upgrade(context: Context, arguments: Arguments, by: str) -> Operation:
    """A new generation from what is on disk now, or a rehearsal of it."""
    service = context.service
    configuration = service.configuration
    chosen = {key: str(arguments[key]) for key in ("directory", "python") if arguments.get(key)}
    if chosen:
        configuration = configuration.changed(**chosen)
    if policy.BOUNDS in arguments:
        configuration = configuration.bound(arguments[policy.BOUNDS])
    dry = bool(arguments.get("dry_run"))
    job = jobs.rehearsal(service, configuration) if dry else jobs.upgrading(service, configuration)
    return context.dispatcher.begin(job, by)


async def reload(context: Context, arguments: Arguments, by: str) -> Operation:
    """New settings for the generation in service."""
    return context.dispatcher.begin(jobs.reloading(context.service), by)


async def rollback(context: Context, arguments: Arguments, by: str) -> Operation | Event:
    """Back to what served before; where an upgrade is on trial, or has a canary, by ending that."""
    service = context.service
    trial = context.dispatcher.operation if service.tried else None
    if trial is None:
        return context.dispatcher.begin(jobs.rolling_back(service), by)
    trial.interrupt(f"rollback by {by}")
    await trial.finished.wait()
    back = not service.on_trial and "rollback" not in service.condition.degraded
    return result(
        Status.DONE if back else Status.DEGRADED, f"ended {trial.verb} {trial.number}: {service.serving_words()}"
    )


async def scale(context: Context, arguments: Arguments, by: str) -> Operation:
    """More workers, or fewer."""
    reset = bool(arguments.get("reset"))
    number = scaling.wanted(context.service, arguments.get("workers"), reset)
    return context.dispatcher.begin(jobs.scaling(context.service, number, reset), by)


async def abort(context: Context, arguments: Arguments, by: str) -> Event:
    """The end of the operation under way, before its commit."""
    operation = context.dispatcher.operation
    serving = context.service.serving_words
    if operation is None:
        return result(Status.USAGE, "cannot abort: no operation is under way", serving=serving())
    what, ended_by = f"{operation.verb} {operation.number}", operation.stop_reason
    if not operation.interrupt(f"aborted by {by}") and not ended_by:
        if not operation.undoing:
            return result(Status.USAGE, f"cannot abort {what}: it is committed", serving=serving())
        ended_by = "it is being undone" if operation.dry else "it failed and is being undone"
    before = operation.committed
    await operation.finished.wait()
    if operation.committed and not before and "rollback" in context.service.condition.degraded:
        return result(Status.DEGRADED, f"aborted {what}, but could not go back: {serving()}", serving=serving())
    done = f"{what} was already ending: {ended_by}" if ended_by else f"aborted {what}"
    if operation.committed:  # all that was left to abort
        done = f"killed the hook of {what}, which is committed"
    return result(Status.DONE, done, serving=serving())


async def reopen(context: Context, arguments: Arguments, by: str) -> Event:
    """The log files anew, in every process."""
    return await reopening.reopen(context.service, by)


async def stop(context: Context, arguments: Arguments, by: str) -> Operation:
    """The end of the service; asked again with ``now``, at once."""
    request = Request.NOW if arguments.get("now") else Request.HURRY if arguments.get("hurry") else Request.PLAIN
    # a signal is perhaps systemd's, in a restart
    return context.stop.ask(by, request, final=not arguments.get("signalled"))


async def reexec(context: Context, arguments: Arguments, by: str) -> Operation:
    """The supervisor itself, replaced by what is installed now."""
    return context.dispatcher.begin(context.replace(), by)


async def workers(context: Context, arguments: Arguments, by: str) -> Event:
    """Each worker, and what it serves now."""
    return await workload.snapshot(context.service, durations=bool(arguments.get("durations")))


async def dump(context: Context, arguments: Arguments, by: str) -> Event:
    """The stacks of one process, or of all."""
    service = context.service
    known = dumping.processes(service.generations())
    if arguments.get("all"):
        chosen = known
    else:
        name = str(arguments.get("process", ""))
        serving = service.serving
        one = dumping.choose(name, known, None if serving is None else serving.number)
        if one is None:
            names = ", ".join(f"{process.name} (pid {process.pid})" for process in known) or "none"
            return result(
                Status.USAGE,
                f"cannot dump {name!r}: no such process; the processes are {names}",
                serving=service.serving_words(),
            )
        chosen = [one]
    answers = [await dumping.dump(process) for process in chosen]
    dumping.fit(answers)
    silent = [f"{answer['process']}: {answer['trouble']}" for answer in answers if answer["trouble"]]
    failed = len(silent) == len(answers)
    message = (
        f"cannot dump {'; '.join(silent)}" if failed else counted(len(answers) - len(silent), "process", "processes")
    )
    return result(Status.FAILED if failed else Status.DONE, message, processes=answers, serving=service.serving_words())


async def drain(context: Context, arguments: Arguments, by: str) -> Event:
    """New clients shall go elsewhere."""
    service = context.service
    path = draining.asked_path(service.settings, service.serving)
    before = service.drain.seconds
    if before is not None:
        return result(Status.DONE, f"already drained since {draining.clock(before)}; ctl undrain ends the drain")
    _record(context, "drain", by, service.drain.begin)
    service.tell_roles()
    return result(
        Status.DONE, f"drained: {path} answers 503, and requests are served as usual; ctl undrain ends the drain"
    )


async def undrain(context: Context, arguments: Arguments, by: str) -> Event:
    """They are welcome again."""
    service = context.service
    if service.drain.seconds is None:
        return result(Status.DONE, "not drained")
    _record(context, "undrain", by, service.drain.end)
    service.tell_roles()
    return result(Status.DONE, "no longer drained: load balancers may send new clients")


def _record(context: Context, verb: str, by: str, change: Callable[[], object]) -> None:
    """Do what takes no time, and keep it in the history; a disk in trouble does not hold it up."""
    service = context.service
    described = service.describe(service.active)
    attempt = service.history.begin({"verb": verb, "by": by, "from": described}, rescue=True)
    change()
    service.history.finish(attempt, "done", to=described)
    log.info("%s %d by %s: %s", verb, attempt, by, service.serving_words())
    if context.dispatcher.stopping is None:
        service.announcer.serving()


async def doctor(context: Context, arguments: Arguments, by: str) -> Event:
    """What is not as it should be, here and on this host."""
    return examination.report(examination.examine(await facts.of_service(context.service)))


async def logs(context: Context, arguments: Arguments, by: str) -> Event:
    """Where the lines of the service go; ``ctl`` reads them with the rights of its own user."""
    return places_of_logs.places(context.service)


async def restart(context: Context, arguments: Arguments, by: str) -> Operation:
    """Other workers of the same release in the place of one, or of each."""
    name, everything = str(arguments.get("worker", "")), bool(arguments.get("all"))
    numbers = restarting.chosen(context.service, name, everything)
    return context.dispatcher.begin(jobs.restarting(context.service, numbers), by)


async def config(context: Context, arguments: Arguments, by: str) -> Event:
    """The settings in force, and where each was written."""
    return settings_in_force.picture(context.service)
