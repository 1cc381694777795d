"""A sample: what a supervisor says at one moment; and a frame, what happened from one sample to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from releve.config.frozen import dataclass
from releve.instance.protocol import Event

FAST, SLOW = 0.5, 0.99  # the shares of the requests whose durations are shown


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests that were answered within some time; ``durations`` by buckets (``server/scoreboard/scoreboard.py``)."""

    seconds: float
    requests: int = 0
    errors: int = 0  # answered with a status of 500 or above
    durations: tuple[int, ...] = ()

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds > 0 else 0.0

    @property
    def error_share(self) -> float | None:
        """Of the requests (0 to 1); None without any."""
        return self.errors / self.requests if self.requests else None

    def quantile_s(self, share: float) -> float | None:
        """Below how many seconds that share was answered, to the next power of two of microseconds; None: unknown."""
        total = sum(self.durations)
        if not total:
            return None
        number = next(number for number, seen in enumerate(accumulate(self.durations)) if seen >= share * total)
        return float(2**number) / 1e6


@dataclass(frozen=True, slots=True)
class Sample:
    """What ``status`` and ``workers`` say. ``taken``: monotonic."""

    taken: float
    status: Mapping[str, Any]
    workers: tuple[Mapping[str, Any], ...]  # of all generations, each with its ``generation``


@dataclass(frozen=True, slots=True)
class WorkerFrame:
    """One worker, and what it did between two samples."""

    said: Mapping[str, Any]
    traffic: Traffic

    @property
    def name(self) -> str:
        """As ``8.2``."""
        return f"{self.said.get('generation')}.{self.said.get('worker')}"

    @property
    def requests(self) -> list[Mapping[str, Any]]:
        """What it serves now."""
        return mappings(self.said.get("requests_now"))


@dataclass(frozen=True, slots=True)
class GenerationFrame:
    """One generation, with its workers."""

    said: Mapping[str, Any]
    workers: tuple[WorkerFrame, ...]
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class Frame:
    """A service, between two samples."""

    service: Mapping[str, Any]
    operation: Mapping[str, Any]  # empty if none is under way
    last: Mapping[str, Any]  # the last attempt
    generations: tuple[GenerationFrame, ...]
    traffic: Traffic

    @property
    def workers(self) -> list[WorkerFrame]:
        """Of all generations."""
        return [worker for one in self.generations for worker in one.workers]

    def total(self, name: str) -> int:
        """The sum of a number of all workers."""
        return sum(number(worker.said.get(name)) for worker in self.workers)


def sample(taken: float, status: Event, workers: Event) -> Sample:
    """What two results say; either may say less, where another release has answered or this user may not ask."""
    told = {one.get("pid"): one for one in mappings(workers.get("workers"))}
    found = [
        {**one, **told.get(one.get("pid"), {}), "generation": generation.get("generation")}
        for generation in mappings(status.get("generations"))
        for one in mappings(generation.get("workers"))
    ]
    return Sample(taken, status, tuple(found))


def frame(before: Sample, after: Sample) -> Frame:
    """What happened between two samples. A worker that is new has done it all since then."""
    seconds = after.taken - before.taken
    known = {_key(one): one for one in before.workers}
    workers = [WorkerFrame(one, _traffic(known.get(_key(one), {}), one, seconds)) for one in after.workers]
    generations = []
    for said in mappings(after.status.get("generations")):
        crew = tuple(one for one in workers if one.said.get("generation") == said.get("generation"))
        generations.append(GenerationFrame(said, crew, _sum((one.traffic for one in crew), seconds)))
    service = _mapping(after.status.get("service"))
    return Frame(
        service,
        _mapping(service.get("operation")),
        _mapping(after.status.get("last")),
        tuple(generations),
        _sum((one.traffic for one in workers), seconds),
    )


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The objects in what should be a list of them."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def number(value: Any) -> int:
    """What should be a whole number; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _key(worker: Mapping[str, Any]) -> tuple[Any, ...]:
    return worker.get("generation"), worker.get("worker"), worker.get("pid")


def _traffic(before: Mapping[str, Any], after: Mapping[str, Any], seconds: float) -> Traffic:
    return Traffic(
        seconds,
        _grown(before.get("requests"), after.get("requests")),
        _grown(_errors(before), _errors(after)),
        _grown_each(_durations(before), _durations(after)),
    )


def _errors(worker: Mapping[str, Any]) -> int:
    return number(_mapping(worker.get("statuses")).get("5xx"))


def _durations(worker: Mapping[str, Any]) -> tuple[int, ...]:
    found = worker.get("durations")
    return tuple(map(number, found)) if isinstance(found, list) else ()


def _grown(before: Any, after: Any) -> int:
    return max(0, number(after) - number(before))


def _grown_each(before: Sequence[int], after: Sequence[int]) -> tuple[int, ...]:
    earlier = [*before, *[0] * len(after)]
    return tuple(max(0, now - then) for now, then in zip(after, earlier, strict=False))


def _sum(parts: Iterable[Traffic], seconds: float) -> Traffic:
    whole = Traffic(seconds)
    for one in parts:
        longer, shorter = sorted((whole.durations, one.durations), key=len, reverse=True)
        durations = [count + more for count, more in zip(longer, [*shorter, *[0] * len(longer)], strict=False)]
        whole = Traffic(seconds, whole.requests + one.requests, whole.errors + one.errors, tuple(durations))
    return whole


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
