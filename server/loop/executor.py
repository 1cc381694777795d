"""What a kind of worker does itself: it runs the application's calls for the loop, which does all else for every kind.

``threads.py`` is the executor of WSGI, ``server/asgi/tasks.py`` that of ASGI. ``docs/protocol.md`` says what a further
one has to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, NoReturn, Protocol

from releve.server.loop.connection import Connection

Task = Callable[[], object]


class Overrun(NamedTuple):
    """A call that lasts: the thread that is in it (its identifier, its number), and the monotonic time from which that
    is known.
    """

    thread: int
    since: float
    number: int


class Executor(Protocol):
    """Runs calls. All of it belongs to whoever runs the loop, but for ``give_up``."""

    most: int  # calls at once
    open: bool  # whether `call` may be asked, and not `queue`
    answered: int  # connections that have come back
    tasks: int  # given to `run`, and not done yet
    forked: bool  # this process is a child that the application forked
    wakeup: int  # a descriptor that is readable when `returned` has something
    overruns: dict[Connection, Overrun]
    waits_for_bodies: bool  # a call may wait for its request's body, however slow its client is

    @property
    def free(self) -> int:
        """Calls that could begin now."""
        ...

    @property
    def busy(self) -> int:
        """Calls that run, or wait for others to end."""
        ...

    @property
    def waiting(self) -> int:
        """Those that wait."""
        ...

    def prepare(self) -> None:
        """In the main thread, before the worker says that it is ready: make what the calls need. Raises BootError."""
        ...

    def start(self) -> NoReturn:
        """In the main thread, after that: have the loop turn, until the process ends."""
        ...

    def call(self, connection: Connection) -> bool:
        """Answer a request now; only while ``open``. False: the lead is lost, and the connection given back."""
        ...

    def queue(self, connection: Connection) -> bool:
        """Have a request answered as soon as that can be. False: ``call``."""
        ...

    def returned(self) -> Iterator[Connection]:
        """The connections that have come back. They are the loop's from now on."""
        ...

    def give_up(self, connection: Connection) -> None:
        """In a call that is about to block its thread."""
        ...

    def run(self, task: Task, everywhere: bool) -> None:
        """Do this once, outside of the loop; or in every thread that runs the application."""
        ...

    def step_aside(self) -> bool:
        """Whether the loop goes on elsewhere, so that a task can be done here."""
        ...

    def stack(self, connection: Connection, overrun: Overrun) -> str:
        """Where a call is that lasts, as a traceback has it."""
        ...

    def finish(self, last: Task, then: Callable[[], NoReturn]) -> NoReturn:
        """When nothing is left: do ``last`` in the main thread, and ``then`` in another."""
        ...
