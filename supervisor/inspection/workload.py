"""The workload that ``ctl workers`` shows: each worker of each generation, with the requests that it serves now."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from releve.instance.protocol import Event, Status, result
from releve.server.scoreboard.inflight import serving
from releve.server.shared.states import HEARING
from releve.supervisor.channels.worker import Worker
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.inflight import calls, describe
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host.usage import Usage, memory

if TYPE_CHECKING:
    from releve.supervisor.service.service import Service

PING_S = 0.3  # how long a worker may take to turn its loop
LOOK_S = 0.005


async def snapshot(service: Service) -> Event:
    """The workers, as the result of the verb.

    They are pinged first: a heartbeat that stays old is a loop that hangs.
    """
    crew = [(one, worker) for one in service.generations() for _, worker in sorted(one.workers.items())]
    await _ping(crew)
    crew = [(one, worker) for one, worker in crew if worker.number in one.workers]  # some may have gone
    usage = memory([worker.pid for _, worker in crew])
    now_ns = time.monotonic_ns()
    workers = [_worker(one, worker, usage.get(worker.pid), now_ns) for one, worker in crew]
    busy = sum(len(worker["requests_now"]) for worker in workers)
    return result(Status.DONE, f"{len(workers)} workers, {busy} requests in the application", workers=workers)


async def _ping(crew: list[tuple[Generation, Worker]]) -> None:
    sent_ns = time.monotonic_ns()
    waiting = [(one, worker) for one, worker in crew if worker.state in HEARING and worker.tell("ping")]
    until = time.monotonic() + PING_S
    while waiting and time.monotonic() < until:
        await asyncio.sleep(LOOK_S)
        waiting = [(one, worker) for one, worker in waiting if not _turned(one, worker, sent_ns)]


def _turned(generation: Generation, worker: Worker, sent_ns: int) -> bool:
    return generation.state is GenerationState.GONE or generation.board.read(worker.slot).heartbeat_ns > sent_ns


def _worker(generation: Generation, worker: Worker, used: Usage | None, now_ns: int) -> dict[str, Any]:
    record = None if generation.state is GenerationState.GONE else generation.board.read(worker.slot)
    mine = record if record is not None and record.pid == worker.pid else None
    requests = serving(calls(generation, worker) or [])
    return {
        "generation": generation.number,
        "generation_state": generation.state.value,
        "worker": worker.number,
        "pid": worker.pid,
        "state": worker.state,
        "age_s": round(time.monotonic() - worker.started, 1),
        "heartbeat_age_s": round(max(0, now_ns - mine.heartbeat_ns) / 1e9, 3) if mine and mine.heartbeat_ns else None,
        "connections": mine.connections if mine else 0,
        "busy": mine.busy if mine else 0,
        "requests": mine.requests if mine else 0,
        "statuses": {f"{number}xx": getattr(mine, f"status_{number}xx") if mine else 0 for number in range(2, 6)},
        "pss_bytes": used.pss_bytes if used else None,
        "rss_bytes": used.rss_bytes if used else None,
        "revision": worker.revision,
        "requests_now": [describe(request, now_ns / 1e9) for request in requests],
    }
