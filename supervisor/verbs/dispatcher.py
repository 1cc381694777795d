"""The dispatcher: one operation at a time, and what the service is doing meanwhile. Lives in the supervisor's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from releve.supervisor.operations.attempt import perform
from releve.supervisor.reporting.operation import Job, Operation
from releve.supervisor.service.service import Service
from releve.supervisor.service.states import ServiceState


class Dispatcher:
    """Runs the operations of one service, each as a task; its outcome is kept, recorded and told to everybody who
    waits.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.operation: Operation | None = None
        self.stopping: Operation | None = None  # the stop, once it has been asked for
        self.holding = asyncio.Event()  # what there was is taken over, and the first operation begun
        self.on_begun: Callable[[Operation], object] = lambda operation: None
        self.on_done: Callable[[Operation], object] = lambda operation: None  # its outcome is not told yet
        self.on_idle: Callable[[], object] = lambda: None  # after an operation, where no stop is under way

    @property
    def idle(self) -> bool:
        """Whether no operation is under way, nor the stop."""
        return self.operation is None and self.stopping is None

    @property
    def state(self) -> ServiceState:
        """What the service as a whole is doing."""
        if self.stopping is not None:
            return ServiceState.STOPPING
        if self.service.active is None:
            return ServiceState.STARTING
        if self.operation is None:
            return ServiceState.SERVING
        if self.service.tried:
            return ServiceState.TRIAL
        return ServiceState.RECOVERING if self.operation.verb == "recover" else ServiceState.OPERATING

    def begin(self, job: Job, by: str) -> Operation:
        """Start an operation; the caller has asked whether it may run."""
        return self.start(Operation(job.verb, by, self.service.history.reserve(), dry=job.dry), job)

    def start(self, operation: Operation, job: Job) -> Operation:
        """Start one that has its number already."""
        self.operation = operation
        self.on_begun(operation)
        operation.task = asyncio.get_running_loop().create_task(self._run(operation, job))
        return operation

    async def _run(self, operation: Operation, job: Job) -> None:
        outcome = await perform(self.service, operation, job)
        self.operation = None
        self.on_done(operation)
        operation.finish(outcome)
        if self.stopping is None:
            self.on_idle()
