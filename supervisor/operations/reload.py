"""A reload: the same master, newly read settings, all workers anew. A small switch inside one generation.

It applies what can be applied without new code, and names each changed key that
needs an upgrade. Any failure ends the new workers; the old ones were never told.
"""

from __future__ import annotations

from contextlib import suppress

from releve.config.frozen import dataclass
from releve.config.settings import diff
from releve.config.settings.settings import Settings
from releve.config.settings.wire import to_wire
from releve.supervisor.channels.master import ORDER_S
from releve.supervisor.generation.generation import Generation
from releve.supervisor.listeners.plan import Plan
from releve.supervisor.operations.target import Late, late_in, plan
from releve.supervisor.operations.upgrade import prove
from releve.supervisor.release import release
from releve.supervisor.release.errors import ReleaseError
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.configuration import Configuration
from releve.supervisor.service.service import Service

NAMED_MAX = 5  # variables in one note


@dataclass(frozen=True, slots=True)
class _Target:
    settings: Settings
    listeners: Plan
    changed: list[str]
    late: Late


async def reload(service: Service, operation: Operation, configuration: Configuration) -> Generation:
    """Replace the workers of the generation in service. Raises StepFailed or ConfigError, after undoing."""
    generation = service.active
    if generation is None or generation.orphaned:
        raise StepFailed(
            "preflight", "cannot reload: the master of the generation in service exited; ctl upgrade starts another"
        )
    with operation.step("preflight"):
        target = _read(service, generation, configuration)
        for key in diff.needs_upgrade(target.changed):
            operation.note(f"{key} changed: it takes effect at the next ctl upgrade")
        if "env_file" not in target.changed:
            tell_of_variables(operation, generation)
        for note in target.late.notes():
            operation.note(note)
    revision = generation.new_revision()
    if target.listeners.added:
        service.tell_opening(target.listeners.added)
    try:
        known = generation.hello.get("settings", [])
        with operation.step("boot"), generation.files.lent(revision, target.settings.log, known) as files:
            await generation.orders.give(
                "reload",
                [*(one.socket.fileno() for one in target.listeners.all), *files.values()],
                generation.settings.timeouts.boot + ORDER_S,
                revision=revision,
                settings=to_wire(target.settings),
                listeners=[one.name for one in target.listeners.all],
                **dict.fromkeys(files, True),
            )
        with operation.step("check"):
            await prove(operation, generation, revision, target.settings.upgrade.check)
        with operation.step("switch"):
            operation.committed = True  # the master alone can go back from here, and does if it fails
            # which settings hold, its revision tells
            service.continuity.tell_coming(generation, service.standing(), target.settings)
            await generation.orders.give("switch", revision=revision)
    except BaseException:
        operation.undoing = True
        with suppress(StepFailed):
            await generation.orders.give("cancel", revision=revision)
        if generation.orphaned and not operation.committed:  # nobody else tells them that they are not wanted
            generation.roster.dismiss(revision)
        target.listeners.abandon()
        service.listeners.opening = []
        service.tell_roles()
        raise
    generation.reload(revision, target.settings, target.listeners.all)
    service.scaled = None
    service.commit_reload(generation)
    for trouble in target.listeners.commit():
        operation.note(trouble)
    return generation


def tell_of_variables(operation: Operation, generation: Generation) -> None:
    """Say what ``env_file`` says otherwise by now; processes that live keep what they were started with."""
    path = generation.settings.env_file
    try:
        names = release.changed_variables(generation.pin, generation.settings)
    except ReleaseError as error:
        operation.note(f"{error}; what runs keeps its variables, but ctl upgrade would fail")
        return
    if names:
        more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
        operation.note(
            f"{path} (env_file) changed ({', '.join(names[:NAMED_MAX])}{more}): it takes effect at the next ctl upgrade"
        )


def _read(service: Service, generation: Generation, configuration: Configuration) -> _Target:
    configured = configuration.read().settings
    changed = diff.changed(generation.settings, configured)
    settings = diff.apply_reload(generation.settings, configured)
    late = late_in(generation.settings, configured)
    return _Target(settings, plan(service, settings.listen, settings), changed, late)
