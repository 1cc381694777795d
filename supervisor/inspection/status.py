"""The picture that ``ctl status`` shows: the service, its generations, their workers."""

from __future__ import annotations

import os
import time
from typing import Any

from releve.instance.protocol import Event, Status, result
from releve.supervisor.generation.generation import Generation
from releve.supervisor.host.usage import CpuMeter, Usage, memory
from releve.supervisor.inspection.worker_numbers import numbers
from releve.supervisor.listeners.accept_queue import accept_queue
from releve.supervisor.reporting.operation import Operation
from releve.supervisor.service.service import Service
from releve.supervisor.service.states import ServiceState

NUMBERS = ("accepted", "diverted", "received", "given")  # of a worker


def snapshot(service: Service, doing: ServiceState, operation: Operation | None, syntax_errors: list[str]) -> Event:
    """The state of everything, as the result of the verb ``status``."""
    service.condition.judge()
    generations = service.generations()
    pids = [worker.pid for generation in generations for worker in generation.workers.values()]
    usage = memory(pids)
    state = _state(service, doing)
    entries = service.history.entries(1)
    degraded = list(service.condition.degraded.values())
    load = service.load()
    saturated = load.words if service.saturation.look(load) else None
    failing = service.failing()
    return result(
        Status.DEGRADED if state == "degraded" else Status.DONE,
        _message(state, degraded, {"saturated": saturated, "failing": failing}, service.serving_words()),
        service={
            "name": service.configuration.name,
            "app": service.settings.served,
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - service.started, 1),
            "config": str(service.configuration.path) if service.configuration.path else None,
            "listeners": [one.name for one in service.listeners.in_service],
            "state": state,
            "operation": None
            if operation is None
            else {
                "verb": operation.verb,
                "number": operation.number,
                "phase": operation.phase,
                "doing": operation.doing,
                "since_s": operation.seconds,
                "phases": dict(operation.times),
                "by": operation.by,
            },
            "degraded": degraded,
            "draining": service.drain.picture(),
            "saturated": saturated,
            "failing": failing,
            "load": {
                "busy": load.busy,
                "threads": load.threads or None,
                "waiting": load.waiting,
                "full_s": None if load.full_s is None else round(load.full_s, 1),
            },
            "queues": [
                {"listener": one.name, "waiting": queue.waiting, "most": queue.most}
                for one in service.listeners.in_service
                if (queue := accept_queue(one.socket)) is not None
            ],
            "workers_serving": 0 if service.serving is None else service.serving.roster.serving(),
            "workers_wanted": service.wanted_workers,
            "scaled": service.scaled is not None,
            "watch": service.settings.watch,
            "syntax_errors": syntax_errors,
            "history_pending": service.history.pending,
        },
        generations=[_generation(one, usage, service.cpu, active=one is service.active) for one in generations],
        last=entries[-1] if entries else None,
    )


def _state(service: Service, doing: ServiceState) -> str:
    if doing in (ServiceState.OPERATING, ServiceState.RECOVERING):
        return "degraded" if service.condition.degraded else "serving"
    if doing is ServiceState.SERVING and service.condition.degraded:
        return "degraded"
    return str(doing.value)


def _message(state: str, degraded: list[str], pressed: dict[str, str | None], serving: str) -> str:
    """In one line. ``pressed``: what else there is to say, by a word of state; None: it is not so."""
    why = degraded if state == "degraded" else []
    for word, told in pressed.items():
        if told and why:
            why = [*why, f"{word}: {told}"]
        elif told:
            state, why = f"{state}, {word}", [told]
    return f"{state}: {'; '.join([*why, serving])}"


def _generation(generation: Generation, usage: dict[int, Usage], cpu: CpuMeter, *, active: bool) -> dict[str, Any]:
    pin = generation.pin
    return {
        "generation": generation.number,
        "state": generation.state.value,
        "active": active,
        "orphaned": generation.orphaned,
        "pid": generation.pid,
        "age_s": round(time.monotonic() - generation.started, 1),
        "directory": pin.directory,
        "resolved": pin.resolved,
        "release": os.path.basename(pin.resolved),
        "python": pin.python,
        "python_version": pin.python_version,
        "releve": generation.hello.get("releve"),
        "lent": pin.lend,
        "revision": pin.revision,
        "preloaded": generation.news.preloaded,
        "mixed": [*generation.news.mixed, *generation.news.astray],
        "broken": generation.news.broken,
        "losses": generation.roster.losses.words(),
        "crashes": [one.picture() for one in generation.crashes.recent],
        "workers": [
            numbers(worker, worker.record(generation.board), usage.get(worker.pid), cpu, *NUMBERS)
            for _, worker in sorted(generation.workers.items())
        ],
    }
