"""The workload that ``ctl workers`` shows: each worker of each generation, with the requests that it serves now."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from releve.config.grammar import counted
from releve.instance.protocol import Event, Status, result
from releve.server.scoreboard.inflight import serving
from releve.server.shared.states import HEARING
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.inflight import describe
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host.usage import CpuMeter, Usage, memory
from releve.supervisor.inspection.worker_numbers import numbers
from releve.supervisor.service.service import Service

PING_S = 0.3  # how long a worker may take to turn its loop
LOOK_S = 0.005


async def snapshot(service: Service, *, durations: bool = False) -> Event:
    """The workers, as the result of the verb.

    They are pinged first: a heartbeat that stays old is a loop that hangs. ``durations``: also how long requests took,
    by the buckets of the scoreboard.
    """
    crew = [(one, worker) for one in service.generations() for _, worker in sorted(one.workers.items())]
    await _ping(crew)
    crew = [(one, worker) for one, worker in crew if worker.number in one.workers]  # some may have gone
    usage = memory([worker.pid for _, worker in crew])
    now_ns = time.monotonic_ns()
    workers = [_worker(one, worker, usage.get(worker.pid), service.cpu, now_ns) for one, worker in crew]
    if durations:
        for (one, worker), told in zip(crew, workers, strict=True):
            told["durations"] = _durations(one, worker)
    busy = sum(len(worker["requests_now"]) for worker in workers)
    return result(
        Status.DONE,
        f"{counted(len(workers), 'worker')}, {counted(busy, 'request')} in the application",
        workers=workers,
    )


async def _ping(crew: list[tuple[Generation, Worker]]) -> None:
    sent_ns = time.monotonic_ns()
    waiting = [(one, worker) for one, worker in crew if worker.state in HEARING and worker.tell("ping")]
    until = time.monotonic() + PING_S
    while waiting and time.monotonic() < until:
        await asyncio.sleep(LOOK_S)
        waiting = [(one, worker) for one, worker in waiting if not _turned(one, worker, sent_ns)]


def _turned(generation: Generation, worker: Worker, sent_ns: int) -> bool:
    return generation.state is GenerationState.GONE or generation.board.read(worker.slot).heartbeat_ns > sent_ns


def _durations(generation: Generation, worker: Worker) -> list[int]:
    record = worker.record(generation.board)
    return list(record.durations) if record else []


def _worker(generation: Generation, worker: Worker, used: Usage | None, cpu: CpuMeter, now_ns: int) -> dict[str, Any]:
    record = worker.record(generation.board)
    beat_ns = record.heartbeat_ns if record else 0
    return {
        "generation": generation.number,
        "generation_state": generation.state.value,
        **numbers(worker, record, used, cpu),
        "heartbeat_age_s": round(max(0, now_ns - beat_ns) / 1e9, 3) if beat_ns else None,
        "statuses": {f"{number}xx": getattr(record, f"status_{number}xx", 0) for number in range(2, 6)},
        "requests_now": [describe(request, now_ns / 1e9) for request in serving(worker.calls(generation.board) or [])],
    }
