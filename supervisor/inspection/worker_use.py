"""What a worker in service uses of what it may: connections, descriptors, its processor."""

from __future__ import annotations

from collections.abc import Iterator

from releve.config.frozen import dataclass
from releve.instance.thresholds import HOT_PERCENT, NEAR
from releve.supervisor.generation.generation import Generation
from releve.supervisor.host import proc
from releve.supervisor.host.usage import CpuMeter


@dataclass(frozen=True, slots=True)
class WorkerUse:
    """Of one worker; None, or 0 for a limit, where it is not known."""

    name: str  # ``8.2``
    pid: int
    connections: int = 0
    connections_max: int = 0
    descriptors: int | None = None
    descriptors_max: int | None = None
    cpu_percent: float | None = None

    @property
    def crowded(self) -> bool:
        """Whether it has nearly as many connections as it may."""
        return 0 < NEAR * self.connections_max <= self.connections

    @property
    def short(self) -> bool:
        """Whether it has nearly as many descriptors open as it may."""
        used, most = self.descriptors, self.descriptors_max
        return used is not None and most is not None and 0 < NEAR * most <= used

    @property
    def hot(self) -> bool:
        """Whether it computes all the time."""
        return self.cpu_percent is not None and self.cpu_percent >= HOT_PERCENT


def of_generation(generation: Generation, cpu: CpuMeter) -> Iterator[WorkerUse]:
    """Of each of its workers, in the order of their numbers."""
    for number, worker in sorted(generation.workers.items()):
        record = worker.record(generation.board)
        yield WorkerUse(
            f"{generation.number}.{number}",
            worker.pid,
            0 if record is None else record.connections,
            0 if record is None else record.connections_max,
            proc.descriptors(worker.pid),
            proc.descriptors_max(worker.pid),
            cpu.percent(worker.pid),
        )
